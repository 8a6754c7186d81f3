"""The figures of exp_optimization.py: paths, the race, condition numbers, rotation, networks.

Thirteen lines in one panel cannot be told apart, so the optimisers stand in four families; in the
networks' figures Adam is repeated in grey in every panel, as a measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chapter_03_optimization_regularization.optimization_choices import FAMILIES, VECTOR_NAMES
from chapter_03_optimization_regularization.optimization_networks import Outcome, smooth
from chapter_03_optimization_regularization.optimization_quadratics import (
    METHODS,
    theoretical_rate,
    theoretical_steps,
)
from chapter_03_optimization_regularization.optimization_surfaces import SURFACES, Path, Surface
from utils import plotting

RACE_NAMES = ("SGD", "momentum", "RMSprop", "Adam", "Lion")
RACE_SURFACES = ("quadratic", "Rosenbrock")
LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"]  # readable on white
REFERENCE = "Adam"


def family_colors() -> Iterator[tuple[int, str, str, str]]:
    """Column, family, optimiser and colour of every optimiser."""
    for column, (family, names) in enumerate(FAMILIES.items()):
        for name, color in zip(names, LINES, strict=False):
            yield column, family, name, color


def draw_surface(ax: Any, surface: Surface) -> None:
    """Contour lines of the gap (each a factor of about three), the start and the minima."""
    x0, x1, y0, y1 = surface.window
    x, y = np.meshgrid(np.linspace(x0, x1, 160), np.linspace(y0, y1, 160))
    gap = surface.gap(np.stack([x, y], axis=-1))  # (160, 160)
    ax.contour(x, y, np.log10(gap + 1e-9), np.arange(-2, 4, 0.5), colors="#BBBBBB", linewidths=0.6)
    ax.plot(*surface.start, "s", color="black", ms=4, zorder=5)
    for minimum in surface.minima:
        ax.plot(*minimum, "*", color="#E69F00", mec="black", mew=0.5, ms=10, zorder=5)
    ax.set(xlim=(x0, x1), ylim=(y0, y1))
    ax.grid(False)


def surfaces_figure(paths: dict[str, dict[str, Path]]) -> Any:
    """A row a surface, a column a family."""
    fig, axes = plotting.subplots(len(paths), len(FAMILIES), width=11.0, height=10.0)
    for row, (surface, by_name) in zip(axes, paths.items(), strict=True):
        for ax in row:
            draw_surface(ax, SURFACES[surface])
        for column, family, name, color in family_colors():
            if name not in VECTOR_NAMES:
                continue
            x, y = by_name[name].points.T
            row[column].plot(x, y, ".-", color=color, lw=1.1, ms=2.5, label=name)
            title = "maximum, sign" if "sign" in family else family  # no matrices here
            axes[0, column].set_title(title)
        row[0].set_ylabel(f"{surface}\ny")
    for ax in axes[1]:  # where Beale's function leaves room
        ax.legend(fontsize=8, loc="upper right")
    for ax in axes[-1]:
        ax.set_xlabel("x")
    return fig


def race_frames(paths: dict[str, dict[str, Path]], frames: int) -> Iterator[np.ndarray]:
    """Pictures of the paths as they grow, (H, W, 3) uint8; slow at first, then faster."""
    fig, axes = plotting.subplots(1, 2, width=8.4, height=4.0)
    lines = {}
    for ax, surface in zip(axes, RACE_SURFACES, strict=True):
        draw_surface(ax, SURFACES[surface])
        ax.set(xlabel="x", ylabel="y")
        ax.locator_params(nbins=5)
        for name, color in zip(RACE_NAMES, LINES, strict=True):
            (line,) = ax.plot([], [], color=color, lw=1.4, label=name)
            (head,) = ax.plot([], [], "o", color=color, ms=6)
            lines[surface, name] = line, head
    axes[0].legend(fontsize=8, loc="upper right", ncols=2)
    longest = max(len(p.points) for by_name in paths.values() for p in by_name.values()) - 1
    for step in np.unique(np.geomspace(1, longest, frames).round().astype(int)):
        for (surface, name), (line, head) in lines.items():
            points = paths[surface][name].points[: step + 1]
            line.set_data(*points.T)
            head.set_data(*points[-1:].T)
        for ax, surface in zip(axes, RACE_SURFACES, strict=True):
            ax.set_title(f"{surface}, step {min(step, SURFACES[surface].steps)}")
        yield plotting.figure_to_array(fig)


def condition_figure(
    counts: dict[str, dict[float, np.ndarray]],
    decays: dict[str, np.ndarray],
    kappa: float,
    tolerance: float,
) -> Any:
    """Left: steps to the tolerance over kappa. Right: the distance at one kappa."""
    fig, (left, right) = plotting.subplots(1, 2, width=10.0, height=4.2)
    for name, color in zip(counts, LINES, strict=False):
        kappas = list(counts[name])
        means = [np.mean(counts[name][k]) for k in kappas]
        left.plot(kappas, means, "o" if name in METHODS else "s:", color=color, ms=5, label=name)
        steps = np.arange(len(decays[name]))
        right.plot(steps, decays[name].mean(axis=1), color=color, label=name)
        if name in METHODS:
            left.plot(
                kappas, [theoretical_steps(name, k, tolerance) for k in kappas], "--", c=color
            )
            right.plot(steps, theoretical_rate(name, kappa) ** steps, "--", c=color, lw=1)
    left.plot([], [], "--", color="grey", label="theory")
    left.set(xscale="log", yscale="log", xlabel="condition number")
    left.set_ylabel(f"steps until the distance has shrunk to {tolerance:g}")
    left.legend(fontsize=8)
    right.set(yscale="log", xlabel="step", ylabel="distance to the minimum / at the start")
    right.set(xlim=(0, 1000), ylim=(tolerance, 30), title=f"condition number {kappa:g}")
    return fig


def rotation_figure(steps: dict[str, dict[str, np.ndarray]], limit: int) -> Any:
    """Steps on the axis-aligned and on the rotated quadratic, joined by a line."""
    fig, ax = plotting.subplots(width=7.2, height=3.6)
    shown = {n: {k: np.minimum(v, limit) for k, v in by.items()} for n, by in steps.items()}
    for row, by_kind in enumerate(shown.values()):
        ax.plot([by_kind[k].mean() for k in ("aligned", "rotated")], [row, row], color="grey")
    for (kind, marker), color in zip({"aligned": "s", "rotated": "D"}.items(), LINES, strict=False):
        means = [by_kind[kind].mean() for by_kind in shown.values()]
        label = "eigenvectors along the axes" if kind == "aligned" else "rotated at random"
        ax.plot(means, range(len(means)), marker, color=color, ms=7, label=label)
    ax.axvline(limit, color="grey", ls=":", lw=1)
    ax.set_yticks(range(len(shown)), list(shown))
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel=f"steps at the best learning rate (at the dotted line: > {limit})")
    ax.legend(fontsize=8, loc="lower left")
    return fig


# --- networks ---


def sensitivity_figure(outcomes: dict[str, dict[str, Outcome]]) -> Any:
    """A row a network: validation loss over the learning rate; a ring on the best value."""
    fig, axes = plotting.subplots(
        len(outcomes), len(FAMILIES), width=11.0, height=5.6, sharey="row", squeeze=False
    )
    for row, (network, by_name) in zip(axes, outcomes.items(), strict=True):
        for column, family, name, color in family_colors():
            ax, curve = row[column], by_name[name].curve
            ax.plot(list(curve), list(curve.values()), ".-", color=color, label=name)
            best = by_name[name].rate
            ax.plot(best, curve[best], "o", color=color, mfc="none", ms=9)
            ax.set(xscale="log", yscale="log")
            axes[0, column].set_title(family)
        row[0].set_ylabel(f"{network}: validation loss")
        for ax in row:
            ax.legend(fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("learning rate")
    return fig


def training_figure(outcomes: dict[str, Outcome], window: int, network: str) -> Any:
    """Training loss over steps (top) and over time (bottom), mean and range of the seeds."""
    fig, axes = plotting.subplots(
        2, len(FAMILIES), width=11.0, height=5.6, sharey=True, squeeze=False
    )
    reference = outcomes[REFERENCE]
    for row, unit in zip(axes, ("step", "time (s)"), strict=True):
        for ax in row:
            ax.plot(*curve(reference, unit, window), color="#999999", lw=3, label="(Adam)")
        for column, family, name, color in family_colors():
            x, _ = curve(outcomes[name], unit, window)
            plotting.band(row[column], x, smooth(outcomes[name].losses, window), name, color)
            row[column].set(yscale="log", xlabel=unit)
            if unit == "step":
                row[column].set_title(family)
        row[0].set_ylabel(f"{network}: training loss")
    slow = max((o.milliseconds, n) for n, o in outcomes.items() if n != "Muon")[0]
    for ax in axes[1]:  # one scale: Muon's panel would squeeze the others
        ax.set_xlim(0, 1.5 * slow * reference.losses.shape[1] / 1000)
    for ax in axes[0]:
        ax.legend(fontsize=8)
    return fig


def curve(outcome: Outcome, unit: str, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps or seconds, and the smoothed loss averaged over the seeds: (T,), (T,)."""
    steps = np.arange(1, outcome.losses.shape[1] + 1)
    x = steps if unit == "step" else steps * outcome.milliseconds / 1000
    return x, smooth(outcome.losses, window).mean(axis=0)
