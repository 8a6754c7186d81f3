"""The picture of exp_ablations.py: a row a variant, a dot a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

GAP = 0.6  # between the groups of two switches, in rows


def places(titles: dict[str, tuple[str, str]]) -> dict[str, float]:
    """Height of each variant's row, from 0 downwards, with a gap where the switch changes."""
    heights, y, before = {}, 0.0, None
    for name, (switch, _) in titles.items():
        if before is not None:
            y -= 1 if switch == before else 1 + GAP
        heights[name], before = y, switch
    return heights


def dots(
    results: dict[str, list[dict[str, Any]]], titles: dict[str, tuple[str, str]], title: str
) -> Any:
    """Training loss and test accuracy; `titles` are (switch, row's label) by variant.

    A short line is the mean of a row; the dashed one goes through the mean of the first row.
    """
    heights = places(titles)
    height = 1.3 + 0.3 * (1 - min(heights.values()))
    figure, axes = plotting.subplots(1, 2, width=9.4, height=height, sharey=True)
    switches = list(dict.fromkeys(switch for switch, _ in titles.values()))
    for ax, key, label in (
        (axes[0], "train_loss", "training loss of the last epoch (nats)"),
        (axes[1], "test", "test accuracy (%)"),
    ):
        for number, (name, rows) in enumerate(results.items()):
            values, y = [row[key] for row in rows], heights[name]
            color = plotting.COLORS[switches.index(titles[name][0]) % len(plotting.COLORS)]
            mean = np.mean(values)
            ax.plot([mean, mean], [y - 0.36, y + 0.36], "-", color=color, lw=2.5)
            ax.plot(values, [y] * len(values), "o", color=color, ms=5, alpha=0.7)
            if number == 0:
                ax.axvline(mean, color="#555555", ls="--", lw=1, zorder=0)
        ax.set(xlabel=label)
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(list(heights.values()), [text for _, text in titles.values()])
    figure.suptitle(title, fontsize="medium")
    return figure
