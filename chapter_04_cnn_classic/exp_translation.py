"""MLP against CNN: what happens when pictures move, and when their pixels are shuffled.

What you learn: a network generalises to what its architecture takes for granted.

    shift         f(tau_s x) = f(x)?     x centred in training, moved by s pixels in the test
    permutation   x -> Pi x              one fixed shuffle of the pixels, in training and test

An MLP has other weights for every pixel: a moved digit is a new picture for it, and a shuffled one
is as good as any (W Pi^T does to Pi x what W does to x). A convolution assumes that near pixels
belong together and that all places are alike: right for pictures, wrong for shuffled ones. How
much of the invariance survives is decided behind the convolutions, by the head (a dense layer, or
an average or maximum over the map) and by the pooling, whose stride forgets odd shifts.

The pictures lie in the middle of a black canvas, so that nothing is lost or wrapped when they
move. All networks get the same number of steps; the last weights are tested, nothing is chosen.

    python chapter_04_cnn_classic/exp_translation.py                       digits, 4 minutes
    python chapter_04_cnn_classic/exp_translation.py --dataset fashion_mnist --margin 10

Papers: LeCun et al. 1998; Zhang 2019 (blur pooling); Azulay and Weiss 2019 (CNNs and small shifts).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_04_cnn_classic import translation_figures as figures
from chapter_04_cnn_classic.image_tasks import ImageTask, load_task
from chapter_04_cnn_classic.recipe import Recipe, predict, train
from chapter_04_cnn_classic.translation_networks import (
    block_permutation,
    build,
    centred,
    moved,
    permuted,
)
from utils import cli
from utils.model_summary import parameter_count
from utils.results import mean_std, table
from utils.run import Run

DATASETS = ("digits", "mnist", "fashion_mnist")  # grey, on black: the canvas goes on seamlessly
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
NETWORKS = ("mlp", "mlp_wide", "cnn_flatten", "cnn_mean", "cnn_max")
PERMUTED = ("mlp", "cnn_flatten", "cnn_mean")
POOLINGS = {"cnn_mean": "max", "cnn_mean_average": "average", "cnn_mean_blur": "blur"}
CENTRED, SHIFTED = "centred", "shifted"
Case = tuple[str, str, int]  # network, training pictures, block of the permutation


# --- the measurement ---


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/exp_translation.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --dataset fashion_mnist --margin 10"], device=True, precision=True
    )
    add = parser.add_argument_group("experiment").add_argument
    add("--dataset", choices=DATASETS, default="digits", help="grey pictures on black")
    add("--pictures", type=cli.positive_int, default=2_000, help="of the train split, at most")
    add("--margin", type=cli.positive_int, default=8, help="pixels of canvas on each side")
    add("--blocks", type=cli.positive_int, nargs="+", default=[2, 4, 8], help="shuffled squares")
    add("--epochs", type=cli.positive_int, default=20, help="times each picture is shown")
    add("--batch_size", type=cli.positive_int, default=64, help="pictures a step")
    add("--lr", type=cli.positive_float, default=4e-3, help="highest learning rate")
    add("--seeds", type=cli.positive_int, default=3, help="first weights, order, shuffle")
    return parser


def train_one(
    case: Case, task: ImageTask, seed: int, args: argparse.Namespace, **where: Any
) -> dict[str, Any]:
    """Train one network and move the test pictures; lists over the shifts 0 .. margin."""
    name, pictures, block = case
    if block > 1:
        task = permuted(task, block_permutation(task.image_size, block, seed))
    torch.manual_seed(seed)
    model = build(name, task)
    # One pass over a list with every picture `epochs` times: no epoch to choose, the last counts.
    x, y = task.train
    longer = replace(task, train=(x.repeat(args.epochs, 1, 1, 1), y.repeat(args.epochs)))
    augment = f"crop:{args.margin // 2}" if pictures == SHIFTED else ""
    recipe = Recipe(1, args.batch_size, args.lr, weight_decay=0.01, augment=augment)
    train(model, longer, recipe, seed, **where)
    shifts = range(args.margin + 1 if block == 1 else 1)
    return measure(shifted_logits(model, task, shifts, **where), task.test[1])


def shifted_logits(model: nn.Module, task: ImageTask, shifts: Any, **where: Any) -> Tensor:
    """Logits (shifts, directions, N, K) of the test pictures moved by each number of pixels."""
    rows = [
        torch.stack([predict(model, moved(task, s * a, s * b), **where) for a, b in DIRECTIONS])
        for s in shifts
    ]
    return torch.stack(rows)


def measure(logits: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """From logits (shifts, directions, N, K), for each shift, in per cent:

    accuracy_percent; kept, the share that keeps the class it has in the centre; change, the mean
    squared change of the logits over their variance between the pictures, under a root.
    """
    answer, centre = logits.argmax(dim=-1), logits[:1]  # (S, D, N), (1, D, N, K)
    spread = (centre - centre.mean(dim=2, keepdim=True)).square().mean().sqrt()
    change = (logits - centre).square().mean(dim=(1, 2, 3)).sqrt() / spread  # (S,)
    found = {
        "accuracy_percent": (answer == labels.cpu()).float().mean(dim=(1, 2)),
        "kept": (answer == answer[:1]).float().mean(dim=(1, 2)),
        "change": change,
    }
    return {name: (100 * values).tolist() for name, values in found.items()}


def cases(blocks: list[int]) -> list[Case]:
    """Every training that the three parts need, each once."""
    shift = [(name, pictures, 1) for pictures in (CENTRED, SHIFTED) for name in NETWORKS]
    shuffle = [(name, CENTRED, block) for block in blocks for name in PERMUTED]
    return shift + shuffle + [(name, CENTRED, 1) for name in POOLINGS if name not in NETWORKS]


# --- the report ---

TITLES = {
    "mlp": {"en": "MLP", "zh": "MLP"},
    "mlp_wide": {"en": "MLP, wide", "zh": "MLP（宽）"},
    "cnn_flatten": {"en": "CNN, dense head", "zh": "CNN，全连接头"},
    "cnn_mean": {"en": "CNN, global average", "zh": "CNN，全局平均"},
    "cnn_max": {"en": "CNN, global maximum", "zh": "CNN，全局最大"},
}
SETS = {
    CENTRED: {"en": "centred", "zh": "居中"},
    SHIFTED: {"en": "with shifts", "zh": "带平移"},
}
POOL_TITLES = {
    "max": {"en": "maximum", "zh": "最大"},
    "average": {"en": "average", "zh": "平均"},
    "blur": {"en": "maximum, blurred", "zh": "最大，再模糊"},
}
Runs = dict[Case, dict[str, np.ndarray]]  # accuracy_percent, kept, change: (seeds, shifts)


def shift_table(runs: Runs, parameters: dict[str, int], shown: list[int]) -> dict[str, Any]:
    columns = [("Network", "网络", ""), ("Parameters", "参数量", ",d")]
    columns.append(("Training pictures", "训练图片", ""))
    columns += [(f"Moved by {s} px (%)", f"平移 {s} 像素（%）", ".1f") for s in shown]
    rows = []
    for name in NETWORKS:
        for pictures in (CENTRED, SHIFTED):
            percent = runs[name, pictures, 1]["accuracy_percent"]
            values = [mean_std(percent[:, s]) for s in shown]
            rows.append([TITLES[name], parameters[name], SETS[pictures], *values])
    return table(columns, rows)


def permutation_table(runs: Runs, blocks: list[int]) -> dict[str, Any]:
    columns = [("Network", "网络", ""), ("In order (%)", "原样（%）", ".1f")]
    columns += [(f"Within {b} x {b} px (%)", f"{b} x {b} 像素内（%）", ".1f") for b in blocks[1:-1]]
    columns.append(("All pixels (%)", "全部像素（%）", ".1f"))
    rows = [
        [
            TITLES[name],
            *(mean_std(runs[name, CENTRED, b]["accuracy_percent"][:, 0]) for b in blocks),
        ]
        for name in PERMUTED
    ]
    return table(columns, rows)


def pooling_table(runs: Runs) -> dict[str, Any]:
    columns = [("Pooling", "池化", ""), ("Test accuracy (%)", "测试准确率（%）", ".1f")]
    columns += [
        (f"Class kept, {s} px (%)", f"平移 {s} 像素后类别不变（%）", ".1f") for s in (1, 2, 4)
    ]
    columns += [
        (f"Change of logits, {s} px (%)", f"平移 {s} 像素后 logit 的变化（%）", ".0f")
        for s in (1, 2, 3, 4)
    ]
    rows = []
    for name, pool in POOLINGS.items():
        found = runs[name, CENTRED, 1]
        row = [POOL_TITLES[pool], mean_std(found["accuracy_percent"][:, 0])]
        row += [mean_std(found["kept"][:, s]) for s in (1, 2, 4)]
        rows.append(row + [mean_std(found["change"][:, s]) for s in (1, 2, 3, 4)])
    return table(columns, rows)


def summary(runs: Runs, blocks: list[int]) -> dict[str, Any]:
    """Means over the seeds by name, for the text: shift.NETWORK.PICTURES.SHIFT and so on."""

    def by_shift(values: np.ndarray) -> dict[str, float]:
        return {str(s): float(mean) for s, mean in enumerate(values.mean(axis=0))}

    return {
        "shift": {
            name: {p: by_shift(runs[name, p, 1]["accuracy_percent"]) for p in (CENTRED, SHIFTED)}
            for name in NETWORKS
        },
        "permutation": {
            name: {
                str(b): float(runs[name, CENTRED, b]["accuracy_percent"][:, 0].mean())
                for b in blocks
            }
            for name in PERMUTED
        },
        "pooling": {
            pool: {key: by_shift(v) for key, v in runs[name, CENTRED, 1].items()}
            for name, pool in POOLINGS.items()
        },
    }


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.epochs, args.batch_size, args.pictures = 6, 32, 300
        args.seeds, args.blocks, args.margin = 1, [4], 4
    if args.margin < 4:
        raise cli.UserError("--margin must be at least 4: the pictures are moved by 1 to 4 pixels.")
    task = load_task(args.dataset, args.data_dir)
    kept = tuple(part[: args.pictures] for part in task.train)
    test = tuple(part[: 100 if args.quick else 1_000] for part in task.test)
    task = centred(replace(task, train=kept, test=test), args.margin)
    middle = [b for b in args.blocks if 1 < b < task.image_size]
    blocks = [1, *sorted(set(middle)), task.image_size]
    seeds = [args.seed + s for s in range(args.seeds)]
    rows: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases(blocks[1:])}
    jobs = [(case, seed) for seed in seeds for case in rows]
    for case, seed in cli.progress(jobs, f"{task.name}, trainings"):
        found = train_one(case, task, seed, args, device=run.device, precision=run.precision)
        run.log(network=case[0], pictures=case[1], block=case[2], seed=seed, **found)
        rows[case].append(found)
    runs = {c: {k: np.array([row[k] for row in r]) for k in r[0]} for c, r in rows.items()}
    report(args, run, task, runs, blocks, seeds)


def report(
    args: argparse.Namespace, run: Run, task: ImageTask, runs: Runs, blocks: list[int], seeds: list
) -> None:
    parameters = {name: parameter_count(build(name, task)) for name in (*NETWORKS, *POOLINGS)}
    name = "translation" if task.name == "digits" else f"translation_{task.name}"
    chance = 100 / len(task.classes)
    orders = [block_permutation(task.image_size, b, args.seed) for b in blocks]
    examples = [permuted(task, order).test[0][0, 0] for order in orders]  # (H, W) each
    labels = {key: title["en"] for key, title in TITLES.items()}
    shown = [s for s in (0, 1, 2, 3, 4, args.margin) if s <= args.margin]
    tables = {
        "shift": shift_table(runs, parameters, sorted(set(shown))),
        "permutation": permutation_table(runs, blocks),
        "pooling": pooling_table(runs),
    }
    facts = {"dataset": task.name, "chance": chance, "parameters": parameters, "blocks": blocks}
    facts |= {"canvas": task.image_size, "train": len(task.train[1]), "test": len(task.test[1])}
    facts |= {"margin": args.margin, "train_shift": args.margin // 2, "epochs": args.epochs}
    run.save_result(name, summary(runs, blocks) | facts, tables, seeds)
    run.save_figure(
        figures.shift_figure(task.name, runs, labels, args.margin, chance), f"{name}_shift"
    )
    run.save_figure(
        figures.permutation_figure(task.name, runs, labels, PERMUTED, blocks, examples),
        f"{name}_permutation",
    )
    run.save_figure(figures.pooling_figure(task.name, runs, POOLINGS), f"{name}_pooling")
    finals = {
        f"{labels[n]}, moved by 2 px (%)": float(
            runs[n, CENTRED, 1]["accuracy_percent"][:, 2].mean()
        )
        for n in NETWORKS
    }
    run.finish(finals, "python chapter_04_cnn_classic/exp_data_size.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
