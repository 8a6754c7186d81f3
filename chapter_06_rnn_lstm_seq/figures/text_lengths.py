"""The drawings of the page on lengths: a packed batch, and batches of like length.

`draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from chapter_03_optimization_regularization.training import Batches
from chapter_06_rnn_lstm_seq.experiments.batching import ByLength, padded, padding_share, trimmed
from chapter_06_rnn_lstm_seq.variable_length import pack_padded_sequence
from utils import plotting
from utils.datasets.languages import words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS = ("ocho", "tre", "um")  # the page's example, in descending order of length
SHADES = (plotting.COLORS[5], plotting.COLORS[4], plotting.COLORS[3])
ROWS, BATCH, SHOWN = 480, 16, 6  # words drawn, a batch, batches shown


def draw_packing(seed: int = 0) -> Figure:
    """Above: three words as a padded table, time to the right. Below: what packing keeps of it."""
    letters = sorted(set("".join(WORDS)))
    tokens, lengths = padded([[1 + letters.index(c) for c in word] for word in WORDS])
    rows = torch.arange(len(WORDS)).unsqueeze(1).expand_as(tokens)  # (B, T)
    packed = pack_padded_sequence(tokens, lengths, batch_first=True)
    packed_rows = pack_padded_sequence(rows, lengths, batch_first=True)
    figure, ax = plotting.subplots(width=8.6, height=3.9)
    ax.set(xlim=(-2.6, 9.6), ylim=(-3.9, 3.3), aspect="equal")
    ax.axis("off")
    for b, word in enumerate(WORDS):
        ax.text(-0.3, 2 - b + 0.5, f"row {b}", ha="right", va="center", fontsize=9)
        for t in range(tokens.shape[1]):
            letter = word[t] if t < len(word) else ""
            _cell(ax, t, 2 - b, letter, SHADES[b] if letter else "white")
    sizes = packed.batch_sizes.tolist()
    ax.text(-0.3, -0.5, "batch_sizes", ha="right", va="center", fontsize=9)
    for t, size in enumerate(sizes):
        ax.text(t + 0.5, -0.5, str(size), ha="center", va="center", fontsize=11)
        ax.text(t + 0.5, 3.15, f"t = {t}", ha="center", fontsize=8, color="0.35")
    ax.text(-0.3, -2.0, "data", ha="right", va="center", fontsize=9)
    for place, (token, row) in enumerate(zip(packed.data, packed_rows.data, strict=True)):
        _cell(ax, place, -2.5, letters[int(token) - 1], SHADES[int(row)])
    start = 0
    for t, size in enumerate(sizes):
        ax.plot([start + 0.08, start + size - 0.08], [-2.68] * 2, color="0.35", linewidth=1.2)
        ax.text(start + size / 2, -3.15, f"t = {t}", ha="center", fontsize=8, color="0.35")
        start += size
    ax.text(4.5, 1.5, "white: padding, 3 of 12 cells", va="center", fontsize=9)
    return figure


def _cell(ax: Axes, x: float, y: float, letter: str, color: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((x, y), 1, 1, facecolor=color, edgecolor="0.25", linewidth=0.8))
    ax.text(x + 0.5, y + 0.5, letter, ha="center", va="center", fontsize=11)


def draw_batches(seed: int = 0) -> Figure:
    """Six batches of number words, in random order and by length: what is letter, what padding."""
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(seed))
    texts = words_of(order[: ROWS // 9].tolist()).texts
    tokens, lengths = padded([[1] * len(text) for text in texts])
    options = {"batch_size": BATCH, "shuffle": True, "seed": seed}
    ways = {
        "in random order": Batches(tokens, lengths, **options, transform=trimmed),
        "by length": ByLength(tokens, lengths, **options),
    }
    figure, axes = plotting.subplots(1, 2, width=8.6, height=3.6, sharex=True, sharey=True)
    for ax, (name, batches) in zip(axes, ways.items(), strict=True):
        _draw_batches(ax, [batch[1] for batch in batches.epoch(0)][:SHOWN])
        share = padding_share(batches)
        ax.set_title(f"{name}: {share:.0%} of an epoch is padding")
        ax.set_xlabel("step")
    axes[0].set_ylabel("word")
    axes[0].invert_yaxis()
    axes[1].legend(fontsize=8, loc="upper right")
    return figure


def _draw_batches(ax: Axes, batches: list[torch.Tensor]) -> None:
    """A bar a word; behind it, hatched, what is filled up to the longest of its batch."""
    for number, lengths in enumerate(batches):
        places = number * (BATCH + 2) + np.arange(len(lengths))
        longest, lengths = int(lengths.max()), lengths.numpy()
        ax.barh(
            places,
            lengths,
            height=1,
            color=plotting.COLORS[0],
            label="_" * (number > 0) + "letters",
        )
        ax.barh(
            places, longest - lengths, left=lengths, height=1, color="white", edgecolor="0.6",
            hatch="////", linewidth=0, label="_" * (number > 0) + "padding",
        )  # fmt: skip
    ax.grid(False)
