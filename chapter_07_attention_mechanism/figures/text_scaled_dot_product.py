"""The drawing of the page on the scaled dot product: every shape of one attention, computed.

`draw_figures.py` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.figures.text_sequences import arrow, blank
from chapter_07_attention_mechanism.masks import padding_mask
from chapter_07_attention_mechanism.scaled_dot_product import attention_weights
from utils.seed import generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUERIES, KEYS, WIDTH, VALUES = 3, 5, 4, 2  # T, S, d and v of the drawing
HIDDEN = 1  # keys at the end that are padding
CELL, LEVEL = 0.42, 0.0


def draw_shapes(seed: int = 0) -> Figure:
    """Q, K, scores, weights, V and the output as tables; darker is larger, a cross is masked."""
    rng = generator(seed)
    q = 2 * torch.randn(QUERIES, WIDTH, generator=rng)  # twice: clear weights
    k = torch.randn(KEYS, WIDTH, generator=rng)
    v = torch.randn(KEYS, VALUES, generator=rng)
    mask = padding_mask(torch.tensor([KEYS - HIDDEN]), KEYS)[0].expand(QUERIES, KEYS)  # (T, S)
    weights = attention_weights(q, k, mask)  # (T, S)
    figure, ax = blank(10.4, 2.6, (-0.2, 16.2, -2.3, 1.75))
    grid(ax, 0.0, q, "$Q$", "(T, d)")
    ax.text(2.0, LEVEL, "·", ha="center", va="center", fontsize=18)
    grid(ax, 2.3, k.T, r"$K^\top$", "(d, S)")
    arrow(ax, (4.6, LEVEL), (5.7, LEVEL), r"$/\sqrt{d}$")
    grid(ax, 5.9, q @ k.T, "scores", "(T, S)")
    arrow(ax, (8.2, LEVEL), (9.9, LEVEL), "mask,\nsoftmax")
    grid(ax, 10.1, weights, "weights", "(T, S)", mask)
    ax.text(12.5, LEVEL, "·", ha="center", va="center", fontsize=18)
    grid(ax, 12.8, v, "$V$", "(S, v)")
    ax.text(14.35, LEVEL, "=", ha="center", va="center", fontsize=15)
    grid(ax, 15.0, weights @ v, "output", "(T, v)")
    ax.text(11.15, 1.45, "each row sums to 1", ha="center", va="center", fontsize=9)
    return figure


def grid(
    ax: Axes, x: float, values: Tensor, name: str, shape: str, mask: Tensor | None = None
) -> None:
    """A table (rows, columns) with its left edge at x, centred at LEVEL."""
    from matplotlib.patches import Rectangle

    rows, columns = values.shape
    lowest = values.min() if mask is None else 0  # weights begin at 0
    shades = (values - lowest) / (values.max() - lowest)
    top = LEVEL + rows * CELL / 2
    for row in range(rows):
        for column in range(columns):
            corner = (x + column * CELL, top - (row + 1) * CELL)
            seen = mask is None or bool(mask[row, column])
            shade = str(1 - 0.75 * float(shades[row, column])) if seen else "white"
            look = {"facecolor": shade, "edgecolor": "0.3", "linewidth": 0.7}
            ax.add_patch(Rectangle(corner, CELL, CELL, **look))
            if not seen:
                middle = (corner[0] + CELL / 2, corner[1] + CELL / 2)
                ax.plot(*middle, "x", color="0.3", markersize=5)
    middle = x + columns * CELL / 2
    ax.text(middle, LEVEL - 1.4, name, ha="center", va="center", fontsize=11)
    ax.text(middle, LEVEL - 1.95, f"${shape}$", ha="center", va="center", fontsize=10)
