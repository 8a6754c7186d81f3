"""The figures of exp_translation.py.

Everything here draws what it is given; `runs[network, pictures, block]` has the arrays
"accuracy_percent", "kept" and "change", (seeds, shifts), in per cent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHANCE_STYLE = {"color": "#555555", "ls": ":", "lw": 1}


def shift_figure(
    dataset: str, runs: Any, labels: dict[str, str], margin: int, chance: float
) -> Figure:
    """Accuracy over the shift, one panel for each set of training pictures."""
    fig, axes = plotting.subplots(1, 2, width=9.6, height=4.2, sharey=True)
    titles = {"centred": "trained on centred pictures", "shifted": "trained with random shifts"}
    shifts = range(margin + 1)
    for ax, (pictures, title) in zip(axes, titles.items(), strict=True):
        for color, (name, label) in zip(plotting.COLORS, labels.items(), strict=False):
            plotting.band(ax, shifts, runs[name, pictures, 1]["accuracy_percent"], label, color)
        ax.axhline(chance, label="chance", **CHANCE_STYLE)
        ax.set(title=f"{dataset}: {title}", xlabel="test pictures moved by (pixels)", ylim=(0, 102))
        ax.set_xticks(shifts)
    axes[1].axvspan(0, margin // 2, color="#EEEEEE", zorder=0)
    axes[1].text(0.15, 3, "shifts seen in training", fontsize=8, color="#333333")
    axes[0].set_ylabel("test accuracy (%)")
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8
    )
    return fig


def permutation_figure(
    dataset: str, runs: Any, labels: dict[str, str], names: Any, blocks: list[int],
    examples: list[Any],
) -> Figure:  # fmt: skip
    """One picture under each shuffle, and the accuracy after training on pictures shuffled so."""
    fig, axes = plotting.subplots(2, len(blocks), width=9.0, height=5.6, height_ratios=[1, 2])
    ticks = ["in order", *(f"{b} x {b}" for b in blocks[1:-1]), "all pixels"]
    for ax, picture, title in zip(axes[0], examples, ticks, strict=True):
        ax.imshow(picture, cmap="gray", vmin=0)
        ax.set_title(title)
        ax.set_axis_off()
    grid = axes[1, 0].get_gridspec()
    for ax in axes[1]:
        ax.remove()
    ax = fig.add_subplot(grid[1, :])
    for name in names:
        values = [runs[name, "centred", b]["accuracy_percent"][:, 0] for b in blocks]
        color = plotting.COLORS[list(labels).index(name)]
        by_seed = list(zip(*values, strict=True))  # (seeds, blocks)
        plotting.band(ax, range(len(blocks)), by_seed, labels[name], color)
    ax.set_xticks(range(len(blocks)), ticks)
    ax.set(xlabel="pixels shuffled inside squares of", ylabel="test accuracy (%)")
    ax.set_title(f"{dataset}: the same shuffle in training and test")
    ax.grid(True, color="#DDDDDD", linewidth=0.6)  # added after the style's context has ended
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return fig


def pooling_figure(dataset: str, runs: Any, poolings: dict[str, str]) -> Figure:
    """How often the class stays and how much the logits change, over the shift."""
    fig, (left, right) = plotting.subplots(1, 2, width=9.6, height=3.8)
    texts = {"max": "maximum", "average": "average", "blur": "maximum, blurred"}
    for color, (name, pool) in zip(plotting.COLORS, poolings.items(), strict=False):
        found = runs[name, "centred", 1]
        shifts = range(found["kept"].shape[1])
        plotting.band(left, shifts, found["kept"], texts[pool], color)
        plotting.band(right, shifts, found["change"], texts[pool], color)
    left.set(ylabel="class as in the centre (%)", title=f"{dataset}: same class")
    right.set(ylabel="change of the logits (% of their spread)", title=f"{dataset}: same logits")
    for ax in (left, right):
        ax.set_xticks(shifts)
        ax.set_xlabel("test pictures moved by (pixels)")
        ax.legend(title="2 x 2 pooling", fontsize=8, title_fontsize=8)
    return fig
