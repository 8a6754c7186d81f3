"""The drawings of page 2: sinusoids, their dot products, and the biases over the distance.

`draw_figures.py` writes them. Everything is computed by positions.py; nothing is learnt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chapter_08_transformer_vanilla.positions import ALiBi, sinusoids, t5_buckets
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACES, WIDTH = 60, 32  # of the matrix of sinusoids
WAVES = (0, 2, 4, 6)  # the pairs whose sine is drawn beside it
WIDTHS = (16, 128)  # of the dot products
STARTS = (0, 37, 500)  # places from which the distance is counted
NEAR, FAR = 60, 160  # the largest distances drawn
HEADS, STEPS = 4, 16  # of ALiBi


# --- Sinusoids ---


def draw_waves(seed: int = 0) -> Figure:
    """Left: the matrix (T, D), a row a place. Right: four of its columns, slower and slower."""
    figure, (left, right) = plotting.subplots(
        1, 2, width=9.6, height=3.8, gridspec_kw={"width_ratios": [1.1, 1]}
    )
    table = sinusoids(torch.arange(PLACES), WIDTH)  # (T, D)
    shades = left.imshow(table, cmap="gray", vmin=-1, vmax=1, aspect="auto")
    left.set(xlabel="column", ylabel="place $t$", title=f"$p_t$, $D = {WIDTH}$")
    left.grid(visible=False)
    figure.colorbar(shades, ax=left, ticks=[-1, 0, 1])
    for row, pair in enumerate(WAVES):
        _draw_wave(right, row, pair)
    ticks = [-2.5 * row for row in range(len(WAVES))]
    names = [f"$i = {pair}$" for pair in WAVES]
    right.set(xlabel="place $t$", yticks=ticks, yticklabels=names, ylim=(ticks[-1] - 1.3, 1.5))
    right.set_xlim(-2, PLACES + 12)
    right.set_title(r"$\sin \omega_i t$, and its period")
    return figure


def _draw_wave(ax: Axes, row: int, pair: int) -> None:
    fine = torch.linspace(0, PLACES - 1, 600, dtype=torch.float64)
    level = -2.5 * row
    ax.plot(fine, sinusoids(fine, WIDTH)[:, 2 * pair] + level, color="0.6", lw=1)
    places = torch.arange(PLACES, dtype=torch.float64)
    values = sinusoids(places, WIDTH)[:, 2 * pair] + level
    ax.plot(places, values, "o", ms=2.5, color=plotting.COLORS[0])
    period = 2 * torch.pi * 10_000 ** (2 * pair / WIDTH)
    ax.text(PLACES + 0.5, level, f"{period:.0f} places", fontsize=9, va="center")


def draw_products(seed: int = 0) -> Figure:
    """The dot product of two places over their distance, counted from three places."""
    figure, ax = plotting.subplots(width=7.2, height=3.4)
    away = torch.arange(NEAR + 1, dtype=torch.float64)
    for index, width in enumerate(WIDTHS):
        for order, (start, marker) in enumerate(zip(STARTS, "o+x", strict=True)):
            first = sinusoids(torch.tensor([float(start)], dtype=torch.float64), width)  # (1, D)
            values = (sinusoids(start + away, width) @ first.T).squeeze(1) / (width / 2)
            look = {"color": plotting.COLORS[index], "linestyle": plotting.DASHES[index]}
            label = f"$D = {width}$" if start == STARTS[0] else None
            look |= {"marker": marker, "ms": 6, "markevery": (2 * order, 6)}  # in turns
            ax.plot(away, values, lw=1, label=label, **look)
    ax.set(xlabel="distance $n$", ylabel=r"$p_t \cdot p_{t+n}$, divided by $D / 2$")
    ax.set_title("counted from place 0 (dots), 37 (plus), 500 (cross): one curve")
    ax.legend()
    return figure


# --- Biases ---


def draw_biases(seed: int = 0) -> Figure:
    """Left: what ALiBi adds to a score, causal and in an encoder. Right: the buckets of T5."""
    figure, (left, right) = plotting.subplots(1, 2, width=9.6, height=3.8)
    _draw_alibi(left)
    _draw_buckets(right)
    return figure


def _draw_alibi(ax: Axes) -> None:
    away = torch.arange(-STEPS, STEPS + 1)
    bias = ALiBi(HEADS, bidirectional=True).bias(torch.tensor([0]), away).squeeze(1)  # (h, S)
    for head in range(HEADS):
        look = {"color": plotting.COLORS[head], "marker": plotting.MARKERS[head], "ms": 3}
        ax.plot(away, bias[head], label=f"head {head + 1}", linestyle=plotting.DASHES[head], **look)
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set(xlabel="distance $s - t$ of the key", ylabel="added to the score", ylim=(-4.3, 0.75))
    ax.text(-8, 0.3, "behind (a decoder: only these)", ha="center", fontsize=9)
    ax.text(8, 0.3, "ahead: half as steep", ha="center", fontsize=9)
    ax.set_title(f"ALiBi, {HEADS} heads, in an encoder")
    ax.legend(fontsize=8, loc="lower right")


def _draw_buckets(ax: Axes) -> None:
    away = torch.arange(-FAR, FAR + 1)
    kinds = {"both sides (encoder)": True, "behind only (decoder)": False}
    for index, (label, bidirectional) in enumerate(kinds.items()):
        found = t5_buckets(away, bidirectional)
        style = {"color": plotting.COLORS[index], "linestyle": plotting.DASHES[index]}
        ax.plot(away, found, drawstyle="steps-mid", label=label, lw=1.4, **style)
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set(xlabel="distance $s - t$ of the key", ylabel="number of the bucket", ylim=(-1.5, 38))
    ax.set_title("T5: which of 32 learnt numbers is added")
    ax.legend(fontsize=8, loc="upper center", ncols=2)
