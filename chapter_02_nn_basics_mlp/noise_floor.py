"""How good can a fit of noisy points be? The noise-limited optimum of mlp.py.

What you learn: noise sets a floor under the error, and the floor can be computed. Given n points
y_i = f(x_i) + sigma e_i, a *linear smoother* predicts a weighted sum of the observations,

    f_hat(x) = s(x)^T y.

The noise has mean 0 and variance sigma^2, so the expected squared error against the truth is

    E (f_hat(x) - f(x))^2 = (s(x)^T f - f(x))^2  +  sigma^2 |s(x)|^2,      f = (f(x_1), ..., f(x_n))
                            (bias: too stiff)       (variance: follows the noise)

exactly, without a random draw. We take the smoother of Gaussian kernel ridge regression,

    s(x) = (K + r I)^-1 k(x),    k(x)_i = exp(-|x - x_i|^2 / (2 w^2)),    K_ij = k(x_j)_i,

average the expression over a grid of x, and take its minimum over the kernel width w and the ridge
r. That choice of w and r looks at the true f, which no learner can do, so the root of the minimum

    floor = min over (w, r) of sqrt(mean over x of bias^2 + variance)

is what the best member of a very flexible family of estimators reaches *with an oracle's help*. It
falls like sigma sqrt(p / n), with p the number of parameters the curve effectively needs.
An estimator that knows the formula of f, up to its coefficients, could go lower: p is then their
number. A network does not know the formula, so the smoother is the fair yardstick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDTHS = np.geomspace(0.3, 3.0, 13)
RIDGES = np.geomspace(1e-6, 3.0, 14)


@dataclass(frozen=True)
class Floor:
    """The expected RMSE of the best smoother, and how it is made."""

    rmse: float
    width: float
    ridge: float
    effective_parameters: float  # n * mean |s(x)|^2: the p of sigma sqrt(p / n)


def noise_floor(x: np.ndarray, grid: np.ndarray, truth: np.ndarray, f: np.ndarray, noise: float):
    """The oracle's optimum for points x (N, D) with true values f (N,), on grid (G, D), truth (G,).

    One eigendecomposition K = V diag(l) V^T per width serves all ridges.
    """
    best = None
    for width in WIDTHS:
        kernel = gaussian_kernel(x, x, width)  # (N, N)
        eigenvalues, vectors = np.linalg.eigh(kernel)  # (N,), (N, N)
        cross = gaussian_kernel(grid, x, width) @ vectors  # (G, N)
        rotated = vectors.T @ f  # (N,)
        for ridge in RIDGES:
            shrunk = cross / (np.maximum(eigenvalues, 0) + ridge)  # (G, N): s(x)^T V
            bias = shrunk @ rotated - truth  # (G,)
            spread = np.mean(np.sum(shrunk**2, axis=1))  # mean |s(x)|^2: V keeps lengths
            rmse = float(np.sqrt(np.mean(bias**2) + noise**2 * spread))
            if best is None or rmse < best.rmse:
                best = Floor(rmse, float(width), float(ridge), float(len(x) * spread))
    return best


def smooth(floor: Floor, x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The oracle's own prediction on `grid` (G, D) from the noisy points x (N, D), y (N,): (G,)."""
    kernel = gaussian_kernel(x, x, floor.width) + floor.ridge * np.eye(len(x))  # (N, N)
    return gaussian_kernel(grid, x, floor.width) @ np.linalg.solve(kernel, y)


def gaussian_kernel(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """exp(-|a_i - b_j|^2 / (2 width^2)): (N, D), (M, D) -> (N, M)."""
    squared = np.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=-1)  # (N, M)
    return np.exp(-squared / (2 * width**2))
