"""The drawings of the page on the LSTM: its cell, and what its forget gate keeps.

`draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray
Point = tuple[float, float]

STATE, OUTPUT, INPUT = 5.0, 2.9, 0.7  # heights of the three lines through the drawing
GATES = {"f": (2.4, "σ"), "i": (4.4, "σ"), "g": (6.0, "tanh"), "o": (7.6, "σ")}  # x, activation
ROLES = {"f": "keep", "i": "write", "g": "what", "o": "show"}
BIASES = (0.0, 1.0, 4.0, 6.0)


# --- The cell ---


def draw_cell(seed: int = 0) -> Figure:
    """One step of an LSTM from left to right: the state's straight line, and four gates."""
    figure, ax = plotting.subplots(width=8.4, height=4.4)
    ax.set(xlim=(-0.6, 11.0), ylim=(-0.5, 6.0), aspect="equal")
    ax.axis("off")
    _line(ax, (0, STATE), (10.2, STATE), width=3.2)
    _draw_gates(ax)
    _draw_output(ax)
    for name, place in (("c", (-0.35, STATE)), ("h", (-0.35, INPUT))):
        ax.text(*place, f"${name}_{{t-1}}$", ha="center", va="center", fontsize=12)
    for name, height in (("c", STATE), ("h", OUTPUT)):
        ax.text(10.6, height, f"${name}_t$", ha="center", va="center", fontsize=12)
    ax.text(0.9, -0.35, "$x_t$", ha="center", va="center", fontsize=12)
    ax.text(3.9, STATE + 0.42, "the carousel: no matrix, no squashing", ha="center", fontsize=9)
    return figure


def _draw_gates(ax: Axes) -> None:
    """The gates, fed by x and h from below, and where they act on the state."""
    last = max(x for x, _ in GATES.values())
    _line(ax, (0, INPUT), (last, INPUT), arrow=False)
    _line(ax, (0.9, -0.15), (0.9, INPUT), arrow=False)
    for name, (x, activation) in GATES.items():
        _line(ax, (x, INPUT), (x, 1.39))
        _box(ax, (x, 1.65), activation)
        ax.text(x + 0.58, 1.65, f"${name}$", fontsize=12, va="center")
        ax.text(x + 0.1, 0.95, ROLES[name], fontsize=8, color="0.35", va="center")
    keep, write = GATES["f"][0], (GATES["i"][0] + GATES["g"][0]) / 2
    _line(ax, (keep, 1.9), (keep, STATE - 0.2))
    _node(ax, (keep, STATE), "×")
    _line(ax, (GATES["i"][0], 1.9), (GATES["i"][0], 3.6), arrow=False)
    _line(ax, (GATES["i"][0], 3.6), (write - 0.2, 3.6))
    _line(ax, (GATES["g"][0], 1.9), (GATES["g"][0], 3.6), arrow=False)
    _line(ax, (GATES["g"][0], 3.6), (write + 0.2, 3.6))
    _node(ax, (write, 3.6), "×")
    _line(ax, (write, 3.8), (write, STATE - 0.2))
    _node(ax, (write, STATE), "+")


def _draw_output(ax: Axes) -> None:
    """What the output gate shows of the state."""
    show, branch = GATES["o"][0], 8.9
    _line(ax, (branch, STATE), (branch, 4.26))
    _box(ax, (branch, 4.0), "tanh")
    _line(ax, (branch, 3.74), (branch, OUTPUT + 0.2))
    _line(ax, (show, 1.9), (show, OUTPUT), arrow=False)
    _line(ax, (show, OUTPUT), (branch - 0.2, OUTPUT))
    _node(ax, (branch, OUTPUT), "×")
    _line(ax, (branch + 0.2, OUTPUT), (10.2, OUTPUT))


def _line(ax: Axes, start: Point, end: Point, width: float = 1.2, arrow: bool = True) -> None:
    style = "-|>" if arrow else "-"
    look = {"arrowstyle": style, "linewidth": width, "color": "0.15", "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops=look)


def _box(ax: Axes, center: Point, text: str) -> None:
    look = {"boxstyle": "round,pad=0.35", "facecolor": "#FFF3D6", "edgecolor": "0.15"}
    ax.text(*center, text, ha="center", va="center", fontsize=10, bbox=look, zorder=3)


def _node(ax: Axes, center: Point, text: str) -> None:
    look = {"boxstyle": "circle,pad=0.18", "facecolor": "white", "edgecolor": "0.15"}
    ax.text(*center, text, ha="center", va="center", fontsize=11, bbox=look, zorder=3)


# --- The forget gate ---


def kept(bias: float, steps: Array) -> Array:
    """The share that a forget gate of this bias, at zero input, leaves after each of the steps."""
    return (1 / (1 + np.exp(-bias))) ** steps


def time_constant(bias: float) -> float:
    """Steps after which a share of 1/e is left: 1 / ln(1 + exp(-bias))."""
    return float(1 / np.log1p(np.exp(-bias)))


def draw_gate_memory(seed: int = 0, most: int = 200) -> Figure:
    """sigma(b)^t over t for the biases, with the time constant of each at the end of its name."""
    steps = np.arange(most + 1)
    figure, ax = plotting.subplots(width=6.4, height=3.6)
    for index, bias in enumerate(BIASES):
        label = f"b = {bias:g}: 1/e after {time_constant(bias):.3g} steps"
        ax.plot(steps, kept(bias, steps), label=label, **plotting.look(index))
    ax.axhline(1 / np.e, color="0.5", linewidth=0.8, linestyle=":")
    ax.set(xlabel="steps t", ylabel="share of the state left", xlim=(0, most), ylim=(0, 1.02))
    ax.legend(fontsize=9)
    return figure
