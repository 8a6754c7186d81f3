"""The drawing of page 4: five masks as tables, made by masks.py. `draw_figures.py` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chapter_07_attention_mechanism.masks import (
    block_diagonal_mask,
    causal_mask,
    combined,
    padding_mask,
    prefix_mask,
)
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, LENGTH, PREFIX = 6, 4, 3  # places, of them real, given
DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, 2]])


def masks() -> dict[str, torch.Tensor]:
    """Title -> (T, S), True = may look."""
    padding, causal = padding_mask(torch.tensor([LENGTH]), SIZE)[0], causal_mask(SIZE)
    blocks = combined(causal, block_diagonal_mask(DOCUMENTS)[0])
    return {
        f"padding: {LENGTH} of {SIZE} real": padding.expand(SIZE, SIZE),
        "causal": causal,
        "causal and padding": combined(causal, padding),
        f"prefix: {PREFIX} given": prefix_mask(SIZE, PREFIX),
        "causal, three documents": blocks,
    }


def draw_masks(seed: int = 42) -> Figure:
    """A row a query, a column a key; dark: may look."""
    found = masks()
    figure, axes = plotting.subplots(1, len(found), width=9.6, height=2.4)
    for ax, (title, mask) in zip(axes, found.items(), strict=True):
        _draw(ax, mask, title)
    axes[0].set_ylabel("query t", fontsize=9)
    return figure


def _draw(ax: Axes, mask: torch.Tensor, title: str) -> None:
    ax.imshow(mask.numpy(), cmap="Blues", vmin=-0.15, vmax=1.4)
    ax.grid(False)
    for t, s in (~mask).nonzero().tolist():
        ax.text(s, t, "−∞", ha="center", va="center", fontsize=7, color="0.35")
    places = [i - 0.5 for i in range(1, SIZE)]
    ax.set_xticks(places, minor=True)
    ax.set_yticks(places, minor=True)
    ax.grid(True, which="minor", color="white", lw=1)
    ax.tick_params(which="minor", length=0)
    ax.set_xticks(range(SIZE), range(SIZE), fontsize=7)
    ax.set_yticks(range(SIZE), range(SIZE), fontsize=7)
    ax.set_xlabel("key s", fontsize=9)
    ax.set_title(title, fontsize=9)
