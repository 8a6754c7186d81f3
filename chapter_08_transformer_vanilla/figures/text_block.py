"""The drawings of the pages on the block and the decoder. `draw_figures.py` writes them.

Thick line: the residual stream. What stands beside it reads from it and adds to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chapter_06_rnn_lstm_seq.figures.text_sequences import arrow, blank, box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOK, PLACE, NORM, MEMORY = "#FFF3D6", "#DCE9F7", "#E3E3E3", "#CDE8DC"
STREAM = 3.2  # line width
SIDE = 2.5  # distance of a sublayer from the stream
WORDS = ("das", "Haus", "ist", "alt")  # a target line


# --- Both places of the norm ---


def draw_block_norms(seed: int = 0) -> Figure:
    """One encoder block, post-norm and pre-norm: is the norm on the stream or beside it?"""
    figure, ax = blank(9.0, 5.4, (-0.8, 13.0, -0.8, 8.4))
    draw_post(ax, 0.6)
    ax.plot([6.0, 6.0], [-0.7, 8.2], color="0.6", linewidth=0.8)
    draw_pre(ax, 8.2)
    return figure


def draw_post(ax: Axes, x: float) -> None:
    stream(ax, x, 0.0, 7.5)
    for y, (name, color) in zip((0.3, 3.9), sublayers(), strict=True):
        beside(ax, x, y, [(name, color)], 1.7)
        box(ax, (x, y + 2.55), "norm", NORM, width=1.3)
    label(ax, x, "post-norm:  $x \\leftarrow$ norm($x$ + sublayer($x$))")


def draw_pre(ax: Axes, x: float) -> None:
    stream(ax, x, 0.0, 7.5)
    for y, (name, color) in zip((0.3, 3.9), sublayers(), strict=True):
        beside(ax, x, y, [("norm", NORM), (name, color)], 2.5)
    label(ax, x, "pre-norm:  $x \\leftarrow x$ + sublayer(norm($x$))")


def sublayers() -> tuple[tuple[str, str], ...]:
    return ("self-attention", LOOK), ("feed-forward", PLACE)


def stream(ax: Axes, x: float, bottom: float, top: float) -> None:
    ax.plot([x, x], [bottom, top - 0.3], color="black", linewidth=STREAM, zorder=0.5)
    arrow(ax, (x, top - 0.4), (x, top), linewidth=STREAM, mutation_scale=22)


def label(ax: Axes, x: float, words: str) -> None:
    ax.text(x - 0.15, -0.35, "$x$", ha="right", va="center", fontsize=11)
    ax.text(x + 0.4, -0.35, "$(B, T, D)$", ha="left", va="center", fontsize=9)
    ax.text(x + 1.8, 8.1, words, ha="center", va="center", fontsize=10)


def beside(ax: Axes, x: float, y: float, parts: list[tuple[str, str]], height: float) -> None:
    """A branch that leaves the stream at y, goes up through boxes, and is added `height` above."""
    side, top = x + SIDE, y + height
    ax.plot([x, side], [y, y], color="black", linewidth=1.3)
    places = [y + height * (k + 1) / (len(parts) + 1) for k in range(len(parts))]
    low = y
    for place, (name, color) in zip(places, parts, strict=True):
        arrow(ax, (side, low), (side, place - 0.3))
        box(ax, (side, place), name, color, width=2.6 if len(name) > 4 else 1.3)
        low = place + 0.3
    ax.plot([side, side], [low, top], color="black", linewidth=1.3)
    arrow(ax, (side, top), (x + 0.22, top))
    plus(ax, x, top)


def plus(ax: Axes, x: float, y: float) -> None:
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), 0.2, facecolor="white", edgecolor="black", zorder=3))
    ax.text(x, y - 0.02, "+", ha="center", va="center", fontsize=11, zorder=4)


# --- The decoder ---


def draw_decoder(seed: int = 0) -> Figure:
    """A pre-norm decoder block between embedding and logits, with the shape at every arrow."""
    figure, ax = blank(9.4, 8.0, (-3.9, 11.2, -2.7, 9.8))
    stream(ax, 0, -1.35, 9.0)
    box(ax, (0, -1.65), "$\\sqrt{D} \\, E[y]$ + position", "white", width=3.6)
    ax.text(0, -2.35, "<bos> $y_1 \\dots y_{T-1}$:  $(B, T)$", ha="center", va="center")
    names = ("self-attention, causal", "cross-attention", "feed-forward")
    shapes = (
        "weights $(B, h, T, T)$\nupper triangle 0",
        "weights $(B, h, T, S)$\npadding of the source 0",
        "inside $(B, T, F)$",
    )
    for y, name, shape in zip((-0.6, 2.6, 5.8), names, shapes, strict=True):
        color = PLACE if name == "feed-forward" else LOOK
        wide_branch(ax, y, name, color)
        ax.text(0.3, y + 1.25, shape, ha="left", va="center", fontsize=8.5)
        ax.text(-0.25, y + 0.95, "$(B, T, D)$", ha="right", va="center", fontsize=9)
    box(ax, (9.6, 4.45), "memory", MEMORY, width=2.0)
    ax.text(9.6, 3.75, "$(B, S, D)$", ha="center", va="center", fontsize=9)
    ax.text(9.6, 5.25, "of the encoder,\nthe same for all layers", ha="center", va="center",
            fontsize=8.5)  # fmt: skip
    arrow(ax, (8.55, 4.45), (7.0, 4.45))
    ax.text(7.75, 4.72, "$K, V$", ha="center", va="center", fontsize=9)
    ax.text(5.6, 3.9, "$Q$", ha="center", va="center", fontsize=9)
    ax.plot([-1.9, -2.1, -2.1, -1.9], [-0.8, -0.8, 8.6, 8.6], color="black", linewidth=1.0)
    ax.text(-2.3, 3.9, "$L$ times", ha="right", va="center", fontsize=10)
    box(ax, (0, 9.35), "norm,  $E^{\\top}$", "white", width=2.4)
    arrow(ax, (1.3, 9.35), (2.9, 9.35))
    ax.text(3.1, 9.35, "logits $(B, T, V)$ of  $y_1 \\dots y_{T-1}$ <eos>", ha="left", va="center")
    return figure


def wide_branch(ax: Axes, y: float, name: str, color: str) -> None:
    """norm, then the sublayer, to the right of the stream at x = 0."""
    side, top = 5.3, y + 2.6
    ax.plot([0, side], [y, y], color="black", linewidth=1.3)
    arrow(ax, (side, y), (side, y + 0.45))
    box(ax, (side, y + 0.75), "norm", NORM, width=1.3)
    arrow(ax, (side, y + 1.05), (side, y + 1.55))
    box(ax, (side, y + 1.85), name, color, width=3.2)
    ax.plot([side, side], [y + 2.15, top], color="black", linewidth=1.3)
    arrow(ax, (side, top), (0.22, top))
    plus(ax, 0, top)


# --- Teacher forcing ---


def draw_shift(seed: int = 0) -> Figure:
    """What each place of the decoder reads, may see, and has to say."""
    from matplotlib.patches import Rectangle

    read, say = ("<bos>", *WORDS), (*WORDS, "<eos>")
    figure, ax = blank(8.2, 4.0, (-2.6, 11.6, -1.3, 6.0))
    for t in range(len(read)):
        y = len(read) - 1 - t
        for s in range(len(read)):
            shade = "0.35" if s == t else "0.7" if s < t else "white"
            look = {"facecolor": shade, "edgecolor": "black", "linewidth": 0.7}
            ax.add_patch(Rectangle((1.2 * s, y), 1.2, 0.9, **look))
        ax.text(-0.25, y + 0.45, read[t], ha="right", va="center", fontsize=10)
        ax.text(1.2 * t + 0.6, -0.35, read[t], ha="center", va="center", fontsize=10)
        arrow(ax, (6.15, y + 0.45), (7.3, y + 0.45))
        ax.text(7.5, y + 0.45, say[t], ha="left", va="center", fontsize=10)
    ax.text(-0.25, 5.6, "step $t$ reads", ha="right", va="center", fontsize=9)
    ax.text(3.0, 5.6, "and sees (grey)", ha="center", va="center", fontsize=9)
    ax.text(7.5, 5.6, "must say, at once for all $t$", ha="left", va="center", fontsize=9)
    ax.text(3.0, -1.0, "the true line, shifted by one", ha="center", va="center", fontsize=9)
    return figure
