"""Line drawings of the chapter's theory: weight sharing, arithmetic, pooling, backward passes.

Every number in them is computed by the functions below, which the tests compare with autograd.

    dense -> local -> shared weights              sharing_figure
    the six cases of convolution arithmetic       cases_figure
    max and average pooling, and their gradients  pooling_figure
    1-D convolution, its two gradients            backward_figure: dx = g * w (full), dw = x corr g
Used by demo_conv_math.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chapter_04_cnn_classic.conv_math import cells
from chapter_04_cnn_classic.conv_math.arithmetic import CASES, Case, zero_stuffed
from chapter_04_cnn_classic.conv_math.drawings import NINE
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# --- from dense to convolution ---
UNITS, REACH = 7, 3  # inputs and outputs of the drawing; inputs an output sees
PICTURE, MAPS = (3, 32, 32), 16  # for the parameter counts in the titles


def weight_counts() -> dict[str, int]:
    """Weights (without biases) between a 3x32x32 picture and 16 maps of 32x32, 3x3 windows."""
    channels, height, width = PICTURE
    inputs, outputs, window = channels * height * width, MAPS * height * width, channels * REACH**2
    return {"dense": inputs * outputs, "local": outputs * window, "shared": MAPS * window}


def sharing_figure() -> Figure:
    """Three ways to join seven inputs to seven outputs; a colour (and its dashes) is a weight."""
    figure, axes = plotting.subplots(1, 3, width=10.0, height=3.5)
    counts = weight_counts()
    for ax, (kind, count) in zip(axes, counts.items(), strict=True):
        ax.set(xlim=(-0.7, UNITS - 0.3), ylim=(-0.75, 3.9))
        ax.set_axis_off()
        drawn = draw_connections(ax, kind)
        for y, name, color in ((0, "x", cells.INPUT), (2.6, "y", cells.OUTPUT)):
            for unit in range(UNITS):
                ax.plot(unit, y, "o", markersize=15, color=color, markeredgecolor="#444444")
                ax.text(unit, y, f"${name}_{unit + 1}$", ha="center", va="center", fontsize=8)
        title = {"dense": "dense", "local": "local, own weights", "shared": "convolution"}[kind]
        cells.caption(ax, 3, 3.5, title, fontsize=11, fontweight="bold")
        cells.caption(ax, 3, 3.12, f"{drawn} weights")
        cells.caption(ax, 3, -0.72, f"3 × 32² to 16 × 32²: {count:,} weights", fontsize=8.5)
    return figure


def draw_connections(ax: Axes, kind: str) -> int:
    """The lines; returns how many different weights they stand for."""
    import matplotlib

    pairs = [(i, o) for o in range(UNITS) for i in range(UNITS)]
    if kind != "dense":
        pairs = [(i, o) for i, o in pairs if abs(i - o) <= REACH // 2]
    many = matplotlib.colormaps["turbo"](np.linspace(0.02, 0.98, len(pairs)))
    for number, (i, o) in enumerate(pairs):
        place = i - o + REACH // 2
        look = plotting.look(place) if kind == "shared" else {"color": many[number]}
        ax.plot([i, o], [0, 2.6], lw=0.8 if kind == "dense" else 2.0, zorder=0, **look)
    return REACH if kind == "shared" else len(pairs)


# --- convolution arithmetic ---


def cases_figure() -> Figure:
    """Input with padding and one window, and output, for each case, with the size formula."""
    figure, axes = plotting.subplots(2, 3, width=10.4, height=5.6)
    for ax, case in zip(axes.flat, CASES, strict=True):
        cells.sheet(ax, 16.7, 11.9)
        plain = zero_stuffed(case) if case.transposed else case
        position = (0, 1) if case.output > 3 else (1, 1)
        draw_case(ax, case, plain, position)
        cells.caption(ax, 8.2, 0.6, case.title, fontsize=11, fontweight="bold")
        letters = f"n = {case.size}, k = {case.kernel}, p = {case.padding}"
        letters += f", s = {case.stride}, d = {case.dilation}"
        cells.caption(ax, 8.2, 1.6, letters, fontsize=8.5)
        cells.caption(ax, 8.2, 11.5, "o = " + case.formula, fontsize=9)
    return figure


def draw_case(ax: Axes, case: Case, plain: Case, position: tuple[int, int]) -> None:
    """`plain` is the case as an ordinary convolution over the (stuffed and padded) input."""
    side = plain.size + 2 * plain.padding
    fills = np.full((side, side), cells.PADDING, dtype=object)
    real = slice(plain.padding, side - plain.padding, case.stride if case.transposed else 1)
    fills[real, real] = cells.INPUT
    top = 6.35 - side / 2
    cells.draw_cells(ax, np.full((side, side), ""), (0.6, top), fills)
    for i, j in plain.taps(*position):
        inner = (0.6 + j + 0.2, top + i + 0.2)
        cells.draw_cells(ax, [[""]], inner, plotting.COLORS[4], cell=0.6, linewidth=0.3)
    reach = plain.dilation * (plain.kernel - 1) + 1
    step = [plain.stride * index for index in position]
    cells.frame(ax, (0.6 + step[1], top + step[0]), (reach, reach), plotting.COLORS[1])
    cells.arrow(ax, (0.9 + side, 6.35), (9.9, 6.35))
    fills = cells.fills_with((case.output,) * 2, cells.OUTPUT, [position], plotting.COLORS[2])
    corner = (10.3, 6.35 - case.output / 2)
    cells.draw_cells(ax, np.full(fills.shape, ""), corner, fills)


# --- pooling ---
POOL_INPUT = np.array(
    [[1, 3, 0, 2, 1], [4, 2, 9, 0, 3], [0, 1, 1, 2, 2], [5, 2, 1, 0, 4], [1, 0, 2, 6, 3]]
)
POOLS = {  # title: (kind, side of the input used, kernel, stride)
    "max, 2 × 2, stride 2": ("max", 4, 2, 2),
    "average, 2 × 2, stride 2": ("average", 4, 2, 2),
    "max, 3 × 3, stride 2 (windows overlap)": ("max", 5, 3, 2),
}


def pool(x: np.ndarray, g: np.ndarray, kind: str, kernel: int, stride: int) -> tuple:
    """Output (o, o), gradient (n, n) for the output's gradient g, and the winners' positions."""
    out, gradient, winners = np.zeros(g.shape), np.zeros(x.shape), []
    for row, col in np.ndindex(g.shape):
        top, left = row * stride, col * stride
        window = x[top : top + kernel, left : left + kernel]
        if kind == "max":
            i, j = np.unravel_index(window.argmax(), window.shape)
            out[row, col] = window[i, j]
            gradient[top + i, left + j] += g[row, col]  # += : one value may win in several windows
            winners.append((top + i, left + j))
        else:
            out[row, col] = window.mean()
            gradient[top : top + kernel, left : left + kernel] += g[row, col] / kernel**2
    return out, gradient, winners


def pooling_figure() -> Figure:
    """One row for each kind: input, output, the gradient that arrives, the gradient passed on."""
    g = np.array([[4.0, -8.0], [2.0, 6.0]])
    figure, ax = cells.page(9.0, 7.6, 25.0, 21.1)
    titles = ("input x", "output y", "arrives: ∂L/∂y", "passed on: ∂L/∂x")
    columns = (1.0, 8.6, 13.2, 18.6)
    tops = (2.4, 8.9, 15.4)
    for top, (title, (kind, side, kernel, stride)) in zip(tops, POOLS.items(), strict=True):
        x = POOL_INPUT[:side, :side]
        out, gradient, winners = pool(x, g, kind, kernel, stride)
        ax.text(0.9, top - 0.85 - 0.35, title, fontsize=10, fontweight="bold")
        middle = top + side / 2
        won = cells.fills_with(x.shape, cells.INPUT, winners, plotting.COLORS[5])
        passed = np.where(gradient != 0, cells.GRADIENT, cells.EMPTY)
        panels = ((x, won), (out, cells.OUTPUT), (g, cells.GRADIENT), (gradient, passed))
        for left, name, (values, fill) in zip(columns, titles, panels, strict=True):
            corner = (left, middle - len(values) / 2)
            cells.draw_cells(ax, values, corner, fill, fontsize=9)
            cells.caption(ax, left + len(values) / 2, corner[1] - 0.25, name, fontsize=8)
        for start in (columns[0] + side + 0.4, columns[2] + 2.6):
            cells.arrow(ax, (start, middle), (start + 1.2, middle))
    return figure


# --- the backward pass of a 1-D convolution ---
X, W, G = np.array([1, 2, 0, 3, 1]), np.array([2, 1, -1]), np.array([1, -2, 3])


def backward_numbers() -> dict[str, np.ndarray]:
    """y = x corr w (valid), dx = g * w (full convolution), dw = x corr g (valid)."""
    return {
        "y": np.correlate(X, W, "valid"),
        "dx": np.convolve(G, W, "full"),
        "dw": np.correlate(X, G, "valid"),
    }


def backward_figure() -> Figure:
    """Three sliding sums: forward, gradient of the input, gradient of the weights."""
    numbers = backward_numbers()
    figure, axes = plotting.subplots(1, 3, width=10.4, height=3.4)
    padded = np.pad(G, len(W) - 1)
    weights, gradient = {"fill": NINE[3:6]}, {"fill": cells.GRADIENT}
    draw_slide(
        axes[0], "forward: y = x ⋆ w", ("x", X, cells.INPUT), ("w", W, weights["fill"]),
        ("y", numbers["y"], cells.OUTPUT), 1,
    )  # fmt: skip
    draw_slide(
        axes[1], "input: ∂L/∂x = g ∗ w, full", ("g, padded", padded, gradient["fill"]),
        ("w turned", W[::-1], weights["fill"][::-1]), ("∂L/∂x", numbers["dx"], cells.GRADIENT), 1,
    )  # fmt: skip
    draw_slide(
        axes[2], "weights: ∂L/∂w = x ⋆ g", ("x", X, cells.INPUT), ("g", G, cells.GRADIENT),
        ("∂L/∂w", numbers["dw"], NINE[3:6]), 1,
    )  # fmt: skip
    return figure


def draw_slide(ax: Axes, title: str, long: tuple, short: tuple, result: tuple, at: int) -> None:
    """`short` slides along `long`; the products at position `at` are written out."""
    cells.sheet(ax, 10, 9.4)
    cells.caption(ax, 5, 0.8, title, fontsize=10.5, fontweight="bold")
    left = 2.4 + (7 - len(long[1])) / 2
    rows = ((long, left, 2.2), (short, left + at, 3.9), (result, left, 6.3))
    for (name, values, fill), x, y in rows:
        cells.draw_cells(ax, values[None], (x, y), np.array([fill] * 1, dtype=object), fontsize=10)
        ax.text(x - 0.25, y + 0.5, name, ha="right", va="center", fontsize=9)
    for index in range(len(short[1])):
        ax.plot([left + at + index + 0.5] * 2, [3.2, 3.9], color="#888888", linewidth=0.9)
    cells.arrow(ax, (left + at + 0.5, 5.0), (left + at + 0.5, 6.2))
    cells.frame(ax, (left + at, 6.3), (1, 1), plotting.COLORS[1])
    window = long[1][at : at + len(short[1])]
    terms = [
        f"{cells.label(v)}·{f'({cells.label(u)})' if u < 0 else cells.label(u)}"
        for v, u in zip(short[1], window, strict=True)
    ]
    text = " + ".join(terms).replace("+ −", "− ") + f" = {cells.label(result[1][at])}"
    cells.caption(ax, 5, 8.7, text, fontsize=9)
