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
    """Mean and range over the seeds, and a dot a run."""
    figure, ax = plotting.subplots(width=6.4, height=4.2)
    for color, (method, by_count) in zip(plotting.COLORS, results.items(), strict=False):
        counts = list(by_count)
        runs = np.array([[row["test"] for row in rows] for rows in by_count.values()]).T
        plotting.band(ax, counts, runs, NAMES[method]["en"], color)  # runs (seeds, counts)
        ax.plot(np.tile(counts, (len(runs), 1)), runs, "o", color=color, ms=3.5)
    ax.axhline(chance, color="#555555", ls=":", lw=1, label="chance")
    ax.set(xscale="log", xlabel="labelled pictures a class", ylabel="test accuracy (%)")
    ax.set_title(title)
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.minorticks_off()
    figure.legend(loc="outside lower center", ncols=5, fontsize=8)
    return figure
