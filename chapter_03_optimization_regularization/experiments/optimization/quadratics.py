"""Quadratics in many dimensions: iterations against the condition number, and what rotation does.

    f(x) = 1/2 x^T A x,   A = Q diag(mu .. L) Q^T,   kappa = L / mu,   minimum 0

A method with fixed coefficients multiplies the part of x along an eigenvector by a polynomial in
the eigenvalue; the slowest part decides. With the best constant coefficients the distance shrinks,
in the long run, by this factor in each step (Polyak 1964; Nesterov 1983; Lessard et al. 2016):

    gradient descent   lr = 2 / (L + mu)                       (kappa - 1) / (kappa + 1)
    heavy ball         lr = (2 / (sqrt L + sqrt mu))^2
                       beta = ((sqrt kappa - 1) / (sqrt kappa + 1))^2    sqrt(beta)
    Nesterov           lr = 1 / L
                       beta = (sqrt kappa - 1) / (sqrt kappa + 1)        1 - 1 / sqrt(kappa)

(For any strongly convex function Nesterov's guarantee is only sqrt(1 - 1 / sqrt(kappa)).)

Conjugate gradients (Hestenes & Stiefel 1952) choose both coefficients anew in each step; in exact
arithmetic they end after as many steps as there are dimensions. Newton's method takes one step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chapter_03_optimization_regularization.experiments.optimization.choices import make_optimizer
from chapter_03_optimization_regularization.experiments.optimization.surfaces import (
    rates_for,
    settled_after,
)
from chapter_03_optimization_regularization.optimizers import SGD
from utils.progress import progress
from utils.results import named_mean_std
from utils.seed import generator

TOLERANCE = 1e-6  # of the distance, against the condition number
DIMENSION = 50
SHOWN_KAPPA = 1000.0
ROTATION_NAMES = ("SGD", "momentum", "Adagrad", "Adadelta", "RMSprop", "Adam", "Lion")
ROTATION_KAPPA = 300.0
ROTATION_TOLERANCE = 1e-4  # of the loss
METHODS = ("gradient descent", "heavy ball", "Nesterov")


def spectrum(kappa: float, dimension: int) -> Tensor:
    """Eigenvalues from 1 / kappa to 1, equally spaced on a logarithmic axis: (D,)."""
    return torch.logspace(-math.log10(kappa), 0, dimension, dtype=torch.float64)


def starts(seeds: Sequence[int], dimension: int) -> Tensor:
    """A standard normal start for each seed: (S, D)."""
    draws = [torch.randn(dimension, dtype=torch.float64, generator=generator(s)) for s in seeds]
    return torch.stack(draws)


def theoretical_rate(method: str, kappa: float) -> float:
    """The factor by which the distance shrinks in each step, in the long run."""
    root = math.sqrt(kappa)
    if method == "gradient descent":
        return (kappa - 1) / (kappa + 1)
    return (root - 1) / (root + 1) if method == "heavy ball" else 1 - 1 / root


def theoretical_steps(method: str, kappa: float, tolerance: float) -> float:
    """Steps to shrink by `tolerance` at exactly that factor."""
    return math.log(tolerance) / math.log(theoretical_rate(method, kappa))


def best_coefficients(method: str, kappa: float) -> dict[str, float | bool]:
    """SGD's options for eigenvalues between 1 / kappa and 1."""
    root = math.sqrt(kappa)
    if method == "gradient descent":
        return {"lr": 2 / (1 + 1 / kappa)}
    momentum = (root - 1) / (root + 1)
    if method == "heavy ball":
        return {"lr": (2 / (1 + 1 / root)) ** 2, "momentum": momentum**2}
    return {"lr": 1.0, "momentum": momentum, "nesterov": True}


def distances(method: str, kappa: float, start: Tensor, tolerance: float) -> np.ndarray:
    """|x_k| / |x_0| for k = 0, 1, ... until all starts (S, D) are within: (steps + 1, S).

    Gradient steps do not know how the axes lie, so A is taken as diagonal.
    """
    eigenvalues = spectrum(kappa, start.shape[1])
    x = start.clone()
    optimizer = SGD([x], **best_coefficients(method, kappa))
    norms = [start.norm(dim=1)]  # (S,) each
    while norms[-1].gt(tolerance * norms[0]).any():
        x.grad = eigenvalues * x  # (S, D)
        optimizer.step()
        norms.append(x.norm(dim=1))
    return (torch.stack(norms) / norms[0]).numpy()


def conjugate_gradients(kappa: float, start: Tensor, tolerance: float) -> np.ndarray:
    """The same distances with conjugate gradients: (steps + 1, S)."""
    eigenvalues = spectrum(kappa, start.shape[1])
    x, residual = start.clone(), -eigenvalues * start  # (S, D): minus the gradient
    direction, norms = residual, [start.norm(dim=1)]
    while norms[-1].gt(tolerance * norms[0]).any():
        image = eigenvalues * direction
        square = residual.square().sum(dim=1, keepdim=True)  # (S, 1)
        length = square / (direction * image).sum(dim=1, keepdim=True)
        x = x + length * direction
        residual = residual - length * image
        direction = residual + residual.square().sum(dim=1, keepdim=True) / square * direction
        norms.append(x.norm(dim=1))
    return (torch.stack(norms) / norms[0]).numpy()


def steps_needed(distance: np.ndarray, tolerance: float) -> np.ndarray:
    """First step within the tolerance, for each start: (steps + 1, S) -> (S,)."""
    return (distance <= tolerance).argmax(axis=0)


def measured_rate(distance: np.ndarray) -> float:
    """The factor a step over the second half of the run, averaged over the starts."""
    half = len(distance) // 2
    tail = np.log(distance[half:]).mean(axis=1)  # (steps,)
    slope = np.polyfit(np.arange(len(tail)), tail, 1)[0]
    return float(np.exp(slope))


# --- rotation ---


def rotation(dimension: int, seed: int) -> Tensor:
    """A random orthogonal matrix, (D, D)."""
    normal = torch.randn(
        dimension, dimension, dtype=torch.float64, generator=generator(10_000 + seed)
    )
    q, r = torch.linalg.qr(normal)
    return q * r.diagonal().sign()  # without the signs it would not be uniform (Mezzadri 2007)


def settling_steps(
    name: str, matrices: Tensor, start: Tensor, rates: Sequence[float], steps: int, tolerance: float
) -> np.ndarray:
    """Steps until f stays below tolerance * f(x_0): (R, S), inf where it never does.

    `matrices` (S, D, D) and `start` (S, D): a quadratic for each seed. All rates run at once.
    """
    points = [start.clone() for _ in rates]
    groups = [{"params": [p], "lr": rate} for p, rate in zip(points, rates, strict=True)]
    optimizer = make_optimizer(name, groups, lr=1.0)
    losses = []
    for _ in range(steps + 1):
        here = torch.stack(points)  # (R, S, D)
        gradients = torch.einsum("sij,rsj->rsi", matrices, here)  # (R, S, D)
        losses.append((here * gradients).sum(dim=2) / 2)  # (R, S)
        for p, gradient in zip(points, gradients, strict=True):
            p.grad = gradient
        optimizer.step()
    relative = (torch.stack(losses) / losses[0]).numpy()  # (steps + 1, R, S)
    return np.apply_along_axis(settled_after, 0, relative, tolerance)


def run_condition(seeds: list[int], kappas: list[float]) -> tuple[dict, dict, dict]:
    """Steps and decay rates by method and condition number, and the distances at SHOWN_KAPPA."""
    start = starts(seeds, DIMENSION)
    counts: dict[str, dict] = {name: {} for name in (*METHODS, "conjugate gradients")}
    rates: dict[str, dict] = {name: {} for name in METHODS}
    decays = {}
    for kappa in progress(kappas, "condition numbers"):
        for name in counts:
            if name in rates:
                distance = distances(name, kappa, start, TOLERANCE)
                rates[name][kappa] = measured_rate(distance)
            else:
                distance = conjugate_gradients(kappa, start, TOLERANCE)
            counts[name][kappa] = steps_needed(distance, TOLERANCE)
            if kappa == SHOWN_KAPPA:
                decays[name] = distance
    return counts, rates, decays


def run_rotation(seeds: list[int], steps: int) -> dict[str, dict[str, dict[str, Any]]]:
    """By optimiser, aligned and rotated: the best rate and the steps of each seed."""
    start = starts(seeds, DIMENSION)  # (S, D)
    diagonal = torch.diag(spectrum(ROTATION_KAPPA, DIMENSION))
    turn = torch.stack([rotation(DIMENSION, seed) for seed in seeds])  # (S, D, D)
    problems = {
        "aligned": (diagonal.expand_as(turn), start),
        # The start turns too: the same picture, seen from another side.
        "rotated": (turn @ diagonal @ turn.mT, torch.einsum("sij,sj->si", turn, start)),
    }
    results: dict[str, dict] = {}
    for name in progress(ROTATION_NAMES, "rotation"):
        rates, results[name] = rates_for(name), {}
        for kind, (matrices, point) in problems.items():
            settled = settling_steps(
                name, matrices, point, rates, steps, ROTATION_TOLERANCE
            )  # (R, S)
            best = int(settled.mean(axis=1).argmin())
            edge = best in (0, len(rates) - 1)
            results[name][kind] = {"lr": rates[best], "at_edge": edge, "steps": settled[best]}
            # A seed that never settles: inf, and no spread.
            results[name][kind] |= named_mean_std(settled[best])
    return results
