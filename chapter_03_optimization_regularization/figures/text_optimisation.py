"""The drawings of the text on optimisation: the valley, the heavy ball, the schedules.

Nothing is sketched: every line is computed. `draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chapter_03_optimization_regularization import schedulers
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray

# --- The valley: f(x) = (h_1 x_1^2 + h_2 x_2^2) / 2 ---
CURVATURES = np.array([1.0, 30.0])  # h_1, h_2: condition number 30
START = np.array([-10.0, 1.6])
BETA = 0.6


def heavy_ball(curvatures: Array, start: Array, rate: float, beta: float, steps: int) -> Array:
    """Positions (steps + 1, D) of x <- x - rate h x + beta (x - previous x); beta = 0: descent."""
    path = [start, start]
    for _ in range(steps):
        path.append(path[-1] - rate * curvatures * path[-1] + beta * (path[-1] - path[-2]))
    return np.array(path[1:])  # (steps + 1, D)


def draw_valley(steps: int = 40) -> Figure:
    """Both paths on the contours, and the distance to the minimum over the steps."""
    rate = 2 / CURVATURES.sum()  # the best of gradient descent: both directions shrink alike
    paths = {
        f"gradient descent, η = {rate:.4f}": heavy_ball(CURVATURES, START, rate, 0.0, steps),
        f"the same η, momentum β = {BETA:g}": heavy_ball(CURVATURES, START, rate, BETA, steps),
    }
    figure, (left, right) = plotting.subplots(
        1, 2, width=9.4, height=3.6, gridspec_kw={"width_ratios": [1.7, 1]}
    )
    x, y = np.meshgrid(np.linspace(-11, 2, 200), np.linspace(-2.2, 2.6, 160))
    loss = (CURVATURES[0] * x**2 + CURVATURES[1] * y**2) / 2
    left.contour(x, y, loss, levels=np.geomspace(1, 130, 9), colors="0.75", linewidths=0.8)
    for (label, path), marker in zip(paths.items(), "os", strict=True):
        left.plot(*path.T, f"{marker}-", markersize=3, linewidth=1.1, label=label)
        right.semilogy(np.linalg.norm(path, axis=1), f"{marker}-", markersize=2.5)
    left.plot(0, 0, "k*", markersize=10)
    left.set(title="a valley 30 times as steep across as along", xlabel="θ₁", ylabel="θ₂")
    left.legend(fontsize=8, loc="upper right")
    right.set(title="how far from the minimum", xlabel="step", ylabel="distance ‖θ‖")
    return figure


# --- For which step size and momentum it converges ---


def spectral_radius(eta_h: Array, beta: Array) -> Array:
    """Largest |eigenvalue| of [[1 + beta - eta h, -beta], [1, 0]]; both arguments broadcast.

    Below 1 the heavy ball converges along an eigenvector of curvature h, by this factor a step.
    """
    half = (1 + beta - eta_h) / 2  # the eigenvalues are half ± sqrt(half^2 - beta)
    root = np.sqrt((half**2 - beta).astype(complex))
    return np.maximum(np.abs(half + root), np.abs(half - root))


def draw_momentum_regions() -> Figure:
    """The factor per step over (eta h, beta), and along lines of constant beta."""
    eta_h, beta = np.linspace(0, 4.2, 211), np.linspace(0, 0.999, 151)
    figure, (left, right) = plotting.subplots(1, 2, width=9.4, height=3.8)
    radius = spectral_radius(eta_h[None, :], beta[:, None])  # (151, 211)
    shown = np.where(radius < 1, radius, np.nan)
    filled = left.contourf(eta_h, beta, shown, levels=np.linspace(0, 1, 11), cmap="viridis_r")
    figure.colorbar(filled, ax=left, label="factor per step (largest |eigenvalue|)")
    left.plot(2 * (1 + beta), beta, "k")
    left.plot(eta_h, (1 - np.sqrt(eta_h)) ** 2, color="black", linewidth=4)  # the line's edges
    left.plot(eta_h, (1 - np.sqrt(eta_h)) ** 2, color="white", linewidth=2)
    left.set(
        title="where the heavy ball converges", xlabel="s = η × curvature", ylabel="momentum β"
    )
    left.set(xlim=(0, 4.2), ylim=(0, 1))
    note = {"ha": "center", "fontsize": 9}
    left.text(3.5, 0.25, "diverges", **note)
    left.text(2.72, 0.55, "limit: s = 2 (1 + β)", rotation=59, color="white", **note)
    pale = {"boxstyle": "round", "fc": "white", "ec": "none", "alpha": 0.85}
    arrow = {"arrowstyle": "->", "color": "white"}
    left.annotate("best β = (1 - √s)²", (0.16, 0.36), (0.95, 0.55), arrowprops=arrow, bbox=pale,
                  **note)  # fmt: skip
    for i, value in enumerate((0.0, 0.5, 0.9, 0.99)):
        radius = spectral_radius(eta_h, np.array(value))
        right.plot(eta_h, radius, label=f"β = {value:g}", **plotting.look(i))
    right.axhline(1, color="0.4", linewidth=0.8)
    right.set(
        title="along lines of constant β", xlabel="s = η × curvature", ylabel="factor per step"
    )
    right.set(ylim=(0, 1.25), xlim=(0, 4.2))
    right.legend(fontsize=8, loc="lower right")
    return figure


# --- Schedules ---
STEPS, PEAK = 1000, 1.0


class Groups:
    """All that a schedule needs of an optimizer: a list of groups with a learning rate."""

    def __init__(self) -> None:
        self.param_groups = [{"lr": PEAK, "momentum": 0.9}]


def rates(scheduler: schedulers.Scheduler, metrics: Array | None = None) -> Array:
    """The learning rate of each of STEPS updates; `metrics` (STEPS) shows the plateau."""
    used = []
    for step in range(STEPS):
        used.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.step() if metrics is None else scheduler.step(metrics[step])
    return np.array(used)  # (STEPS,)


def schedule_panels() -> dict[str, dict[str, Array]]:
    """The eight schedules in three panels: name -> rates."""
    # A loss that falls and stops falling twice, to show what the plateau rule reacts to.
    loss = np.interp(np.arange(STEPS), [0, 300, 450, 600, 1000], [1, 0.4, 0.4, 0.25, 0.25])
    plateau = schedulers.ReduceLROnPlateau(Groups(), factor=0.3, patience=60)
    return {
        "falling": {
            "StepLR, every 250": rates(schedulers.StepLR(Groups(), 250, gamma=0.4)),
            "MultiStepLR, 500 and 800": rates(
                schedulers.MultiStepLR(Groups(), [500, 800], gamma=0.2)
            ),
            "ExponentialLR": rates(schedulers.ExponentialLR(Groups(), gamma=0.997)),
        },
        "planned to the last step": {
            "CosineAnnealingLR": rates(schedulers.CosineAnnealingLR(Groups(), STEPS)),
            "CosineWithWarmup, 100": rates(schedulers.CosineWithWarmup(Groups(), 100, STEPS)),
            "OneCycleLR": rates(schedulers.OneCycleLR(Groups(), PEAK, total_steps=STEPS)),
        },
        "open end, or by measurement": {
            "WSD, 100 up, 200 down": rates(schedulers.WSD(Groups(), 100, STEPS, 200)),
            "ReduceLROnPlateau": rates(plateau, loss),
            "the loss it watches": loss,
        },
    }


def draw_schedules() -> Figure:
    figure, axes = plotting.subplots(1, 3, width=10.2, height=3.2, sharey=True)
    for ax, (title, curves) in zip(axes, schedule_panels().items(), strict=True):
        for i, (label, curve) in enumerate(curves.items()):
            look = {"color": "0.6", "linestyle": ":"} if "loss" in label else plotting.look(i)
            ax.plot(curve, label=label, **look)
        ax.set(title=title, xlabel="step", ylim=(-0.03, 1.42))
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
        ax.legend(fontsize=8, loc="upper right")
    axes[0].set_ylabel("learning rate / peak")
    return figure
