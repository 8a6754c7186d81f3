"""The figure of finetune_bert.py: test accuracy of every classifier, a mark a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chapter_08_transformer_vanilla.experiments.finetune_tables import name_of
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {  # kind of classifier: its mark, filled or empty, and what the legend calls it
    "counting": ("s", "none", "counts words"),
    "scratch": ("o", "none", "from random weights"),
    "pretrained": ("D", "full", "pretrained on other text"),
}


def classifiers_figure(name: str, metrics: dict[str, Any]) -> Figure:
    """A row a classifier; marks tell the kinds apart, also in grey; a line for the common class."""
    rows = metrics["rows"]
    fig, ax = plotting.subplots(width=7.2, height=1.2 + 0.38 * len(rows))
    labelled = set()
    for place, row in enumerate(rows.values()):
        marker, fill, words = KINDS[row["kind"]]
        color = plotting.COLORS[list(KINDS).index(row["kind"])]
        tests = [run["test"] for run in row["runs"]]
        ax.plot(
            tests, [place] * len(tests), marker, fillstyle=fill, color=color, markersize=6,
            label=None if row["kind"] in labelled else words,
        )  # fmt: skip
        labelled.add(row["kind"])
        ax.annotate(
            f"{np.mean(tests):.1f}", (max(tests), place), (7, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    common = metrics["most_frequent_percent"]
    ax.axvline(common, linestyle=":", color="0.3", label="most frequent class")
    ax.set_yticks(range(len(rows)), [name_of(key, metrics["start"])["en"] for key in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    low, high = ax.get_xlim()
    room = 0.06 * (
        high - low
    )  # the line on the left and the numbers on the right keep off the edge
    ax.set_xlim(min(low, common - room / 2), high + room)
    ax.set(xlabel="test accuracy (%), a mark a seed", title=plotting.literal(name))
    ax.legend(
        fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.18 - 0.5 / len(rows)), ncols=2
    )
    return fig
