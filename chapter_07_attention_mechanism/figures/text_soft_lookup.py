"""The drawings of the first page: one vector against a look at all, and how sharp a lookup is.

`draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chapter_06_rnn_lstm_seq.figures.text_sequences import arrow, blank, box
from chapter_07_attention_mechanism.minimal import soft_lookup
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

READ, WRITE, VECTOR = "#DCE9F7", "#FFF3D6", "#FFFFFF"
SOURCE = ("twenty", "-", "one")
SHARES = (0.07, 0.03, 0.90)  # a sketch: where a decoder that is to write "ein" might look
STEP = 1.9  # from one source word to the next
# The lookup worked by hand on the page.
QUERY, SHARPNESS = (2.0, 1.0), (0, 1, 3, 10)
KEYS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
VALUES = ((10.0,), (20.0,), (30.0,))


# --- One vector, or a look at all of them ---


def draw_look(seed: int = 0) -> Figure:
    """Left the encoder's last state alone goes on; right every state is kept, and weighed."""
    figure, ax = blank(9.6, 4.2, (-0.9, 14.1, -0.6, 6.4))
    _draw_fixed(ax, 0.0)
    ax.plot([6.2, 6.2], [-0.3, 6.1], color="0.6", linewidth=0.8)
    _draw_soft(ax, 8.8)
    return figure


def _draw_encoder(ax: Axes, left: float) -> list[float]:
    places = [left + STEP * s for s in range(len(SOURCE))]
    for s, (x, word) in enumerate(zip(places, SOURCE, strict=True), start=1):
        box(ax, (x, 1.3), f"$h_{s}$", READ)
        ax.text(x, 0.0, word, ha="center", va="center", fontsize=10, family="monospace")
        arrow(ax, (x, 0.3), (x, 0.98))
        if s > 1:
            arrow(ax, (x - STEP + 0.36, 1.3), (x - 0.36, 1.3))
    return places


def _draw_decoder(ax: Axes, middle: float, vector: str, title: str) -> None:
    """The vector that is read, the state it goes into, and the state before."""
    box(ax, (middle, 3.3), f"${vector}$", VECTOR)
    box(ax, (middle - 2.1, 4.9), "$s_{t-1}$", WRITE, width=0.86)
    box(ax, (middle, 4.9), "$s_t$", WRITE)
    arrow(ax, (middle, 3.62), (middle, 4.58))
    arrow(ax, (middle - 1.62, 4.9), (middle - 0.36, 4.9))
    ax.text(middle, 6.0, title, ha="center", fontsize=10)


def _draw_fixed(ax: Axes, left: float) -> None:
    places = _draw_encoder(ax, left)
    middle = places[1]
    _draw_decoder(ax, middle, "c", "chapter 6: one vector")
    arrow(ax, (places[-1], 1.62), (middle + 0.25, 2.98))
    ax.text(middle - 0.5, 3.3, "the same at\nevery step", ha="right", va="center", fontsize=9)


def _draw_soft(ax: Axes, left: float) -> None:
    places = _draw_encoder(ax, left)
    middle = places[1]
    _draw_decoder(ax, middle, "c_t", "attention: a new mean at every step")
    for s, (x, share) in enumerate(zip(places, SHARES, strict=True), start=1):
        aim = middle + 0.22 * (s - 2)
        arrow(ax, (x, 1.62), (aim, 2.98), linewidth=0.8 + 4 * share)
        ax.text(x + (0.28, 0.12, 0.0)[s - 1], 2.2, rf"$\alpha_{s}$", fontsize=11, va="center",
                ha="right" if s == 1 else "left")  # fmt: skip
    edge = left - 1.1
    look = {"color": "0.15", "linestyle": ":", "linewidth": 1.3}
    ax.plot([middle - 2.58, edge, edge], [4.9, 4.9, 1.3], **look)
    around, right = left - 0.55, places[-1] + 0.55  # the query meets every state
    ax.plot([around, right, right, around, around], [0.8, 0.8, 1.75, 1.75, 0.8], **look)
    arrow(ax, (edge, 1.3), (around, 1.3), linestyle=":")
    ax.text(edge + 0.15, 4.0, "the query:\nwhich fits?", va="center", fontsize=9)


# --- How sharp a lookup is ---


def weights(sharpness: float) -> list[float]:
    """The softmax of sharpness times the scores of the three keys, by soft_lookup itself."""
    ones = [[float(i == j) for j in range(len(KEYS))] for i in range(len(KEYS))]
    return soft_lookup([sharpness * x for x in QUERY], KEYS, ones)


def draw_sharpness(seed: int = 0) -> Figure:
    """The weights of three keys for one query times 0, 1, 3 and 10, and the answer."""
    figure, axes = plotting.subplots(1, len(SHARPNESS), width=9.2, height=2.7, sharey=True)
    for ax, sharpness in zip(axes, SHARPNESS, strict=True):
        shares = weights(sharpness)
        bars = ax.bar(range(3), shares, color=plotting.COLORS[0], width=0.6)
        ax.bar_label(bars, [f"{share:.3f}" for share in shares], fontsize=8, padding=1)
        answer = sum(w * value for w, (value,) in zip(shares, VALUES, strict=True))
        ax.set(xticks=range(3), xticklabels=[f"{value:.0f}" for (value,) in VALUES])
        ax.set(ylim=(0, 1.15), title=rf"$\beta = {sharpness}$: {answer:.2f}", xlabel="value")
        ax.grid(False, axis="x")
    axes[0].set_ylabel("weight")
    return figure
