"""The figure of the text on clipping: what each kind does to a gradient, and what clipping is for.

`draw_figures.py` writes it. The gradients go through the chapter's own clip_grad_value_ and
clip_grad_norm_.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from chapter_03_optimization_regularization.regularization.penalties import (
    clip_grad_norm_,
    clip_grad_value_,
)
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

CLIPS = {"value": clip_grad_value_, "norm": clip_grad_norm_}
ANGLES, LENGTH = (5, 25, 45, 65, 85), 2.4  # of the gradients drawn; degrees
# The cliff: f(x) = cosh(x) - 1, whose curvature is at most 1 + |f'(x)|.
START = 5.5


def clipped(gradient: Array, kind: str, limit: float = 1.0) -> Array:
    """The gradient (D,) after clipping by "value" or by "norm"."""
    parameter = torch.nn.Parameter(torch.zeros(len(gradient), dtype=torch.float64))
    parameter.grad = torch.tensor(gradient, dtype=torch.float64)
    CLIPS[kind](parameter, limit)
    return parameter.grad.numpy()


def degrees(gradient: Array) -> float:
    """The angle of a gradient (2,) to the first axis."""
    return float(np.degrees(np.arctan2(gradient[1], gradient[0])))


def descend(rate: float, limit: float | None, steps: int) -> Array:
    """Positions (steps + 1,) of gradient descent on the cliff, clipped by norm or (None) not."""
    path = [START]
    for _ in range(steps):
        gradient = np.sinh([np.clip(path[-1], -700, 700)])  # (1,); beyond 700 it overflows
        gradient = gradient if limit is None else clipped(gradient, "norm", limit)
        path.append(path[-1] - rate * gradient[0])
    return np.array(path)


def draw_clipping() -> Figure:
    """By value, by norm, and gradient descent down a cliff with and without clipping."""
    figure, axes = plotting.subplots(
        1, 3, width=10.4, height=3.6, gridspec_kw={"width_ratios": [1, 1, 1.3]}
    )
    for ax, kind in zip(axes, CLIPS, strict=False):
        _draw_fan(ax, kind)
    _draw_cliff(axes[2])
    return figure


def _draw_fan(ax: Axes, kind: str) -> None:
    """Gradients of one length, what clipping makes of them, and the region they end in."""
    angle = np.radians(np.linspace(0, 360, 361))
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, 361)
    region = circle / np.abs(circle).max(axis=0) if kind == "value" else circle
    ax.fill(*region, color="0.9", zorder=0)
    for i, start in enumerate(ANGLES):
        gradient = LENGTH * np.array([np.cos(np.radians(start)), np.sin(np.radians(start))])
        after = clipped(gradient, kind)
        long, short = {"color": "0.55", "linestyle": ":"}, {"color": plotting.COLORS[1], "lw": 2}
        ax.plot(*zip((0, 0), gradient, strict=True), **long, label=None if i else "gradient")
        ax.plot(*zip((0, 0), after, strict=True), **short, label=None if i else "clipped")
        ax.plot(*after, "o", color=plotting.COLORS[1], markersize=4)
        place = gradient * 1.1
        ax.text(*place, f"{start}° → {degrees(after):.0f}°", fontsize=8, ha="left", va="center")
    ax.set(title=f"by {kind}, c = 1", xlabel="g₁", ylabel="g₂", aspect="equal")
    ax.set(xlim=(-0.3, 3.6), ylim=(-0.3, 3.4))
    ax.legend(fontsize=8, loc="upper right")


def _draw_cliff(ax: Axes, steps: int = 40) -> None:
    safe = 1 / np.cosh(START)
    runs = {
        "η = 1, clipped at c = 1": (1.0, 1.0),
        f"η = 1/cosh {START:g} = {safe:.3f}, not clipped": (safe, None),
    }
    for i, (label, (rate, limit)) in enumerate(runs.items()):
        distance = np.abs(descend(rate, limit, steps))
        ax.semilogy(np.maximum(distance, 1e-12), label=label, **plotting.look(i))
    wild = np.abs(descend(1.0, None, 2))
    ax.semilogy(wild[:2], "k:x", label="η = 1, not clipped: gone")
    ax.set(title="down the cliff cosh x − 1", xlabel="step", ylabel="distance to the minimum")
    ax.set(ylim=(1e-5, 200))
    ax.legend(fontsize=8, loc="center right")
