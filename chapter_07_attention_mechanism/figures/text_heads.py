"""The drawings of the page on heads: who asks and who answers, and how a width becomes heads.

`draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chapter_06_rnn_lstm_seq.figures.text_sequences import arrow, blank, box
from chapter_07_attention_mechanism.multi_head import MultiheadAttention

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]
QUERIES, MEMORY, PLAIN = "#FFF3D6", "#DCE9F7", "#FFFFFF"
STRIPS = ("#FFFFFF", "#C9DDF0", "#8FB8DE")  # head 1, 2, 3: lighter to darker, also in grey
TOKENS, WIDTH = 4, 6  # T and D of the drawing


# --- Self- and cross-attention ---


def draw_sources(seed: int = 0) -> Figure:
    """The same operation twice: queries, keys and values of one sequence, or of two."""
    figure, ax = blank(9.0, 3.5, (-0.4, 13.4, -0.6, 4.8))
    _draw_attention(ax, 2.9, "self-attention")
    box(ax, (2.9, 0.0), "$X$  $(B, T, D)$", QUERIES, width=2.6)
    for x in (1.7, 2.9, 4.1):
        arrow(ax, (2.9 + 0.5 * (x - 2.9), 0.32), (x, 1.75))
    ax.plot([6.5, 6.5], [-0.4, 4.6], color="0.6", linewidth=0.8)
    _draw_attention(ax, 10.0, "cross-attention")
    box(ax, (8.4, 0.0), "$X$  $(B, T, D)$", QUERIES, width=2.6)
    box(ax, (11.6, 0.0), "$Y$  $(B, S, D)$", MEMORY, width=2.6)
    for start, x in ((8.6, 8.8), (11.2, 10.0), (11.6, 11.2)):
        arrow(ax, (start, 0.32), (x, 1.75))
    return figure


def _draw_attention(ax: Axes, x: float, title: str) -> None:
    for place, word in ((x - 1.2, "$Q$"), (x, "$K$"), (x + 1.2, "$V$")):
        ax.text(place, 1.98, word, ha="center", va="center", fontsize=11)
    box(ax, (x, 2.55), "attention", PLAIN, width=3.4)
    arrow(ax, (x, 2.88), (x, 3.5))
    ax.text(x, 3.72, "$(B, T, D)$", ha="center", va="center", fontsize=10)
    ax.text(x, 4.4, title, ha="center", va="center", fontsize=11)


# --- Heads ---


def draw_heads(seed: int = 0) -> Figure:
    """Three heads of one untrained module on random tokens: columns, weights, columns again."""
    figure, ax = blank(9.8, 4.3, (-0.5, 16.3, -3.55, 3.6))
    table(ax, (0.5, 0.0), PLAIN)
    ax.text(0.5, -1.25, "$X$\n$(T, D)$", ha="center", va="center", fontsize=10)
    for y, name in ((2.3, "Q"), (0.0, "K"), (-2.3, "V")):
        strips(ax, (3.9, y))
        ax.text(3.9, y - 0.97, f"$X W^{name}$", ha="center", va="center", fontsize=10)
        arrow(ax, (1.25, 0.2 * y), (3.1, y))
    ax.plot([4.8, 5.05, 5.05, 4.8], [3.0, 3.0, -3.0, -3.0], color="black", linewidth=1.3)
    ax.text(6.0, 1.15, "strip $i$\nof all three", ha="center", va="center", fontsize=9)
    for head, (y, weights) in enumerate(zip((2.3, 0.0, -2.3), head_weights(seed), strict=True)):
        arrow(ax, (5.05, y), (6.9, y))
        cells(ax, (7.8, y), weights)
        ax.text(7.8, y - 1.0, f"weights of head {head + 1}", ha="center", va="center", fontsize=9)
        arrow(ax, (8.7, y), (11.0, 0.0))
    strips(ax, (11.9, 0.0))
    ax.text(11.9, -1.25, "$[O_1 \\dots O_h]$\n$(T, D)$", ha="center", va="center", fontsize=10)
    arrow(ax, (12.7, 0.0), (14.5, 0.0), "$W^O$")
    table(ax, (15.3, 0.0), PLAIN)
    ax.text(15.3, -1.25, "out\n$(T, D)$", ha="center", va="center", fontsize=10)
    return figure


def head_weights(seed: int) -> list[torch.Tensor]:
    """The (T, T) weights of each head; the inputs are large, so that the heads differ."""
    torch.manual_seed(seed)
    module = MultiheadAttention(WIDTH, len(STRIPS), batch_first=True)
    x = 3 * torch.randn(1, TOKENS, WIDTH)
    with torch.no_grad():
        return list(module(x, x, x, average_attn_weights=False)[1][0])


def table(ax: Axes, place: Point, color: str, left: float = -0.7, width: float = 1.4) -> None:
    """A matrix of TOKENS rows, centred at `place`; `left` and `width` cut a strip out of it."""
    from matplotlib.patches import Rectangle

    x, y = place
    look = {"facecolor": color, "edgecolor": "black", "linewidth": 0.9}
    ax.add_patch(Rectangle((x + left, y - 0.7), width, 1.4, **look))
    for row in range(1, TOKENS):
        height = y - 0.7 + 1.4 * row / TOKENS
        ax.plot([x + left, x + left + width], [height] * 2, color="0.5", linewidth=0.5)


def strips(ax: Axes, place: Point) -> None:
    """The same matrix, its columns cut into one strip a head."""
    width = 1.4 / len(STRIPS)
    for head, color in enumerate(STRIPS):
        table(ax, place, color, -0.7 + head * width, width)
        x = place[0] - 0.7 + (head + 0.5) * width
        ax.text(x, place[1] + 0.87, str(head + 1), ha="center", va="center", fontsize=8)


def cells(ax: Axes, place: Point, weights: torch.Tensor) -> None:
    """A (T, T) table of weights, dark where a row looks."""
    from matplotlib.patches import Rectangle

    size = 1.4 / TOKENS
    for row in range(TOKENS):
        for column in range(TOKENS):
            corner = (place[0] - 0.7 + column * size, place[1] + 0.7 - (row + 1) * size)
            shade = str(1 - 0.85 * float(weights[row, column]))
            look = {"facecolor": shade, "edgecolor": "black", "linewidth": 0.6}
            ax.add_patch(Rectangle(corner, size, size, **look))
