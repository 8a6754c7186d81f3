"""The figures of exp_visual_attention.py: what was learnt, and where the weights are large."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_07_attention_mechanism.experiments.visual_attention import KINDS
from utils import plotting

BLOCKS = 3


def results_figure(metrics: dict[str, Any]) -> Any:
    """Left: validation accuracy by epoch, mean over seeds. Right: test accuracy, a dot a seed."""
    fig, axes = plotting.subplots(1, 2, width=9.6, height=3.7)
    marks = metrics["baselines"]
    for index, (name, row) in enumerate(metrics["rows"].items()):
        curves = np.array(row["val_curves"])  # (seeds, epochs)
        look = plotting.look(index) | {"marker": plotting.MARKERS[index], "ms": 5}
        epochs = range(1, curves.shape[1] + 1)
        axes[0].plot(epochs, curves.mean(axis=0), label=KINDS[name][0], **look)
        dots = {"color": look["color"], "marker": look["marker"], "linestyle": "none"}
        axes[1].plot([index] * len(row["tests"]), row["tests"], ms=6, alpha=0.7, **dots)
        mean = row["test"][0]
        axes[1].plot([index - 0.25, index + 0.25], [mean, mean], color="0.15", lw=1.6)
    axes[0].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes[0].set(xlabel="epoch", ylabel="accuracy (%)", title="validation, mean of the seeds")
    axes[0].legend(fontsize=8)
    titles = [KINDS[name][0].replace(" ", "\n", 1).replace(", ", ",\n") for name in metrics["rows"]]
    axes[1].set_xticks(range(len(titles)), titles, fontsize=8)
    axes[1].set(
        title="test: a mark a seed, a line the mean", xlim=(-0.6, len(titles) + 0.6), ylim=(0, 107)
    )
    for key, label in (
        ("told", "told the place"),
        ("histogram", "no places"),
        ("chance", "chance"),
    ):
        axes[1].axhline(marks[key], color="0.35", linestyle=":", lw=1)
        axes[1].text(len(titles) + 0.55, marks[key] + 1, label, ha="right", va="bottom", fontsize=8)
    return fig


def places_figure(shown: dict[str, Any]) -> Any:
    """Columns: test pictures; rows: the picture, and maps of one block, the true box on each.

    shown: "pictures" (n, H, W, 3), "boxes" (n, 4), "rows": (label, maps (n, H, W)) in order.
    """
    pictures, boxes, rows = shown["pictures"], shown["boxes"], shown["rows"]
    count = len(pictures)
    fig, axes = plotting.subplots(
        len(rows) + 1, count, width=1.55 * count + 2.4, height=1.6 * (len(rows) + 1)
    )
    for column in range(count):
        axes[0][column].imshow(pictures[column])
        for line, (_, maps) in enumerate(rows, start=1):
            flat = np.ptp(maps[column]) < 0.02 * np.max(maps[column])  # no grey made of rounding
            limits = {"vmin": 0, "vmax": np.max(maps[column])} if flat else {}
            axes[line][column].imshow(maps[column], cmap="Greys_r", **limits)
        for line in range(len(rows) + 1):
            frame(axes[line][column], boxes[column])
    for line, (label, _) in enumerate([("test pictures", None), *rows]):
        axes[line][0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    return fig


def frame(ax: Any, box: Any) -> None:
    """The true box, in black and white so that it shows on any ground."""
    from matplotlib.patches import Rectangle

    x1, y1, x2, y2 = box
    for colour, width in (("white", 2.6), ("black", 1.0)):
        edge = {"fill": False, "edgecolor": colour, "linewidth": width}
        ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, **edge))
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
