"""Pictures as patches: a Vision Transformer beside a ResNet, trained the same minutes.

What you learn: what a convolution has built in and a ViT must learn, and what that is worth at a
given number of minutes and pictures. Then: where the ViT's answer could come from (rollout), and
what its places have learnt of the grid; both beside the same network untrained.

    python chapter_08_transformer_vanilla/train_vit.py                     shapes, two minutes each
    python chapter_08_transformer_vanilla/train_vit.py --dataset cifar10
    python chapter_08_transformer_vanilla/train_vit.py --dataset cifar10 --minutes 10
        --pictures 1000 4000 16000 45000
    python chapter_08_transformer_vanilla/train_vit.py --resume RUN_FOLDER

The number of epochs follows from --minutes and the speed of each network, measured once. The
ResNet is chapter 5's ResNet-20 with its recipe. Papers: Dosovitskiy et al. 2021; Touvron et al.
2021; Abnar and Zuidema 2020.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

import torch

from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.image_tasks import (
    ImageTask,
    facts_of,
    load_task,
    majority_accuracy,
    quick_augment,
    quick_choice,
    standardize,
    to_pixels,
    with_pictures,
)
from chapter_05_resnet_modern_cnn.src import baselines
from chapter_08_transformer_vanilla.experiments import picture_looks, picture_tables, pictures
from chapter_08_transformer_vanilla.experiments.pictures import load_model
from chapter_08_transformer_vanilla.figures import train_vit as figures
from utils import cli
from utils.checkpoint import evaluator
from utils.run import Run

SHOWN = 7  # classes, of each its first test picture with the rollout
VAL_PICTURES = 1000  # as in chapter 5: enough for a curve and a choice
DATASETS = ("shapes", "cifar10", "digits")
# What --dataset decides where the option is not given.
DEFAULTS: dict[str, dict[str, Any]] = {
    "shapes": {"minutes": 2.0, "patch": 4, "width": 64, "heads": 4, "layers": 4, "ffn": 128}
    | {"places": "random"},
    "cifar10": {"minutes": 40.0, "patch": 4, "width": 96, "heads": 4, "layers": 6, "ffn": 384}
    | {"places": "waves"},
    "digits": {"minutes": 0.5, "patch": 2, "width": 48, "heads": 4, "layers": 3, "ffn": 96}
    | {"places": "random"},
}
QUICK = {"epochs": 9, "batch_size": 32}  # of the digits


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_08_transformer_vanilla/train_vit.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --dataset cifar10"], device=True, precision=True
    )
    group = parser.add_argument_group("comparison")
    group.add_argument("--dataset", choices=DATASETS, default="shapes")
    words = "networks, trained one after the other"
    names = list(pictures.BUILDERS)
    group.add_argument("--model", nargs="+", choices=names, default=names, help=words)
    words = "training pictures that a network may see, one or more numbers (default: all)"
    group.add_argument("--pictures", nargs="+", type=cli.positive_int, help=words)
    words = "of one training, on an idle machine"
    group.add_argument("--minutes", type=cli.positive_float, help=f"{words} ({default('minutes')})")
    words = "in the place of --minutes: passes, each as long as the whole training part"
    group.add_argument("--epochs", type=cli.positive_int, help=words)
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="trainings of each kind")
    group = parser.add_argument_group("the ViT")
    for name, words in {
        "patch": "side of a patch in px, divides that of the pictures",
        "width": "numbers of a token",
        "heads": "heads of every layer, divide the width",
        "layers": "blocks",
        "ffn": "width of the feed-forward",
    }.items():
        group.add_argument(f"--{name}", type=cli.positive_int, help=f"{words} ({default(name)})")
    words = "what the learned places start from: random rows, or sines of row and column"
    words = f"{words} ({default('places')})"
    group.add_argument("--places", choices=("random", "waves"), help=words)
    group.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    group.add_argument("--lr", type=cli.positive_float, default=1e-2, help="highest learning rate")
    group.add_argument("--weight_decay", type=cli.non_negative_float, default=0.05)
    group.add_argument("--label_smoothing", type=cli.below_one, default=0.1)
    group.add_argument("--batch_size", type=cli.positive_int, default=64, help="pictures a step")
    group = parser.add_argument_group("both networks")
    words = '"none" or operations of chapter 4'
    group.add_argument("--augment", type=recipes.augmentations, default="flip,crop", help=words)
    cli.add_training_options(parser)
    return parser


def default(name: str) -> str:
    return "default: " + ", ".join(f"{task} {row[name]}" for task, row in DEFAULTS.items())


def fill_in(args: argparse.Namespace, run: Run) -> int | None:
    """The data set's defaults, and with --quick small ones; how many pictures are loaded."""
    limit = None
    if run.quick:
        limit = quick_choice(run, 200)  # the digits stand in for shapes
        args.seeds, args.pictures = 1, None
        for name, value in QUICK.items():
            setattr(args, name, value)
        args.augment = quick_augment(args.augment, args.dataset, quick=True)
        if limit:
            args.epochs = 1
    for name, value in DEFAULTS[args.dataset].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.width % args.heads:
        raise cli.UserError(f"--heads {args.heads} must divide --width {args.width}.")
    if args.places == "waves" and args.width % 4:
        raise cli.UserError(f"--places waves needs a --width divisible by 4, not {args.width}.")
    return limit


def checked(args: argparse.Namespace, task: ImageTask) -> list[int]:
    """How many pictures each training may see, in order; UserError for sizes that do not fit."""
    if task.image_size % args.patch:
        raise cli.UserError(
            f"--patch {args.patch} must divide the pictures' side, {task.image_size} px."
        )
    whole = len(task.train[1])
    if args.pictures and min(args.pictures) < len(task.classes):
        raise cli.UserError(f"--pictures must be at least {len(task.classes)}, one a class.")
    return sorted({min(count, whole) for count in args.pictures or [whole]})


def experiment(args: argparse.Namespace, run: Run) -> None:
    limit = fill_in(args, run)
    task = with_pictures(load_task(args.dataset, args.data_dir, limit), VAL_PICTURES, "val")
    sizes = checked(args, task)
    planned = {network: pictures.plan(network, args, task, run) for network in args.model}
    rows = [
        run.once(
            partial(pictures.train_one, network, size, seed, epochs, args, task, run),
            network=network, pictures=size, seed=seed, dataset=task.name, epochs=epochs,
        )
        for seed in range(args.seed, args.seed + args.seeds)
        for size in sizes
        for network, epochs in ((name, planned[name]["epochs"]) for name in args.model)
    ]  # fmt: skip
    report(args, run, task, planned, rows)


def report(
    args: argparse.Namespace, run: Run, task: ImageTask, planned: dict, rows: list[dict]
) -> None:
    """Result, weights and figures. Several numbers of pictures have a result of their own."""
    facts = {
        "minutes": None if args.epochs else args.minutes,
        "chance": 100 / len(task.classes),
        "majority": 100 * majority_accuracy(task)["test"],
        "linear": baselines.linear(task),
        "origin": task.origin,
        "recipes": {
            network: pictures.recipe_of(network, args, row["epochs"]).as_dict()
            for network, row in planned.items()
        },
    }
    metrics = picture_tables.collect(rows, planned) | facts
    seeds = list(range(args.seed, args.seed + args.seeds))
    sizes = {row["pictures"] for row in rows}
    name = f"vit_{task.name}"
    if len(sizes) > 1:
        run.save_result(f"{name}_pictures", metrics, picture_tables.tables(metrics), seeds)
        run.save_figure(figures.pictures_figure(metrics, task.name), f"{name}_pictures")
    else:
        if sizes != {len(task.train[1])}:
            name = f"{name}_{sizes.pop()}"
        report_one_size(args, run, task, metrics, rows, name)
    shown = {
        f"{figures.NAMES[row['network']]}, {row['pictures']:,} pictures, seed {row['seed']}, "
        "test (%)": row["test"]
        for row in rows
    }
    run.finish(shown | {"linear (%)": facts["linear"]["test"]}, next_command(args))


def report_one_size(
    args: argparse.Namespace, run: Run, task: ImageTask, metrics: dict[str, Any],
    rows: list[dict], name: str,
) -> None:  # fmt: skip
    """Curves; of the ViT also its weights and what it looked at."""
    seeds = sorted({row["seed"] for row in rows})
    vits = [row for row in rows if row["network"] == "vit" and row["seed"] == args.seed]
    if vits:
        model, fresh = trained(run, vits[0]), untrained(vits[0])
        metrics |= picture_looks.measure(model, fresh, task)
    run.save_result(name, metrics, picture_tables.tables(metrics), seeds)
    if vits:
        save_weights(run, task, model, vits[0], name)
    run.save_figure(figures.curves_figure(metrics, task.name), name)
    if vits:
        first = [int((task.test[1] == label).nonzero()[0]) for label in range(SHOWN)]
        shown = to_pixels(task.test[0][first])  # (B, C, H, W)
        x = standardize(shown, task)
        maps = [picture_looks.class_maps(network, x) for network in (model, fresh)]
        titles = [str(name) for name in task.classes[:SHOWN]]
        drawn, ours = figures.rollout_figure(shown, titles, *maps), task.name != "cifar10"
        run.save_figure(drawn, f"{name}_rollout", publish=ours)
        cosines = [picture_looks.place_cosines(network) for network in (model, fresh)]
        run.save_figure(figures.places_figure(*cosines), f"{name}_places")


def untrained(row: dict[str, Any]) -> torch.nn.Module:
    """The network as its training began."""
    torch.manual_seed(row["seed"])
    return pictures.build_model(**pictures.named(row["architecture"]))


def next_command(args: argparse.Namespace) -> str:
    command = "python chapter_08_transformer_vanilla/train_vit.py --dataset cifar10"
    return command if args.dataset != "cifar10" else f"{command} --minutes 10 --pictures 4000"


def trained(run: Run, row: dict[str, Any]) -> torch.nn.Module:
    """The best weights of a training, from its folder: a resumed run has not trained it again."""
    folder = pictures.folder_of(run, row["network"], row["pictures"], row["seed"])
    return load_model(folder / "best.pth")[0]


def save_weights(
    run: Run, task: ImageTask, model: torch.nn.Module, row: dict[str, Any], name: str
) -> None:
    run.save_checkpoint(
        f"{name}.pth",
        model.state_dict(),
        architecture=row["architecture"],
        dataset=task.name,
        metrics={"val_accuracy_percent": row["val"], "test_accuracy_percent": row["test"]},
        task=f"classification into {len(task.classes)} classes",
        parameters=row["parameters"],
        seconds=row["seconds"],
        **facts_of(task),
    )


evaluate_checkpoint = evaluator(load_model, load_task, recipes.accuracy)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
