"""Test surfaces in two dimensions, and the paths that optimisers take on them.

    Rosenbrock   (1 - x)^2 + 100 (y - x^2)^2                a curved valley, minimum (1, 1)
    Beale        (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2
                 + (2.625 - x + xy^3)^2                     plateaus and walls, minimum (3, 0.5)
    quadratic    (x^2 + 100 y^2) / 2                        condition number 100, minimum (0, 0)
    saddle       x^2 / 2 + y^4 / 4 - y^2 / 2                saddle (0, 0), minima (0, 1), (0, -1)

The learning rates of a search run side by side: each is a parameter group with a point of its own.

    paths = trajectories("Adam", SURFACES["Beale"], rates=(0.01, 0.1), steps=500)   # (2, 501, 2)
    best = best_path("Adam", SURFACES["Beale"], rates_for("Adam"), steps=500)

Papers: Rosenbrock 1960; Beale 1958; Dauphin et al. 2014 (saddles in high dimension).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chapter_03_optimization_regularization.experiments.optimization.choices import (
    VECTOR_NAMES,
    make_optimizer,
)
from utils.progress import progress

# 1, 2, 5, 10, ...: about a factor of two apart; each kind of optimiser has its own range.
ALL_RATES = tuple(float(f"{digit}e{power}") for power in range(-4, 2) for digit in (1, 2, 5))
RANGES = {"SGD": (1e-4, 2), "momentum": (1e-4, 5), "Nesterov": (1e-4, 5)}
RANGES |= {"Adagrad": (1e-2, 50), "Adadelta": (1e-2, 50)}
OTHER_RANGE = (1e-3, 5)
STAYS = 20  # steps that a path must stay within the tolerance, to count as arrived


@dataclass(frozen=True)
class Surface:
    """A function f(x, y), where the optimisers start, and what counts as arrived."""

    name: str
    function: Callable[[Tensor, Tensor], Tensor]
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    window: tuple[float, float, float, float]  # x from, x to, y from, y to
    steps: int
    lowest: float = 0.0
    tolerance: float = 1e-4  # of f - lowest

    def gap(self, points: np.ndarray) -> np.ndarray:
        """f - lowest at (..., 2) points -> (...); not-a-number where a path has diverged."""
        x, y = torch.as_tensor(points).unbind(-1)
        return (self.function(x, y) - self.lowest).numpy()


def distance_to_minimum(surface: Surface, point: np.ndarray) -> float:
    """Distance from a point (2,) to the nearest minimum."""
    return float(np.linalg.norm(np.array(surface.minima) - point, axis=1).min())


def rosenbrock(x: Tensor, y: Tensor) -> Tensor:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def beale(x: Tensor, y: Tensor) -> Tensor:
    first, second, third = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    return first**2 + second**2 + third**2


def quadratic(x: Tensor, y: Tensor) -> Tensor:
    return (x**2 + 100 * y**2) / 2


def saddle(x: Tensor, y: Tensor) -> Tensor:
    return x**2 / 2 + y**4 / 4 - y**2 / 2


SURFACES = {
    surface.name: surface
    for surface in (
        Surface("Rosenbrock", rosenbrock, (-1.5, 1.5), ((1, 1),), (-2, 2, -0.7, 2.6), 1000),
        Surface("Beale", beale, (1.0, 1.5), ((3, 0.5),), (-0.3, 4.2, -1.2, 2.2), 500),
        Surface("quadratic", quadratic, (-4.0, 1.0), ((0, 0),), (-4.5, 2, -1.3, 1.3), 300),
        Surface(
            "saddle", saddle, (-1.5, 1e-3), ((0, 1), (0, -1)), (-1.8, 1, -1.4, 1.4), 300, -0.25
        ),
    )
}


def trajectories(
    name: str, surface: Surface, rates: Sequence[float], steps: int, noise: float = 0.0
) -> np.ndarray:
    """The points visited, (R, steps + 1, 2), one path for each learning rate, in float64.

    `noise` is the standard deviation of normal noise added to every gradient.
    """
    points = [torch.tensor(surface.start, dtype=torch.float64) for _ in rates]
    groups = [{"params": [p], "lr": rate} for p, rate in zip(points, rates, strict=True)]
    optimizer = make_optimizer(name, groups, lr=1.0)
    generator = torch.Generator().manual_seed(0)
    visited = [torch.stack(points)]
    for _ in range(steps):
        here = visited[-1].clone().requires_grad_()  # (R, 2)
        (gradients,) = torch.autograd.grad(surface.function(here[:, 0], here[:, 1]).sum(), here)
        if noise:
            gradients += noise * torch.randn(gradients.shape, generator=generator)
        for p, gradient in zip(points, gradients, strict=True):
            p.grad = gradient
        optimizer.step()
        visited.append(torch.stack(points))
    return torch.stack(visited, dim=1).numpy()  # (R, steps + 1, 2)


def settled_after(gaps: np.ndarray, tolerance: float) -> float:
    """The first step from which on every gap of (steps + 1,) is within; inf if there is none.

    A path that only shoots through the tolerance has not arrived: it must stay for STAYS steps.
    """
    outside = np.flatnonzero(~(gaps <= tolerance))  # not-a-number is outside
    first = int(outside[-1]) + 1 if len(outside) else 0
    return float(first) if first + STAYS <= len(gaps) else float("inf")


def rates_for(name: str) -> tuple[float, ...]:
    """The learning rates tried for an optimiser."""
    low, high = RANGES.get(name, OTHER_RANGE)
    return tuple(rate for rate in ALL_RATES if low <= rate <= high)


@dataclass(frozen=True)
class Path:
    """An optimiser's path at its best learning rate."""

    rate: float
    at_edge: bool  # the best rate is the grid's first or last
    points: np.ndarray  # (steps + 1, 2)
    settled: float  # steps to the tolerance, inf if it is not reached
    gap: float  # the largest of the last STAYS steps: a lucky last step does not count
    distance: float  # to the nearest minimum, the largest of the last STAYS steps


def best_path(name: str, surface: Surface, rates: Sequence[float], steps: int) -> Path:
    """The rate that settles in the fewest steps; if none settles, the one that ends lowest."""
    paths = trajectories(name, surface, rates, steps)
    gaps = surface.gap(paths)  # (R, steps + 1)
    settled = [settled_after(row, surface.tolerance) for row in gaps]
    ends = np.nan_to_num(gaps[:, -STAYS:].max(axis=1), nan=np.inf)  # (R,)
    best = min(range(len(rates)), key=lambda r: (settled[r], ends[r]))
    edge = best in (0, len(rates) - 1)
    distance = max(distance_to_minimum(surface, point) for point in paths[best, -STAYS:])
    return Path(rates[best], edge, paths[best], settled[best], float(ends[best]), distance)


def run_surfaces(quick: bool) -> dict[str, dict[str, Path]]:
    """The best path of every optimiser on every surface."""
    every, shorter = (3, 3) if quick else (1, 1)
    return {
        surface.name: {
            name: best_path(name, surface, rates_for(name)[::every], surface.steps // shorter)
            for name in VECTOR_NAMES
        }
        for surface in progress(SURFACES.values(), "surfaces")
    }
