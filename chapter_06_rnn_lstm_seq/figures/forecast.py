"""The figures of train_forecast.py: the error by how far ahead, and one free run."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_06_rnn_lstm_seq.experiments.forecast.tables import name_of
from utils import plotting
from utils.datasets.series import SeriesData

HIGHEST = 2.0  # an error above it is off the picture: that forecast has run away


def error_figure(runs: dict[str, list[dict[str, Any]]], data: SeriesData) -> Any:
    """Error over the horizon: a line a model, a band over the seeds; 1 is the training mean."""
    fig, ax = plotting.subplots(width=7.4, height=4.2)
    longest = max(len(rows[0]["curve"]) for rows in runs.values())
    ahead = np.arange(1, longest + 1) / data.per_unit
    for index, (key, rows) in enumerate(runs.items()):
        style = plotting.look(index)
        curves = np.array([row["curve"] for row in rows])  # (seeds, S)
        plotting.band(
            ax, ahead, curves, name_of(key), color=style["color"], linestyle=style["linestyle"]
        )
    if data.name == "lorenz":
        for level, words in ((1.0, "1: the mean"), (2**0.5, "√2: any other\nplace on it")):
            ax.axhline(level, color="#888888", linewidth=0.8)
            ax.text(1.01, level, words, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    top = max(max(row["curve"]) for rows in runs.values() for row in rows)
    ax.set(
        xlabel=f"how far ahead ({data.unit})",
        ylabel="error (deviations of the training part)",
        title=f"{plotting.literal(data.name)}: free-running forecasts of the test part",
        ylim=(0, 1.05 * min(top, HIGHEST)),
    )
    fig.legend(fontsize=8, ncols=3, loc="outside lower center")
    return fig


def run_figure(truth: Any, predicted: dict[str, Any], data: SeriesData) -> Any:
    """One forecast: truth (S + before, C) and free runs (S, C); the last column of each."""
    models = list(predicted)
    fig, axes = plotting.subplots(len(models), 1, width=7.4, height=1.5 * len(models) + 0.8,
                                  sharex=True, sharey=True, squeeze=False)  # fmt: skip
    steps = len(next(iter(predicted.values())))
    before = len(truth) - steps
    time = np.arange(1 - before, steps + 1) / data.per_unit
    for ax, key in zip(axes[:, 0], models, strict=True):
        ax.plot(time, truth[:, -1], color="#999999")
        ax.plot(time[before:], predicted[key][:, -1], **plotting.look(1))
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_title(name_of(key), loc="left", fontsize=9)
        ax.set_ylabel(plotting.literal(data.columns[-1]))
    axes[-1, 0].set_xlabel(f"{data.unit} after the end of the context")
    fig.suptitle(
        f"{plotting.literal(data.name)}: one free run (dashed) and the truth (grey)",
        fontsize="medium",
    )
    return fig
