"""The drawing of the page on sequence to sequence: encoder, one vector, decoder, step by step.

`draw_figures.py` writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]

SOURCE = ("twenty", "-", "one")
TARGET = ("vingt", "et", "un", "<eos>")
READ, WRITE, WIDTH = "#DCE9F7", "#FFF3D6", 1.7  # fills; distance of two steps
VECTOR = 6.5  # where the one vector stands
HIDDEN, BELOW, ABOVE, CONTEXT = 2.0, 0.5, 3.5, 4.6  # heights


def draw_encoder_decoder(seed: int = 0) -> Figure:
    """The line twenty-one is read into c, vingt et un written from it; dashed: what is fed back."""
    figure, ax = plotting.subplots(width=9.6, height=3.9)
    ax.set(xlim=(0.0, 15.6), ylim=(-0.6, 5.6), aspect="equal")
    ax.axis("off")
    _draw_encoder(ax)
    _box(ax, (VECTOR, HIDDEN), "$c$", "white")
    ax.text(VECTOR, HIDDEN - 1.1, "one vector", ha="center", fontsize=9)
    _draw_decoder(ax)
    return figure


def _draw_encoder(ax: Axes) -> None:
    places = [1.0 + WIDTH * s for s in range(len(SOURCE))]
    for s, (x, word) in enumerate(zip(places, SOURCE, strict=True), start=1):
        _box(ax, (x, HIDDEN), f"$h_{s}$", READ)
        _word(ax, (x, BELOW), word)
        _arrow(ax, (x, BELOW + 0.35), (x, HIDDEN - 0.5))
        following = x + WIDTH if s < len(SOURCE) else VECTOR
        _arrow(ax, (x + 0.5, HIDDEN), (following - 0.5, HIDDEN))
    ax.text(places[1], 5.1, "the encoder reads", ha="center", fontsize=10)


def _draw_decoder(ax: Axes) -> None:
    places = [VECTOR + 2.0 + WIDTH * t for t in range(len(TARGET))]
    read = ("<bos>", *TARGET[:-1])
    before = VECTOR
    for t, (x, said, word) in enumerate(zip(places, TARGET, read, strict=True), start=1):
        _box(ax, (x, HIDDEN), f"$s_{t}$", WRITE)
        _word(ax, (x, BELOW), word)
        _word(ax, (x, ABOVE), said)
        _arrow(ax, (x, BELOW + 0.35), (x, HIDDEN - 0.5))
        _arrow(ax, (x, HIDDEN + 0.5), (x, ABOVE - 0.3))
        _arrow(ax, (before + 0.5, HIDDEN), (x - 0.5, HIDDEN))
        _arrow(ax, (x - 0.75, CONTEXT), (x - 0.3, HIDDEN + 0.48), style=":")
        if t < len(TARGET):
            _arrow(ax, (x + 0.45, ABOVE - 0.2), (x + WIDTH - 0.35, BELOW + 0.3), style="--")
        before = x
    ax.plot([VECTOR, VECTOR], [HIDDEN + 0.5, CONTEXT], ":", color="0.15", linewidth=1.2)
    ax.plot([VECTOR, places[-1] - 0.75], [CONTEXT, CONTEXT], ":", color="0.15", linewidth=1.2)
    ax.text(places[1] + 0.85, 5.1, "the decoder writes", ha="center", fontsize=10)


def _word(ax: Axes, place: Point, text: str) -> None:
    ax.text(*place, text, ha="center", va="center", fontsize=10, family="monospace")


def _box(ax: Axes, place: Point, text: str, fill: str) -> None:
    look = {"boxstyle": "round,pad=0.35", "facecolor": fill, "edgecolor": "0.15"}
    ax.text(*place, text, ha="center", va="center", fontsize=11, bbox=look, zorder=3)


def _arrow(ax: Axes, start: Point, end: Point, style: str = "-") -> None:
    look = {"arrowstyle": "-|>", "linewidth": 1.2, "linestyle": style, "color": "0.15"}
    ax.annotate("", xy=end, xytext=start, arrowprops=look | {"shrinkA": 0, "shrinkB": 0})
