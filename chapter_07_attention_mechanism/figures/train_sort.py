"""The figure of train_sort.py: sorted lists by length, and the weights that are one answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_07_attention_mechanism.experiments.sorting import ROWS
from utils import plotting


def sort_figure(metrics: dict[str, Any]) -> Any:
    """Left: lists sorted (%) by length, mean and spread over seeds. Right: weights of a list."""
    fig, axes = plotting.subplots(
        1, 2, width=9.6, height=4.3, gridspec_kw={"width_ratios": [1.25, 1]}
    )
    draw_lengths(axes[0], metrics)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=8)
    draw_weights(axes[1], metrics["example"])
    return fig


def draw_lengths(ax: Any, metrics: dict[str, Any]) -> None:
    for index, (name, row) in enumerate(metrics["rows"].items()):
        sizes = [int(size) for size in row]
        means, spreads = np.array([row[str(n)]["exact_percent"] for n in sizes]).T  # (K,) each
        look = plotting.look(index) | {"marker": plotting.MARKERS[index], "capsize": 3, "ms": 5}
        ax.errorbar(sizes, means, spreads, label=ROWS[name][2], **look)
    guess = metrics["baselines"]["guess"]
    values = [guess[str(n)]["exact_percent"] for n in sizes]
    ax.plot(sizes, values, "x:", color="0.35", lw=1.2, label="guess by value")
    ax.axvspan(*metrics["trained"], color="0.92", zorder=0)
    ax.text(sum(metrics["trained"]) / 2, 106, "trained", ha="center", va="center", fontsize=9)
    ax.set(xlabel="numbers in the list", ylabel="lists sorted (%)", ylim=(-3, 112))


def draw_weights(ax: Any, example: dict[str, Any]) -> None:
    """Rows: steps; columns: places of the input, with their numbers."""
    weights, numbers = np.array(example["weights"]), example["numbers"]
    ax.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="equal")
    for t, j in np.argwhere(weights > 0.005):
        shade = "white" if weights[t, j] > 0.5 else "black"
        words = f"{weights[t, j]:.2f}".removeprefix("0")
        ax.text(j, t, words, ha="center", va="center", fontsize=7, color=shade)
    ax.set_xticks(range(len(numbers)), [f"{x:.2f}" for x in numbers], fontsize=8)
    ax.set_yticks(range(len(numbers)), range(1, len(numbers) + 1), fontsize=8)
    ax.grid(False)
    ax.set(xlabel="the list", ylabel="step", title="where each step points")
