"""Pictures of networks trained side by side: losses, and gradients by layer over the training."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

COLORS = {"resnet": plotting.COLORS[0], "plainnet": plotting.COLORS[1]}
WIDE = 5  # losses that differ by more than this factor are drawn on a logarithmic axis
Results = dict[str, list[dict[str, Any]]]


def losses(results: Results, title: str) -> Any:
    """Training and validation loss and accuracy by epoch; mean and range of the runs."""
    figure, axes = plotting.subplots(1, 3, width=11.0, height=3.4)
    shown = {
        "train_losses": "training loss (nats)",
        "val_losses": "validation loss (nats)",
        "val_accuracies": "validation accuracy (%)",
    }
    for ax, (key, label) in zip(axes, shown.items(), strict=True):
        for kind, rows in results.items():
            runs = np.array([row[key] for row in rows])  # (runs, epochs)
            plotting.band(ax, range(1, runs.shape[1] + 1), runs, kind, COLORS[kind])
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        values = np.concatenate([np.ravel([row[key] for row in rows]) for rows in results.values()])
        if "loss" in key and values.min() > 0 and values.max() > WIDE * values.min():
            plotting.plain_log_labels(ax)
    axes[0].legend(fontsize=8)
    figure.suptitle(title, fontsize="medium")
    return figure


def gradients(results: Results, title: str) -> Any:
    """Gradient norm over weight norm, a line a layer, from the first (dark) to the last (light)."""
    import matplotlib

    shades = matplotlib.colormaps["viridis"]
    figure, axes = plotting.subplots(1, len(results), width=4.6 * len(results) + 1.2, sharey=True)
    for ax, (kind, rows) in zip(np.atleast_1d(axes), results.items(), strict=True):
        norms = np.mean([row["gradients"] for row in rows], axis=0)  # (epochs + 1, layers)
        for layer, line in enumerate(norms.T):
            color = shades(0.9 * layer / max(1, norms.shape[1] - 1))
            first_or_last = layer in (0, norms.shape[1] - 1)
            label = f"convolution {layer + 1}" if first_or_last else None
            ax.plot(range(len(line)), line, color=color, lw=2 if first_or_last else 1, label=label)
        ax.set(yscale="log", xlabel="epochs trained", title=f"{kind}, {title}")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(fontsize=8)
    np.atleast_1d(axes)[0].set_ylabel("gradient norm / weight norm")
    return figure
