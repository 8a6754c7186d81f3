"""Lorenz's attractor: a series that three equations make and that nobody can forecast for long.

    x' = 10 (y - x),    y' = x (28 - z) - y,    z' = x y - (8/3) z             (Lorenz 1963)

Two starts that differ by e are e exp(0.906 t) apart after the time t, until the attractor is no
wider: 0.906 is the largest Lyapunov exponent (Sprott 2003, Chaos and Time-Series Analysis). So
1 / 0.906 = 1.104 is the unit of every forecast here, the Lyapunov time.
"""

from __future__ import annotations

import numpy as np

LYAPUNOV = 0.906  # per unit of time
STEP = 0.05  # time between two rows
SUBSTEPS = 5  # of Runge and Kutta between two rows
SETTLE = 200  # rows thrown away: the way from the start to the attractor


def slope(x: float, y: float, z: float) -> tuple[float, float, float]:
    """The right-hand sides."""
    return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z


def runge_kutta(x: float, y: float, z: float, h: float) -> tuple[float, float, float]:
    """One classical Runge-Kutta step of length h; its error is of the order h^5."""
    a = slope(x, y, z)
    b = slope(x + h / 2 * a[0], y + h / 2 * a[1], z + h / 2 * a[2])
    c = slope(x + h / 2 * b[0], y + h / 2 * b[1], z + h / 2 * b[2])
    d = slope(x + h * c[0], y + h * c[1], z + h * c[2])
    old = x, y, z
    moved = [u + h / 6 * (i + 2 * j + 2 * k + m) for u, i, j, k, m in zip(old, a, b, c, d)]  # noqa: B905
    return moved[0], moved[1], moved[2]


def trajectory(rows: int, seed: int = 0, step: float = STEP) -> np.ndarray:
    """x, y, z every `step` units of time on the attractor: (rows, 3) float64."""
    x, y, z = np.random.default_rng(seed).normal((1.0, 1.0, 25.0)).tolist()
    found = np.empty((rows, 3))
    for row in range(-SETTLE, rows):
        for _ in range(SUBSTEPS):
            x, y, z = runge_kutta(x, y, z, step / SUBSTEPS)
        if row >= 0:
            found[row] = x, y, z
    return found
