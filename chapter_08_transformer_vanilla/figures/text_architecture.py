"""The drawing of page 1: the whole Transformer, with a shape on every arrow.

`draw_figures.py` writes it. Pre-norm, as in minimal.py: the residual path is the straight line, and
each part of a block stands beside it with its norm in front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chapter_06_rnn_lstm_seq.figures.text_sequences import arrow, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]
# Dark, light and between, so that they differ in grey too.
LOOK, PLACE, WORDS, NORM, PANEL = "#EFAE62", "#E3F1FC", "#BFE0C9", "#FFFFFF", "#F2F2F2"
SOURCE, TARGET = "$(B, S, D)$", "$(B, T, D)$"
ENCODER, DECODER = 6.1, 16.3  # the two residual paths
BESIDE = 4.0  # how far to the left of a path its parts stand
FIRST, STEP = 4.6, 3.7  # height of the first norm, and of one part of a block


def draw_architecture(seed: int = 0) -> Figure:
    """Encoder left, decoder right, one block of each; from below to above."""
    figure, ax = blank(9.8, 10.6, (-0.3, 19.4, -1.75, 19.9))
    panel(ax, ENCODER, 2, "encoder block")
    panel(ax, DECODER, 3, "decoder block")
    words_in(ax, ENCODER, "source ids", "S")
    words_in(ax, DECODER, "target ids, from <bos>", "T")
    part(ax, ENCODER, 0, "self-attention\n$(B, h, S, S)$", LOOK, SOURCE)
    part(ax, ENCODER, 1, "feed-forward\n$(B, S, F)$", PLACE, SOURCE)
    part(ax, DECODER, 0, "causal\nself-attention\n$(B, h, T, T)$", LOOK, TARGET)
    part(ax, DECODER, 1, "cross-attention\n$(B, h, T, S)$", LOOK, TARGET, "$Q$  ")
    part(ax, DECODER, 2, "feed-forward\n$(B, T, F)$", PLACE, TARGET)
    memory_across(ax)
    words_out(ax)
    legend(ax)
    return figure


def stone(ax: Axes, place: Point, words: str, color: str, width: float, height: float) -> None:
    """A rounded box with one to three lines of words, centred at `place`."""
    from matplotlib.patches import FancyBboxPatch

    corner = (place[0] - width / 2, place[1] - height / 2)
    look = {"boxstyle": "round,pad=0,rounding_size=0.18", "facecolor": color}
    ax.add_patch(FancyBboxPatch(corner, width, height, edgecolor="black", **look))
    ax.text(*place, words, ha="center", va="center", fontsize=9.5, linespacing=1.25)


def plus(ax: Axes, place: Point) -> None:
    ax.text(*place, "+", ha="center", va="center", fontsize=11, zorder=4,
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white"})  # fmt: skip


def shape(ax: Axes, place: Point, words: str, side: str = "left") -> None:
    ax.text(*place, words, ha=side, va="center", fontsize=9)


def panel(ax: Axes, path: float, parts: int, title: str) -> None:
    """The grey ground of a block, its name, and the residual path through it."""
    from matplotlib.patches import FancyBboxPatch

    low, high = FIRST - 0.95, FIRST + STEP * parts - 0.15
    look = {"boxstyle": "round,pad=0,rounding_size=0.3", "facecolor": PANEL, "edgecolor": "0.45"}
    ax.add_patch(FancyBboxPatch((path - 6.1, low), 7.9, high - low, **look))
    ax.text(path - 5.85, high - 0.42, rf"{title}, $\times L$", ha="left", va="center", fontsize=10)


def words_in(ax: Axes, path: float, title: str, length: str) -> None:
    """Ids -> rows of the table times sqrt(D), plus the places -> the first block."""
    stone(ax, (path, -1.2), title, NORM, 4.6, 0.75)
    arrow(ax, (path, -0.82), (path, 0.32))
    shape(ax, (path + 0.2, -0.25), f"$(B, {length})$")
    stone(ax, (path, 0.75), r"rows of $E$, times $\sqrt{D}$", WORDS, 4.6, 0.85)
    arrow(ax, (path, 1.18), (path, 2.36))
    shape(ax, (path + 0.2, 1.75), f"$(B, {length}, D)$")
    stone(ax, (path - BESIDE, 2.65), "positions", NORM, 2.6, 0.75)
    arrow(ax, (path - BESIDE + 1.3, 2.65), (path - 0.3, 2.65))
    shape(ax, (path - BESIDE / 2 + 0.5, 2.98), f"$({length}, D)$", "center")
    plus(ax, (path, 2.65))


def part(
    ax: Axes, path: float, number: int, words: str, color: str, of: str, asks: str = ""
) -> None:
    """A norm and a sublayer beside the path, and the sum with what went straight on."""
    low = FIRST + STEP * number
    high, start = low + 1.95, 2.95 if number == 0 else low - STEP + 2.25
    x = path - BESIDE
    arrow(ax, (path, start), (path, high - 0.3))
    shape(ax, (path + 0.2, low), of)
    arrow(ax, (path, low), (x + 0.95, low))
    shape(ax, ((path + x + 0.95) / 2, low + 0.33), of, "center")
    stone(ax, (x, low), "norm", NORM, 1.9, 0.75)
    arrow(ax, (x, low + 0.38), (x, high - 0.75))
    shape(ax, (x + 0.2, (low + high) / 2 - 0.17), asks + of)
    stone(ax, (x, high), words, color, 3.5, 1.5)
    arrow(ax, (x + 1.75, high), (path - 0.3, high))
    shape(ax, ((path + x + 1.75 - 0.3) / 2, high + 0.33), of, "center")
    plus(ax, (path, high))


def last_norm(ax: Axes, path: float, parts: int, of: str) -> float:
    """The norm on top of a stack; its height."""
    start = FIRST + STEP * (parts - 1) + 2.25
    height = FIRST + STEP * parts + 1.0
    arrow(ax, (path, start), (path, height - 0.38))
    shape(ax, (path + 0.2, height - 0.75), of)
    stone(ax, (path, height), "norm", NORM, 1.9, 0.75)
    return height


def memory_across(ax: Axes) -> None:
    """From the last norm of the encoder to the keys and values of every cross-attention."""
    height = last_norm(ax, ENCODER, 2, SOURCE)
    look = FIRST + STEP + 1.95
    lane = ENCODER + 3.0
    ax.plot([ENCODER + 0.95, lane, lane], [height, height, look], color="black", linewidth=1.3)
    arrow(ax, (lane, look), (DECODER - BESIDE - 1.75, look))
    shape(ax, (ENCODER + 1.15, height + 0.36), "memory " + SOURCE)
    shape(ax, (lane + 0.72, look + 0.33), "$K, V$", "center")


def words_out(ax: Axes) -> None:
    height = last_norm(ax, DECODER, 3, TARGET)
    arrow(ax, (DECODER, height + 0.38), (DECODER, height + 1.35))
    shape(ax, (DECODER + 0.2, height + 0.85), TARGET)
    stone(ax, (DECODER, height + 1.75), r"$\cdot \ E^\top$", WORDS, 2.2, 0.8)
    arrow(ax, (DECODER, height + 2.15), (DECODER, height + 3.05))
    shape(ax, (DECODER + 0.2, height + 2.6), "logits $(B, T, V)$")


def legend(ax: Axes) -> None:
    """Who works where: only the parts of one colour let places exchange anything."""
    rows = (
        (LOOK, "attention: places exchange what they know"),
        (PLACE, "feed-forward: every place by itself"),
        (WORDS, "$E$ $(V, D)$: one table, used three times"),
    )
    for number, (color, words) in enumerate(rows):
        y = 18.8 - 0.95 * number
        stone(ax, (0.9, y), "", color, 1.0, 0.55)
        ax.text(1.7, y, words, ha="left", va="center", fontsize=9.5)
