"""The four figures of exp_normalization.py."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.normalization.tables import CASES, WAYS
from utils import plotting

CHANCE = 10.0  # % of the digits
KINDS = ("none", "batch", "layer", "group", "instance", "rms", "none, default weights")
COLORS = dict(zip(KINDS, plotting.COLORS, strict=False))  # a kind has one colour in all figures


def rates_figure(scores: dict[str, np.ndarray], rates: Sequence[float]) -> Any:
    """Validation accuracy over the learning rate: mean and range over the seeds."""
    fig, ax = plotting.subplots(width=7.6, height=3.9)
    for kind, values in scores.items():
        plotting.band(
            ax, rates, values[..., 0].T, kind, COLORS[kind]
        )  # (rates, seeds) -> (seeds, rates)
    ax.set(xscale="log", xlabel="learning rate of SGD", ylabel="validation accuracy (%)")
    ax.set(ylim=(0, 101), title="6 convolutions on the digits, batches of 32")
    ax.axhline(CHANCE, color="0.5", lw=1, ls=":", label="chance")
    fig.legend(fontsize=8, loc="outside right upper")
    return fig


def batches_figure(sizes: dict[str, np.ndarray], batches: Sequence[int]) -> Any:
    """Test accuracy over the batch size; each kind at its own best rate, scaled with the size."""
    fig, ax = plotting.subplots(width=6.8, height=3.9)
    for kind, values in sizes.items():
        plotting.band(ax, batches, values.T, kind, COLORS[kind])
    ax.set_xscale("log", base=2)
    ax.set_xticks(batches, [str(size) for size in batches])
    ax.set(xlabel="batch size (examples seen: the same)", ylabel="test accuracy (%)")
    ax.set_ylim(0, 101)
    ax.axhline(CHANCE, color="0.5", lw=1, ls=":", label="chance")
    ax.legend(fontsize=8, ncols=2, loc="lower left")
    return fig


def activations_figure(layers: dict[str, dict[str, np.ndarray]]) -> Any:
    """Spread by layer before and after the normalisation (rows), fresh and trained (columns)."""
    rows = {"std_before": "before the norm", "std_after": "after the norm"}
    fig, axes = plotting.subplots(2, 2, width=9.0, height=6.2, sharex=True, sharey=True)
    for row, (key, where) in zip(axes, rows.items(), strict=True):
        for ax, entry, when in zip(row, (0, -1), ("fresh", "trained"), strict=True):
            for kind, values in layers.items():
                runs = values[key][:, entry]  # (seeds, epochs + 1, layers) -> (seeds, layers)
                mean = np.exp(np.log(np.maximum(runs, 1e-30)).mean(axis=0))
                look = plotting.look(KINDS.index(kind))
                ax.plot(range(1, len(mean) + 1), mean, label=kind, **look)
            ax.set(yscale="log", title=f"{where}, {when}")
        row[0].set_ylabel("standard deviation of a channel")
    for ax in axes[-1]:
        ax.set_xlabel("convolution (1 is next to the input)")
        ax.xaxis.get_major_locator().set_params(integer=True)
    handles, names = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, names, fontsize=8, ncols=5, loc="outside upper center")
    return fig


def evaluation_figure(wrong: list[dict]) -> Any:
    """Bars: mean over the seeds, a dot a seed, for each case and way of evaluating."""
    fig, ax = plotting.subplots(width=8.6, height=3.9)
    for i, (way, (title, _)) in enumerate(WAYS.items()):
        places = np.arange(len(CASES)) + 0.27 * (i - 1)
        values = np.array([[run[case][way] for case in CASES] for run in wrong])  # (seeds, cases)
        look = {"color": plotting.COLORS[(1, 5, 2)[i]], "hatch": ("", "//", "..")[i]}
        label = title.removesuffix(" (%)")
        ax.bar(places, values.mean(axis=0), 0.25, edgecolor="white", lw=0, label=label, **look)
        for row in values:
            ax.plot(places, row, "o", color="black", ms=2.5)
    names = [fill(english, 17) for english, _ in CASES.values()]
    ax.set_xticks(range(len(CASES)), names, fontsize=8)
    ax.set(ylabel="test accuracy (%)", ylim=(0, 119))
    ax.grid(False, axis="x")
    ax.set_yticks(range(0, 101, 20))
    ax.axhline(CHANCE, color="0.5", lw=1, ls=":")
    ax.legend(fontsize=8, ncols=3, loc="upper center")
    return fig
