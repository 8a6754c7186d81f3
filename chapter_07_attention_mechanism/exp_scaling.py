"""Why the square root of d: what the scale of the scores does to the softmax and to learning.

What you learn: a dot product of d independent numbers of variance 1 has variance d. Unscaled, wide
scores make the softmax all but certain before anything is learnt, and its Jacobian
diag(p) - p p^T nearly zero: most queries get no gradient. Two measurements:

    random vectors   d = 4 ... 1024: variance, entropy, largest weight and gradient,
                     of scores divided by nothing, by sqrt(d) and by d
    a lookup         must be learnt, five ways, each with its best learning rate: the three above,
                     a start that makes up for the missing scale, and normalised q and k

    python chapter_07_attention_mechanism/exp_scaling.py            2 minutes on one core
    python chapter_07_attention_mechanism/exp_scaling.py --quick    10 seconds: widths 16 and 256

Expected: from width 16 on the unscaled attention needs two to five times as many steps as the
scaled one, but it gets there; at width 4, or with normalised q and k, the scale does not matter.
Papers: Vaswani et al. 2017; Henry et al. 2020 (normalised).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

from chapter_07_attention_mechanism.experiments.scaling import lookup, random_vectors
from chapter_07_attention_mechanism.experiments.scaling.tables import collect, tables
from chapter_07_attention_mechanism.figures.scaling import scaling_figure
from utils import cli
from utils.run import Run

WIDTHS = (4, 16, 64, 256)  # of the lookup
RATES = (0.003, 0.01, 0.03)
QUICK = {"widths": (16, 256), "rates": (0.01,), "ways": ("none", "root", "normalised")}


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/exp_scaling.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --seeds 8 --steps 600"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("measurement")
    group.add_argument("--seeds", type=cli.positive_int, default=5, help="runs of everything")
    help_text = "of each training of the lookup"
    group.add_argument("--steps", type=cli.int_from(lookup.CHECK), default=300, help=help_text)
    cli.add_resume_option(group, free=[])
    return parser


def measure_lookup(args: argparse.Namespace, run: Run, seeds: list[int]) -> dict[int, Any]:
    """{width: {way: {rate: accuracies over the steps}}}."""
    widths, rates, ways = WIDTHS, RATES, lookup.WAYS
    if run.quick:
        widths, rates, ways = QUICK["widths"], QUICK["rates"], QUICK["ways"]
    cases = [(width, way, rate) for width in widths for way in ways for rate in rates]
    found: dict[int, Any] = {width: {way: {} for way in ways} for width in widths}
    for width, way, rate in cli.progress(cases, "trainings"):
        work = partial(lookup.train, way, width, rate, seeds, args.steps)
        row = run.once(work, dataset="lookup", width=width, way=way, rate=rate)
        found[width][way][rate] = row
    return found


def experiment(args: argparse.Namespace, run: Run) -> None:
    if run.quick:
        args.seeds, args.steps = 2, 150
    seeds = [args.seed + i for i in range(args.seeds)]
    random = random_vectors.measure(random_vectors.WIDTHS, seeds)
    learnt = measure_lookup(args, run, seeds)
    metrics = collect(random, learnt, lookup.guess(seeds))
    run.save_result("scaling", metrics, tables(metrics, args.steps), seeds)
    run.save_figure(scaling_figure(metrics, args.steps), "scaling")
    shown = {
        f"width {width}, {way}: steps to 90 %": row["steps_mean"]
        for width, rows in metrics["lookup"].items()
        for way, row in rows.items()
    }
    run.finish(shown, "python chapter_07_attention_mechanism/exp_masks.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
