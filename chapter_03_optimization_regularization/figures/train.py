"""The figure of train.py: loss, accuracy and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.tasks import Task
from chapter_03_optimization_regularization.training import History
from utils import plotting


def draw_history(axes: Sequence[Any], histories: Sequence[History]) -> None:
    """Loss (first of the axes) and accuracy (second) by epoch: mean and range over the runs."""
    count = min(len(history.epochs) for history in histories)
    epochs = range(1, count + 1)
    for ax, key, scale in ((axes[0], "loss", 1), (axes[1], "accuracy", 100)):
        for part, color in (("train", plotting.COLORS[0]), ("val", plotting.COLORS[1])):
            runs = [[scale * row[f"{part}_{key}"] for row in h.epochs[:count]] for h in histories]
            plotting.band(ax, epochs, np.array(runs), part, color=color)
        ax.set(xlabel="epoch")
        ax.legend(fontsize=8)
    axes[0].set_ylabel("cross-entropy (nats)")
    axes[1].set_ylabel("accuracy (%)")


def curves_figure(histories: list[History], task: Task) -> Any:
    """Loss and accuracy by epoch (mean and range over the seeds), learning rate of the first."""
    fig, axes = plotting.subplots(1, 3, width=11.0, height=3.4)
    draw_history(axes, histories)
    axes[0].set(yscale="log", title=f"{task.name}, loss")
    axes[1].set(title=f"{task.name}, accuracy")
    rates = [row["lr"] for row in histories[0].epochs[: min(len(h.epochs) for h in histories)]]
    axes[2].plot(range(1, len(rates) + 1), rates, marker=".")
    axes[2].set(
        xlabel="epoch", ylabel="learning rate", title="learning rate at the end of an epoch"
    )
    return fig
