"""Drawings of page 5: batches as rectangles, and two ways for the rate to go."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.patches import Rectangle

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_08_transformer_vanilla.training_recipe import NoamLR
from utils import plotting
from utils.seed import generator

LENGTHS = (3, 12, 5, 4, 11, 3, 6, 12, 4, 5, 3, 6)


def draw_batches(seed: int) -> Any:
    """Twelve lines in batches of four as they come, and in batches of at most 24 tokens."""
    fig, axes = plotting.subplots(1, 2, width=9.0, height=3.3)
    mixed = [list(LENGTHS[start : start + 4]) for start in range(0, len(LENGTHS), 4)]
    packed: list[list[int]] = [[]]
    for length in sorted(LENGTHS):
        if length * (len(packed[-1]) + 1) > 24:
            packed.append([])
        packed[-1].append(length)
    titles = ("four lines a batch, as they come", "at most 24 tokens a batch, sorted")
    for ax, batches, title in zip(axes, (mixed, packed), titles, strict=True):
        top, real, full = 0.0, 0, 0
        for batch in batches:
            longest = max(batch)
            for place, length in enumerate(batch):
                y = top + place
                ax.add_patch(Rectangle((0, y), length, 0.8, facecolor="0.35"))
                ax.add_patch(Rectangle((length, y), longest - length, 0.8, facecolor="white",
                                       edgecolor="0.5", hatch="////", linewidth=0.5))  # fmt: skip
            real, full, top = real + sum(batch), full + longest * len(batch), top + len(batch) + 1
        ax.set(xlim=(0, 13), ylim=(top, -0.5), xlabel="tokens", yticks=[],
               title=f"{title}: {100 * (1 - real / full):.0f} % padding")  # fmt: skip
        ax.grid(False)
    axes[0].set_ylabel("lines, batch by batch")
    return fig


def draw_rates(seed: int) -> Any:
    """Noam and cosine with the same warm-up and peak, over 10,000 steps."""
    fig, ax = plotting.subplots(width=6.2, height=3.0)
    steps, warmup = 10_000, 1_000
    for place, (name, make) in enumerate(
        {
            "Noam": lambda optimizer: NoamLR(optimizer, warmup),
            "cosine": lambda optimizer: CosineWithWarmup(optimizer, warmup, steps),
        }.items()
    ):
        weight = torch.nn.Parameter(torch.zeros(1))
        schedule = make(torch.optim.SGD([weight], lr=2e-3))
        rates = [schedule.lr_at(2e-3, step) for step in range(steps)]
        ax.plot(range(1, steps + 1), rates, label=name, linestyle=plotting.DASHES[place])
    ax.axvline(warmup, linestyle=":", color="0.4")
    ax.text(warmup * 1.06, 0.0, "end of the warm-up", fontsize=8, color="0.3")
    ax.set(xlabel="step", ylabel="learning rate")
    ax.legend()
    return fig


def draw_averaging(seed: int) -> Any:
    """SGD with noise in a bowl: where each of the last points is, and where their mean is."""
    fig, ax = plotting.subplots(width=4.4, height=3.6)
    random = generator(seed)
    rate, point, points = 0.25, torch.tensor([3.0, 2.0]), []
    for _ in range(60):
        slope = torch.tensor([1.0, 2.5]) * point + torch.randn(2, generator=random)
        point = point - rate * slope
        points.append(point.clone())
    path = torch.stack(points).numpy()  # (60, 2)
    x, y = np.meshgrid(np.linspace(-2, 3.2, 60), np.linspace(-1.6, 2.2, 60))
    ax.contour(x, y, x**2 + 2.5 * y**2, levels=8, colors="0.75", linewidths=0.8)
    ax.plot(*path.T, color="0.5", linewidth=0.8, marker=".", markersize=3, label="steps")
    last = path[-20:]
    ax.plot(*last.T, "o", color="black", markersize=4, linestyle="none", label="the last 20")
    ax.plot(*last.mean(0), marker="X", markersize=11, color="black", markerfacecolor="white",
            linestyle="none", label="their mean")  # fmt: skip
    ax.set(xlabel="weight 1", ylabel="weight 2", xlim=(-2, 3.2), ylim=(-1.6, 2.2))
    ax.legend(fontsize=8)
    return fig
