"""When does a network learn to repeat what stood there before? When its induction head forms.

What you learn: one layer of attention cannot do it, two can, and not little by little. Texts are
random tokens, then passages of them again; inside a passage the next token is known. The loss there
stays on a plateau and then falls, and at the same steps a head begins to look behind the match. In
the end each head is taken out: which ones was it?

    python chapter_08_transformer_vanilla/exp_induction.py              three seeds; one layer, too
    python chapter_08_transformer_vanilla/exp_induction.py --layers 2 --seeds 1
    python chapter_08_transformer_vanilla/exp_induction.py --resume RUN_FOLDER

Expected: with one layer 2.9 nats where the next token is known, the plateau; with two 0.6, and
without the previous-token head nearly the plateau again. Papers: Elhage et al. 2021, Olsson et al.
2022.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from chapter_08_transformer_vanilla.experiments import induction
from chapter_08_transformer_vanilla.figures.induction import induction_figure
from utils import cli
from utils.run import Run

QUICK_STEPS = 600
DATASET = "random tokens, then passages of them"


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_08_transformer_vanilla/exp_induction.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --layers 2 --seeds 1"])
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--layers", nargs="+", type=int, choices=[1, 2], default=[2, 1], help="of each network")
    add("--steps", type=cli.positive_int, default=1000, help="training steps, 32 texts each")
    add("--every", type=cli.positive_int, default=20, help="steps between two measurements")
    add("--seeds", type=cli.positive_int, default=3, help="trainings of each network")
    cli.add_resume_option(group, free=["seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.steps, args.seeds = min(args.steps, QUICK_STEPS), 1
    seeds = range(args.seed, args.seed + args.seeds)
    rows = [
        run.once(partial(train_one, args, layers, seed), layers=layers, seed=seed, dataset=DATASET)
        for layers in dict.fromkeys(args.layers)
        for seed in seeds
    ]
    report(args, run, rows, seeds)


def train_one(args: argparse.Namespace, layers: int, seed: int) -> dict:
    shown = partial(cli.progress, desc=f"{layers} layers, seed {seed}")
    return induction.train_one(layers, seed, args.steps, args.every, shown)


def report(args: argparse.Namespace, run: Run, rows: list[dict], seeds: range) -> None:
    metrics = induction.collect(rows)
    run.save_result("induction", metrics, induction.tables(metrics, len(seeds)), seeds)
    run.save_figure(induction_figure(rows), "induction")
    shown = {
        f"loss where the next token is known, layers: {layers}": row["known"][0]
        for layers, row in metrics["layers"].items()
    }
    run.finish(shown, "python chapter_08_transformer_vanilla/train_gpt.py --quick")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
