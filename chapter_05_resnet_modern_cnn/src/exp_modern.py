"""A decade of networks under one budget: accuracy against MACs, and against measured time.

What you learn: multiply-accumulates (MACs) are not seconds. Depthwise and grouped convolutions
need few of them, but for each number they fetch from memory they compute little, so a processor
waits; and with one picture at a time the number of layers counts, not their size. Which network is
"efficient" depends on what is measured, and on which machine.

    python chapter_05_resnet_modern_cnn/src/exp_modern.py                         shapes, 10 minutes
    python chapter_05_resnet_modern_cnn/src/exp_modern.py --dataset cifar10 --seeds 2    30 minutes
    python chapter_05_resnet_modern_cnn/src/exp_modern.py --precision bf16      where it slows down
    python chapter_05_resnet_modern_cnn/src/exp_modern.py --models densenet121 convnext_tiny
    python chapter_05_resnet_modern_cnn/src/exp_modern.py --resume RUN_FOLDER         after Ctrl-C

Every network sees the same pictures equally often, with AdamW, one cycle, flips and crops; only the
highest rate depends on the family (`RATES`). Four halvings (`--skip 1`) bring 32 px to 2 x 2.
On a CPU all compute in fp32 unless told otherwise: bf16 speeds up the full convolutions and slows
down the depthwise ones. Times: forward, evaluation mode, median of many calls; the networks take
turns, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_04_cnn_classic.recipe import Recipe
from chapter_05_resnet_modern_cnn.src import modern_figures as figures
from chapter_05_resnet_modern_cnn.src.dataset import (
    VAL_PICTURES,
    ImageTask,
    load_task,
    quick_augment,
    quick_choice,
    with_pictures,
)
from chapter_05_resnet_modern_cnn.src.model import MODELS, build_model, for_small_pictures
from chapter_05_resnet_modern_cnn.src.model_train import train_and_judge
from utils import cli
from utils.device import autocast
from utils.model_summary import summary
from utils.results import cells, over_seeds, table
from utils.run import Run
from utils.timer import Timer

COMPARED = (
    "resnet18",
    "resnet20",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "regnet_x_400mf",
    "regnet_y_400mf",
)
# Highest rates by the beginning of the name. Chapter 4 found 0.004 for networks with BatchNorm and
# 0.001 for those without, for batches of 64; for Adam it goes with the root of the batch size.
RATES = {"convnext": 7e-4, "": 3e-3}
BATCH = 32  # pictures of the second latency
WARM_UP, ROUNDS, QUICK_ROUNDS = 3, 25, 3
BN_MOMENTUM = 0.1
QUICK_PICTURES = 96


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_05_resnet_modern_cnn/src/exp_modern.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --dataset cifar10 --seeds 2"], device=True, precision=True
    )
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--dataset", default="shapes", help="name, see python -m utils.datasets list"
    )
    group.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(COMPARED), metavar="NAME"
    )
    group.add_argument(
        "--skip", type=int, choices=range(6), default=1, help="halvings to leave out"
    )
    group.add_argument("--pictures", type=cli.positive_int, default=4000, help="training pictures")
    group.add_argument("--seeds", type=cli.positive_int, default=1)
    help_text = "CPU threads while the times are measured"
    group.add_argument(
        "--latency_threads", type=cli.int_from(1, cli.MOST_THREADS), default=1, help=help_text
    )
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, default=4)
    group.add_argument("--batch_size", type=cli.positive_int, default=32)
    group.add_argument("--lr", type=cli.positive_float, help="for every network (default: RATES)")
    group.add_argument("--weight_decay", type=cli.non_negative_float, default=0.05)
    cli.add_resume_option(group, free=["models", "seeds", "latency_threads"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    limit = None
    if run.quick:
        args.models = ["resnet20", "shufflenet_v2_x0_5"]
        limit = quick_choice(run, QUICK_PICTURES)
        args.epochs, args.seeds, args.pictures = 1 if limit else 4, 1, limit
    args.models = list(dict.fromkeys(args.models))
    task = load_task(args.dataset, args.data_dir, limit=limit)
    task = with_pictures(with_pictures(task, args.pictures), VAL_PICTURES, "val")
    if args.precision == "auto":  # not bf16 on a CPU: it makes depthwise convolutions slower
        args.precision = run.precision
    costs = {name: cost_of(name, task, args) for name in args.models}
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in args.models}
    for seed in range(args.seed, args.seed + args.seeds):
        for name in args.models:
            work = partial(train_one, name, task, seed, args, run)
            results[name].append(run.once(work, dataset=task.name, network=name, seed=seed))
    times = latencies(task, args, run)
    for name, cost in costs.items():
        cost |= times[name]
    report(args, run, task, results, costs)


def network(name: str, task: ImageTask, args: argparse.Namespace) -> nn.Module:
    """A fresh network; its BatchNorms have one momentum.

    MobileNetV3 publishes 0.01 for long trainings: after a hundred steps its running means would
    still be a third of what they started from, and evaluation mode would be wrong.
    """
    skip = None if for_small_pictures(name) else args.skip
    model = build_model(name, len(task.classes), task.image_size, task.channels, skip=skip)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = BN_MOMENTUM
    return model


def default_lr(name: str) -> float:
    """The family's highest rate."""
    return next(lr for start, lr in RATES.items() if name.startswith(start))


def cost_of(name: str, task: ImageTask, args: argparse.Namespace) -> dict[str, float]:
    """Parameters, and MACs of one picture."""
    size = (1, task.channels, task.image_size, task.image_size)
    found = summary(network(name, task, args), size, verbose=False)
    return {"parameters": found.parameters, "macs": found.macs}


def train_one(
    name: str, task: ImageTask, seed: int, args: argparse.Namespace, run: Run
) -> dict[str, Any]:
    """One training: losses by epoch, accuracies in per cent, seconds."""
    torch.manual_seed(seed)
    model = network(name, task, args)
    recipe = Recipe(
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr or default_lr(name),
        weight_decay=args.weight_decay,
        augment=quick_augment("flip,crop", args.dataset, run.quick),
    )
    return train_and_judge(model, task, recipe, seed, args, run, f"{name} seed {seed}")


def latencies(task: ImageTask, args: argparse.Namespace, run: Run) -> dict[str, dict[str, float]]:
    """Median milliseconds of one picture, and of a batch, by network (`one_ms`, `batch_ms`)."""
    precision = run.convolution_precision
    models = {name: network(name, task, args).eval() for name in args.models}
    for model in models.values():
        model.to(device=run.device, memory_format=torch.channels_last)
    rounds = QUICK_ROUNDS if run.quick else ROUNDS
    found: dict[str, dict[str, float]] = {name: {} for name in models}
    with torch.inference_mode(), autocast(run.device, precision), threads(args.latency_threads):
        for key, count in (("one_ms", 1), ("batch_ms", BATCH)):
            x = torch.randn(count, task.channels, task.image_size, task.image_size)
            x = x.to(run.device, memory_format=torch.channels_last)
            for name, seconds in take_turns(models, x, rounds).items():
                found[name][key] = 1e3 * float(np.median(seconds))
    return found


def take_turns(
    models: dict[str, nn.Module], x: torch.Tensor, rounds: int
) -> dict[str, list[float]]:
    """Seconds of `rounds` calls of each model; every round calls each of them once."""
    for model in models.values():
        for _ in range(WARM_UP):  # the first calls choose kernels and fetch memory
            model(x)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            with Timer(x.device) as timer:
                model(x)
            seconds[name].append(timer.wall)
    return seconds


@contextmanager
def threads(count: int) -> Iterator[None]:
    """This number of CPU threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def report(
    args: argparse.Namespace,
    run: Run,
    task: ImageTask,
    results: dict[str, list[dict[str, Any]]],
    costs: dict[str, dict[str, float]],
) -> None:
    name = f"modern_{task.name}"
    means = {network: over_seeds(rows) for network, rows in results.items()}
    where = f"{args.latency_threads} CPU thread" + "s" * (args.latency_threads > 1)
    where = where if run.device.type == "cpu" else str(run.device.type)
    title = f"{task.name}, {args.epochs} epochs of {len(task.train[1]):,} pictures each"
    points = {n: costs[n] | {"test": [row["test"] for row in results[n]]} for n in results}
    metrics = {
        "networks": means,
        "costs": costs,
        "runs": results,
        "best": max(means, key=lambda n: means[n]["test"][0]),
        "fastest": min(costs, key=lambda n: costs[n]["one_ms"]),
        "learning_rates": {n: args.lr or default_lr(n) for n in results},
        "latency_on": where,
        "latency_batch": BATCH,
        "pictures": len(task.train[1]),
        "chance": 100 / len(task.classes),
        "precision": run.convolution_precision,
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(results, costs)}, seeds)
    run.save_figure(figures.scatter(points, title, where), name)
    finals = {f"{n}: test accuracy (%)": row["test"][0] for n, row in means.items()}
    run.finish(finals, "python chapter_05_resnet_modern_cnn/src/fine_tune.py --embedded")


def result_table(
    results: dict[str, list[dict[str, Any]]], costs: dict[str, dict[str, float]]
) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Parameters", "参数量", ",d"),
        ("MACs of a picture (10^6)", "每张图的 MAC（10^6）", ".1f"),
        ("One picture (ms)", "单张图片（毫秒）", ".1f"),
        (f"Batch of {BATCH} (ms)", f"一批 {BATCH} 张（毫秒）", ".0f"),
        ("10^9 MACs a second, batch", "每秒 10^9 次 MAC（批）", ".1f"),
        ("Training loss (nats)", "训练损失（nat）", ".3f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
        ("Training seconds", "训练时间（秒）", ".0f"),
    ]
    lines = []
    for name, rows in results.items():
        mean, cost = over_seeds(rows), costs[name]
        speed = BATCH * cost["macs"] / cost["batch_ms"] / 1e6
        facts = [cost["parameters"], cost["macs"] / 1e6, cost["one_ms"], cost["batch_ms"], speed]
        scores = cells(rows, ("train_loss", "test"))
        lines.append([name, *facts, *scores, mean["seconds"][0]])
    return table(columns, lines)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
