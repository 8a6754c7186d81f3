"""The drawings of the page on adaptive methods: Adam's bias correction, and Adam in a bowl.

Nothing is sketched: the chapter's own Adam makes every step. `draw_figures.py` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from chapter_03_optimization_regularization.optimizers import SGD, Adam
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray
BETA1, BETA2 = 0.9, 0.999
CURVATURES = (1.0, 100.0)
START = (-4.0, 1.0)  # in the basis of the eigenvectors
ADAM_RATE = 0.2


# --- Bias correction ---


def moments(gradients: Array) -> tuple[Array, Array]:
    """Adam's m and v after each of the gradients (T) of one weight: (T), (T)."""
    p = torch.zeros((), dtype=torch.float64)
    optimizer = Adam([p], betas=(BETA1, BETA2))
    kept = []
    for gradient in gradients:
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        state = optimizer.state[p]
        kept.append((state["exp_avg"].item(), state["exp_avg_sq"].item()))
    m, v = np.array(kept).T
    return m, v


def draw_bias_correction(seed: int, steps: int = 50) -> Figure:
    """m and the corrected m for gradients of mean 1, and the step with and without correction."""
    t = np.arange(1, steps + 1)
    gradients = 1 + 0.5 * np.random.default_rng(seed).standard_normal(steps)
    m, v = moments(gradients)
    m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
    figure, (left, right) = plotting.subplots(1, 2, width=9.4, height=3.5)
    left.plot(t, gradients, "o", color="0.7", markersize=4, label="gradient of the step")
    left.plot(t, m_hat, label="m / (1 - β₁ᵗ)", **plotting.look(0))
    left.plot(t, m, label="m", **plotting.look(1))
    left.axhline(1, color="black", linewidth=0.8, linestyle=":", label="what m should measure")
    left.set(title="running mean, with and without correction", xlabel="step t")
    left.legend(fontsize=8, loc="lower right")
    right.plot(t, m_hat / np.sqrt(v_hat), label="both corrected", **plotting.look(0))
    right.plot(t, m / np.sqrt(v), label="neither corrected", **plotting.look(1))
    right.axhline(1, color="black", linewidth=0.8, linestyle=":")
    right.set(title="length of a step", xlabel="step t", ylabel="in units of the learning rate")
    right.set(ylim=(0, None))
    right.legend(fontsize=8, loc="center right")
    return figure


# --- Adam against gradient descent in the bowl ---


def turned_bowl(degrees: float) -> tuple[Tensor, Tensor]:
    """The Hessian (2, 2) of the bowl, turned, and the start (2), turned with it."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    hessian = turn @ torch.diag(torch.tensor(CURVATURES, dtype=torch.float64)) @ turn.T
    return hessian, turn @ torch.tensor(START, dtype=torch.float64)


def walk(make: Callable, degrees: float, steps: int) -> tuple[Array, Array]:
    """The path (steps + 1, 2) of `make([point])` in the turned bowl, and its losses (steps + 1)."""
    hessian, point = turned_bowl(degrees)
    optimizer, path = make([point]), [point.clone()]
    for _ in range(steps):
        point.grad = hessian @ point
        optimizer.step()
        path.append(point.clone())
    visited = torch.stack(path)  # (steps + 1, 2)
    return visited.numpy(), (visited @ hessian * visited).sum(dim=1).numpy() / 2


def methods() -> list[tuple[str, Callable, dict]]:
    """(label, constructor, look) of gradient descent at its best rate and of Adam."""
    rate = 2 / sum(CURVATURES)
    return [
        (f"gradient descent, η = {rate:.4f}", lambda points: SGD(points, lr=rate),
         {"color": plotting.COLORS[5], "marker": "o"}),
        (f"Adam, η = {ADAM_RATE:g}", lambda points: Adam(points, lr=ADAM_RATE),
         {"color": plotting.COLORS[1], "marker": "s"}),
    ]  # fmt: skip


def draw_adam_bowl(steps: int = 350, shown: int = 60, turn: float = 30) -> Figure:
    """Both methods in the bowl along the axes, in the bowl turned, and their losses."""
    figure, axes = plotting.subplots(1, 3, width=11, height=3.6)
    for ax, degrees in zip(axes, (0, turn), strict=False):
        hessian = turned_bowl(degrees)[0].numpy()
        x, y = np.meshgrid(np.linspace(-4.6, 1.4, 160), np.linspace(-3.1, 2, 160))
        points = np.stack([x, y], axis=-1)  # (160, 160, 2)
        loss = (points @ hessian * points).sum(axis=-1) / 2  # (160, 160)
        levels = np.geomspace(0.5, 200, 8)
        ax.contour(x, y, loss, levels=levels, colors="0.78", linewidths=0.8)
        for label, make, look in methods():
            path = walk(make, degrees, shown)[0]
            ax.plot(*path.T, **look, markersize=3, linewidth=0.9, label=label)
        ax.plot(0, 0, "k*", markersize=9)
        ax.set(xlabel="θ₁", ylabel="θ₂", aspect="equal")
    axes[0].set(title=f"along the axes, {shown} steps")
    axes[1].set(title=f"turned by {turn:g} degrees")
    axes[0].legend(fontsize=7, loc="lower left")
    descent, adam = (make for _, make, _ in methods())
    lines = (("gradient descent, both", descent, 0), ("Adam, along", adam, 0),
             ("Adam, turned", adam, turn))  # fmt: skip
    for i, (label, make, degrees) in enumerate(lines):
        axes[2].semilogy(walk(make, degrees, steps)[1], label=label, **plotting.look(i))
    axes[2].set(title="the loss", xlabel="step", ylabel="f", ylim=(1e-8, 100))
    axes[2].legend(fontsize=8, loc="upper right")
    return figure
