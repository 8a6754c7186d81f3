"""The figure of lr_finder.py: range tests above, what came of the rates below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.tables.lr_finder import GRIDS, suggestion
from utils import plotting


def figure(tests: dict[str, Sequence[Any]], checks: dict[str, np.ndarray]) -> Any:
    """Above: the range tests. Below: where the rates that they suggest fall on the slow curve."""
    fig, axes = plotting.subplots(2, 2, width=9.2, height=6.4, sharex="col")
    for column, name in enumerate(tests):
        top, bottom = axes[:, column]
        for i, test in enumerate(tests[name]):
            top.plot(test.rates, test.losses, color="#BBBBBB", lw=0.6)
            label = "smoothed, one line a seed" if i == 0 else None
            top.plot(test.rates, test.smoothed, color=plotting.COLORS[0], lw=1.2, label=label)
        plotting.band(bottom, GRIDS[name], checks[name].T, "after training", plotting.COLORS[0])
        for ax in (top, bottom):
            for i, rule in enumerate(("steepest", "tenth_of_minimum")):
                look = {"color": plotting.COLORS[1 + i], "ls": "-:"[i], "lw": (6, 2)[i]}
                look["alpha"] = (0.4, 1)[i]
                label = rule.replace("_", " ")  # the thin one shows on top of the wide one
                ax.axvline(suggestion(tests[name], rule), label=label, **look)
        top.set(title=f"{name}: range test", ylim=(0, 3), ylabel="training loss (nats)")
        bottom.plot(GRIDS[name], checks[name], "o", ms=3.5, color=plotting.COLORS[0])
        bottom.set(title=f"{name}: constant rate", xscale="log", yscale="log")
        bottom.set(xlabel="learning rate", ylabel="validation loss (nats)")
    axes[0, 0].legend(fontsize=8, loc="lower left")
    return fig
