"""All architectures of the chapter with the same seconds of training: what does the design buy?

What you learn: "which network is best" has no answer without a budget. A network with many
multiplications sees fewer pictures in the same time. So every network here gets the same number of
seconds on the same machine, and the result is drawn against parameters, multiply-accumulates
(MACs) of one picture, and pictures seen.

    python chapter_04_cnn_classic/exp_architectures.py                             shapes, 5 minutes
    python chapter_04_cnn_classic/exp_architectures.py --seconds 120 --threads 1   as published
    python chapter_04_cnn_classic/exp_architectures.py --dataset cifar10 --seconds 120

The recipe is the same for all (AdamW, one cycle, flips and crops); the highest learning rate is the
better of two for each, found on the validation split: networks with BatchNorm stand more.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.image_tasks import (
    QUICK_SET,
    ImageTask,
    load_task,
    quick_augment,
    quick_choice,
    train_batches,
)
from chapter_04_cnn_classic.model import MODELS, build_model
from chapter_04_cnn_classic.recipe import Recipe
from chapter_04_cnn_classic.translation_networks import centred
from utils import cli, plotting
from utils.model_summary import summary
from utils.results import cells, over_seeds, table
from utils.run import Run

COMPARED = ("lenet5", "alexnet", "vgg11", "vgg11_bn", "nin", "googlenet", "simple_cnn")
WARM_UP, TIMED = 2, 8  # steps to find out how long a step takes
QUICK_PICTURES, QUICK_MARGIN = 500, 2  # LeNet-5 reads 12 px or more, digits have 8
MAX_EPOCHS = 60  # a small network learns no more after that many passes


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/exp_architectures.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --dataset cifar10 --seconds 120"], device=True, precision=True
    )
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--dataset", default="shapes", help="name, see python -m utils.datasets list"
    )
    group.add_argument("--seconds", type=cli.positive_float, default=35.0, help="of each training")
    group.add_argument("--seeds", type=cli.positive_int, default=1)
    group.add_argument("--models", nargs="+", choices=MODELS, default=list(COMPARED))
    group.add_argument("--batch_size", type=cli.positive_int, default=64)
    group.add_argument("--lr", type=cli.positive_float, help="for every network, to search one")
    cli.add_resume_option(group, free=["models", "seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    limit = None
    if run.quick:
        limit = quick_choice(run, QUICK_PICTURES)
        args.seconds, args.seeds, args.models = 3.0, 1, ["lenet5", "alexnet", "simple_cnn"]
    task = load_task(args.dataset, args.data_dir, limit=limit)
    if run.quick and task.name == QUICK_SET:
        task = centred(task, QUICK_MARGIN)
    precision = run.convolution_precision
    results = {}
    for name in args.models:
        runs = []
        for seed in range(args.seed, args.seed + args.seeds):
            work = partial(train_one, name, task, seed, args, run, precision)
            runs.append(run.once(work, dataset=task.name, model=name, seed=seed))
        results[name] = runs
    report(args, run, task, results)


def train_one(
    name: str, task: ImageTask, seed: int, args: argparse.Namespace, run: Run, precision: str
) -> dict[str, float]:
    """Train one network for about args.seconds; accuracies in per cent and what it cost."""
    torch.manual_seed(seed)
    facts = task.architecture(name)
    model = build_model(facts.pop("model"), **facts)
    lr = args.lr or recipes.default_lr(name)
    augment = quick_augment("flip,crop", task.name, run.quick)
    recipe = Recipe(1, args.batch_size, lr, weight_decay=0.05, augment=augment)
    per_step = seconds_of_a_step(build_model(name, **facts), task, recipe, run.device, precision)
    part, epochs = share_of(task, args.seconds / per_step, args.batch_size, seed)
    recipe = replace(recipe, epochs=epochs)
    where = {"device": run.device, "precision": precision}
    history = recipes.train(model, part, recipe, seed, label=f"{name} seed {seed}", **where)
    return {
        "val": 100 * history.best["val_accuracy"],
        "test": 100 * recipes.accuracy(model, task, **where),
        "seconds": history.seconds,
        "pictures": epochs * len(part.train[1]),
        "epochs": epochs,
        **cost_of(model, task),
    }


def seconds_of_a_step(
    model: nn.Module, task: ImageTask, recipe: Recipe, device: Any, precision: str
) -> float:
    """Mean seconds of a training step, on a network that is thrown away afterwards."""
    for steps in (WARM_UP, TIMED):  # the first call chooses kernels and fetches memory
        few = first_rows(task, steps * recipe.batch_size)
        history = recipes.train(model, few, recipe, seed=0, device=device, precision=precision)
    return max(1e-4, history.seconds / TIMED)


def first_rows(task: ImageTask, count: int) -> ImageTask:
    """The first `count` training pictures, and one validation batch's worth of a few."""
    x, y = task.train
    return replace(task, train=(x[:count], y[:count]), val=(task.val[0][:8], task.val[1][:8]))


def share_of(task: ImageTask, steps: float, batch_size: int, seed: int) -> tuple[ImageTask, int]:
    """A part of the training split and a number of epochs that make about `steps` steps."""
    x, y = task.train
    per_epoch = len(train_batches(task, batch_size, seed))
    epochs = min(MAX_EPOCHS, max(1, round(steps / per_epoch)))
    if steps >= per_epoch:
        return task, epochs
    rows = torch.randperm(len(y))[: max(1, round(steps)) * batch_size]
    return replace(task, train=(x[rows], y[rows])), 1


def cost_of(model: nn.Module, task: ImageTask) -> dict[str, int]:
    """Parameters, and MACs of one picture."""
    size = (1, task.channels, task.image_size, task.image_size)
    found = summary(model, size, verbose=False)
    return {"parameters": found.parameters, "macs": found.macs}


def report(args, run: Run, task: ImageTask, results: dict[str, list[dict[str, float]]]) -> None:
    name = f"architectures_{task.name}"
    title = f"{task.name}, {args.seconds:g} s of training each"
    metrics = {
        "networks": {model: over_seeds(runs) for model, runs in results.items()},
        "runs": results,
        "learning_rates": {m: args.lr or recipes.default_lr(m) for m in results},
        "best": max(results, key=lambda model: over_seeds(results[model])["test"][0]),
        "chance": 100 / len(task.classes),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(results)}, seeds)
    run.save_figure(scatter(results, title), name)
    finals = {f"{m}: test accuracy (%)": r["test"][0] for m, r in metrics["networks"].items()}
    run.finish(finals, next_command="python chapter_04_cnn_classic/exp_depth_vgg.py")


def result_table(results: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Parameters", "参数量", ",.0f"),
        ("MACs of a picture (10^6)", "每张图的 MAC（10^6）", ".1f"),
        ("Pictures seen", "看过的图片数", ",.0f"),
        ("Seconds", "秒", ".0f"),
        ("Validation accuracy (%)", "验证准确率（%）", ".1f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
    ]
    lines = []
    for model, runs in results.items():
        row = over_seeds(runs)
        cost = [row["parameters"][0], row["macs"][0] / 1e6, row["pictures"][0], row["seconds"][0]]
        lines.append([model, *cost, *cells(runs, ("val", "test"))])
    return table(columns, lines)


def scatter(results: dict[str, list[dict[str, float]]], title: str) -> Any:
    """Test accuracy over parameters, MACs and pictures seen; a colour and a marker a network."""
    figure, axes = plotting.subplots(1, 3, width=11.5, height=3.9, sharey=True)
    known = [*COMPARED, *(model for model in results if model not in COMPARED)]
    colors = dict(zip(known, plotting.COLORS * 2, strict=False))  # the same in every figure
    markers = dict(zip(known, plotting.MARKERS * 2, strict=False))
    labels = {
        "parameters": "parameters",
        "macs": "MACs of one picture",
        "pictures": "training pictures seen",
    }
    for ax, (key, label) in zip(axes, labels.items(), strict=True):
        for model, runs in results.items():
            x = [run[key] for run in runs]
            look = {"color": colors[model], "ms": 7, "mec": "#444444", "mew": 0.5, "label": model}
            ax.plot(x, [run["test"] for run in runs], markers[model], **look)
        ax.set(xscale="log", xlabel=label)
    axes[0].set_ylabel("test accuracy (%)")
    figure.suptitle(title, fontsize="medium")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=8)
    return figure


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
