"""Pictures of networks trained side by side: losses, and gradients by layer over the training."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

KINDS = ["resnet", "plainnet"]  # each has its colour, dashes and marker in all pictures
WIDE = 5  # losses that differ by more than this factor are drawn on a logarithmic axis
FEW = 4  # with fewer epochs each run is drawn for itself: a band between two points shows nothing
Results = dict[str, list[dict[str, Any]]]


def losses(results: Results, title: str) -> Any:
    """Training and validation loss and accuracy by epoch: mean and range, or run by run."""
    figure, axes = plotting.subplots(1, 3, width=11.0, height=3.4)
    shown = {
        "train_losses": "training loss (nats)",
        "val_losses": "validation loss (nats)",
        "val_accuracies_percent": "validation accuracy (%)",
    }
    for ax, (key, label) in zip(axes, shown.items(), strict=True):
        for kind, rows in results.items():
            runs = np.array([row[key] for row in rows])  # (runs, epochs)
            by_epoch(ax, runs, kind)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        values = np.concatenate([np.ravel([row[key] for row in rows]) for rows in results.values()])
        if "loss" in key and values.min() > 0 and values.max() > WIDE * values.min():
            plotting.plain_log_labels(ax)
    axes[0].legend(fontsize=8)
    few = runs.shape[1] < FEW and len(runs) > 1
    figure.suptitle(f"{title}, a line for each seed" if few else title, fontsize="medium")
    return figure


def by_epoch(ax: Any, runs: np.ndarray, kind: str) -> None:
    """Mean and range of runs (runs, epochs); of few epochs every run, with a marker an epoch."""
    number = KINDS.index(kind)
    epochs = range(1, runs.shape[1] + 1)
    if len(epochs) < FEW:
        for i, run in enumerate(runs):
            name = {"label": kind if i == 0 else None, "marker": plotting.MARKERS[number]}
            ax.plot(epochs, run, lw=1, **name, **plotting.look(number))
    else:
        plotting.band(ax, epochs, runs, kind, plotting.COLORS[number])


def gradients(results: Results, title: str) -> Any:
    """Gradient norm over weight norm of each convolution; a line for each of at most four epochs.

    The means over the seeds are geometric, as befits a logarithmic axis.
    """
    figure, axes = plotting.subplots(1, len(results), width=4.6 * len(results) + 1.2, sharey=True)
    axes = np.atleast_1d(axes)
    for ax, (kind, rows) in zip(axes, results.items(), strict=True):
        runs = np.array([row["gradients"] for row in rows])  # (seeds, epochs + 1, layers)
        norms = np.exp(np.log(np.maximum(runs, 1e-300)).mean(axis=0))
        layers = range(1, norms.shape[1] + 1)
        for number, epoch in enumerate(shown_epochs(len(norms) - 1)):
            label = f"after epoch {epoch}" if epoch else "before training"
            marker = {"marker": plotting.MARKERS[number], "ms": 4, "label": label}
            ax.plot(layers, norms[epoch], **marker, **plotting.look(number))
        ax.set(yscale="log", xlabel="convolution, counted from the picture")
        ax.set_title(f"{kind}, {title}")
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("gradient norm / weight norm")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def shown_epochs(last: int) -> list[int]:
    """Before training, after the first epoch, in the middle and at the end."""
    return sorted({0, min(1, last), (last + 1) // 2, last})
