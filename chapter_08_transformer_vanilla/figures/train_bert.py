"""The figure of train_bert.py: hidden tokens right over the minutes, and what counting reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chapter_08_transformer_vanilla.experiments.pretraining import MODELS
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves_figure(metrics: dict[str, Any], name: str) -> Figure:
    """Left: masked words. Right: next or not. A curve a seed; counting as horizontal lines."""
    fig, (words, follows) = plotting.subplots(1, 2, width=10.0, height=3.6)
    marks = metrics["marks"]
    lines = [(marks[key], MODELS[key][0]) for key in MODELS]
    draw(words, metrics, "val_accuracy", lines)
    words.set(ylabel="right (%)", title=f"masked tokens, {plotting.literal(name)}")
    words.set_ylim(bottom=0)
    lines = [(marks["next_frequent"], "the more frequent answer"),
             (marks["overlap"], "rare words in common")]  # fmt: skip
    draw(follows, metrics, "val_next_accuracy", lines)
    follows.set(title="does the second part follow?", ylim=(40, 100))
    return fig


def draw(ax: Any, metrics: dict[str, Any], key: str, lines: list[tuple[float, str]]) -> None:
    """The curves of one measure, and the marks with their names beside the axes, lowest first."""
    for place, curve in enumerate(metrics["curves"]):
        minutes = np.array([row["seconds"] for row in curve]) / 60
        values = 100 * np.array([row[key] for row in curve])
        label = "BERT" if place == 0 else None
        ax.plot(minutes, values, color=plotting.COLORS[0], marker="o", markersize=3, label=label)
    for place, (value, words) in enumerate(lines, start=1):
        ax.axhline(value, color="0.35", linestyle=plotting.DASHES[place], linewidth=1.2)
        close = place < len(lines) and lines[place][0] - value < 4  # the next one's name is above
        ax.annotate(
            words, (1.02, value), xycoords=("axes fraction", "data"), fontsize=8,
            va="top" if close else "bottom",
        )  # fmt: skip
    ax.set_xlabel("minutes of training")
    ax.legend(fontsize=8, loc="lower right")
