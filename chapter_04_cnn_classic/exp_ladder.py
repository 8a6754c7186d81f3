"""From LeNet-5 with sigmoids to a small modern CNN, one change at a time.

What you learn: what each idea of twenty-five years is worth by itself. Every rung keeps all earlier
changes and adds one; data and seeds stay the same. Only the learning rate may change with it, as a
rate that suits one optimiser or network ruins another, and at the end the epochs are doubled: what
keeps a network from overfitting can lose in a short training and win in a longer one.

    python chapter_04_cnn_classic/exp_ladder.py                        Fashion-MNIST, 3 seeds
    python chapter_04_cnn_classic/exp_ladder.py --rungs relu,batchnorm --seeds 1
    python chapter_04_cnn_classic/exp_ladder.py --dataset shapes       embedded
    python chapter_04_cnn_classic/exp_ladder.py --resume RUN_FOLDER    go on after a stop

All rungs with 3 seeds take some two hours of one core, and the first ones minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.architectures.common import he_initialise
from chapter_04_cnn_classic.image_tasks import (
    QUICK_SET,
    ImageTask,
    facts_of,
    load_task,
    quick_choice,
)
from chapter_04_cnn_classic.model import build_model, load_model
from chapter_04_cnn_classic.recipe import Recipe
from chapter_04_cnn_classic.translation_networks import centred
from utils import cli, plotting
from utils.checkpoint import evaluator, load_checkpoint, load_state, save_checkpoint
from utils.model_summary import parameter_count
from utils.results import mean_std, over_seeds, table
from utils.run import Run

WIDTHS = (16, 48, 128)
QUICK_PICTURES, QUICK_BATCH = 600, 32
QUICK_MARGIN = 2  # LeNet-5 reads 12 px or more, digits have 8
QUICK_RUNGS = ("sigmoid", "relu", "one_cycle", "longer", "mirror")
Build = Callable[[ImageTask], nn.Module]


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: the network, the recipe, and what was new about it."""

    name: str
    title: str
    title_zh: str
    build: Build
    recipe: Recipe
    mirror_of: str = ""  # this rung's weights are tested again, with the mirrored picture added


def lenet(activation: str, he: bool = False) -> Build:
    """LeNet-5 with this activation; with He's first weights or torch's."""

    def build(task: ImageTask) -> nn.Module:
        facts = (len(task.classes), task.image_size, task.channels)
        model = build_model("lenet5", *facts, activation=activation)
        if he:
            he_initialise(model)
        return model

    return build


def modern(batchnorm: bool) -> Build:
    """simple_cnn; without normalisation its convolutions get the biases BatchNorm made needless."""

    def build(task: ImageTask) -> nn.Module:
        facts = (len(task.classes), task.image_size, task.channels)
        model = build_model("simple_cnn", *facts, widths=WIDTHS)
        if not batchnorm:
            for stage in [m for name, m in model.features.named_children() if "stage" in name]:
                for number in (1, 2):
                    setattr(stage, f"norm{number}", nn.Identity())
                    old = getattr(stage, f"conv{number}")
                    sizes = (old.in_channels, old.out_channels, 3)
                    setattr(stage, f"conv{number}", nn.Conv2d(*sizes, padding=1))
            he_initialise(model)
        return model

    return build


def ladder(epochs: int, batch_size: int = Recipe.batch_size) -> list[Rung]:
    """All rungs from the bottom.

    The learning rates of LeNet are the best of a grid on the validation split (one seed, 4 epochs):
    0.3, 1, 3, 6 with sigmoids; 0.1, 0.3, 1 with ReLU (1 diverged); 0.03, 0.1 with momentum and
    with He's weights. Those of the larger network are usual ones for their optimiser.
    """
    start = Recipe(epochs, batch_size, lr=3.0, optimizer="gd", schedule="constant")
    slower = replace(start, lr=0.3)
    momentum = replace(start, lr=0.03, optimizer="sgd")
    normed = replace(momentum, lr=0.1, weight_decay=5e-4)
    cycle = replace(normed, lr=0.3, schedule="one_cycle")
    augmented = replace(cycle, augment="flip,crop:2")
    smoothed = replace(augmented, label_smoothing=0.1)
    muon = replace(smoothed, lr=0.01, optimizer="muon", weight_decay=0.05)  # decay times the rate
    longer = replace(muon, epochs=2 * epochs)
    relu, he = lenet("relu"), lenet("relu", he=True)
    plain, normal = modern(False), modern(True)
    return [
        Rung("sigmoid", "LeNet-5, sigmoids", "sigmoid 版 LeNet-5", lenet("sigmoid"), start),
        Rung("relu", "ReLU", "ReLU", relu, slower),
        Rung("momentum", "Nesterov momentum", "Nesterov 动量", relu, momentum),
        Rung("he", "He initialisation", "He 初始化", he, momentum),
        Rung("vgg", "3 x 3 stages, global mean", "3×3 卷积级与全局平均", plain, momentum),
        Rung("batchnorm", "BatchNorm, weight decay", "批归一化与权重衰减", normal, normed),
        Rung("one_cycle", "one-cycle rate", "one-cycle 学习率", normal, cycle),
        Rung("augment", "flips and crops", "翻转与裁剪", normal, augmented),
        Rung("smoothing", "label smoothing", "标签平滑", normal, smoothed),
        Rung("muon", "Muon", "Muon", normal, muon),
        Rung("longer", "twice the epochs", "训练轮数加倍", normal, longer),
        Rung("mirror", "mirrored test view", "测试加镜像", normal, longer, mirror_of="longer"),
    ]


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/exp_ladder.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --rungs relu,batchnorm --seeds 1"], device=True, precision=True
    )
    group = parser.add_argument_group("ladder")
    group.add_argument(
        "--dataset", choices=["fashion_mnist", "mnist", "shapes"], default="fashion_mnist"
    )
    group.add_argument(
        "--epochs",
        type=cli.positive_int,
        default=3,
        help="of a rung; at the top twice as many",
    )
    group.add_argument("--seeds", type=cli.positive_int, default=3)
    names = [rung.name for rung in ladder(1)]
    group.add_argument("--rungs", type=rung_names, default=names, help=f"from {','.join(names)}")
    group.add_argument("--lr", type=cli.positive_float, help="for every rung, to search one")
    cli.add_resume_option(group, free=["rungs", "seeds"])
    return parser


def rung_names(text: str) -> list[str]:
    """ "relu,he" -> ["relu", "he"], checked against the ladder."""
    known = [rung.name for rung in ladder(1)]
    wrong = [name for name in text.split(",") if name not in known]
    if wrong:
        raise argparse.ArgumentTypeError(f"unknown rungs {wrong}; there are {', '.join(known)}")
    return text.split(",")


def experiment(args: argparse.Namespace, run: Run) -> None:
    task = quick_task(args, run) if run.quick else load_task(args.dataset, args.data_dir)
    batch_size = QUICK_BATCH if run.quick else Recipe.batch_size
    precision = run.convolution_precision
    results = {}
    for rung in [rung for rung in ladder(args.epochs, batch_size) if rung.name in args.rungs]:
        if args.lr:
            rung = replace(rung, recipe=replace(rung.recipe, lr=args.lr))
        runs = []
        for seed in range(args.seed, args.seed + args.seeds):
            work = partial(step_up, rung, task, seed, run, precision)
            runs.append(run.once(work, dataset=task.name, rung=rung.name, seed=seed))
        results[rung.name] = (rung, runs)
    report(args, run, task, results)


def quick_task(args: argparse.Namespace, run: Run) -> ImageTask:
    """The pictures of a --quick run: all rungs on the digits, or some of them on few pictures."""
    limit = quick_choice(run, QUICK_PICTURES)
    args.seeds = 1
    task = load_task(args.dataset, args.data_dir, limit=limit)
    if task.name == QUICK_SET:
        return centred(task, QUICK_MARGIN)
    args.epochs = min(args.epochs, 2)
    args.rungs = [name for name in args.rungs if name in QUICK_RUNGS]
    return task


def step_up(rung: Rung, task: ImageTask, seed: int, run: Run, precision: str) -> dict[str, Any]:
    """The row of one rung and seed: by a training, or by a second test of trained weights."""
    if not rung.mirror_of:
        return train_one(rung, task, seed, run, precision)
    trained_rung = replace(rung, name=rung.mirror_of, mirror_of="")
    work = partial(train_one, trained_rung, task, seed, run, precision)
    row = run.once(work, dataset=task.name, rung=trained_rung.name, seed=seed)
    model = trained(rung, task, seed, run).to(run.device)
    where = {"mirror": True, "device": run.device}
    splits = ("val", "test")
    scores = {split: 100 * recipes.accuracy(model, task, split, **where) for split in splits}
    return row | {"rung": rung.name} | scores


def train_one(rung: Rung, task: ImageTask, seed: int, run: Run, precision: str) -> dict[str, Any]:
    """Train one rung with one seed; its accuracies in per cent. The weights go to the folder."""
    torch.manual_seed(seed)
    model = rung.build(task)
    history = recipes.train(
        model,
        task,
        rung.recipe,
        seed,
        device=run.device,
        precision=precision,
        label=f"{rung.name} seed {seed}",
    )
    path, facts = weights_of(rung.name, seed, run), {"architecture": {"rung": rung.name}}
    save_checkpoint(path, model.state_dict(), **facts, dataset=task.name, metrics={})
    return {
        "val": 100 * history.best["val_accuracy"],
        "test": 100 * recipes.accuracy(model, task, device=run.device),
        "seconds": history.seconds,
        "parameters": parameter_count(model),
    }


def weights_of(name: str, seed: int, run: Run) -> Path:
    return run.folder / f"{name}_seed{seed}.pth"


def trained(rung: Rung, task: ImageTask, seed: int, run: Run) -> nn.Module:
    """The rung's network with the weights its training left in the folder."""
    model = rung.build(task)
    path = weights_of(rung.mirror_of or rung.name, seed, run)
    load_state(model, load_checkpoint(path)["state"], path)
    return model


def report(args, run: Run, task: ImageTask, results: dict) -> None:
    """The staircase, the table of gains, and the weights of the last rung's first seed."""
    name = f"ladder_{task.name}"
    means = {key: over_seeds(runs) for key, (_, runs) in results.items()}
    last_rung, last_runs = list(results.values())[-1]
    metrics = {
        "rungs": means,
        "runs": {key: runs for key, (_, runs) in results.items()},
        "recipes": {key: rung.recipe.as_dict() for key, (rung, _) in results.items()},
        "gains": gains(results),
        "top": means[last_rung.name],
        "widths": list(WIDTHS),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": ladder_table(results)}, seeds)
    if last_rung.mirror_of:
        save_top(run, task, trained(last_rung, task, args.seed, run), last_runs[0])
    run.save_figure(staircase(results, task.name), name)
    finals = {f"{key}: test accuracy (%)": row["test"][0] for key, row in means.items()}
    run.finish(finals, next_command="python chapter_04_cnn_classic/exp_architectures.py")


def save_top(run: Run, task: ImageTask, model: nn.Module, row: dict[str, float]) -> None:
    run.save_checkpoint(
        f"{task.name}_ladder.pth",
        model.state_dict(),
        architecture=task.architecture("simple_cnn") | {"widths": list(WIDTHS)},
        folder="results",
        dataset=task.name,
        metrics={"test_accuracy_percent": row["test"], "val_accuracy_percent": row["val"]},
        task=f"classification into {len(task.classes)} classes, 2 views",
        **facts_of(task),
        parameters=row["parameters"],
        seconds=row["seconds"],
    )


def gains(results: dict) -> dict[str, tuple[float, float]]:
    """What each rung added to the test accuracy: mean and deviation over the same seeds."""
    values = {key: np.array([row["test"] for row in runs]) for key, (_, runs) in results.items()}
    names = list(values)
    steps = {b: values[b] - values[a] for a, b in pairwise(names)}
    return {key: mean_std(step) for key, step in steps.items()}


def ladder_table(results: dict) -> dict[str, Any]:
    columns = [
        ("Change", "改动", ""),
        ("Parameters", "参数量", ",d"),
        ("Epochs", "训练轮数", "d"),
        ("Learning rate", "学习率", "g"),
        ("Validation (%)", "验证准确率（%）", ".2f"),
        ("Test (%)", "测试准确率（%）", ".2f"),
        ("Gain (points)", "提升（百分点）", "+.2f"),
        ("Seconds a run", "每次训练（秒）", ".0f"),
    ]
    lines, gained = [], gains(results)
    for key, (rung, runs) in results.items():
        row = over_seeds(runs)
        title = {"en": rung.title, "zh": rung.title_zh}
        facts = [title, runs[0]["parameters"], rung.recipe.epochs, rung.recipe.lr]
        lines.append([*facts, row["val"], row["test"], gained.get(key, ""), row["seconds"][0]])
    return table(columns, lines)


def staircase(results: dict, dataset: str) -> Any:
    """Test accuracy by rung: a dot a seed, a step for the mean."""
    figure, ax = plotting.subplots(width=8.4, height=4.0)
    titles = [rung.title for rung, _ in results.values()]
    means = [over_seeds(runs)["test"][0] for _, runs in results.values()]
    places = np.arange(len(means))
    ax.step(places, means, where="mid", color=plotting.COLORS[0])
    for place, (_, runs) in enumerate(results.values()):
        ax.plot([place] * len(runs), [r["test"] for r in runs], "o", ms=4, color=plotting.COLORS[1])
        ax.annotate(
            f"{means[place]:.2f}",
            (place, max(r["test"] for r in runs)),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set_xticks(places, titles, rotation=25, ha="right", fontsize=8)
    ax.set(
        ylabel="test accuracy (%)",
        title=f"One change at a time on {dataset}: a dot a seed, the line is the mean",
    )
    ax.margins(y=0.12)
    return figure


# The last rung's: mirrored pictures included.
evaluate_checkpoint = evaluator(load_model, load_task, partial(recipes.accuracy, mirror=True))


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
