"""Pictures made of cells with numbers: the drawing tools of the chapter's convolution figures.

    figure, ax = page(9.4, 3.0, 25, 8)             # inches, then cells
    draw_cells(ax, values, (x, y), colors=...)      # upper left corner of the grid at (x, y)

The unit is one cell; y points down, as the rows of a picture do. Used by conv_math/drawings.py,
conv_math/theory_figures.py and conv_math/animation.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INPUT, OUTPUT, KERNEL, GRADIENT = "#D6EBF7", "#CDEBE1", "#FBE3B9", "#F6D9C6"  # light fills
EMPTY = "#FFFFFF"
PADDING = "#EEEEEE"


def sheet(ax: Axes, width: float, height: float) -> Axes:
    """An empty drawing area of width x height cells, y downwards."""
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def page(width: float, height: float, columns: float, rows: float) -> tuple[Figure, Axes]:
    """A figure of `width` inches that is one sheet of columns x rows cells."""
    figure, ax = plotting.subplots(width=width, height=height)
    figure.set_layout_engine("none")  # nothing to arrange; half the time of a drawing
    ax.set_position((0, 0, 1, 1))
    return figure, sheet(ax, columns, rows)


def label(value: Any) -> str:
    """Whole numbers without a point; nothing for NaN; text as it is."""
    if isinstance(value, str):
        return value
    number = float(value)
    if np.isnan(number):
        return ""
    return f"{number:g}".replace("-", "−")


def draw_cells(
    ax: Axes,
    values: Any,
    corner: tuple[float, float],
    fill: Any = EMPTY,
    *,
    cell: float = 1.0,
    fontsize: float = 9,
    edge: str = "#666666",
    linewidth: float = 0.6,
) -> None:
    """A grid of cells with their values; `fill` is one colour or an array of colours (H, W)."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    values = np.asarray(values)  # (H, W)
    fills = np.broadcast_to(np.asarray(fill, dtype=object), values.shape)
    boxes = []
    for (row, col), value in np.ndenumerate(values):
        x, y = corner[0] + col * cell, corner[1] + row * cell
        boxes.append(Rectangle((x, y), cell, cell))
        text = label(value)
        if text:
            ax.text(x + cell / 2, y + cell / 2, text, ha="center", va="center", fontsize=fontsize)
    ax.add_collection(
        PatchCollection(
            boxes, facecolors=list(fills.flat), edgecolors=edge, linewidths=linewidth, zorder=0.5
        )
    )


def frame(
    ax: Axes, corner: tuple[float, float], size: tuple[float, float], color: str, width: float = 2.2
) -> None:
    """A frame around (columns, rows) = size cells."""
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=width, zorder=4))


def arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str = "#444444"
) -> None:
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops=style)


def caption(ax: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Text centred at x with its baseline at y."""
    ax.text(x, y, text, **({"ha": "center", "va": "baseline", "fontsize": 9} | options))


def fills_with(
    shape: tuple[int, int], base: str, marked: Sequence[tuple], color: str
) -> np.ndarray:
    """An array of colours: `base`, and `color` at the marked (row, column) cells."""
    fills = np.full(shape, base, dtype=object)
    for row, col in marked:
        fills[row, col] = color
    return fills
