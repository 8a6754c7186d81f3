"""The figures of train_seq2seq.py: right lines by length, and the course of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chapter_03_optimization_regularization.training import History
from utils import plotting


def lengths_figure(metrics: dict[str, Any]) -> Any:
    """Per cent by numbers in the line: lines right, and words right fed with the truth or not."""
    fig, axes = plotting.subplots(1, 2, width=9.0, height=3.4)
    curves = [
        (axes[0], "test", "exact_percent", "new numbers", "o-"),
        (axes[0], "combinations", "exact_percent", "known numbers, new lists", "s--"),
        (axes[1], "test", "forced_percent", "fed with the truth", "o-"),
        (axes[1], "test", "free_percent", "fed with its own words", "s--"),
    ]
    for ax, part, key, label, style in curves:
        rows = metrics[part]
        counts = [int(count) for count in rows]
        means, spreads = np.array([rows[count][key] for count in rows]).T  # (K,) each
        ax.errorbar(counts, means, spreads, fmt=style, capsize=3, label=label)
        ax.set(xlabel="numbers in the line", ylim=(-3, 103))
        ax.legend(fontsize=8, loc="lower left")
    axes[0].set(ylabel="lines right (%)", title="whole lines")
    axes[1].set(ylabel="words right at their place (%)", title="single words")
    return fig


def curves_figure(histories: Sequence[History], name: str) -> Any:
    """Cross-entropy a token and accuracy by epoch: mean and range over the seeds."""
    fig, axes = plotting.subplots(1, 2, width=9.0, height=3.2)
    count = min(len(history.epochs) for history in histories)
    for ax, key, scale in ((axes[0], "loss", 1), (axes[1], "accuracy", 100)):
        for part, style in (("train", "o-"), ("val", "s--")):
            runs = [[scale * row[f"{part}_{key}"] for row in h.epochs[:count]] for h in histories]
            ax.plot(range(1, count + 1), np.mean(runs, axis=0), style, label=part)
        ax.set(xlabel="epoch")
        ax.legend(fontsize=8)
    axes[0].set(ylabel="cross-entropy (nats a token)", title=f"{name}, loss")
    axes[1].set(ylabel="tokens right (%)", title=f"{name}, teacher forcing")
    return fig
