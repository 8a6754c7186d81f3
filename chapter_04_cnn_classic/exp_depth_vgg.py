"""VGG-11, 13, 16 and 19, with and without BatchNorm: more layers are not simply better.

What you learn: VGG's authors could not train their deep networks from random weights; they started
them from a trained shallow one (Simonyan & Zisserman 2015, section 3.1.1). The experiment shows
why: the training loss, not only the test accuracy, gets worse with depth. BatchNorm lifts this,
up to a depth; beyond it, chapter 5 begins.

    python chapter_04_cnn_classic/exp_depth_vgg.py                       shapes, 5 minutes
    python chapter_04_cnn_classic/exp_depth_vgg.py --seeds 3             steadier
    python chapter_04_cnn_classic/exp_depth_vgg.py --width 0.25 --pictures 10000
    python chapter_04_cnn_classic/exp_depth_vgg.py --resume RUN_FOLDER   go on after a stop

All networks have their channels scaled by `--width`; everything else is equal: He's first weights,
SGD with momentum, one cycle, the same pictures. The first gradients, layer by layer, show where the
signal is lost.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.architectures.vgg import WIDTHS
from chapter_04_cnn_classic.image_tasks import (
    ImageTask,
    load_task,
    quick_augment,
    quick_choice,
    train_batches,
    with_pictures,
)
from chapter_04_cnn_classic.model import build_model
from chapter_04_cnn_classic.recipe import Recipe
from utils import cli, plotting
from utils.results import over_seeds, table
from utils.run import Run

DEPTHS = (11, 13, 16, 19)
QUICK, QUICK_PICTURES = ("vgg11", "vgg11_bn", "vgg19", "vgg19_bn"), 300


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/exp_depth_vgg.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --seeds 3"], device=True, precision=True)
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--dataset", default="shapes", help="name, see python -m utils.datasets list"
    )
    group.add_argument("--pictures", type=cli.positive_int, default=4000, help="of the train split")
    group.add_argument("--epochs", type=cli.positive_int, default=15)
    group.add_argument("--seeds", type=cli.positive_int, default=1)
    group.add_argument(
        "--width", type=cli.positive_float, default=0.125, help="times VGG's channels"
    )
    group.add_argument("--lr", type=cli.positive_float, default=0.05, help="highest learning rate")
    group.add_argument("--batch_size", type=cli.positive_int, default=64)
    cli.add_resume_option(group, free=["seeds"])
    return parser


def names() -> list[str]:
    """vgg11, vgg11_bn, vgg13, ..."""
    return [f"vgg{depth}{suffix}" for depth in DEPTHS for suffix in ("", "_bn")]


def experiment(args: argparse.Namespace, run: Run) -> None:
    chosen = names()
    if round(args.width * min(WIDTHS)) < 1:
        raise cli.UserError(
            f"--width {args.width:g} leaves the first layer no channel; use 0.01 or more."
        )
    limit = None
    if run.quick:
        limit = quick_choice(run, QUICK_PICTURES)
        args.epochs, args.seeds, chosen = 6, 1, list(QUICK)
    task = load_task(args.dataset, args.data_dir, limit=limit)
    task = with_pictures(task, args.pictures)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in chosen:
        results[name] = []
        for seed in range(args.seed, args.seed + args.seeds):
            work = partial(train_one, name, task, seed, args, run)
            results[name].append(run.once(work, dataset=task.name, model=name, seed=seed))
    report(args, run, task, results)


def train_one(
    name: str, task: ImageTask, seed: int, args: argparse.Namespace, run: Run
) -> dict[str, Any]:
    """Train one network: accuracies in per cent, losses, and the first gradients by layer."""
    torch.manual_seed(seed)
    size = (len(task.classes), task.image_size, task.channels)
    model = build_model(name, *size, width=args.width)
    gradients = first_gradients(model, task, seed)
    augment = quick_augment("flip,crop", task.name, run.quick)
    recipe = Recipe(
        args.epochs, args.batch_size, args.lr, "sgd", weight_decay=5e-4, augment=augment
    )
    where = {"device": run.device, "precision": run.convolution_precision}
    history = recipes.train(
        model, task, replace(recipe, clip_norm=1.0), seed, label=f"{name} seed {seed}", **where
    )
    return {
        "train_losses": [row["train_loss"] for row in history.epochs],
        "train_loss": history.epochs[-1]["train_loss"],
        "val": 100 * history.best["val_accuracy"],
        "test": 100 * recipes.accuracy(model, task, **where),
        "seconds": history.seconds,
        "gradients": gradients,
    }


def first_gradients(model: nn.Module, task: ImageTask, seed: int) -> list[float]:
    """Gradient norm over weight norm of every convolution, from one batch, before training."""
    images, labels = next(iter(train_batches(task, 128, seed)))
    model.train()
    F.cross_entropy(model(images), labels).backward()
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    ratios = [(w.grad.norm() / w.detach().norm()).item() for w in weights]
    model.zero_grad()
    return ratios


def report(args, run: Run, task: ImageTask, results: dict[str, list[dict[str, Any]]]) -> None:
    name = "depth_vgg" if task.name == "shapes" else f"depth_vgg_{task.name}"
    metrics = {
        "networks": {model: over_seeds(runs) for model, runs in results.items()},
        "runs": results,
        "bn_gain": bn_gain(results),
        "chance": 100 / len(task.classes),
        "chance_loss": float(np.log(len(task.classes))),
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(results)}, seeds)
    run.save_figure(figure(results, task.name, len(task.classes)), name)
    finals = {f"{m}: test accuracy (%)": r["test"][0] for m, r in metrics["networks"].items()}
    run.finish(finals, next_command="python chapter_04_cnn_classic/speedrun.py --dataset shapes")


def bn_gain(results: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Points of test accuracy that BatchNorm adds, by depth."""
    means = {model: over_seeds(runs)["test"][0] for model, runs in results.items()}
    return {
        str(depth): means[f"vgg{depth}_bn"] - means[f"vgg{depth}"]
        for depth in DEPTHS
        if {f"vgg{depth}", f"vgg{depth}_bn"} <= set(means)
    }


def result_table(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Training loss (nats)", "训练损失（nat）", ".3f"),
        ("Validation accuracy (%)", "验证准确率（%）", ".1f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
        ("Seconds a run", "每次训练（秒）", ".0f"),
    ]
    lines = []
    for model, runs in results.items():
        row = over_seeds(runs)
        lines.append([model, row["train_loss"], row["val"], row["test"], row["seconds"][0]])
    return table(columns, lines)


def figure(results: dict[str, list[dict[str, Any]]], dataset: str, classes: int) -> Any:
    """Training loss by epoch, test accuracy over depth, first gradients by layer."""
    fig, (left, middle, right) = plotting.subplots(1, 3, width=12.0, height=3.9)
    for name, runs in results.items():
        depth = int(name.removeprefix("vgg").removesuffix("_bn"))
        normed = name.endswith("_bn")
        place = DEPTHS.index(depth)
        look = {"color": plotting.COLORS[place], "marker": plotting.MARKERS[place], "ms": 3.5}
        look["linestyle"] = "-" if normed else "--"
        losses = np.mean([run["train_losses"] for run in runs], axis=0)
        left.plot(range(1, len(losses) + 1), losses, label=name, **look)
        ratios = np.mean([run["gradients"] for run in runs], axis=0)
        right.plot(range(1, len(ratios) + 1), ratios, **look)
    for color, suffix in ((plotting.COLORS[1], ""), (plotting.COLORS[0], "_bn")):
        kept = [depth for depth in DEPTHS if f"vgg{depth}{suffix}" in results]
        runs = [[run["test"] for run in results[f"vgg{depth}{suffix}"]] for depth in kept]
        label = "BatchNorm" if suffix else "no normalisation"
        plotting.band(middle, kept, np.array(runs).T, label, color)
    middle.axhline(100 / classes, color="#555555", ls=":", lw=1, label="chance")
    middle.set(xlabel="layers with weights", ylabel="test accuracy (%)", title=f"VGG on {dataset}")
    middle.set_xticks(DEPTHS)
    middle.legend(fontsize=8)
    left.set(
        xlabel="epoch", ylabel="training loss (nats)", title="training loss, mean of the seeds"
    )
    right.set(xlabel="convolution, from the picture", ylabel="gradient norm / weight norm")
    right.set(yscale="log", title="before training")
    right.xaxis.get_major_locator().set_params(integer=True)
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=8)
    return fig


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
