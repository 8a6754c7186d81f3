"""The drawing of page 11: two attentions set by hand on a text that repeats itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chapter_08_transformer_vanilla.induction import ByHand
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

TEXT = "ABCDAB"


def draw_by_hand(seed: int) -> Figure:
    """Layer 1 looks one place back, layer 2 behind the match; what is then said at each place."""
    letters = sorted(set(TEXT))
    ids = torch.tensor([[letters.index(letter) for letter in TEXT]])
    kept: list[Tensor] = []
    shares = ByHand(len(letters), len(TEXT))(ids, kept)[0]  # (T, V)
    figure, axes = plotting.subplots(1, 3, width=9.6, height=3.4)
    words = ("layer 1: the place before", "layer 2: behind the match", "said next (share)")
    columns = (list(TEXT), list(TEXT), letters)
    for ax, table, title, names in zip(
        axes, (kept[0][0, 0], kept[1][0, 0], shares), words, columns, strict=True
    ):
        ax.imshow(table.numpy(), cmap="Greys", vmin=0, vmax=1.2)
        ax.grid(False)
        ax.set_title(title, fontsize=10)
        ax.set_xticks(range(len(names)), names)
        ax.set_yticks(range(len(TEXT)), list(TEXT))
        for t, row in enumerate(table.tolist()):
            for s, value in enumerate(row):
                if value > 0.005:
                    color = "white" if value > 0.7 else "black"
                    text = f"{value:.2f}".removeprefix("0")
                    ax.text(s, t, text, ha="center", va="center", fontsize=7, color=color)
    axes[0].set(xlabel="read", ylabel="place that looks")
    axes[1].set(xlabel="read")
    axes[2].set(xlabel="token")
    return figure
