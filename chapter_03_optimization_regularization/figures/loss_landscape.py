"""The figures of exp_loss_landscape.py: planes through a minimum, and rises along a radius."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.tables.loss_landscape import RADII, VIEWS
from utils import plotting


def plane_figure(planes: dict[str, list[list[float]]], grid: int) -> Any:
    """Filled contours, logarithmic levels, the same for all panels."""
    from matplotlib.colors import LogNorm

    values = {name: np.nan_to_num(np.array(plane), nan=1e6) for name, plane in planes.items()}
    low = max(min(v.min() for v in values.values()), 1e-4)
    levels = np.geomspace(low, 30.0, 19)
    places = np.linspace(-1, 1, grid)
    fig, axes = plotting.subplots(1, len(values), width=10.0, height=3.7, sharey=True)
    for ax, (name, plane) in zip(axes, values.items(), strict=True):
        clipped = plane.clip(levels[0], levels[-1])
        filled = ax.contourf(places, places, clipped, levels=levels, norm=LogNorm())
        ax.contour(places, places, clipped, levels=levels[::3], colors="white", linewidths=0.5)
        ax.plot(0, 0, "+", color="red", ms=9)
        ax.set_title(VIEWS[name][2], fontsize=10)
        ax.set(xlabel="step along direction 1", aspect="equal")
        ax.grid(False)
    axes[0].set_ylabel("step along direction 2")
    bar = fig.colorbar(filled, ax=axes, label="training loss (nats)", shrink=0.9)
    ticks = [t for t in (0.001, 0.01, 0.1, 1, 10) if levels[0] <= t <= levels[-1]]
    bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
    return fig


def profile_figure(results: list[dict]) -> Any:
    fig, ax = plotting.subplots(width=6.4, height=3.8)
    for view, (*_, title, _zh) in VIEWS.items():
        plotting.band(ax, RADII, [r[view]["rise"] for r in results], title)
    ax.set(xlabel="radius, in lengths of each filter", ylabel="rise of the training loss (nats)")
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_ylim(0, None)
    ax.legend(fontsize=8)
    return fig
