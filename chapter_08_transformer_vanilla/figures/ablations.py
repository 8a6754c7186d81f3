"""The figures of exp_ablations.py: every variant beside the base, and norms over depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_08_transformer_vanilla.experiments.ablations import BASE_NAME, MOST
from utils import plotting


def variants_figure(metrics: dict[str, Any]) -> Any:
    """A row a variant: its validation loss, and the lines right by numbers in the line."""
    variants = metrics["variants"]
    names = list(variants)[::-1]
    rows = np.arange(len(names))
    fig, axes = plotting.subplots(
        1, 2, width=9.4, height=1.4 + 0.26 * len(names), sharey=True, squeeze=False
    )
    loss, right = axes[0]
    means, spreads = np.array([variants[name]["val_loss"] for name in names]).T
    loss.errorbar(means, rows, xerr=spreads, fmt="o", color="black", capsize=3)
    loss.axvline(variants[BASE_NAME]["val_loss"][0], linestyle=":", color="0.4")
    loss.set(xscale="log", xlabel="validation loss (nats a token)", yticks=rows)
    loss.set_yticklabels(names, fontsize=8)
    counts = list(variants[BASE_NAME]["exact_percent"])[:MOST]
    for place, count in enumerate(counts):
        means, spreads = np.array([variants[name]["exact_percent"][count] for name in names]).T
        right.errorbar(
            means, rows + 0.16 * (1 - place), xerr=spreads, capsize=2, linestyle="none",
            marker=plotting.MARKERS[place], label=f"{count} number{'s' if count != '1' else ''}",
        )  # fmt: skip
    right.set(xlabel="lines right (%)", xlim=(-3, 103))
    right.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(counts))
    return fig


def norm_figure(metrics: dict[str, Any]) -> Any:
    """Training loss over the steps, a panel a depth, a curve for norm and warm-up."""
    variants = metrics["variants"]
    fig, axes = plotting.subplots(1, 2, width=9.4, height=3.4, sharey=True)
    for ax, layers in zip(axes, (2, 6), strict=True):
        place = 0
        for kind in ("pre", "post"):
            for no in ("", "no "):
                row = variants[f"{kind}-norm, {layers} layers, {no}warm-up"]
                steps = 10 * np.arange(1, len(row["losses"]) + 1)
                ax.plot(
                    steps, row["losses"], label=f"{kind}-norm, {no}warm-up",
                    linestyle=plotting.DASHES[place],
                )  # fmt: skip
                place += 1
        ax.set(xlabel="step", title=f"{layers} + {layers} layers", yscale="log")
        ax.legend(fontsize=8)
    axes[0].set_ylabel("training loss (nats a token)")
    return fig
