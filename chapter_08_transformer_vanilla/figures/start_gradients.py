"""The figure of the gradients at the start of training (exp_ablations.py), over depth and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_start_gradients(metrics: dict[str, dict[str, Any]]) -> Figure:
    """metrics: of experiments/start_gradients.py. Two panels over depth, two over the layer."""
    deepest = max(next(iter(metrics.values())), key=int)
    figure, axes = plotting.subplots(2, 2, width=9.6, height=6.4)
    for index, (name, depths) in enumerate(metrics.items()):
        look = plotting.look(index) | {"marker": plotting.MARKERS[index], "ms": 4}
        look |= {"label": f"{name}-norm", "capsize": 2}
        over_depth(axes[0, 0], depths, "gradient", look)
        over_layers(axes[0, 1], depths[deepest], "gradient", look)
        over_layers(axes[1, 0], depths[deepest], "stream", look)
        over_layers(axes[1, 1], depths[deepest], "alike", look)
    axes[0, 0].set(xlabel="layers L", ylabel="gradient of the last layer", xscale="log")
    axes[0, 0].set_xticks([int(d) for d in depths], list(depths))
    axes[0, 0].minorticks_off()
    axes[0, 1].set(ylabel="gradient of each layer")
    axes[1, 0].set(ylabel="mean square of the stream")
    axes[1, 1].set(ylabel="cosine of two places", ylim=(0, 1.03))
    for ax in (axes[0, 1], axes[1, 0], axes[1, 1]):
        ax.set(xlabel=f"layer of {deepest}")
    for ax in (axes[0, 0], axes[0, 1]):
        ax.set_ylim(bottom=0)
    axes[1, 0].set_ylim(bottom=0)
    axes[0, 0].legend(fontsize=8)
    return figure


def over_depth(ax: Axes, depths: dict[str, Any], key: str, look: dict[str, Any]) -> None:
    mean, spread = zip(*(row["last"][key] for row in depths.values()), strict=True)
    ax.errorbar([int(depth) for depth in depths], mean, spread, **look)


def over_layers(ax: Axes, row: dict[str, Any], key: str, look: dict[str, Any]) -> None:
    mean, spread = zip(*row[key], strict=True)
    ax.errorbar(range(1, len(mean) + 1), mean, spread, **look)
