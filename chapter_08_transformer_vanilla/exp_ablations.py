"""What is each part of a Transformer for? One change at a time, the same steps, three seeds.

What you learn: which parts a small Transformer cannot do without, and which only make it better.
Variants in three groups, each beside the same base network: parts taken away or changed, kinds of
positions, and the place of the norm over depth, with and without a warm-up. Beside them, without
any training, the size of the gradient in each layer at the start.

    python chapter_08_transformer_vanilla/exp_ablations.py                  all groups
    python chapter_08_transformer_vanilla/exp_ablations.py --groups parts   one of them
    python chapter_08_transformer_vanilla/exp_ablations.py --resume RUN_FOLDER

Expected: without positions or without residual connections nearly nothing is learnt; the number
of heads matters little here.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from chapter_08_transformer_vanilla.experiments import ablations, start_gradients
from chapter_08_transformer_vanilla.figures.ablations import norm_figure, variants_figure
from chapter_08_transformer_vanilla.figures.start_gradients import draw_start_gradients
from utils import cli
from utils.run import Run

QUICK_STEPS = 120


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_08_transformer_vanilla/exp_ablations.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --groups parts positions --seeds 1"])
    group = parser.add_argument_group("training")
    add = group.add_argument
    names = list(ablations.VARIANTS)
    add("--groups", nargs="+", choices=names, default=names, help="of variants")
    add("--steps", type=cli.positive_int, default=440, help="training steps, 2000 tokens each")
    add("--seeds", type=cli.positive_int, default=3, help="trainings of each variant")
    cli.add_resume_option(group, free=["seeds"])
    return parser


def chosen(args: argparse.Namespace) -> dict[str, tuple[str, dict]]:
    """Name -> (group, what it changes); the base first. Quick: two variants that matter."""
    found = {ablations.BASE_NAME: ("base", {})}
    for group in args.groups:
        found |= {name: (group, change) for name, change in ablations.VARIANTS[group].items()}
    if args.quick:
        kept = (ablations.BASE_NAME, "no positions", "no residual")
        found = {name: found[name] for name in kept if name in found}
    return found


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.steps, args.seeds = QUICK_STEPS, 1
    task = ablations.small_task(args.quick)
    works = [
        (name, group, change, seed)
        for name, (group, change) in chosen(args).items()
        for seed in range(args.seed, args.seed + args.seeds)
    ]
    rows = [
        run.once(
            partial(ablations.train_one, task, change, seed, args.steps),
            variant=name, group=group, seed=seed, dataset=task.data.name,
        )
        for name, group, change, seed in cli.progress(works, "trainings")
    ]  # fmt: skip
    metrics = ablations.collect(rows) | {"dataset": task.data.name}
    seeds = range(args.seed, args.seed + args.seeds)
    run.save_result("ablations", metrics, ablations.tables(metrics), seeds)
    if "norm" in args.groups:
        depths = (2, 6) if args.quick else (2, 6, 12, 24)
        start = start_gradients.measure(depths, seeds)
        table = start_gradients.tables(start)["start_gradients"]
        run.save_result("start_gradients", start, {"main": table}, seeds)
        run.save_figure(draw_start_gradients(start), "start_gradients")
    run.save_figure(variants_figure(metrics), "ablations")
    if "norm" in args.groups and not args.quick:
        run.save_figure(norm_figure(metrics), "ablations_norm")
    shown = {f"loss, {name}": row["val_loss"][0] for name, row in metrics["variants"].items()}
    run.finish(shown, "python chapter_08_transformer_vanilla/exp_speed.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
