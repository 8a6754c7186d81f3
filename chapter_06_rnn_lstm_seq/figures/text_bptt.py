"""The drawing of the page on backpropagation through time: where the errors go, and the cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS, CHUNK, GAP = 6, 3, 2.0
INPUT, STATE, LOSS = 0.0, 1.7, 3.4  # heights of the three rows
FORWARD, BACK = "0.25", plotting.COLORS[1]
Point = tuple[float, float]


def draw_errors(seed: int = 0) -> Figure:
    """Six unrolled steps: values go right and up, errors left and down; one arrow is cut."""
    figure, ax = plotting.subplots(width=8.6, height=3.9)
    ax.set(xlim=(-1.5, GAP * STEPS - 0.2), ylim=(-0.6, 4.3), aspect="equal")
    ax.axis("off")
    for step in range(1, STEPS + 1):
        _draw_step(ax, step)
    border = (CHUNK - 0.5) * GAP
    ax.plot([border, border], [-0.4, 3.9], color="0.5", linestyle=":", lw=1.2)
    ax.plot(border, STATE - 0.22, "x", color=BACK, ms=11, mew=2.5, zorder=4)
    for first, words in ((0, "chunk 1"), (CHUNK, "chunk 2")):
        center = (first + (CHUNK - 1) / 2) * GAP
        ax.text(center, 4.05, words, ha="center", fontsize=9, color="0.35")
    return figure


def _draw_step(ax: Axes, step: int) -> None:
    """The column of one step, and the arrows between its state and the state before."""
    x = (step - 1) * GAP
    _node(ax, (x, INPUT), f"$x_{step}$", "white")
    _node(ax, (x, STATE), f"$h_{step}$", "#FFF3D6")
    _node(ax, (x, LOSS), rf"$\ell_{step}$", "white")
    _arrow(ax, (x, INPUT + 0.33), (x, STATE - 0.38), FORWARD)
    _arrow(ax, (x - 0.16, STATE + 0.36), (x - 0.16, LOSS - 0.34), FORWARD)
    _arrow(ax, (x + 0.16, LOSS - 0.34), (x + 0.16, STATE + 0.36), BACK)
    before = x - GAP
    _arrow(ax, (before + 0.4, STATE + 0.18), (x - 0.4, STATE + 0.18), FORWARD)
    if step > 1:
        _arrow(ax, (x - 0.4, STATE - 0.22), (before + 0.4, STATE - 0.22), BACK)
        place = x - GAP / 2 - (0.35 if step == CHUNK + 1 else 0)  # beside the border
        ax.text(place, STATE + 0.3, "$W_{hh}$", ha="center", fontsize=9, color=FORWARD)
    else:
        ax.text(before + 0.5, STATE + 0.5, "carried\nstate", ha="center", fontsize=8, color=FORWARD)
    if step == CHUNK:
        words = {"ha": "center", "va": "top", "fontsize": 9, "color": BACK}
        ax.text(x - GAP / 2, STATE - 0.42, r"$W_{hh}^\top \delta_3$", **words)


def _node(ax: Axes, center: Point, text: str, color: str) -> None:
    look = {"boxstyle": "circle,pad=0.28", "facecolor": color, "edgecolor": "0.15"}
    ax.text(*center, text, ha="center", va="center", fontsize=11, bbox=look, zorder=3)


def _arrow(ax: Axes, start: Point, end: Point, color: str) -> None:
    """Values in grey, errors coloured and dashed."""
    style = "--" if color == BACK else "-"
    look = {"arrowstyle": "-|>", "lw": 1.5, "color": color, "linestyle": style}
    ax.annotate("", xy=end, xytext=start, arrowprops=look | {"shrinkA": 0, "shrinkB": 0})
