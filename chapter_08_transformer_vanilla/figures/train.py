"""The figures of train.py: right lines by length, and the curves of the validation part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chapter_07_attention_mechanism.figures.train_translation import (
    curves_figure as curves_of_networks,
)
from chapter_08_transformer_vanilla.experiments.tables import (
    EARLIER,
    KINDS,
    earlier_rows,
    network_name,
)
from utils import plotting


def lengths_figure(metrics: dict[str, Any], task: str) -> Any:
    """Lines right by their length, a curve a network; number lists beside chapters 6 and 7."""
    curves = [(KINDS[kind]["en"], row) for kind, row in metrics["kinds"].items()]
    if task == "numbers":
        kinds = metrics["kinds"]
        curves = [(network_name(kind, len(kinds))["en"], row) for kind, row in kinds.items()]
        earlier = earlier_rows()
        curves = [(name["en"], earlier[kind]) for kind, name in EARLIER.items()] + curves
    fig, ax = plotting.subplots(width=6.8, height=3.8)
    step = 0.06 if task == "numbers" else 0.1
    for place, (name, row) in enumerate(curves):
        shown = {int(k): v for k, v in row["exact_percent"].items() if k in metrics["tokens"]}
        shift = step * (place - (len(curves) - 1) / 2)  # equal values stand side by side
        means, spreads = np.array(list(shown.values())).T  # (K,) each
        look = {"linestyle": plotting.DASHES[place], "marker": plotting.MARKERS[place]}
        ax.errorbar(np.array(list(shown)) + shift, means, spreads, capsize=3, label=name, **look)
    lengths = [int(k) for k in metrics["tokens"]]
    if lengths[-1] > metrics["trained"]:
        ax.axvline(metrics["trained"] + 0.5, linestyle=":", color="0.3")
        ax.text(metrics["trained"] + 0.55, 103, "never trained", fontsize=8, color="0.3",
                va="bottom")  # fmt: skip
    unit = "numbers" if task == "numbers" else "letters"
    ax.set(xlabel=f"{unit} in the line", ylabel="lines right (%)", ylim=(-3, 103), xticks=lengths)
    ax.legend(fontsize=8, loc="lower left")
    return fig


def curves_figure(rows: Sequence[dict[str, Any]], name: str) -> Any:
    """Chapter 7's curves of the validation part, a curve a kind of positions."""
    return curves_of_networks(rows, name, "positions", KINDS)
