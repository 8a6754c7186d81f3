"""The figure of exp_scaling.py: scores, softmax and gradient over d, and steps of a lookup."""

from __future__ import annotations

from typing import Any

from utils import plotting

SCALES = {"none": "no scale", "root": r"$1/\sqrt{d}$", "inverse": "$1/d$"}
WAYS = SCALES | {
    "small_start": "no scale,\nsmall start",
    "normalised": "cosine,\ntemperature",
}
NUMBER = {way: index for index, way in enumerate(WAYS)}  # its own look, whatever is drawn beside it


def scaling_figure(metrics: dict[str, Any], steps: int) -> Any:
    """Four panels over d; the first three of random vectors, the last of a task."""
    fig, axes = plotting.subplots(2, 2, width=10.0, height=7.0)
    random = metrics["random"]
    draw_variance(axes[0, 0], random)
    draw_means(axes[0, 1], random, "entropy")
    axes[0, 1].set(ylabel=r"entropy of the weights / $\ln S$", ylim=(0, 1.05))
    draw_gradient(axes[1, 0], random)
    draw_lookup(axes[1, 1], metrics["lookup"], steps)
    for ax in axes.flat:
        ax.set(xlabel="width d")
        ax.set_xscale("log", base=2)
        widths = metrics["lookup"] if ax is axes[1, 1] else random["none"]
        ax.set_xticks([int(w) for w in widths], list(widths))
        ax.minorticks_off()
    return fig


def line(ax: Any, rows: dict[str, Any], key: str, index: int, **more: Any) -> None:
    widths = [int(width) for width in rows]
    mean, spread = zip(*(row[key] for row in rows.values()), strict=True)
    look = plotting.look(index) | {"marker": plotting.MARKERS[index], "ms": 5} | more
    ax.errorbar(widths, mean, spread, capsize=2, **look)


def draw_means(ax: Any, random: dict[str, Any], key: str) -> None:
    for name, rows in random.items():
        line(ax, rows, key, NUMBER[name], label=SCALES[name])
    ax.legend(fontsize=8)


def draw_variance(ax: Any, random: dict[str, Any]) -> None:
    """Measured as marks, the theory d s^2 as lines."""
    for name, power in {"none": 1, "root": 0, "inverse": -1}.items():
        index, widths = NUMBER[name], [int(width) for width in random[name]]
        ax.plot(widths, [w**power for w in widths], linewidth=1, **plotting.look(index))
        line(ax, random[name], "variance", index, label=SCALES[name], linestyle="none")
    ax.set(yscale="log", ylabel=r"variance of the scores (lines: $d\,s^2$)")
    ax.legend(fontsize=8)


def draw_gradient(ax: Any, random: dict[str, Any]) -> None:
    """Mean over rows open and thin, median filled."""
    for name, rows in random.items():
        index = NUMBER[name]
        line(
            ax,
            rows,
            "softmax_mean",
            index,
            mfc="white",
            linewidth=0.9,
            label=f"{SCALES[name]}, mean",
        )
        line(ax, rows, "softmax_median", index, label=f"{SCALES[name]}, median")
    ax.set(yscale="log", ylabel="length of the gradient behind the softmax")
    ax.legend(fontsize=8, loc="lower left")


def draw_lookup(ax: Any, lookup: dict[str, Any], steps: int) -> None:
    """Steps until 90 %; who does not get there stands at the top."""
    widths = list(lookup)
    for way in lookup[widths[0]]:
        index, rows = NUMBER[way], [lookup[width][way] for width in widths]
        mean, spread = [row["steps_mean"] for row in rows], [row["steps_std"] for row in rows]
        look = plotting.look(index) | {"marker": plotting.MARKERS[index], "ms": 5}
        places = [int(width) * 1.06 ** (index - 2) for width in widths]  # side by side
        ax.errorbar(places, mean, spread, capsize=2, label=WAYS[way], **look)
    ax.axhline(steps, color="0.4", lw=0.8)
    ax.text(0.99, 1.0, f"not within {steps} steps", transform=ax.transAxes, ha="right",
            va="bottom", fontsize=8)  # fmt: skip
    ax.set(ylim=(0, steps * 1.04), ylabel="steps until 90 % right")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
