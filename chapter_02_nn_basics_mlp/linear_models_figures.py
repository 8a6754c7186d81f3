"""The two figures of linear_models.py: equal coefficients, and how fast the methods get there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray


def plot_coefficients(results: list[tuple[Any, list[dict]]]) -> Figure:
    """Ours against scikit-learn's, all splits, one panel a data set; `results`: (case, runs)."""
    names = list(dict.fromkeys(case.data for case, _ in results))
    fig, axes = plotting.subplots(1, len(names), width=10.5, height=3.8)
    for ax, name in zip(axes, names, strict=True):
        shown = [(case, runs) for case, runs in results if case.data == name]
        for (case, runs), marker in zip(shown, "ox^"[: len(shown)], strict=True):
            mine, theirs = np.concatenate([run["coefficients"] for run in runs], axis=1)  # (n,) x2
            ax.plot(theirs, mine, marker, markersize=6, fillstyle="none", label=case.title["en"])
        limits = ax.get_xlim()
        ax.plot(limits, limits, color="0.6", linewidth=0.8, zorder=0, label="equal")
        ax.set(title=name.replace("_", " "), xlabel="scikit-learn's coefficient")
        ax.legend(fontsize="small", loc="upper left")
    axes[0].set_ylabel("our coefficient")
    return fig


def plot_convergence(curves: dict[str, Array]) -> Figure:
    fig, axes = plotting.subplots(1, 2, width=9.5, height=3.8, sharey=True)
    panels = [
        ("Linear regression, diabetes", ["own units", "standardised"], "lower left"),
        ("Logistic regression, breast cancer", ["gradient descent", "Newton"], "upper right"),
    ]
    for ax, (title, names, corner) in zip(axes, panels, strict=True):
        for i, name in enumerate(names):
            steps = np.arange(1, len(curves[name]) + 1)
            ax.plot(steps, curves[name], label=name, **plotting.look(i))
        ax.set(xscale="log", yscale="log", xlabel="step", title=title, ylim=(1e-13, 3))
        ax.legend(loc=corner)
    axes[0].set_ylabel("objective above its minimum (start = 1)")
    return fig
