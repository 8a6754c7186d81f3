"""Draws the six figures of the chapter's text. Nothing is sketched: every line is computed.

What you learn to see: a narrow valley, where gradient descent zigzags and momentum runs along
(`valley.svg`); for which step and momentum the heavy ball converges (`momentum_regions.svg`, Polyak
1964); the learning-rate schedules (`schedules.svg`); bias and variance of polynomials of growing
degree, measured over many data sets (`bias_variance.svg`); why L1 makes weights exactly zero and L2
does not (`l1_l2_geometry.svg`); which numbers each normalisation averages (`norm_axes.svg`).

Command: `python chapter_03_optimization_regularization/draw_figures.py`. Ten seconds, no training.
"""

from __future__ import annotations

import argparse
import sys

from chapter_03_optimization_regularization.figures.text_generalisation import (
    draw_bias_variance,
    draw_l1_l2,
    draw_norm_axes,
)
from chapter_03_optimization_regularization.figures.text_optimisation import (
    draw_momentum_regions,
    draw_schedules,
    draw_valley,
)
from utils import cli
from utils.run import Run


def experiment(args: argparse.Namespace, run: Run) -> None:
    draws = 100 if args.quick else 2000
    run.save_figure(draw_valley(), "valley", svg=True)
    run.save_figure(draw_momentum_regions(), "momentum_regions", svg=True)
    run.save_figure(draw_schedules(), "schedules", svg=True)
    run.save_figure(draw_bias_variance(draws, args.seed), "bias_variance", svg=True)
    run.save_figure(draw_l1_l2(), "l1_l2_geometry", svg=True)
    run.save_figure(draw_norm_axes(), "norm_axes", svg=True)
    run.finish(next_command="python chapter_03_optimization_regularization/exp_optimization.py")


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(
        __doc__,
        examples=[
            "python chapter_03_optimization_regularization/draw_figures.py",
            "python chapter_03_optimization_regularization/draw_figures.py --quick",
        ],
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
