"""The drawings of the page on the decoder alone. `draw_figures.py` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chapter_06_rnn_lstm_seq.figures.text_sequences import arrow, blank, box
from chapter_08_transformer_vanilla.figures.text_block import LOOK, PLACE, stream, wide_branch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT, PLACES = "to be or not to be", 8  # of the windows drawn
COUNTED, READ = "0.45", "0.85"


def draw_gpt(seed: int = 0) -> Figure:
    """The decoder of page 4 without its second sublayer, with the shape at every arrow."""
    figure, ax = blank(9.0, 6.4, (-3.9, 10.6, -2.7, 7.2))
    stream(ax, 0, -1.35, 6.4)
    box(ax, (0, -1.65), "$E_{x_t} + P_t$", "white", width=2.2)
    ax.text(0, -2.35, "$x_1 \\dots x_T$:  $(B, T)$", ha="center", va="center")
    names = ("self-attention, causal", "feed-forward, GELU")
    shapes = ("weights $(B, h, T, T)$\nupper triangle 0", "inside $(B, T, 4D)$")
    for y, name, shape in zip((-0.6, 2.9), names, shapes, strict=True):
        wide_branch(ax, y, name, PLACE if name.startswith("feed") else LOOK)
        ax.text(0.3, y + 1.25, shape, ha="left", va="center", fontsize=8.5)
        ax.text(-0.25, y + 0.95, "$(B, T, D)$", ha="right", va="center", fontsize=9)
    ax.text(7.4, 2.35, "no memory,\nno cross-attention", ha="left", va="center", fontsize=9,
            style="italic", color="0.3")  # fmt: skip
    ax.plot([-1.9, -2.1, -2.1, -1.9], [-0.8, -0.8, 5.8, 5.8], color="black", linewidth=1.0)
    ax.text(-2.3, 2.5, "$L$ times", ha="right", va="center", fontsize=10)
    box(ax, (0, 6.75), "norm,  $E^{\\top}$", "white", width=2.4)
    arrow(ax, (1.3, 6.75), (2.9, 6.75))
    ax.text(3.1, 6.75, "logits $(B, T, V)$ of  $x_2 \\dots x_{T+1}$", ha="left", va="center")
    return figure


def draw_windows(seed: int = 0) -> Figure:
    """A text read in windows of 8: moved by 8, and moved by 4."""
    figure, ax = blank(9.4, 5.0, (-4.2, 18.4, -0.9, 11.0))
    for row, character in enumerate(TEXT):
        ax.text(row + 0.5, 10.4, character if character != " " else "_", ha="center", va="center",
                fontsize=12, family="monospace")  # fmt: skip
    bottom = windows(ax, 9.0, PLACES, "moved by 8")
    bottom = windows(ax, bottom - 0.7, PLACES // 2, "moved by 4")
    ax.text(9, bottom - 0.1, "number: characters that the prediction of the next one sees; "
            "dark: counted", ha="center", va="center", fontsize=9)  # fmt: skip
    return figure


def windows(ax: Axes, top: float, step: int, words: str) -> float:
    """A line a window, from `top` down; returns where the next line would stand."""
    from matplotlib.patches import Rectangle

    ax.text(-0.4, top + 0.4, words, ha="right", va="center", fontsize=10)
    read, start = 0, 0
    while read < len(TEXT):
        end = min(start + PLACES, len(TEXT))
        for place in range(start, end):
            counted = place >= read
            look = {"facecolor": COUNTED if counted else READ, "edgecolor": "black"}
            ax.add_patch(Rectangle((place, top), 1, 0.8, linewidth=0.7, **look))
            if counted:
                ax.text(place + 0.5, top + 0.38, str(place - start + 1), color="white",
                        ha="center", va="center", fontsize=9)  # fmt: skip
        read, start, top = end, start + step, top - 1.1
    return top
