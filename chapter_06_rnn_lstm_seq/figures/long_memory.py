"""Figure of exp_long_memory.py: the error over the steps, a panel a cell, a line a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_06_rnn_lstm_seq.experiments.adding import SOLVED
from utils import plotting

TITLES = {"rnn": "RNN (no gate)", "lstm": "LSTM, by forget bias", "gru": "GRU, by update bias"}


def figure(metrics: dict[str, Any]) -> Any:
    """Held-out squared error of every training; the dotted line is that of always answering 1."""
    cells = [cell for cell in TITLES if any(r["cell"] == cell for r in metrics["rows"].values())]
    fig, axes = plotting.subplots(
        1, len(cells), width=3.8 * len(cells), height=3.7, sharey=True, sharex=True, squeeze=False
    )
    for ax, cell in zip(axes[0], cells, strict=True):
        rows = [row for row in metrics["rows"].values() if row["cell"] == cell]
        for index, row in enumerate(rows):
            draw_row(ax, row, index)
        ax.axhline(metrics["baseline"], color="0.35", linestyle=":", lw=1)
        ax.set(xlabel="step", title=TITLES[cell], yscale="log")
        ax.legend(fontsize=8, loc="lower left" if cell == "rnn" else "upper right")
    axes[0, 0].set_ylabel(f"squared error, T = {metrics['length']}")
    words = {"fontsize": 8, "ha": "right", "va": "bottom"}
    place = {"transform": axes[0, 0].get_yaxis_transform()} | words
    axes[0, 0].text(0.98, metrics["baseline"] * 1.25, "always answering 1", **place)
    return fig


def draw_row(ax: Any, row: dict[str, Any], index: int) -> None:
    look, marker = plotting.look(index), plotting.MARKERS[index % len(plotting.MARKERS)]
    name = f"rate {row['rate']:g}" if row["bias"] is None else f"bias {row['bias']}"
    for seed, curve in enumerate(row["curves"]):
        steps, errors = np.array(curve).T  # (checks,) each
        ax.plot(steps, errors, **look, lw=1.3, label=name if seed == 0 else None)
        if errors[-1] < SOLVED:
            ax.plot(steps[-1:], errors[-1:], marker, color=look["color"], ms=5)
