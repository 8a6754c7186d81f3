"""Draws the figures of the chapter's text. Nothing is sketched: every line is computed.

What you learn to see:

    valley.svg                a narrow valley: gradient descent zigzags, momentum runs along
    three_rates.svg           gradient descent at its best rate, at a smaller and a larger one
    noise_ball.svg            what gradient noise leaves of two learning rates, and of a falling one
    momentum_regions.svg      for which step and momentum the heavy ball converges (Polyak 1964)
    adam_bias.svg             Adam with and without its bias correction
    adam_bowl.svg             Adam against gradient descent in a bowl, and in the bowl turned
    muon_singular_values.svg  a momentum matrix before and after Muon's Newton-Schulz steps
    schedules.svg             the learning rate of eight schedules over a run
    clipping.svg              what clipping by value and by norm do, and what they are for
    bias_variance.svg         bias and variance of polynomials, measured over many data sets
    l1_l2_geometry.svg        why L1 makes weights exactly zero and L2 does not
    early_stopping.svg        the factor of early stopping laid over that of the L2 penalty
    norm_axes.svg             which numbers each normalisation averages
    batch_norm.svg            one example in BatchNorm: in training, in evaluation

Command: `python chapter_03_optimization_regularization/draw_figures.py`. Ten seconds; nothing is
trained but a small network for fifty steps, whose momentum Muon's figure shows.
"""

from __future__ import annotations

import argparse
import sys

from chapter_03_optimization_regularization.figures.text_adam import (
    draw_adam_bowl,
    draw_bias_correction,
)
from chapter_03_optimization_regularization.figures.text_batch_norm import draw_batch_norm
from chapter_03_optimization_regularization.figures.text_clipping import draw_clipping
from chapter_03_optimization_regularization.figures.text_early_stopping import draw_early_stopping
from chapter_03_optimization_regularization.figures.text_generalisation import (
    draw_bias_variance,
    draw_l1_l2,
    draw_norm_axes,
)
from chapter_03_optimization_regularization.figures.text_gradients import (
    draw_noise_ball,
    draw_three_rates,
)
from chapter_03_optimization_regularization.figures.text_muon import draw_singular_values
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
    run.save_figure(draw_three_rates(), "three_rates", svg=True)
    run.save_figure(draw_noise_ball(draws, args.seed), "noise_ball", svg=True)
    run.save_figure(draw_momentum_regions(), "momentum_regions", svg=True)
    run.save_figure(draw_bias_correction(args.seed), "adam_bias", svg=True)
    run.save_figure(draw_adam_bowl(), "adam_bowl", svg=True)
    run.save_figure(draw_singular_values(args.seed), "muon_singular_values", svg=True)
    run.save_figure(draw_schedules(), "schedules", svg=True)
    run.save_figure(draw_clipping(), "clipping", svg=True)
    run.save_figure(draw_bias_variance(draws, args.seed), "bias_variance", svg=True)
    run.save_figure(draw_l1_l2(), "l1_l2_geometry", svg=True)
    run.save_figure(draw_early_stopping(), "early_stopping", svg=True)
    run.save_figure(draw_norm_axes(), "norm_axes", svg=True)
    run.save_figure(draw_batch_norm(args.seed), "batch_norm", svg=True)
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
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
