"""The drawing of the page on scores: when Bahdanau's decoder looks, and when Luong's does.

`draw_figures.py` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chapter_06_rnn_lstm_seq.figures.text_sequences import arrow, blank, box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

READ, WRITE, PLAIN = "#DCE9F7", "#FFF3D6", "#FFFFFF"
OLD, LOOK, NEW, OUT = 0.0, 2.6, 5.2, 7.8  # heights of the rows


def draw_architectures(seed: int = 0) -> Figure:
    """Bottom to top, in the order of the work: left the look is before the GRU, right behind it."""
    figure, ax = blank(9.6, 5.0, (-1.6, 15.6, -0.8, 9.6))
    _draw_bahdanau(ax, 0.0)
    ax.plot([6.9, 6.9], [-0.5, 9.2], color="0.6", linewidth=0.8)
    _draw_luong(ax, 8.8)
    return figure


def _draw_bahdanau(ax: Axes, x: float) -> None:
    _inputs(ax, x, "Bahdanau: look, then step")
    _look(ax, (x + 1.9, LOOK))
    arrow(ax, (x + 0.3, OLD + 0.42), (x + 1.2, LOOK - 0.42))
    ax.text(x + 1.0, 1.15, "query $s_{t-1}$", fontsize=10)
    arrow(ax, (x + 4.3, OLD + 0.42), (x + 3.2, LOOK - 0.42))
    _gru(ax, (x + 1.0, NEW))
    arrow(ax, (x - 0.5, OLD + 0.42), (x - 0.1, NEW - 0.42))
    arrow(ax, (x + 1.8, LOOK + 0.42), (x + 1.3, NEW - 0.42), "$c_t$")
    box(ax, (x + 1.0, OUT), "$p(y_t)$", PLAIN, width=2.2)
    arrow(ax, (x + 1.0, NEW + 0.42), (x + 1.0, OUT - 0.42), "$s_t$")


def _draw_luong(ax: Axes, x: float) -> None:
    _inputs(ax, x, "Luong: step, then look")
    _gru(ax, (x + 0.1, LOOK))
    arrow(ax, (x, OLD + 0.42), (x + 0.1, LOOK - 0.42))
    _look(ax, (x + 3.4, NEW))
    arrow(ax, (x + 1.0, LOOK + 0.42), (x + 2.5, NEW - 0.42))
    ax.text(x + 2.1, 3.7, "query $s_t$", fontsize=10)
    arrow(ax, (x + 4.6, OLD + 0.42), (x + 4.2, NEW - 0.42))
    box(ax, (x + 1.7, OUT), r"$\tanh(W_c [c_t; s_t])$, then $p(y_t)$", PLAIN, width=5.0)
    arrow(ax, (x + 3.0, NEW + 0.42), (x + 2.6, OUT - 0.42), "$c_t$")
    arrow(ax, (x + 0.1, LOOK + 0.42), (x + 0.3, OUT - 0.42), "$s_t$")


def _inputs(ax: Axes, x: float, title: str) -> None:
    box(ax, (x, OLD), "$s_{t-1}$,  $y_{t-1}$", WRITE, width=2.2)
    box(ax, (x + 4.5, OLD), r"$h_1 \ldots h_S$", READ, width=2.2)
    ax.text(x + 1.9, 9.2, title, ha="center", va="center", fontsize=11)


def _look(ax: Axes, place: tuple[float, float]) -> None:
    box(ax, place, "score, softmax, mean", PLAIN, width=3.6)


def _gru(ax: Axes, place: tuple[float, float]) -> None:
    box(ax, place, "GRU", WRITE, width=2.2)
