"""The pictures of exp_degradation.py, in the manner of He et al. 2015, figure 6."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

KINDS = {"plainnet": "plain", "resnet": "residual"}
Results = dict[str, list[dict[str, Any]]]


def depth_of(network: str) -> int:
    return int("".join(letter for letter in network if letter.isdigit()))


def of_kind(results: Results, kind: str) -> Results:
    return {name: rows for name, rows in results.items() if name.startswith(kind)}


def curves(results: Results, dataset: str) -> Any:
    """Error by epoch: training (dashed) and validation; plain left, residual right."""
    figure, axes = plotting.subplots(1, 2, width=10.0, height=4.0, sharey=True)
    for ax, (kind, title) in zip(axes, KINDS.items(), strict=True):
        for color, (network, rows) in zip(
            plotting.COLORS, of_kind(results, kind).items(), strict=False
        ):
            for key, style in (("train_errors", "--"), ("val_errors", "-")):
                mean = np.mean([row[key] for row in rows], axis=0)  # (epochs,)
                label = f"{depth_of(network)} layers" if style == "-" else None
                ax.plot(range(1, len(mean) + 1), mean, style, color=color, label=label)
        ax.set(xlabel="epoch", title=f"{title} networks on {dataset}")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(fontsize=8, title="dashed: training")
    axes[0].set_ylabel("error (%)")
    return figure


def by_depth(results: Results, dataset: str) -> Any:
    """Final training loss and test error over depth; a dot a run, a line through the means."""
    figure, axes = plotting.subplots(1, 2, width=9.0, height=3.6)
    for ax, key, label in (
        (axes[0], "train_loss", "training loss (nats)"),
        (axes[1], "test_error", "test error (%)"),
    ):
        for color, (kind, title) in zip(plotting.COLORS[1::-1], KINDS.items(), strict=True):
            rows_of = of_kind(results, kind)
            depths = [depth_of(network) for network in rows_of]
            means = [np.mean([row[key] for row in rows]) for rows in rows_of.values()]
            ax.plot(depths, means, "-", color=color, label=title)
            for depth, rows in zip(depths, rows_of.values(), strict=True):
                ax.plot([depth] * len(rows), [row[key] for row in rows], "o", color=color, ms=4)
        ax.set(xlabel="layers with weights", ylabel=label, title=dataset)
        ax.set_xticks(depths)
    axes[0].legend(fontsize=8)
    return figure
