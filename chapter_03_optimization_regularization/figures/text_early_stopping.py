"""The figure of the text on early stopping: its factor laid over that of the L2 penalty.

`draw_figures.py` writes it. On a quadratic both multiply the best weight of each eigen-direction by
a number between 0 and 1 that depends on the curvature h alone:

    t steps of gradient descent from 0     1 - (1 - eta h)^t
    an L2 penalty of strength lam          h / (h + lam),        lam = 1 / (eta t)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

RATE, STEPS = 0.1, (5, 20, 200)
BY_HAND = np.array([5, 0.5, 0.05])  # the curvatures of the example with 20 steps
CURVATURES = np.array([3.0, 0.3])  # of the quadratic on the right; its minimum is (1, 1)
MARKED = (1, 3, 10, 30, 100)


def early_factor(h: Array, steps: float) -> Array:
    return 1 - (1 - RATE * h) ** steps


def ridge_factor(h: Array, strength: float) -> Array:
    return h / (h + strength)


def draw_early_stopping() -> Figure:
    """Both factors over the curvature, for three lengths of the run; both paths to a minimum."""
    figure, (left, right) = plotting.subplots(1, 2, width=9.6, height=3.9)
    h = np.geomspace(0.01, 1 / RATE, 400)
    for i, steps in enumerate(STEPS):
        color = plotting.COLORS[i]
        strength = 1 / (RATE * steps)
        label = "t steps, then stop" if i == 0 else None
        left.semilogx(h, early_factor(h, steps), color=color, label=label)
        label = "L2 with λ = 1 / (η t)" if i == 0 else None
        left.semilogx(h, ridge_factor(h, strength), "--", color=color, label=label)
        top = (1 - 0.02 ** (1 / steps)) / RATE  # the curvature with the factor 0.98
        left.text(top, 1.02, f"t = {steps}\nλ = {strength:g}", fontsize=8, ha="center")
    left.plot(BY_HAND, early_factor(BY_HAND, 20), "o", color=plotting.COLORS[1], markersize=5)
    left.plot(BY_HAND, ridge_factor(BY_HAND, 0.5), "s", color=plotting.COLORS[1], markersize=5)
    left.set(title="what is left of a weight", xlabel="curvature h", ylabel="factor")
    left.set(ylim=(-0.05, 1.2))
    left.legend(fontsize=8, loc="lower right")
    _draw_paths(right)
    return figure


def _draw_paths(ax: Axes) -> None:
    """Gradient descent from 0, and the minima of loss + penalty for every strength."""
    x, y = np.meshgrid(np.linspace(-0.15, 1.35, 120), np.linspace(-0.15, 1.35, 120))
    loss = (CURVATURES[0] * (x - 1) ** 2 + CURVATURES[1] * (y - 1) ** 2) / 2
    ax.contour(x, y, loss, levels=np.geomspace(0.002, 1.2, 9), colors="0.8", linewidths=0.8)
    steps = np.arange(0, 400)[:, None]  # (T, 1), against (2,) curvatures
    ax.plot(*early_factor(CURVATURES, steps).T, color=plotting.COLORS[0], label="gradient descent")
    strengths = np.geomspace(1e-3, 1e3, 400)[:, None]
    path = ridge_factor(CURVATURES, strengths).T
    ax.plot(*path, "--", color=plotting.COLORS[1], label="L2, all strengths")
    for t in MARKED:
        early, ridge = early_factor(CURVATURES, t), ridge_factor(CURVATURES, 1 / (RATE * t))
        ax.plot(*early, "o", color=plotting.COLORS[0], markersize=5)
        ax.plot(*ridge, "s", color=plotting.COLORS[1], markersize=5)
        ax.plot(*zip(early, ridge, strict=True), ":", color="0.4", linewidth=1)
        ax.annotate(f"t = {t}", early, (8, -9), textcoords="offset points", fontsize=8)
    ax.plot(1, 1, "k*", markersize=10)
    ax.set(title="h₁ = 3, h₂ = 0.3: from 0 to the minimum", xlabel="θ₁", ylabel="θ₂")
    ax.legend(fontsize=8, loc="upper left")
