"""The picture of fine_tune.py: accuracy against the number of labels, a line a method."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

NAMES = {
    "scratch": {"en": "from scratch", "zh": "从头训练"},
    "frozen": {"en": "frozen features", "zh": "冻结特征"},
    "full": {"en": "full fine-tuning", "zh": "整体微调"},
    "layerwise": {"en": "layer-wise rates", "zh": "逐层学习率"},
}


def curves(results: dict[str, dict[int, list[dict[str, Any]]]], chance: float, title: str) -> Any:
    """Mean and range over the seeds, and a marker a run."""
    figure, ax = plotting.subplots(width=6.4, height=4.2)
    for number, (method, by_count) in enumerate(results.items()):
        counts = list(by_count)
        runs = np.array([[row["test"] for row in rows] for rows in by_count.values()]).T
        color, marker = plotting.COLORS[number], plotting.MARKERS[number]
        plotting.band(ax, counts, runs, NAMES[method]["en"], color)  # runs (seeds, counts)
        ax.lines[-1].set_marker(marker)
        places = np.tile(counts, (len(runs), 1))
        ax.plot(places, runs, marker, color=color, ms=3.5)
    ax.axhline(chance, color="#555555", ls=":", lw=1, label="chance")
    ax.set(xscale="log", xlabel="labelled pictures a class", ylabel="test accuracy (%)")
    ax.set_title(title)
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.minorticks_off()
    ax.set_ylim(bottom=max(0, ax.dataLim.y0 - 4))  # room below the line of chance
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure
