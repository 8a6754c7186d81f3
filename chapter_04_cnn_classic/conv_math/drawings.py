"""Line drawings of demo_conv_math.py: the matrix of a convolution, and im2col.

What you see: a 3x3 kernel on a 6x6 picture as a 16 x 36 matrix, in which each of nine weights
stands 16 times (Toeplitz within the blocks and between them), with its transpose; and the other
way to make a matrix product of it, where the patches become columns and the kernel a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from chapter_04_cnn_classic.conv_im2col import im2col
from chapter_04_cnn_classic.conv_math import cells
from chapter_04_cnn_classic.conv_math.arithmetic import Case, weight_positions
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOEPLITZ = Case("3x3 on 6x6", 6)
# Nine colours light enough for black digits, one a weight; a row of the kernel shares a hue.
NINE = ["#BBDDF2", "#8CC4E8", "#5BAADB", "#FBD9B0", "#F6BC78", "#EE9E45", "#C6E8D8", "#94D2B6",
        "#60BB93"]  # fmt: skip


def weight_cells(ax: Axes, numbers: np.ndarray, corner: tuple[float, float], **options) -> None:
    """Cells coloured and numbered by weight (1 to 9; 0: an empty cell)."""
    colours = np.array([cells.EMPTY, *NINE], dtype=object)[numbers]
    texts = np.where(numbers > 0, numbers.astype(float), np.nan)
    cells.draw_cells(ax, texts, corner, colours, **({"edge": "#CCCCCC"} | options))


def block_lines(ax: Axes, corner: tuple[float, float], size: tuple[int, int], step: tuple) -> None:
    """Thick lines around the blocks: `size` and `step` are (columns, rows)."""
    (x, y), (width, height) = corner, size
    for column in range(0, width + 1, step[0]):
        ax.plot([x + column] * 2, [y, y + height], color="#333333", linewidth=1.1, zorder=3)
    for row in range(0, height + 1, step[1]):
        ax.plot([x, x + width], [y + row] * 2, color="#333333", linewidth=1.1, zorder=3)


def toeplitz_figure() -> Figure:
    """The kernel, a window on the picture, the matrix T and its transpose."""
    numbers = weight_positions(TOEPLITZ).numpy()  # (16, 36)
    figure, ax = cells.page(10.4, 7.1, 56.3, 38.6)
    small = {"fontsize": 6.5, "linewidth": 0.4}
    weight_cells(ax, np.arange(1, 10).reshape(3, 3), (0.5, 3), cell=2, fontsize=11)
    cells.caption(ax, 3.5, 2.3, "kernel: 9 weights")
    window = np.zeros((6, 6), dtype=int)
    window[:3, 1:4] = np.arange(1, 10).reshape(3, 3)
    weight_cells(ax, window, (11, 3), cell=2, fontsize=11)
    cells.frame(ax, (13, 3), (6, 6), plotting.COLORS[1])
    cells.caption(ax, 17, 2.3, "input 6 × 6, read by output (0, 1)")
    weight_cells(ax, numbers[1:2], (0.5, 18.2), **small)
    cells.caption(ax, 18.5, 17.6, "the same window, flattened: row 1 of T")
    weight_cells(ax, numbers, (0.5, 22.3), **small)
    block_lines(ax, (0.5, 22.3), (36, 16), (6, 4))
    cells.frame(ax, (0.5, 23.3), (36, 1), plotting.COLORS[1], 1.4)
    title = "T, 16 × 36: output (4 × 4) = T · input. Blocks 4 × 6, one for each pair of rows"
    cells.caption(ax, 18.5, 21.6, title)
    weight_cells(ax, numbers.T, (39.8, 2.3), **small)
    block_lines(ax, (39.8, 2.3), (16, 36), (4, 6))
    cells.caption(ax, 47.8, 1.6, "Tᵀ, 36 × 16: transposed convolution", fontsize=9)
    note = (
        "An empty cell is 0:\n144 of 576 cells are\nfilled, by 9 numbers.\n\nDown a diagonal the\n"
        "weight stays the same,\ninside a block and\nfrom block to block."
    )
    ax.text(25.3, 9, note, fontsize=9, va="center", linespacing=1.3)
    return figure


# --- im2col ---
PICTURE = np.array([[1, 0, 2, 1], [3, 1, 0, 2], [0, 2, 1, 1], [1, 0, 3, 0]])
KERNELS = np.array([[[1, 0, -1], [2, 0, -2], [1, 0, -1]], [[0, 1, 0], [1, -4, 1], [0, 1, 0]]])
FOUR = ["#BBDDF2", "#FBD9B0", "#C6E8D8", "#EFC9DE"]  # one a patch


def im2col_numbers() -> dict[str, np.ndarray]:
    """columns (9, 4), weights (2, 9) and their product (2, 4), by the chapter's own im2col."""
    x = torch.tensor(PICTURE, dtype=torch.float64)[None, None]
    columns = im2col(x, 3)[0].numpy()  # (1, 9, 4) -> (9, 4)
    weights = KERNELS.reshape(2, 9).astype(float)
    return {"columns": columns, "weights": weights, "product": weights @ columns}


def im2col_figure() -> Figure:
    """Picture -> patches -> columns; kernels -> rows; one matrix product -> maps."""
    numbers = im2col_numbers()
    figure, ax = cells.page(10.0, 5.55, 27.8, 15.4)
    cells.caption(ax, 2.5, 1.3, "input 4 × 4")
    cells.draw_cells(ax, PICTURE, (0.5, 1.7), cells.INPUT, fontsize=11)
    cells.frame(ax, (0.5, 1.7), (3, 3), plotting.COLORS[0])
    cells.arrow(ax, (4.8, 3.7), (6.0, 3.7))
    cells.caption(ax, 9.9, 1.3, "its four 3 × 3 patches")
    for patch in range(4):
        corner = (6.5 + 3.6 * (patch % 2), 1.7 + 3.6 * (patch // 2))
        patch_cells = numbers["columns"][:, patch].reshape(3, 3)
        cells.draw_cells(ax, patch_cells, corner, FOUR[patch], fontsize=10)
    cells.arrow(ax, (13.8, 4.8), (15.8, 4.8))
    cells.caption(ax, 18.2, 1.3, "columns X, 9 × 4")
    cells.draw_cells(ax, numbers["columns"], (16.2, 1.7), np.array([FOUR] * 9, dtype=object))
    draw_im2col_kernels(ax, numbers["weights"])
    cells.caption(ax, 18.2, 12.3, "Y = W X, 2 × 4")
    colours = np.array([FOUR] * 2, dtype=object)
    cells.draw_cells(ax, numbers["product"], (16.2, 12.7), colours, fontsize=10)
    cells.arrow(ax, (20.6, 13.7), (22.0, 13.7))
    cells.caption(ax, 24.8, 12.4, "reshaped: two\n2 × 2 feature maps", va="bottom")
    for index in range(2):
        corner = (22.5 + 2.6 * index, 12.7)
        fills = np.array(FOUR, dtype=object).reshape(2, 2)
        cells.draw_cells(ax, numbers["product"][index].reshape(2, 2), corner, fills, fontsize=10)
    return figure


def draw_im2col_kernels(ax: Axes, weights: np.ndarray) -> None:
    """Both kernels as squares, and as the rows of W."""
    cells.caption(ax, 2.75, 9.7, "two kernels")
    for index in range(2):
        corner = (0.5 + 2.4 * index, 10.1)
        cells.draw_cells(ax, KERNELS[index], corner, cells.KERNEL, cell=0.7, fontsize=7)
    cells.arrow(ax, (5.0, 12.3), (6.2, 13.0))
    cells.caption(ax, 11.1, 12.3, "as rows: W, 2 × 9")
    cells.draw_cells(ax, weights, (6.6, 12.7), cells.KERNEL, fontsize=10)
    cells.caption(ax, 15.9, 13.9, "·", fontsize=14)


# --- convolution against correlation ---


def flip_figure(kernel: np.ndarray, correlated: np.ndarray, convolved: np.ndarray) -> Figure:
    """A single 1 in a 5x5 picture: convolution stamps the kernel, correlation its turned copy."""
    impulse = np.zeros((5, 5))
    impulse[2, 2] = 1
    figure, ax = cells.page(9.4, 2.8, 25.5, 7.5)
    panels = [
        ("one 1 in a picture of zeros", impulse, 1.2, 1.8, cells.INPUT),
        ("kernel", kernel, 8.2, 2.8, None),
        ("convolution: the kernel", convolved, 13.0, 1.8, None),
        ("correlation: the kernel\nturned by 180°", correlated, 19.4, 1.8, None),
    ]
    for title, values, x, y, fill in panels:
        shade = np.array([cells.EMPTY, *NINE], dtype=object)[values.astype(int)]
        cells.draw_cells(ax, values, (x, y), shade if fill is None else fill, fontsize=10)
        cells.caption(ax, x + values.shape[1] / 2, y - 0.25, title)
    return figure
