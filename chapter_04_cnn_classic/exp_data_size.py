"""Accuracy against the number of training pictures, with and without augmentation.

What you learn: how the test error falls with the number N of training pictures, often a straight
line on double logarithmic axes,

    error = c N^(-alpha)

and what augmentation is worth: the horizontal distance between the two curves says how many times
the pictures one would have to collect for the same gain.

Only the data changes: every run makes the same number of optimiser steps with batches of the same
size, in one pass over a list in which each of the N pictures stands equally often. (With equal
epochs a hundred times the data would also mean a hundred times the training.) The subsets of a
seed are nested and have every class equally often; the last weights are tested, nothing is chosen.

    python chapter_04_cnn_classic/exp_data_size.py                            digits, 3 minutes
    python chapter_04_cnn_classic/exp_data_size.py --dataset shapes --augment flip,crop
        with --sizes 300 1000 3000 10000 --steps 2500                         half an hour

Papers: Hestness et al. 2017 (power laws of the data set size); Perez and Wang 2017 (augmentation).
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chapter_02_nn_basics_mlp.tabular import is_constant
from chapter_04_cnn_classic.image_tasks import QUICK_SET, ImageTask, augmentation_for, load_task
from chapter_04_cnn_classic.model import build_model
from chapter_04_cnn_classic.recipe import Recipe, accuracy, augmentations, train
from utils import cli, plotting
from utils.results import mean_std, table
from utils.run import Run
from utils.seed import generator

SIZES = [30, 60, 120, 300, 600, 1_197]
WIDTHS = (8, 16, 32, 64)  # 73,000 weights: many runs must fit into minutes
PLAIN, AUGMENTED = "without", "with"


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/exp_data_size.py"
    longer = f"{path} --dataset shapes --augment flip,crop --steps 2500"
    parser = cli.make_parser(__doc__, [path, longer], device=True, precision=True)
    add = parser.add_argument_group("experiment").add_argument
    add("--dataset", default="digits", help="data set, as in `python -m utils.datasets list`")
    add("--sizes", type=cli.positive_int, nargs="+", default=SIZES, help="training pictures")
    add("--augment", type=augmentations, default="crop:1", help="operations of the augmented runs")
    add("--steps", type=cli.positive_int, default=600, help="optimiser steps of every run")
    add("--batch_size", type=cli.positive_int, default=32, help="pictures a step")
    add("--lr", type=cli.positive_float, default=4e-3, help="highest learning rate")
    add("--seeds", type=cli.positive_int, default=3, help="subsets and first weights")
    return parser


def balanced_order(labels: Tensor, seed: int) -> Tensor:
    """All row numbers (N,) in random order, the classes taking turns: any head is balanced."""
    order = torch.randperm(len(labels), generator=generator(seed))  # (N,)
    turn = torch.empty(len(labels))
    for label in labels.unique():
        rows = order[labels[order] == label]
        turn[rows] = torch.arange(len(rows), dtype=turn.dtype)
    return order[turn[order].argsort(stable=True)]


def repeated(rows: Tensor, total: int, seed: int) -> Tensor:
    """`total` row numbers: whole shuffled rounds of `rows`, the last one cut off."""
    rounds, rng = -(-total // len(rows)), generator(seed)
    order = [rows[torch.randperm(len(rows), generator=rng)] for _ in range(rounds)]
    return torch.cat(order)[:total]


def train_one(
    task: ImageTask, size: int, augment: str, seed: int, args: argparse.Namespace
) -> dict[str, float]:
    """Train on `size` pictures for args.steps steps; test accuracy (%) and training loss."""
    x, y = task.train
    rows = repeated(balanced_order(y, seed)[:size], args.steps * args.batch_size, seed)
    part = replace(task, train=(x[rows], y[rows]))
    torch.manual_seed(seed)
    model = build_model(
        "simple_cnn", len(task.classes), task.image_size, task.channels, widths=args.widths
    )
    recipe = Recipe(1, args.batch_size, args.lr, weight_decay=0.01, augment=augment)
    where = {"device": args.device_used, "precision": args.precision_used}
    history = train(model, part, recipe, seed, **where)
    last = history.step_losses[-max(1, args.steps // 20) :]
    test = 100 * accuracy(model, task, "test", **where)
    return {"accuracy_percent": test, "loss": float(np.mean(last))}


def power_law(sizes: Any, errors: Any) -> dict[str, float]:
    """error = c N^-alpha through the points, by least squares of the logarithms; r2 of the line.

    errors: in per cent, above 0; at least two points. r2 of equal errors is undefined: nan.
    """
    log_n, log_e = np.log(np.asarray(sizes, float)), np.log(np.asarray(errors, float))
    slope, intercept = np.polyfit(log_n, log_e, 1)
    rest = log_e - (slope * log_n + intercept)
    spread = np.square(log_e - log_e.mean()).sum()
    r2 = math.nan if is_constant(log_e) else 1 - np.square(rest).sum() / spread
    return {"alpha": float(-slope), "c": float(np.exp(intercept)), "r2": float(r2)}


def worth(sizes: Any, plain: Any, augmented: Any) -> list[float | None]:
    """How many times the pictures give, without augmentation, the augmented error at each size.

    plain, augmented: errors (n,). The plain curve is read between its points, straight on double
    logarithmic axes; None where it never gets as low, or starts lower.
    """
    log_n, curve = np.log(np.asarray(sizes, float)), np.log(np.minimum.accumulate(plain))
    found: list[float | None] = []
    for size, error in zip(sizes, np.log(augmented), strict=True):
        if not curve[-1] <= error <= curve[0]:
            found.append(None)
            continue
        needed = np.exp(np.interp(-error, -curve, log_n))
        found.append(float(needed / size))
    return found


def summary(sizes: list[int], runs: dict[str, np.ndarray], chance: float) -> dict[str, Any]:
    """Means, deviations, fits over the straight part, worth; runs: per cent (seeds, sizes)."""
    errors = {name: 100 - values for name, values in runs.items()}
    means = {name: np.maximum(values.mean(axis=0), 1e-3) for name, values in errors.items()}
    straight = [i for i in range(len(sizes)) if max(m[i] for m in means.values()) < 0.75 * chance]
    fits = {}
    if len(straight) > 1:
        kept = np.array(sizes)[straight]
        fits = {name: power_law(kept, mean[straight]) for name, mean in means.items()}
    return {
        "sizes": sizes,
        "accuracy_percent": {name: values.tolist() for name, values in runs.items()},
        "mean": {name: {str(n): v for n, v in zip(sizes, values.mean(axis=0), strict=True)}
                 for name, values in runs.items()},
        "fitted_sizes": [sizes[i] for i in straight],
        "fits": fits,
        "worth": dict(zip(map(str, sizes), worth(sizes, means[PLAIN], means[AUGMENTED]),
                          strict=True)),
    }  # fmt: skip


def results_table(sizes: list[int], runs: dict[str, np.ndarray], worths: dict) -> dict[str, Any]:
    columns = [
        ("Training pictures", "训练图片数", ",d"),
        ("Test accuracy, plain (%)", "测试准确率，无增强（%）", ".1f"),
        ("Test accuracy, augmented (%)", "测试准确率，有增强（%）", ".1f"),
        ("Gain (points)", "提升（百分点）", "+.1f"),
        ("Worth (times the pictures)", "相当于图片数的倍数", ".1f"),
    ]
    rows = []
    for i, size in enumerate(sizes):
        plain, augmented = runs[PLAIN][:, i], runs[AUGMENTED][:, i]
        gain = float((augmented - plain).mean())
        pairs = [mean_std(v) for v in (plain, augmented)]
        rows.append([size, *pairs, gain, worths[str(size)]])
    return table(columns, rows)


def figure(name: str, augment: str, found: dict[str, Any], chance: float) -> Any:
    """Left: accuracy over N; right: error over N on double logarithmic axes, with the fits."""
    fig, (left, right) = plotting.subplots(1, 2, width=9.4, height=3.9)
    sizes = np.array(found["sizes"])
    labels = {PLAIN: "no augmentation", AUGMENTED: augment}
    for i, (kind, values) in enumerate(found["accuracy_percent"].items()):
        look, marker = plotting.look(i), plotting.MARKERS[i]
        color = look["color"]
        plotting.band(left, sizes, values, labels[kind], color)
        errors = np.maximum(100 - np.array(values), 1e-3)  # (seeds, sizes)
        right.plot(np.tile(sizes, (len(errors), 1)), errors, marker, ms=3.5, color=color)
        right.plot([], [], marker, ms=3.5, color=color, label=labels[kind])
        if kind in found["fits"]:
            fit, line = found["fits"][kind], np.array(found["fitted_sizes"])
            right.plot(line, fit["c"] * line ** -fit["alpha"], lw=1.2,
                       label=f"fit, exponent {-fit['alpha']:.2f}", **look)  # fmt: skip
    left.axhline(100 - chance, color="#555555", ls=":", lw=1, label="chance")
    right.axhline(chance, color="#555555", ls=":", lw=1)
    left.set(xscale="log", xlabel="training pictures", ylabel="test accuracy (%)", title=name)
    right.set(xscale="log", yscale="log", xlabel="training pictures", ylabel="test error (%)")
    right.set_title(f"{name}: each seed, and the power law")
    for ax in (left, right):
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
        ax.minorticks_off()
        ax.legend(fontsize=8)
    low, high = right.get_ylim()
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 90) if low <= t <= high]
    right.set_yticks(ticks, [str(t) for t in ticks])
    return fig


def experiment(args: argparse.Namespace, run: Run) -> None:
    args.widths, args.device_used, args.precision_used = WIDTHS, str(run.device), run.precision
    if args.quick:
        args.seeds, args.steps = 1, min(args.steps, 150)
    run.smoke = args.quick and args.dataset != QUICK_SET
    limit = 1_000 if run.smoke else None
    task = load_task(args.dataset, args.data_dir, limit=limit)
    sizes = sorted({min(size, len(task.train[1])) for size in args.sizes})
    if sizes[0] < len(task.classes):
        raise cli.UserError(f"--sizes must be at least {len(task.classes)}, a picture a class.")
    augmentation_for(task, args.augment)  # before the first, plain training
    seeds = [args.seed + s for s in range(args.seeds)]
    cases = {PLAIN: "", AUGMENTED: args.augment}
    percents = {kind: np.zeros((len(seeds), len(sizes))) for kind in cases}
    jobs = [(s, n, kind) for s in range(len(seeds)) for n in range(len(sizes)) for kind in cases]
    for s, n, kind in cli.progress(jobs, f"{args.dataset}, trainings"):
        result = train_one(task, sizes[n], cases[kind], seeds[s], args)
        run.log(seed=seeds[s], size=sizes[n], augment=cases[kind], **result)
        percents[kind][s, n] = result["accuracy_percent"]
    chance = 100 - 100 / len(task.classes)  # error of guessing, in per cent
    found = summary(sizes, percents, chance)
    name = f"data_size_{args.dataset}"
    tables = {"main": results_table(sizes, percents, found["worth"])}
    extra = {"dataset": task.name, "steps": args.steps, "batch_size": args.batch_size}
    run.save_result(name, found | extra | {"augment": args.augment}, tables, seeds)
    run.save_figure(figure(task.name, args.augment, found, chance), name)
    shown = {f"{n:,} pictures, {kind} augmentation (%)": float(percents[kind][:, i].mean())
             for i, n in enumerate(sizes) for kind in cases}  # fmt: skip
    run.finish(shown, "python chapter_04_cnn_classic/exp_ladder.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
