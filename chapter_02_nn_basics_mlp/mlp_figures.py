"""The figures of mlp.py: the fit with its band, three surfaces, and the world outside the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_02_nn_basics_mlp.mlp_data import Points, Problem
from utils import plotting


def fit_figure(problem: Problem, points: Points, predictions: np.ndarray, floor: float) -> Any:
    """Truth, points and the range of the fits. predictions (R, G): one row a seed."""
    x = problem.grid()
    truth = problem.truth(x)
    fig, (top, bottom) = plotting.subplots(
        2, 1, height=5.6, sharex=True, gridspec_kw={"height_ratios": [3, 1.3]}
    )
    top.plot(points.x, points.y, ".", color="#999999", ms=3.5, label="noisy points (first seed)")
    top.plot(x, truth, "--", color="black", label="true function")
    plotting.band(top, x[:, 0], predictions, f"MLP, {len(predictions)} seeds: mean and range")
    top.set(ylabel="y", title=f"{problem.mode}: {len(points.x)} points, noise {problem.noise}")
    top.legend(loc="upper left", fontsize=8)
    plotting.band(bottom, x[:, 0], predictions - truth, "error")
    bottom.axhspan(-floor, floor, color="#999999", alpha=0.25, label="noise-limited RMSE")
    bottom.set(xlabel="x", ylabel="fit - truth")
    bottom.legend(loc="upper right", fontsize=8, ncols=2)
    return fig


def surface_figure(problem: Problem, side: int, predictions: np.ndarray) -> Any:
    """True, predicted and error surface of the first seed. predictions (R, side^2)."""
    truth = problem.truth(problem.grid(side)).reshape(side, side)
    predicted = predictions[0].reshape(side, side)
    error = predicted - truth
    axis = problem.grid(side)[:side, 0]
    fig, maps = plotting.subplots(1, 3, width=9.0, height=5.8)
    fig.set_layout_engine("none")  # it leaves reliefs too much room
    panels = [("true", truth), ("predicted (first seed)", predicted), ("predicted - true", error)]
    for column, (title, values) in enumerate(panels):
        limit = np.abs(error if column == 2 else truth).max()
        look = {"cmap": "RdBu_r" if column == 2 else "viridis", "vmin": -limit, "vmax": limit}
        left = column / 3
        relief = fig.add_axes((left + 0.005, 0.46, 0.285, 0.48), projection="3d")
        relief.plot_surface(
            *np.meshgrid(axis, axis), values, linewidth=0, rcount=33, ccount=33, **look
        )
        relief.set(xlabel="x", ylabel="y", zlim=(-limit, limit))
        relief.locator_params(nbins=5)
        relief.set_title(title, y=1.0)
        relief.tick_params(labelsize=7)
        maps[column].set_position((left + 0.055, 0.08, 0.19, 0.29))
        image = maps[column].pcolormesh(axis, axis, values, shading="nearest", **look)
        maps[column].grid(False)
        maps[column].set(xlabel="x", ylabel="y", aspect="equal")
        bar = fig.colorbar(image, cax=fig.add_axes((left + 0.255, 0.08, 0.01, 0.29)))
        bar.ax.set_title("z", fontsize="medium")
    return fig


def outside_figure(problem: Problem, points: Points, fits: dict[str, tuple]) -> Any:
    """A panel a kind of network. fits: kind -> (predictions (R, G), title)."""
    x = everywhere(problem)[:, 0]
    rows = len(fits) // 2 + 1  # at least one free place, for the legend
    fig, axes = plotting.subplots(
        rows, 2, width=9.6, height=1 + 2.2 * rows, sharex=True, sharey=True, squeeze=False
    )
    colors = plotting.COLORS
    for ax, (predictions, title), color in zip(axes.flat, fits.values(), colors, strict=False):
        ax.axvspan(points.x.min(), points.x.max(), color="#BBBBBB", alpha=0.3, lw=0)
        ax.plot(x, problem.truth(x[:, None]), "--", color="black", lw=1)
        plotting.band(ax, x, predictions, "fit", color=color, linestyle="-")
        ax.set(title=title, ylim=(-3, 3))
        ax.set(xlabel="x", ylabel="y")
        ax.tick_params(labelbottom=True)
    for ax in axes.flat[len(fits) :]:
        ax.set_axis_off()
    _outside_legend(axes.flat[len(fits)])
    return fig


def _outside_legend(ax: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        (Line2D([], [], color="black", ls="--", lw=1), "true function"),
        (
            Line2D([], [], color=plotting.COLORS[0]),
            "fit: mean over the seeds (colour: the network)",
        ),
        (Patch(color=plotting.COLORS[0], alpha=0.18), "fit: range over the seeds"),
        (Patch(color="#BBBBBB", alpha=0.3), "range of the training points"),
    ]
    ax.legend(*zip(*handles, strict=True), loc="center", fontsize=9)


def everywhere(problem: Problem) -> np.ndarray:
    """Inside and outside of the training range, in order: (G, 1)."""
    return np.sort(np.concatenate([problem.grid(), problem.outside()]), axis=0)


def curve_figure(histories: dict[str, np.ndarray], noise: float) -> Any:
    """A panel a network. histories: kind -> (R, E, 3), columns epoch, train, val."""
    columns = len(histories)
    fig, axes = plotting.subplots(
        1, columns, width=max(6.4, 2.4 * columns), height=3.6, sharey=True, squeeze=False
    )
    for ax, (kind, history) in zip(axes[0], histories.items(), strict=True):
        epochs = history[0, :, 0]
        plotting.band(ax, epochs, history[:, :, 2], "validation")
        ax.plot(epochs, history[:, :, 1].mean(axis=0), label="training", **plotting.look(1))
        ax.axhline(noise, color="black", lw=0.8, ls=":", label=f"noise {noise}")
        ax.set(xlabel="epoch", title=kind.replace("_", " "), ylim=(0, 3 * noise))
    axes[0, 0].set_ylabel("RMSE on noisy points")
    axes[0, -1].legend(fontsize=8)
    return fig
