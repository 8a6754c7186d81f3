"""A wrong mask gives a better training loss: six that leak, and two that do not.

What you learn: no error message tells you that a mask is wrong. The shapes fit, the loss falls, and
faster than it should. Here the loss has a floor that can be computed, and whoever is below it has
seen what is asked for. A document is up to 16 letters from one of four hidden topics; the best that
can be predicted from the letters before is Bayes' rule (experiments/wrong_masks/task.py).

One small attention model is trained under each mask, and measured in three ways:

    claimed     bits a letter on new documents, as the training sees them
    true        bits a letter when nothing but the prefix is there, as at generation
    leak        the share of the gradient d output_t / d input_s from places t must not see

The masks: shifted by one; no causal mask; applied after the softmax; inverted; padding seen;
documents packed without blocks. Without a leak: top-left alignment with a cache; -1e9 for -inf.

    python chapter_07_attention_mechanism/exp_masks.py            about two minutes on one core

Expected: the right mask reaches the best attainable value and its gradient leak is exactly 0; four
masks claim less than the best attainable value and are truly worse than no context at all.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from chapter_07_attention_mechanism.experiments.wrong_masks.measures import measure
from chapter_07_attention_mechanism.experiments.wrong_masks.tables import collect, tables
from chapter_07_attention_mechanism.figures.masks import masks_figure
from utils import cli
from utils.run import Run

TEST_DOCUMENTS = 900
QUICK_STEPS, QUICK_DOCUMENTS = 120, 240


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/exp_masks.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --seeds 5 --steps 600"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--steps", type=cli.positive_int, default=300, help="training steps, 96 documents each")
    add("--seeds", type=cli.positive_int, default=3, help="trainings of each mask")
    cli.add_resume_option(group, free=["seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    count = TEST_DOCUMENTS
    if run.quick:
        args.steps, args.seeds, count = QUICK_STEPS, 1, QUICK_DOCUMENTS
    seeds = range(args.seed, args.seed + args.seeds)
    found = [
        run.once(partial(measure, args.steps, count, seed), dataset="topics", seed=seed)
        for seed in cli.progress(seeds, "seeds")
    ]
    metrics = collect(found)
    run.save_result("masks", metrics, tables(metrics), seeds)
    run.save_figure(masks_figure(found, metrics), "masks")
    shown = {"best attainable": metrics["best"][0], "no context": metrics["no_context"][0]}
    for name, row in metrics["variants"].items():
        shown |= {f"{name}: {m}": row[m][0] for m in ("claimed", "true", "leak_percent")}
    run.finish(shown, "python chapter_07_attention_mechanism/exp_heads.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
