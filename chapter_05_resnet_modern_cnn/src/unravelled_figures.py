"""The pictures of exp_unravelled.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from utils import plotting


def deletions(results: dict[str, dict[str, Any]], dataset: str, chance: float) -> Any:
    """Test error without each single block, and without several at random."""
    figure, (left, right) = plotting.subplots(1, 2, width=10.0, height=4.0, sharey=True)
    for number, (name, found) in enumerate(results.items()):
        color = plotting.COLORS[number]
        look = {"marker": plotting.MARKERS[number], "label": name, **plotting.look(number)}
        places = np.arange(1, len(found["one"]) + 1)
        left.plot(places, found["one"], **look)
        gaps = (8 * number, (8, 8))  # each line's dashes in the gaps of the other
        left.axhline(found["whole"], color=color, ls=gaps, lw=1.4)
        counts = [0, *found["several"]]
        errors = [[found["whole"]], *found["several"].values()]
        right.plot(counts, [np.mean(e) for e in errors], **look)
        for count, values in zip(counts, errors, strict=True):
            dot = {"marker": look["marker"], "ms": 4, "mfc": "none", "color": color}
            right.plot([count + 0.08 * (1 if number else -1)] * len(values), values, ls="", **dot)
    for ax in (left, right):
        ax.axhline(chance, color="#555555", ls=":", lw=1)
        ax.xaxis.get_major_locator().set_params(integer=True)
    left.set(
        xlabel="deleted block, counted from the picture",
        ylabel="test error (%)",
        title=f"{dataset}: one block deleted (dashed: none)",
    )
    right.set(xlabel="blocks deleted at random", title="several (small: choices; dotted: chance)")
    left.legend(fontsize=8)
    return figure


def path_lengths(blocks: int) -> Any:
    """The share of paths of each length: the binomial distribution."""
    figure, ax = plotting.subplots(width=6.0, height=3.2)
    lengths = np.arange(blocks + 1)
    share = np.array([math.comb(blocks, int(k)) for k in lengths]) / 2**blocks
    ax.bar(lengths, 100 * share, color=plotting.COLORS[0])
    ax.set(
        xlabel="blocks on the path",
        ylabel="share of the paths (%)",
        title=f"{2**blocks:,} paths through {blocks} blocks",
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    return figure
