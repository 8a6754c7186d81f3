"""The figures of exp_double_descent.py: the second descent, and its bias and variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.label_noise import CLASSES
from chapter_03_optimization_regularization.experiments.tables.double_descent import name_of, series
from utils import plotting


def threshold(ax: Any) -> None:
    ax.axvline(1, color="#888888", lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="features per training example, P / N")
    ax.set_xticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"], minor=False)


def error_figure(metrics: dict[str, Any]) -> Any:
    """Test error and size of the solution over the width, with and without ridge."""
    fig, (left, right) = plotting.subplots(1, 2, width=9.6, height=4.0)
    for i, share in enumerate(metrics["shares"]):
        ratios, color = metrics["ratios"], plotting.COLORS[i]
        shown = {"marker": plotting.MARKERS[i], "ms": 3.5}
        for ax, key in ((left, "test_error"), (right, "norm")):
            values = series(metrics, share, "none", key).T
            plotting.band(ax, ratios, values, name_of(share), color, linestyle="-")
            ax.lines[-1].set(marker=shown["marker"], markersize=shown["ms"])
            ridge = series(metrics, share, "ridge", key).mean(axis=1)
            ax.plot(ratios, ridge, "--", color=color, **shown)
    left.plot([], [], "--", color="black", label="the same with the best ridge")
    left.set(ylabel="test error (%)", ylim=(0, 95))
    left.axhline(100 - 100 / CLASSES, color="black", lw=0.8)
    left.annotate("chance", (metrics["ratios"][0], 90.6), fontsize=8)
    right.set(yscale="log", ylabel="norm of the solution |A|")
    for ax in (left, right):
        threshold(ax)
    right.annotate("P = N", (1.06, right.get_ylim()[1] * 0.5), fontsize=8)
    left.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.93))
    return fig


def parts_figure(metrics: dict[str, Any]) -> Any:
    """Bias^2, variance, noise and their sum, without and with the largest share of wrong labels."""
    fig, axes = plotting.subplots(1, 2, width=9.6, height=4.0, sharey=True)
    parts = (("bias", "bias²"), ("variance", "variance"), ("noise", "noise"))
    for ax, share in zip(axes, (metrics["shares"][0], metrics["shares"][-1]), strict=True):
        for i, (key, label) in enumerate(parts):
            values = series(metrics, share, "none", key)
            if values.any():  # without wrong labels there is no noise to draw on a log axis
                positive = np.where(values > 0, values, np.nan)
                look = {**plotting.look(i), "marker": plotting.MARKERS[i], "ms": 3.5}
                ax.plot(metrics["ratios"], positive, label=label, **look)
        total = {n: series(metrics, share, n, "error") for n in ("none", "ridge")}
        ax.plot(metrics["ratios"], total["none"], color="black", lw=1, label="error: their sum")
        ax.plot(metrics["ratios"], total["ridge"], ":", color="black", label="error, best ridge")
        ax.set(yscale="log", title=name_of(share))
        threshold(ax)
    axes[0].set_ylabel("squared error of a test example")
    axes[1].legend(fontsize=8)
    return fig
