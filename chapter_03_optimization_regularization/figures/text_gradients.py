"""The drawings of the page on gradient descent: three learning rates, and the noise ball.

Nothing is sketched: every line is computed. `draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

# The bowl that the pages work by hand: f(x) = (x_1^2 + 9 x_2^2) / 2.
CURVATURES = np.array([1.0, 9.0])
START = np.array([9.0, 1.0])
NOISE_START = np.array([3.0, 1.0])


def bowl(x: Array) -> Array:
    """f at points (..., 2) -> (...)."""
    return (CURVATURES * x**2).sum(-1) / 2


def draw_contours(ax: Axes, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
    """The bowl from above, in pale grey, and its minimum as a star."""
    x, y = np.meshgrid(np.linspace(*x_range, 160), np.linspace(*y_range, 120))
    loss = bowl(np.stack([x, y], axis=-1))  # (120, 160)
    levels = np.geomspace(loss.max() / 400, loss.max(), 9)
    ax.contour(x, y, loss, levels=levels, colors="0.75", linewidths=0.8)
    ax.plot(0, 0, "k*", markersize=9)
    ax.set(xlabel="θ₁", ylabel="θ₂")


# --- Three learning rates, without noise ---


def descent(rate: float, steps: int) -> Array:
    """Gradient descent from START: (steps + 1, 2)."""
    factors = 1 - rate * CURVATURES  # what a step multiplies each coordinate by
    return START * factors ** np.arange(steps + 1)[:, None]


def draw_three_rates(steps: int = 30) -> Figure:
    """The best learning rate, one without zigzag, and one that is unstable: paths and losses."""
    labels = {0.2: "0.2, the best", 1 / 9: "1/9, no zigzag", 0.23: "0.23, unstable"}
    figure, (left, right) = plotting.subplots(
        1, 2, width=9.4, height=3.5, gridspec_kw={"width_ratios": [1.6, 1]}
    )
    draw_contours(left, (-0.9, 9.9), (-1.85, 2.45))
    for i, (rate, label) in enumerate(labels.items()):
        path, look = descent(rate, steps), plotting.look(i)
        look["marker"] = plotting.MARKERS[i]
        left.plot(*path[:9].T, markersize=4, label=f"η = {label}", **look)
        right.semilogy(bowl(path), markersize=3, **look)
    right.text(25.5, 8, "0.23", ha="center", fontsize=9)
    right.text(24, 0.4, "1/9", ha="center", fontsize=9)
    right.text(21, 4e-4, "0.2", ha="center", fontsize=9)
    left.set(title="eight steps on the bowl (θ₁² + 9 θ₂²) / 2", ylim=(-1.85, 2.45))
    left.legend(fontsize=8, loc="upper right", ncols=3)
    right.set(title="the loss", xlabel="step", ylabel="f")
    return figure


# --- The noise ball ---


def noisy_descent(rates: Array, runs: int, seed: int) -> Array:
    """SGD on the bowl, noise of variance 1 in each coordinate: (steps + 1, runs, 2).

    `rates` (steps): the learning rate of each step. The same seed gives the same noise.
    """
    noise = np.random.default_rng(seed).standard_normal((len(rates), runs, 2))
    points = [np.tile(NOISE_START, (runs, 1))]  # (runs, 2) each
    for rate, xi in zip(rates, noise, strict=True):
        points.append(points[-1] - rate * (CURVATURES * points[-1] + xi))
    return np.array(points)


def stationary_variance(rate: float) -> Array:
    """V = rate / (h (2 - rate h)) in each coordinate, for noise of variance 1: (2)."""
    return rate / (CURVATURES * (2 - rate * CURVATURES))


def draw_noise_ball(runs: int, seed: int, steps: int = 300) -> Figure:
    """One run at two learning rates on the bowl, and the mean loss over many runs."""
    figure, (left, right) = plotting.subplots(
        1, 2, width=9.4, height=3.7, gridspec_kw={"width_ratios": [1.25, 1]}
    )
    draw_contours(left, (-0.9, 3.3), (-0.62, 1.15))
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)  # (100, 2)
    for rate, color, dash in ((0.1, plotting.COLORS[5], "--"), (0.02, plotting.COLORS[1], "-")):
        path = noisy_descent(np.full(steps, rate), 1, seed)[:, 0]  # (steps + 1, 2)
        edge = 2 * np.sqrt(stationary_variance(rate)) * circle  # (100, 2)
        left.plot(*path.T, ".-", color=color, linewidth=0.6, markersize=3, label=f"η = {rate:g}")
        left.plot(*edge.T, dash, color="black")
    left.annotate("two standard deviations,\nby the formula", (0.42, 0.06), (1.05, -0.5),
                  fontsize=8, arrowprops={"arrowstyle": "->"})  # fmt: skip
    left.set(title=f"one run of {steps} steps at each rate")
    left.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.03, 0.99))
    lowered = np.where(np.arange(steps) < 60, 0.1, 0.02)
    plans = {"η = 0.1": np.full(steps, 0.1), "η = 0.02": np.full(steps, 0.02),
             "η = 0.1, from step 60 on 0.02": lowered}  # fmt: skip
    for i, (label, plan) in enumerate(plans.items()):
        loss = bowl(noisy_descent(plan, runs, seed)).mean(axis=1)  # (steps + 1)
        right.semilogy(loss, label=label, **plotting.look(i))
    for rate in (0.1, 0.02):
        level = (CURVATURES * stationary_variance(rate)).sum() / 2
        right.axhline(level, color="0.3", linewidth=0.8, linestyle=":")
        right.text(steps, level * 0.94, f"theory: {level:.4f}", ha="right", va="top", fontsize=8)
    right.set(title=f"mean loss of {runs} runs", xlabel="step", ylabel="f", ylim=(0.007, 12))
    right.legend(fontsize=8, loc="upper right")
    return figure
