"""Small problems whose true answer is known: a curve, a surface, and point clouds in classes.

Each generator has a noise-free twin (`true_curve`, `true_surface`, `spiral_arm`, `moon`): an
experiment can measure the error against the truth, not against the noise. With noise of standard
deviation s, no model can have an expected squared error on new noisy points below s^2.

All arrays are float64, labels int64; the same seed gives the same points.
"""

from __future__ import annotations

import numpy as np

# The hills of `true_surface`: height a, centre (u, v), width w.
HILLS = (
    (1.5, 1.0, 1.0, 0.9),
    (1.0, -1.4, 1.2, 0.7),
    (-1.3, -0.6, -1.2, 0.8),
    (0.8, 1.6, -1.3, 0.6),
)
CURVE_RANGE = (-np.pi, np.pi)
SURFACE_RANGE = (-3.0, 3.0)


def true_curve(x: np.ndarray) -> np.ndarray:
    """f(x) = sin(x) + 0.4 sin(3x): one period on [-pi, pi], any shape in and out."""
    return np.sin(x) + 0.4 * np.sin(3 * x)


def sine_curve(
    n: int = 200,
    noise: float = 0.1,
    seed: int = 0,
    low: float = CURVE_RANGE[0],
    high: float = CURVE_RANGE[1],
) -> tuple[np.ndarray, np.ndarray]:
    """y = f(x) + noise e with x uniform on [low, high], e standard normal: x (n, 1), y (n, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, high, (n, 1))
    return x, true_curve(x) + noise * rng.standard_normal((n, 1))


def true_surface(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """f(x, y) = sum over HILLS of a exp(-((x-u)^2 + (y-v)^2) / (2 w^2)): three peaks and a pit."""
    return sum(a * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * w**2)) for a, u, v, w in HILLS)


def noisy_surface(
    n: int = 1000,
    noise: float = 0.05,
    seed: int = 0,
    low: float = SURFACE_RANGE[0],
    high: float = SURFACE_RANGE[1],
) -> tuple[np.ndarray, np.ndarray]:
    """z = f(x, y) + noise e at uniform points of [low, high]^2: points (n, 2), z (n, 1)."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(low, high, (n, 2))
    z = true_surface(points[:, :1], points[:, 1:])  # (n, 1)
    return points, z + noise * rng.standard_normal((n, 1))


def spiral_arm(t: np.ndarray, arm: int, classes: int = 3, turns: float = 0.75) -> np.ndarray:
    """Arm k at t in [0, 1]: radius t, angle 2 pi (turns t + k / classes). t (N,) -> (N, 2)."""
    angle = 2 * np.pi * (turns * t + arm / classes)
    return np.stack([t * np.cos(angle), t * np.sin(angle)], axis=-1)  # (N, 2)


def spiral(
    n_per_class: int = 100,
    classes: int = 3,
    noise: float = 0.03,
    seed: int = 0,
    turns: float = 0.75,
) -> tuple[np.ndarray, np.ndarray]:
    """Intertwined spiral arms, one a class, with normal noise on both coordinates.

    Points (n_per_class * classes, 2) and labels; class by class: shuffle before training.
    """
    rng = np.random.default_rng(seed)
    t = rng.uniform(0.05, 1, (classes, n_per_class))  # from 0.05: the arms meet at 0
    points = np.concatenate([spiral_arm(t[k], k, classes, turns) for k in range(classes)])
    points = points + noise * rng.standard_normal(points.shape)  # (classes * n, 2)
    return points, np.repeat(np.arange(classes), n_per_class)


def moon(t: np.ndarray, which: int) -> np.ndarray:
    """Half circle, a = pi t: (cos a, sin a) or, moon 1, (1 - cos a, 0.5 - sin a). t in [0, 1]."""
    x, y = np.cos(np.pi * t), np.sin(np.pi * t)
    return np.stack([x, y] if which == 0 else [1 - x, 0.5 - y], axis=-1)  # (N, 2)


def two_moons(
    n_per_class: int = 100, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaved half circles with normal noise: points (2 * n_per_class, 2) and labels."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, 1, (2, n_per_class))
    points = np.concatenate([moon(t[0], 0), moon(t[1], 1)])  # (2 n, 2)
    return points + noise * rng.standard_normal(points.shape), np.repeat([0, 1], n_per_class)
