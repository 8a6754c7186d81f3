"""The figures of the chapter's text on generalisation; `draw_figures.py` writes them.

Bias and variance of polynomials of growing degree, measured over many data sets; the geometry of
the L1 and the L2 penalty; and which elements of a batch each normalisation averages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

# --- Bias and variance, measured ---
DEGREES = range(0, 18)
POINTS, NOISE = 24, 0.5


def truth(x: Array) -> Array:
    return np.sin(2.5 * x) + 0.5 * x


def polynomial_fits(degree: int, targets: Array, x: Array) -> Array:
    """Least-squares polynomials through each row of `targets` (R, POINTS), evaluated at x: (R, M).

    The inputs are the same POINTS places on [-2, 2] in every draw; only the noise changes.
    """
    basis = np.polynomial.legendre.legvander  # polynomials on [-1, 1] that keep lstsq accurate
    inputs = np.linspace(-2, 2, POINTS)
    weights, *_ = np.linalg.lstsq(basis(inputs / 2, degree), targets.T, rcond=None)
    return (basis(x / 2, degree) @ weights).T  # (degree + 1, R) -> (R, M)


def bias_variance(draws: int, seed: int, x: Array) -> dict[str, Array]:
    """Squared bias, variance and mean squared error against the truth, one value a degree."""
    generator = np.random.default_rng(seed)
    clean = truth(np.linspace(-2, 2, POINTS))
    targets = clean + NOISE * generator.normal(size=(draws, POINTS))  # (R, POINTS)
    parts: dict[str, list[float]] = {"bias²": [], "variance": [], "error": []}
    for degree in DEGREES:
        fits = polynomial_fits(degree, targets, x)  # (R, M)
        parts["bias²"].append(np.mean((fits.mean(axis=0) - truth(x)) ** 2))
        parts["variance"].append(np.mean(fits.var(axis=0)))
        parts["error"].append(np.mean((fits - truth(x)) ** 2))
    return {name: np.array(values) for name, values in parts.items()}


def draw_bias_variance(draws: int, seed: int) -> Figure:
    """Fits of three degrees to twelve data sets, and the two parts of the error by degree."""
    x = np.linspace(-2, 2, 201)
    figure, axes = plotting.subplots(
        1, 4, width=10.5, height=3.3, gridspec_kw={"width_ratios": [1, 1, 1, 1.7]}
    )
    noise = NOISE * np.random.default_rng(seed).normal(size=(12, POINTS))
    targets = truth(np.linspace(-2, 2, POINTS)) + noise
    for ax, degree in zip(axes, (1, 5, 17), strict=False):
        ax.plot(x, polynomial_fits(degree, targets, x).T, color="0.65", linewidth=0.7)
        ax.plot(x, truth(x), color=plotting.COLORS[1], linewidth=2)
        ax.set(title=f"degree {degree}", xlabel="x", ylim=(-3.2, 3.2))
    axes[0].set_ylabel("truth (orange), 12 fits (grey)")
    parts = bias_variance(draws, seed, x)
    for name, style in (("bias²", "o-"), ("variance", "^--")):
        axes[3].semilogy(DEGREES, parts[name], style, markersize=3, label=name)
    total = parts["error"] + NOISE**2
    axes[3].semilogy(DEGREES, total, "ks-", markersize=3, label="bias² + variance + noise")
    axes[3].axhline(NOISE**2, color="0.5", linestyle=":", linewidth=1, label="noise")
    axes[3].set(title=f"mean over {draws} data sets", xlabel="degree", ylabel="squared error")
    axes[3].set(ylim=(2e-3, 80), xticks=range(0, 18, 4))
    axes[3].legend(fontsize=8, loc="upper center")
    return figure


# --- L1 and L2 ---
LOSS_MINIMUM = np.array([0.45, 1.6])
LOSS_HESSIAN = np.array([[1.0, 0.3], [0.3, 1.0]])


def quadratic_loss(w: Array) -> Array:
    """(w - w*)^T H (w - w*) / 2 for points w (..., 2)."""
    gap = w - LOSS_MINIMUM
    return np.einsum("...i,ij,...j->...", gap, LOSS_HESSIAN, gap) / 2


def ball_boundary(power: int, radius: float, count: int = 40_001) -> Array:
    """Points (count, 2) with |w_1|^p + |w_2|^p = radius^p; the corners of p = 1 are among them."""
    angle = np.linspace(0, 2 * np.pi, count)
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (count, 2)
    directions[np.abs(directions) < 1e-9] = 0
    length = (np.abs(directions) ** power).sum(axis=1, keepdims=True) ** (1 / power)
    return radius * directions / length


def constrained_minimum(power: int, radius: float) -> Array:
    """The best point of the ball by trying its boundary, since the free minimum lies outside."""
    boundary = ball_boundary(power, radius)
    return boundary[np.argmin(quadratic_loss(boundary))]


def penalised_minimum(penalty: str, strength: float, rounds: int = 200) -> Array:
    """Minimum of loss + strength |w|_1 ("l1", coordinate descent) or + strength |w|^2 / 2."""
    curvature = LOSS_HESSIAN @ LOSS_MINIMUM  # (2,)
    if penalty == "l2":
        return np.linalg.solve(LOSS_HESSIAN + strength * np.eye(2), curvature)
    w = LOSS_MINIMUM.copy()
    for index in list(range(2)) * rounds:  # each coordinate alone has the soft threshold as answer
        other = 1 - index
        free = curvature[index] - LOSS_HESSIAN[index, other] * w[other]
        shrunk = np.sign(free) * max(abs(free) - strength, 0)
        w[index] = shrunk / LOSS_HESSIAN[index, index]
    return w


def draw_l1_l2() -> Figure:
    """The two balls with the loss contour that touches them, and the weights by penalty."""
    figure, axes = plotting.subplots(1, 3, width=10.5, height=3.9)
    for ax, power, name in ((axes[0], 1, "L1 ball"), (axes[1], 2, "L2 ball")):
        _draw_ball(ax, power, name)
    strengths = np.linspace(0, 3, 121)
    for penalty, styles in (("l1", ("-", "-.")), ("l2", ("--", ":"))):
        path = np.array([penalised_minimum(penalty, s) for s in strengths])  # (121, 2)
        for index in range(2):
            label = f"{penalty.upper()}: θ{'₁₂'[index]}"
            axes[2].plot(
                strengths, path[:, index], styles[index], color=plotting.COLORS[index], label=label
            )
    axes[2].axhline(0, color="0.4", linewidth=0.8)
    axes[2].set(title="minimum of loss + penalty", xlabel="penalty λ", ylabel="weight")
    axes[2].legend(fontsize=8)
    return figure


def _draw_ball(ax: Axes, power: int, name: str) -> None:
    best = constrained_minimum(power, 1.0)
    grid = np.stack(np.meshgrid(np.linspace(-1.5, 2, 200), np.linspace(-1.5, 2.6, 200)), axis=-1)
    touching = quadratic_loss(best)
    levels = np.array([0.15, 0.5, 1.0, 1.9, 3.0]) * touching
    ax.contour(*np.moveaxis(grid, -1, 0), quadratic_loss(grid), levels, colors="0.7")
    ax.fill(*ball_boundary(power, 1.0, 401).T, alpha=0.35, color=plotting.COLORS[0])
    ax.plot(*LOSS_MINIMUM, "k*", markersize=10, label="least loss")
    ax.plot(*best, "o", color=plotting.COLORS[1], markersize=8, label="least loss in the ball")
    ax.set(title=f"{name}: ({best[0]:.2f}, {best[1]:.2f})", xlabel="θ₁", ylabel="θ₂")
    ax.set(aspect="equal", xlim=(-1.4, 1.9), ylim=(-2.0, 2.5))  # room for the legend
    ax.legend(fontsize=8, loc="lower right")


# --- What a normalisation averages ---
# Grid of the drawing: (B samples, C channels, positions of an H x W picture).
SAMPLES, CHANNELS, SIDE, GROUPS = 3, 4, 3, 2
NORMS = {
    "batch": "BatchNorm: B, H, W",
    "instance": "InstanceNorm: H, W",
    "layer": "LayerNorm over C, H, W",
    "group": "GroupNorm, 2 groups: C/2, H, W",
    "layer_c": "LayerNorm over C",
    "rms": "RMSNorm over C, no mean",
}


def averaged_with(kind: str, sample: int, channel: int, row: int, col: int) -> Array:
    """Mask (B, C, H, W) of the elements that share the statistics of the given one."""
    n, c, h, w = np.indices((SAMPLES, CHANNELS, SIDE, SIDE))  # each (B, C, H, W)
    same_place = (h == row) & (w == col)
    size = CHANNELS // GROUPS
    return {
        "batch": c == channel,
        "instance": (n == sample) & (c == channel),
        "layer": n == sample,
        "group": (n == sample) & (c // size == channel // size),
        "layer_c": (n == sample) & same_place,
        "rms": (n == sample) & same_place,
    }[kind]


def draw_norm_axes() -> Figure:
    """A table of small pictures, samples down and channels across; the coloured pixels share."""
    figure, axes = plotting.subplots(2, 3, width=9.6, height=6.4)
    for ax, (kind, title) in zip(axes.flat, NORMS.items(), strict=True):
        mask = averaged_with(kind, 1, 1, 1, 1)
        for (n, c, h, w), shared in np.ndenumerate(mask):
            left, top = c * (SIDE + 0.7) + w, n * (SIDE + 0.7) + h
            color = plotting.COLORS[0] if shared else "0.93"
            ax.fill(
                left + np.array([0, 1, 1, 0]),
                top + np.array([0, 0, 1, 1]),
                facecolor=color,
                edgecolor="white",
                linewidth=0.8,
            )
        _label_grid(ax)
        ax.set_title(f"{title}\n{mask.sum()} numbers each, {mask.size // mask.sum()} sets")
    return figure


def _label_grid(ax: Axes) -> None:
    step = SIDE + 0.7
    ax.set_xticks(step * np.arange(CHANNELS) + SIDE / 2, range(1, CHANNELS + 1), fontsize=11)
    ax.set_yticks(step * np.arange(SAMPLES) + SIDE / 2, range(1, SAMPLES + 1), fontsize=11)
    ax.set_xlabel("channel (C)", fontsize=12)
    ax.set_ylabel("sample (B)", fontsize=12)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.grid(False)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
