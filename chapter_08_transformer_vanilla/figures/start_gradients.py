"""The figure of a stack before its first step (exp_ablations.py), over depth and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_start_gradients(metrics: dict[str, dict[str, Any]]) -> Figure:
    """metrics: of experiments/start_gradients.py. Two panels over depth, four over the layer."""
    depths = list(next(iter(metrics.values())))
    deepest = max(depths, key=int)
    figure, axes = plotting.subplots(2, 3, width=11.0, height=6.0)
    titles = {
        "gradient": "gradient of the weights, each layer",
        "path": "gradient of the stream",
        "stream": "mean square of the stream",
        "alike": "cosine of two places of a line",
    }
    panels = dict(zip(titles, (axes[0, 1], axes[0, 2], axes[1, 1], axes[1, 2]), strict=True))
    for index, (name, rows) in enumerate(metrics.items()):
        look = plotting.look(index) | {"marker": plotting.MARKERS[index], "ms": 4}
        look |= {"label": f"{name}-norm", "capsize": 2}
        over_depth(axes[0, 0], {d: row["last"]["gradient"] for d, row in rows.items()}, look)
        over_depth(axes[1, 0], {d: row["moved"] for d, row in rows.items()}, look)
        for key, ax in panels.items():
            over_layers(ax, rows[deepest][key], look)
    for key, ax in panels.items():
        ax.set(xlabel=f"layer of {deepest}", title=titles[key])
        ax.set_ylim(bottom=0)
    over = ("gradient of the weights, last layer", "how far the output moves")
    for ax, title in zip(axes[:, 0], over, strict=True):
        ax.set(xlabel="layers L", title=title, xscale="log")
        ax.set_xticks([int(depth) for depth in depths], depths)
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
    axes[0, 0].legend(fontsize=8)
    return figure


def over_depth(ax: Axes, values: dict[str, Any], look: dict[str, Any]) -> None:
    mean, spread = zip(*values.values(), strict=True)
    ax.errorbar([int(depth) for depth in values], mean, spread, **look)


def over_layers(ax: Axes, values: list[Any], look: dict[str, Any]) -> None:
    mean, spread = zip(*values, strict=True)
    ax.errorbar(range(1, len(mean) + 1), mean, spread, **look)
