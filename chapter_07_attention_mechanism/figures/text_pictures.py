"""The drawings of page 7's last sections: a pointer network, and what three blocks see of a map.

`draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERS = (0.42, 0.17, 0.90, 0.55)  # the page's example
READ, WRITE, WIDTH = "#DCE9F7", "#FFF3D6", 1.7  # fills; distance of two steps
ENCODER, DECODER = 3.4, 0.0  # heights
MAP, CHANNELS = 6, 8  # places a side and channels of the drawn map
BLOCKS = {  # title: (what the weights depend on, their shape)
    "SE": "one weight a channel\n(C, 1, 1)",
    "CBAM": "one a channel, one a place\n(C, 1, 1), (1, H, W)",
    "SCSA": "one a row and one a column of each\n"
    "channel, then one a channel\n(C, H, 1), (C, 1, W), (C, 1, 1)",
}


def draw_pointer(seed: int = 0) -> Figure:
    """Four numbers are read; each step of the decoder points at one. Grey: what is fed back."""
    figure, ax = plotting.subplots(width=8.6, height=3.7)
    ax.set(xlim=(-0.9, 14.6), ylim=(-1.9, 5.0), aspect="equal")
    ax.axis("off")
    order = np.argsort(NUMBERS)  # places from the smallest number to the largest
    reads = [1.0 + WIDTH * j for j in range(len(NUMBERS))]
    steps = [reads[-1] + 2.2 + WIDTH * t for t in range(len(NUMBERS))]
    for j, (x, number) in enumerate(zip(reads, NUMBERS, strict=True)):
        _box(ax, x, DECODER, f"$e_{j + 1}$", READ)
        ax.text(x, DECODER - 1.4, f"{number:.2f}", ha="center", va="center", fontsize=10)
        _arrow(ax, (x, DECODER - 1.1), (x, DECODER - 0.5))
        if j:
            _arrow(ax, (reads[j - 1] + 0.5, DECODER), (x - 0.5, DECODER), "<|-|>")
    before = reads[-1]
    for t, (x, j) in enumerate(zip(steps, order, strict=True)):
        _box(ax, x, DECODER, f"$d_{t + 1}$", WRITE)
        read = "start" if t == 0 else f"{NUMBERS[order[t - 1]]:.2f}"
        ax.text(x, DECODER - 1.4, read, ha="center", va="center", fontsize=10, color="0.4")
        _arrow(ax, (x, DECODER - 1.1), (x, DECODER - 0.5))
        _arrow(ax, (before + 0.5, DECODER), (x - 0.5, DECODER))
        _point(ax, x, reads[j], t)
        before = x
    ax.text(reads[0] - 1.0, 4.6, "each step points at a place of the input", fontsize=10)
    return figure


def _point(ax: Axes, x: float, place: float, step: int) -> None:
    """The line from a step over the top to the place it chooses."""
    height = 1.3 + 0.75 * step
    look = {"color": plotting.COLORS[step], "linestyle": plotting.DASHES[step], "lw": 1.4}
    ax.plot([x, x, place + 0.12 * step], [0.5, height, height], **look)
    _arrow(ax, (place + 0.12 * step, height), (place + 0.12 * step, 0.5), color=look["color"])
    ax.text(x + 0.1, height, f"$C_{step + 1}$", va="bottom", fontsize=9)


def _box(ax: Axes, x: float, y: float, text: str, fill: str) -> None:
    look = {"boxstyle": "round,pad=0.35", "facecolor": fill, "edgecolor": "0.15"}
    ax.text(x, y, text, ha="center", va="center", fontsize=11, bbox=look, zorder=3)


def _arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    kind: str = "-|>",
    color: str = "0.15",
) -> None:
    look = {"arrowstyle": kind, "linewidth": 1.2, "color": color, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops=look)


def draw_blocks(seed: int = 0) -> Figure:
    """What weights each block lays on a map: an example of each kind, darker is larger."""
    rng = np.random.RandomState(seed)
    channel, rows, columns = (rng.uniform(0.1, 1, n) for n in (CHANNELS, MAP, MAP))
    place = np.exp(-((np.arange(MAP) - 3.5) ** 2)[:, None] / 4 - (np.arange(MAP) - 2) ** 2 / 3)
    figure, ax = plotting.subplots(width=8.8, height=3.9)
    ax.set(xlim=(-0.6, 27.0), ylim=(-4.6, 7.3), aspect="equal")
    ax.axis("off")
    _bars(ax, 2.6, channel)
    _bars(ax, 8.4, channel)
    _map(ax, 10.4, place)
    _map(ax, 18.8, np.outer(rows, columns))
    _strip(ax, 17.6, 0, rows[:, None])
    _strip(ax, 18.8, 6.25, columns[None, :])
    _bars(ax, 26.6, rng.uniform(0.1, 1, CHANNELS))
    for x, (title, text) in zip((2.1, 12.0, 22.0), BLOCKS.items(), strict=True):
        ax.text(x, -0.9, title, ha="center", va="top", fontsize=11, weight="bold")
        ax.text(x, -1.9, text, ha="center", va="top", fontsize=8.5)
    return figure


def _bars(ax: Axes, right: float, weights: np.ndarray) -> None:
    """A column of cells, one a channel, that ends at x = right."""
    height = MAP / len(weights)
    for c, weight in enumerate(weights):
        _cell(ax, right - 1.0, c * height, 0.9, height, weight)


def _map(ax: Axes, left: float, weights: np.ndarray) -> None:
    for (i, j), weight in np.ndenumerate(weights):
        _cell(ax, left + j, MAP - 1 - i, 1, 1, weight)


def _strip(ax: Axes, left: float, bottom: float, weights: np.ndarray) -> None:
    """One row or one column of cells beside a map."""
    for (i, j), weight in np.ndenumerate(weights):
        wide, high = (0.9, 1) if len(weights) > 1 else (1, 0.9)
        up = bottom + (len(weights) - 1 - i)
        _cell(ax, left + j, up, wide, high, weight)


def _cell(ax: Axes, x: float, y: float, width: float, height: float, weight: float) -> None:
    from matplotlib.patches import Rectangle

    shade = str(round(1 - 0.85 * float(weight), 3))
    ax.add_patch(Rectangle((x, y), width, height, facecolor=shade, edgecolor="0.5", lw=0.5))
