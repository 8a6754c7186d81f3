"""The animation of demo_conv_math.py: padding, stride and dilation, one output value a frame.

What you see: the picture with its padding, the window in colour, the sum written out, and the size
formula with the numbers of the case. The transposed convolution runs the other way: each input
value puts a stamp of the kernel on the output, and where stamps overlap they add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from chapter_04_cnn_classic.conv_math import arithmetic, cells
from chapter_04_cnn_classic.conv_math.arithmetic import Case
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = (
    arithmetic.NO_PADDING,
    arithmetic.SAME,
    arithmetic.STRIDED,
    arithmetic.DILATED,
    arithmetic.TRANSPOSED,
)
KERNEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
HOLD = 4  # frames on which the finished output stays
FPS = 2.5
LEFT, MIDDLE, RIGHT, TOP = 0.5, 8.6, 12.8, 2.6  # where the three grids stand, in cells


def picture(case: Case) -> np.ndarray:
    """Small whole numbers, the same for all cases: (n, n)."""
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 4, (7, 7), generator=generator).numpy()[: case.size, : case.size]


def output_values(case: Case, x: np.ndarray) -> np.ndarray:
    """The finished output (o, o), by the matrix of the case."""
    kernel = torch.tensor(KERNEL, dtype=torch.float64)
    if case.transposed:
        twin = Case(case.title, case.output, case.kernel, case.padding, case.stride, case.dilation)
        matrix = arithmetic.convolution_matrix(kernel, twin).T
    else:
        matrix = arithmetic.convolution_matrix(kernel, case)
    values = matrix @ torch.tensor(x, dtype=torch.float64).flatten()
    return values.reshape(case.output, case.output).numpy()


def frames(per_case: int | None = None) -> Iterator[np.ndarray]:
    """All frames (H, W, 3) uint8; `per_case` limits the steps shown of each case."""
    for case in SHOWN:
        steps = list(np.ndindex(*(2 * (case.size if case.transposed else case.output,))))
        for number, position in enumerate(steps[:per_case], start=1):
            shown = plotting.figure_to_array(frame(case, position, number))
            yield from [shown] * (1 if number < len(steps) else HOLD)


def frame(case: Case, position: tuple[int, int], number: int) -> Figure:
    """`number` steps of the case are done; the last one is at `position`."""
    figure, ax = cells.page(7.2, 3.9, 20.3, 11)
    k, p, s, d = case.kernel, case.padding, case.stride, case.dilation
    ax.text(0.4, 0.7, case.title, fontsize=13, fontweight="bold", va="center")
    setting = f"input n = {case.size}, kernel k = {k}, padding p = {p}, stride s = {s}, "
    setting += f"dilation d = {d}"
    ax.text(19.9, 0.7, setting, fontsize=9, va="center", ha="right")
    general = (
        r"$o = (n-1)s - 2p + d(k-1) + 1 = $"
        if case.transposed
        else (r"$o = \lfloor (n + 2p - d(k-1) - 1)\,/\,s \rfloor + 1 = $")
    )
    ax.text(0.4, 1.75, general + "  " + case.formula, fontsize=10.5, va="center")
    draw = draw_stamp if case.transposed else draw_window
    total = draw(ax, case, position, number)
    ax.text(10.15, 10.5, total, ha="center", va="center", fontsize=11)
    return figure


def draw_window(ax: Axes, case: Case, position: tuple[int, int], number: int) -> str:
    """Input with window, kernel and the output so far; returns the sum in words."""
    p, o = case.padding, case.output
    x = picture(case)
    padded = np.pad(x, p)
    fills = np.full(padded.shape, cells.PADDING, dtype=object)
    fills[p : p + case.size, p : p + case.size] = cells.INPUT
    taps = case.taps(*position)
    for tap in taps:
        fills[tap] = plotting.COLORS[4]
    cells.draw_cells(ax, padded, (LEFT, TOP), fills, fontsize=11)
    reach = case.dilation * (case.kernel - 1) + 1
    corner = (LEFT + taps[0][1], TOP + taps[0][0])
    cells.frame(ax, corner, (reach, reach), plotting.COLORS[1])
    draw_kernel(ax)
    values = output_values(case, x)
    shown = np.where(np.arange(o * o).reshape(o, o) < number, values, np.nan)
    fills = np.where(np.isnan(shown), cells.EMPTY, cells.OUTPUT).astype(object)
    fills[position] = plotting.COLORS[2]
    cells.draw_cells(ax, shown, (RIGHT, TOP), fills, fontsize=10)
    captions(ax, "input" + (", padding in grey" if p else ""), f"output {o} × {o}")
    terms = zip(KERNEL.flat, (padded[tap] for tap in taps), strict=True)
    products = [f"{cells.label(w)}·{value}" for w, value in terms if w]
    text = " + ".join(products).replace("+ −", "− ")
    return f"{text} = {cells.label(values[position])}"


def draw_stamp(ax: Axes, case: Case, position: tuple[int, int], number: int) -> str:
    """Transposed: the input value at `position` times the kernel is added to the output."""
    x = picture(case) + 1  # no zero among the four values
    fills = cells.fills_with(x.shape, cells.INPUT, [position], plotting.COLORS[4])
    cells.draw_cells(ax, x, (LEFT, TOP), fills, fontsize=11)
    draw_kernel(ax)
    done = np.where(np.arange(x.size).reshape(x.shape) < number, x, 0)
    values = output_values(case, done)
    corner = [index * case.stride for index in position]
    marked = [(corner[0] + i, corner[1] + j) for i in range(3) for j in range(3)]
    fills = cells.fills_with(values.shape, cells.OUTPUT, marked, plotting.COLORS[2])
    cells.draw_cells(ax, values, (RIGHT, TOP), fills, fontsize=10)
    start = (RIGHT + corner[1], TOP + corner[0])
    cells.frame(ax, start, (3, 3), plotting.COLORS[1])
    captions(ax, "input", f"output {case.output} × {case.output}")
    return f"add {x[position]} × kernel at row {corner[0]}, column {corner[1]} of the output"


def draw_kernel(ax: Axes) -> None:
    cells.draw_cells(ax, KERNEL, (MIDDLE, TOP), cells.KERNEL, fontsize=11)


def captions(ax: Axes, left: str, right: str) -> None:
    for x, text in ((LEFT, left), (MIDDLE, "kernel"), (RIGHT, right)):
        ax.text(x, TOP - 0.15, text, fontsize=9, color="#444444", va="bottom")
