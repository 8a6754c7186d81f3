"""Figures of exp_gradient_flow.py: norm over distance, training, truncation, clipping."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

TITLES = {
    "rnn": "RNN, by radius of $W_{hh}$",
    "lstm": "LSTM, by forget bias",
    "gru": "GRU, by update bias",
}
NORM = r"norm of $\partial h_T / \partial s_{T-k}$"

OFF = 1e4  # of the clipping figure: what is larger is off the picture


def flow_figure(flows: dict[str, dict[str, Any]]) -> Any:
    """A panel a cell, a band a start (range over seeds); dotted: the RNN's bound."""
    fig, axes = plotting.subplots(
        1, len(flows), width=4.1 * len(flows), height=4.6, sharey=True, squeeze=False
    )
    for ax, (cell, starts) in zip(axes[0], flows.items(), strict=True):
        for index, (value, (curves, limit)) in enumerate(starts.items()):
            distance = np.arange(len(curves[0]))  # (T + 1,)
            name, color = str(value), plotting.COLORS[index]
            if cell == "rnn":
                ax.plot(distance, limit**distance, color=color, linestyle=":", lw=1)
                name = f"{value} (≤ {limit:.2f}$^k$)"
            plotting.band(ax, distance, curves, name, color)
        ax.set(yscale="log", ylim=(1e-12, 1e6), xlabel="distance k (steps)", title=TITLES[cell])
        ax.axhline(1, color="0.35", lw=0.8)
        ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    axes[0, 0].set_ylabel(NORM)
    return fig


def trained_figure(trained: dict[str, list[dict[str, Any]]], titles: dict[str, str]) -> Any:
    """A panel a cell: before training dashed, after it solid; range over seeds."""
    fig, axes = plotting.subplots(
        1, len(trained), width=3.6 * len(trained), height=3.4, sharey=True, squeeze=False
    )
    for ax, (cell, runs) in zip(axes[0], trained.items(), strict=True):
        for index, when in enumerate(("before", "after")):
            curves = np.array([run[when] for run in runs])  # (seeds, T + 1)
            label, color = f"{when} training", plotting.COLORS[1 - index]
            plotting.band(ax, np.arange(curves.shape[1]), curves, label, color)
        ax.set(yscale="log", xlabel="distance k (steps)", title=titles[cell])
        ax.legend(fontsize=8, loc="lower left")
    axes[0, 0].set_ylabel(NORM)
    return fig


def truncation_figure(cut: dict[str, Any]) -> Any:
    """Relative error and cosine of the truncated gradient over the chunk's length k."""
    fig, axes = plotting.subplots(1, 2, width=9.0, height=3.5)
    names = {"rnn": "RNN, radius", "lstm": "LSTM, forget bias"}
    for ax, what in zip(axes, ("error", "cosine"), strict=True):
        for index, row in enumerate(cut["networks"].values()):
            name = f"{names[row['cell']]} {row['value']:g}"
            mean, spread = np.array(row[what]).T  # (k,) each
            look, marker = plotting.look(index), plotting.MARKERS[index]
            ax.errorbar(cut["k"], mean, spread, marker=marker, ms=4, capsize=2, label=name, **look)
        ax.set(xscale="log", xlabel="steps in a chunk, k")
        ax.set_xticks(cut["k"], [str(k) for k in cut["k"]])
        ax.minorticks_off()
    axes[0].set(ylabel="relative error of the gradient", ylim=(0, None))
    axes[1].set(ylabel="cosine to the whole gradient", ylim=(None, 1.02))
    axes[1].legend(fontsize=8, loc="lower right")
    return fig


def clipping_figure(clipped: dict[str, list[dict[str, Any]]], baseline: float) -> Any:
    """Loss and norm of the gradient over the steps, with and without clipping, a line a seed."""
    fig, axes = plotting.subplots(1, 2, width=9.6, height=3.6)
    for ax, what in zip(axes, ("losses", "lengths"), strict=True):
        for index, runs in enumerate(clipped.values()):
            clip = "not clipped" if runs[0]["clip"] is None else f"clipped at {runs[0]['clip']:g}"
            label = f"rate {runs[0]['rate']:g}, {clip}"
            for run in runs:
                ax.plot(run[what], label=label, lw=1.1, **plotting.look(index))
                off = np.flatnonzero(np.array(run[what]) > OFF)
                if run["diverged"] and len(off):  # where it leaves the picture
                    ax.plot(off[0], OFF, "X", color=plotting.COLORS[index], ms=7, clip_on=False)
                label = None
        ax.set(xlabel="step", yscale="log")
    axes[0].axhline(baseline, color="0.35", linestyle=":", lw=1)
    axes[0].text(0.98, baseline * 1.1, "always answering 0", fontsize=8, ha="right", va="bottom",
                 transform=axes[0].get_yaxis_transform())  # fmt: skip
    axes[0].set(ylabel="squared error", ylim=(0.01, OFF))
    axes[1].set(ylabel="norm of the gradient, before clipping", ylim=(0.01, OFF))
    axes[0].legend(fontsize=8, loc="upper right")
    return fig
