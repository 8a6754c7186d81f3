"""Draws the three figures of the chapter's text.

What you learn to see: a ReLU layer on one input is a sum of hinges (`hinges.svg`); a hidden layer
folds the plane until a line separates XOR (`xor_fold.svg`); composing a two-unit layer with itself
doubles the teeth of a sawtooth each time (`sawtooth.svg`, Telgarsky 2016).

Command: `python chapter_02_nn_basics_mlp/figures.py`. Two seconds; nothing is trained: every
weight is chosen by hand or by the interpolation formula of the README's section 3.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import numpy as np

from utils import cli, plotting
from utils.datasets.toy import true_curve
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BENDS = np.array([-np.pi, -2.4, -1.6, -0.7, 0.7, 1.6, 2.4])  # where each hidden unit starts
XOR_POINTS = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
XOR_CLASSES = np.array([0, 0, 1, 1])


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def hinge_weights(bends: np.ndarray, end: float) -> np.ndarray:
    """Output weights that make the sum of hinges meet the curve at every bend and at `end`.

    The weight of a unit is the change of slope at its bend (README, section 3).
    """
    values = true_curve(np.append(bends, end))  # (m + 1,)
    slopes = np.diff(values) / np.diff(np.append(bends, end))  # (m,)
    return np.diff(slopes, prepend=0)


def draw_hinges() -> Figure:
    """The hidden units one by one, and their sum beside the curve it follows."""
    x = np.linspace(-np.pi, np.pi, 601)
    weights = hinge_weights(BENDS, np.pi)
    hinges = weights[:, None] * relu(x - BENDS[:, None])  # (m, 601)
    offset = true_curve(BENDS[0])
    figure, (left, right) = plotting.subplots(1, 2, width=8.4, height=3.3)
    for i, (bend, weight, hinge) in enumerate(zip(BENDS, weights, hinges, strict=True)):
        left.plot(x, hinge, label=f"{weight:+.2f} · ReLU(x {-bend:+.2f})", **plotting.look(i))
    left.set(title="seven hidden units, each times its weight", xlabel="x", ylabel="contribution")
    left.set_ylim(-9.5, 17)
    left.legend(fontsize=7, loc="upper left", ncols=2)
    right.plot(x, true_curve(x), color="0.6", label="curve to follow")
    right.plot(x, offset + hinges.sum(axis=0), color=plotting.COLORS[0], label="sum of the seven")
    right.plot(BENDS, true_curve(BENDS), "o", color=plotting.COLORS[1], label="a unit starts")
    right.set(title="their sum is a broken line", xlabel="x", ylabel="output")
    right.legend(fontsize=8, loc="upper left")
    return figure


def xor_hidden(points: np.ndarray) -> np.ndarray:
    """h1 = ReLU(x1 + x2), h2 = ReLU(x1 + x2 - 1): (N, 2) -> (N, 2)."""
    total = points.sum(axis=1)
    return np.stack([relu(total), relu(total - 1)], axis=1)  # (N, 2)


def draw_xor() -> Figure:
    """XOR in the input plane and in the plane of the two hidden units."""
    figure, (left, right) = plotting.subplots(1, 2, width=7.6, height=3.5)
    for level in (0.0, 0.5, 1.0, 1.5, 2.0):  # points with equal x1 + x2 fall on one place
        left.axline((level, 0), slope=-1, color="0.8", linewidth=0.8, linestyle=":")
    path = xor_hidden(np.stack([np.linspace(0, 1.15, 50)] * 2, axis=1))  # (50, 2)
    right.plot(*path.T, color="0.7", label="where all inputs fall")
    right.plot([0, 2.4], [-0.25, 0.95], "--", color=plotting.COLORS[2], label="h1 - 2 h2 = 1/2")
    _scatter_classes(left, XOR_POINTS)
    _scatter_classes(right, xor_hidden(XOR_POINTS))
    left.set(title="input plane", xlabel="x1", ylabel="x2", xlim=(-0.3, 1.4), ylim=(-0.3, 1.4))
    right.set(title="after the hidden layer", xlabel="h1", ylabel="h2")
    right.set(xlim=(-0.35, 2.5), ylim=(-0.4, 1.5))
    right.annotate("(0, 1) and (1, 0)", (1, 0), (0.85, -0.2), fontsize=8)
    left.legend(fontsize=8, loc="center")
    right.legend(fontsize=8, loc="upper left")
    return figure


def _scatter_classes(ax: Axes, points: np.ndarray) -> None:
    for label, marker in ((0, "o"), (1, "s")):
        ax.plot(
            *points[label == XOR_CLASSES].T,
            marker,
            color=plotting.COLORS[label],
            markersize=9,
            label=f"class {label}",
        )


def tent(x: np.ndarray) -> np.ndarray:
    """A layer of two ReLU units: up to 1 at x = 1/2 and back to 0."""
    return 2 * relu(x) - 4 * relu(x - 0.5)


def draw_sawtooth(depth: int = 4) -> Figure:
    """The tent map composed with itself, up to `depth` times."""
    x = np.linspace(0, 1, 2**10 + 1)  # every corner is a grid point
    figure, axes = plotting.subplots(1, depth, width=9.0, height=2.5, sharey=True)
    y = x
    for layers, ax in enumerate(axes, start=1):
        y = tent(y)
        ax.plot(x, y)
        ax.set(title=f"{2 * layers} units: {2**layers} pieces", xlabel="x")
        ax.set_xticks([0, 0.5, 1])
    axes[0].set_ylabel("T(...T(x))")
    return figure


def experiment(args: argparse.Namespace, run: Run) -> None:
    run.save_figure(draw_hinges(), "hinges", svg=True)
    run.save_figure(draw_xor(), "xor_fold", svg=True)
    run.save_figure(draw_sawtooth(), "sawtooth", svg=True)
    run.finish(next_command="python chapter_02_nn_basics_mlp/exp_universal_approximation.py")


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(
        __doc__,
        examples=[
            "python chapter_02_nn_basics_mlp/figures.py",
            "python chapter_02_nn_basics_mlp/figures.py --run_name text",
        ],
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
