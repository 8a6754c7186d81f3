"""The drawings of the page on the encoder alone. `draw_figures.py` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chapter_06_rnn_lstm_seq.figures.text_sequences import blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT = ("the", "cat", "sat", "on", "the", "mat")
MASKED = {2: "[MASK]", 5: "dog"}  # what stands in their place; both are asked for
PAIR = ("[CLS]", "he", "slept", "[SEP]", "it", "was", "late", "[SEP]")
SEEN, HIDDEN = "0.6", "white"


def draw_sides(seed: int = 0) -> Figure:
    """What each place sees and must say: left a GPT, right a BERT."""
    figure, ax = blank(9.4, 4.6, (-2.4, 20.2, -1.9, 7.4))
    masked = [MASKED.get(place, word) for place, word in enumerate(TEXT)]
    matrix(ax, 0, TEXT, [*TEXT[1:], "..."], lambda row, column: column <= row)
    asked = [word if place in MASKED else "" for place, word in enumerate(TEXT)]
    matrix(ax, 12, masked, asked, lambda row, column: True)
    for left, words in ((0, "GPT: one side, every next token"),
                        (12, "BERT: both sides, the chosen tokens")):  # fmt: skip
        ax.text(left + 3, 6.7, words, ha="center", va="center", fontsize=10.5)
    return figure


def matrix(ax: Axes, left: float, read: list[str], said: list[str], sees) -> None:
    """Rows are places and what they say, columns what they see."""
    from matplotlib.patches import Rectangle

    count = len(read)
    for row in range(count):
        top = count - 1 - row
        asked = bool(said[row])
        ax.text(left - 0.2, top + 0.5, read[row], ha="right", va="center", fontsize=9)
        ax.text(left + count + 0.3, top + 0.5, f"says {said[row]}" if asked else "", ha="left",
                va="center", fontsize=9)  # fmt: skip
        for column in range(count):
            face = SEEN if sees(row, column) else HIDDEN
            ax.add_patch(Rectangle((left + column, top), 1, 1, facecolor=face, edgecolor="black",
                                   linewidth=0.7))  # fmt: skip
    for column, word in enumerate(read):
        ax.text(left + column + 0.5, -0.2, word, ha="right", va="top", fontsize=9, rotation=45,
                rotation_mode="anchor")  # fmt: skip


def draw_input(seed: int = 0) -> Figure:
    """The three vectors that are added at each place of a pair of texts."""
    from matplotlib.patches import Rectangle

    figure, ax = blank(9.4, 2.9, (-3.6, 17.6, -0.4, 5.6))
    first = PAIR.index("[SEP]") + 1
    rows = (
        ("token", [f"$E$ {word}" for word in PAIR], "white"),
        ("place", [f"$P_{place}$" for place in range(len(PAIR))], "0.9"),
        ("segment", [f"$S_{int(place >= first)}$" for place in range(len(PAIR))], "0.78"),
    )
    for number, (name, cells, face) in enumerate(rows):
        y = 4.2 - 1.5 * number
        ax.text(-0.4, y + 0.45, name, ha="right", va="center", fontsize=10)
        for place, cell in enumerate(cells):
            ax.add_patch(Rectangle((2.2 * place, y), 2, 0.9, facecolor=face, edgecolor="black",
                                   linewidth=0.8))  # fmt: skip
            ax.text(2.2 * place + 1, y + 0.45, cell, ha="center", va="center", fontsize=9)
            if number:
                ax.text(2.2 * place + 1, y + 1.2, "+", ha="center", va="center", fontsize=10)
    ax.text(8.8, 0.5, "the sum: norm, dropout, then the first block;  $(B, T, D)$", ha="center",
            va="center", fontsize=10)  # fmt: skip
    return figure
