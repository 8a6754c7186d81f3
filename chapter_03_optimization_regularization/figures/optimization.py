"""The figures of exp_optimization.py: paths, the race, condition numbers, rotation, networks.

Thirteen lines in one panel cannot be told apart, so the optimisers stand in four families; in the
networks' figures Adam is repeated in grey in every other panel, as a measure. An optimiser has one
colour in all figures. In its family it has its own dashes and width as well, the first one the
widest: a line that lies on another does not hide it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.optimization.choices import (
    FAMILIES,
    NAMES,
    VECTOR_NAMES,
)
from chapter_03_optimization_regularization.experiments.optimization.networks import Outcome, smooth
from chapter_03_optimization_regularization.experiments.optimization.quadratics import (
    METHODS,
    theoretical_rate,
    theoretical_steps,
)
from chapter_03_optimization_regularization.experiments.optimization.surfaces import (
    SURFACES,
    Path,
    Surface,
)
from utils import plotting

RACE_NAMES = ("SGD", "momentum", "RMSprop", "Adam", "Lion")
RACE_SURFACES = ("quadratic", "Rosenbrock")
REFERENCE = "Adam"
# Seven readable colours of the course's palette and six darker or paler relatives.
TONES = [*plotting.COLORS[:7], "#5C3A92", "#8C510A", "#6F7D00", "#777777", "#A50F3C", "#00727A"]
TONE = dict(zip([REFERENCE, *(n for n in NAMES if n != REFERENCE)], TONES, strict=True))
WIDTHS = (3.2, 2.0, 1.4, 1.0)


def family_looks() -> Iterator[tuple[int, str, dict[str, Any], str]]:
    """Column, optimiser, line and marker of every optimiser."""
    for column, names in enumerate(FAMILIES.values()):
        for place, name in enumerate(names):
            line = {"color": TONE[name], "linestyle": plotting.DASHES[place], "lw": WIDTHS[place]}
            yield column, name, line, plotting.MARKERS[place]


def column_legend(ax: Any, title: str) -> None:
    """Above the topmost panel: it holds for the whole column."""
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2, "frameon": False}
    ax.legend(fontsize=8, title=title, handlelength=3.2, columnspacing=1.2, **place)


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
        for column, name, line, marker in family_looks():
            if name in VECTOR_NAMES:
                x, y = by_name[name].points.T
                thinner = line | {"lw": 0.7 * line["lw"]}
                row[column].plot(x, y, marker=marker, ms=line["lw"] + 0.6, label=name, **thinner)
        row[0].set_ylabel(f"{surface}\ny")
    for ax, family in zip(axes[0], FAMILIES, strict=True):
        column_legend(ax, "maximum, sign" if "sign" in family else family)  # no matrices here
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
        for i, name in enumerate(RACE_NAMES):
            look = {"color": TONE[name], "linestyle": plotting.DASHES[i]}
            (line,) = ax.plot([], [], lw=1.4, marker=plotting.MARKERS[i], ms=0, **look)
            (head,) = ax.plot([], [], plotting.MARKERS[i], color=TONE[name], ms=6)
            ax.plot([], [], marker=plotting.MARKERS[i], ms=5, label=name, **look)  # the legend's
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
    for i, name in enumerate(counts):
        color, marker = plotting.COLORS[i], plotting.MARKERS[i]
        kappas = list(counts[name])
        means = [np.mean(counts[name][k]) for k in kappas]
        joined = "" if name in METHODS else ":"  # no theory to draw
        left.plot(kappas, means, marker + joined, color=color, ms=5, label=name)
        steps = np.arange(len(decays[name]))
        shown = {"marker": marker, "markevery": 0.08, "ms": 4.5}
        right.plot(steps, decays[name].mean(axis=1), color=color, label=name, **shown)
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
    kinds = {"aligned": ("s", 11, "eigenvectors along the axes"),
             "rotated": ("D", 6, "rotated at random")}  # fmt: skip
    for (kind, (marker, size, label)), color in zip(kinds.items(), plotting.COLORS, strict=False):
        means = [by_kind[kind].mean() for by_kind in shown.values()]
        fill = {"mfc": "none", "mew": 1.8} if kind == "aligned" else {}  # where both are equal
        ax.plot(means, range(len(means)), marker, color=color, ms=size, label=label, **fill)
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
        len(outcomes), len(FAMILIES), width=11.0, height=6.2, sharey="row", squeeze=False
    )
    for row, (network, by_name) in zip(axes, outcomes.items(), strict=True):
        for column, name, line, marker in family_looks():
            ax, curve, best = row[column], by_name[name].curve, by_name[name].rate
            size = 2.5 + line["lw"]
            ax.plot(list(curve), list(curve.values()), marker=marker, ms=size, label=name, **line)
            ring = {"color": line["color"], "mfc": "none", "ms": 6 + 2.5 * line["lw"]}
            ax.plot(best, curve[best], "o", **ring)
            ax.set(xscale="log", yscale="log")
        row[0].set_ylabel(f"{network}: validation loss")
    for ax, family in zip(axes[0], FAMILIES, strict=True):
        column_legend(ax, family)
    for ax in axes[-1]:
        ax.set_xlabel("learning rate")
    return fig


def training_figure(outcomes: dict[str, Outcome], window: int, network: str) -> Any:
    """Training loss over steps (top) and over time (bottom), mean and range of the seeds."""
    fig, axes = plotting.subplots(
        2, len(FAMILIES), width=11.0, height=6.2, sharey=True, squeeze=False
    )
    reference = outcomes[REFERENCE]
    for row, unit in zip(axes, ("step", "time (s)"), strict=True):
        for ax, names in zip(row, FAMILIES.values(), strict=True):
            if REFERENCE not in names:
                ax.plot(*curve(reference, unit, window), color="#AAAAAA", lw=4, label="(Adam)")
        for column, name, line, _ in family_looks():
            ax, (x, _) = row[column], curve(outcomes[name], unit, window)
            losses, dashes = smooth(outcomes[name].losses, window), line["linestyle"]
            plotting.band(ax, x, losses, name, line["color"], linestyle=dashes)
            ax.lines[-1].set_linewidth(line["lw"])
            ax.set(yscale="log", xlabel=unit)
        row[0].set_ylabel(f"{network}: training loss")
    slow = max((o.milliseconds, n) for n, o in outcomes.items() if n != "Muon")[0]
    for ax in axes[1]:  # one scale: Muon's panel would squeeze the others
        ax.set_xlim(0, 1.5 * slow * reference.losses.shape[1] / 1000)
    for ax, family in zip(axes[0], FAMILIES, strict=True):
        column_legend(ax, family)
    return fig


def curve(outcome: Outcome, unit: str, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps or seconds, and the smoothed loss averaged over the seeds: (T,), (T,)."""
    steps = np.arange(1, outcome.losses.shape[1] + 1)
    x = steps if unit == "step" else steps * outcome.milliseconds / 1000
    return x, smooth(outcome.losses, window).mean(axis=0)
