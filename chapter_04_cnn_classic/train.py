"""Train any network of this chapter on any image data set of the course, and look at its mistakes.

What you learn: the whole of an image classifier's training in one script, on top of chapter 3's
loop; and that an accuracy is the beginning of a diagnosis, not its end: which classes are confused,
and which pictures is the network most wrong about?

    python chapter_04_cnn_classic/train.py --dataset shapes                     embedded, 4 minutes
    python chapter_04_cnn_classic/train.py --dataset digits                     embedded, seconds
    python chapter_04_cnn_classic/train.py --epochs 100 --batch_size 128 --lr 0.001        CIFAR-10
    python chapter_04_cnn_classic/train.py --resume RUN_FOLDER                  after Ctrl-C

Writes curves, confusion matrix, accuracy by class, the surest mistakes, and the weights, which
`inference.py --model_path` reads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chapter_03_optimization_regularization.training import History
from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic import train_figures
from chapter_04_cnn_classic.augmentation import NAMES
from chapter_04_cnn_classic.image_tasks import (
    MIXES,
    ImageTask,
    facts_of,
    load_task,
    majority_accuracy,
)
from chapter_04_cnn_classic.model import MODELS, build_model, load_model
from chapter_04_cnn_classic.recipe import Recipe, augmentations
from utils import cli, datasets
from utils.checkpoint import evaluator
from utils.errors import UserError
from utils.model_summary import parameter_count
from utils.results import cells, named_mean_std, table
from utils.run import Run

SHIPPED = ("cifar10", "simple_cnn")  # the network of results/best_model.pth
# Epochs, batch size and augmentation where the command does not say, chosen by validation.
DEFAULTS = {
    "digits": (20, 64, "crop:1"),
    "shapes": (8, 64, "flip,crop"),
    "mnist": (8, 128, "crop:2"),
    "fashion_mnist": (12, 128, "flip,crop:2"),
}
COLOR_DEFAULTS = (16, 128, "flip,crop")
QUICK_ROWS = {"digits": 1_197, "shapes": 2_500}  # of each split; of the others 600
# A network narrow enough for seconds, and what teaches it most in the few steps of a --quick run.
QUICK_SHAPES = {"widths": [16, 32, 64], "batch_size": 25, "lr": 0.02}  # with Muon


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/train.py"
    examples = [f"{path} --dataset shapes", f"{path} --epochs 100 --batch_size 128 --lr 0.001"]
    parser = cli.make_parser(__doc__, examples, device=True, precision=True)
    group = parser.add_argument_group("task")
    group.add_argument("--dataset", choices=datasets.names(), default="cifar10")
    group.add_argument("--model", choices=MODELS, default="simple_cnn", help="network")
    help_text = "channels of simple_cnn's stages (default: 32 64 128)"
    group.add_argument("--widths", type=cli.positive_int, nargs="+", help=help_text)
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="runs, one after another")
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, help="passes (default: by data set)")
    help_text = "pictures a step (default: by data set)"
    group.add_argument("--batch_size", type=cli.positive_int, help=help_text)
    help_text = "highest learning rate (default: 0.004 with BatchNorm, 0.001 without)"
    group.add_argument("--lr", type=cli.positive_float, help=help_text)
    group.add_argument("--optimizer", choices=list(recipes.OPTIMIZERS), default="adamw")
    group.add_argument("--schedule", choices=recipes.SCHEDULES, default="one_cycle")
    group.add_argument("--weight_decay", type=cli.non_negative_float, default=0.05)
    group.add_argument("--label_smoothing", type=cli.below_one, default=0.1)
    group.add_argument("--ema_decay", type=cli.below_one, default=0.0, help="0: no averaging")
    help_text = f'"none" or a list of {", ".join(NAMES)} (default: by data set)'
    group.add_argument("--augment", type=augmentations, help=help_text)
    group.add_argument("--mix", choices=["none", *MIXES], default="none", help="mixed pictures")
    cli.add_training_options(parser)
    return parser


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The settings of the command, with the data set's defaults where it is silent."""
    epochs, batch_size, augment = DEFAULTS.get(args.dataset, COLOR_DEFAULTS)
    if args.augment is not None:
        augment = args.augment
    return Recipe(
        epochs=args.epochs or epochs,
        batch_size=args.batch_size or batch_size,
        lr=args.lr or recipes.default_lr(args.model),
        optimizer=args.optimizer,
        schedule=args.schedule,
        weight_decay=args.weight_decay,
        label_smoothing=args.label_smoothing,
        augment=augment,
        mix="" if args.mix == "none" else args.mix,
        ema_decay=args.ema_decay,
    )


def quick_recipe(args: argparse.Namespace) -> Recipe:
    """The settings of a --quick run: one seed, a quarter of the usual epochs.

    Of `shapes` few networks learn anything in that time: simple_cnn takes `QUICK_SHAPES` and Muon.
    """
    args.seeds = 1
    if (args.dataset, args.model) == ("shapes", "simple_cnn"):
        for name, value in QUICK_SHAPES.items():
            setattr(args, name, getattr(args, name) or value)
        args.optimizer, args.epochs = "muon", min(args.epochs or 4, 4)
    else:
        args.epochs = max(1, min(recipe_of(args).epochs, 20) // 4)
    return recipe_of(args)


def experiment(args: argparse.Namespace, run: Run) -> None:
    recipe = quick_recipe(args) if run.quick else recipe_of(args)
    rows = QUICK_ROWS.get(args.dataset, 600) if run.quick else None
    run.smoke = run.quick and args.dataset not in QUICK_ROWS
    task = load_task(args.dataset, args.data_dir, limit=rows)
    rows, histories, shown = [], [], None
    for seed in range(args.seed, args.seed + args.seeds):
        folder = run.folder if seed == args.seed else run.folder / f"seed_{seed}"
        model, history = train_one(args, run, task, recipe, seed, folder)
        logits = recipes.predict(model, task, device=run.device)
        histories.append(history)
        rows.append(judge(history, logits, task))
        if shown is None:
            shown = (model, logits)
    report(args, run, task, recipe, shown, rows, histories)


def train_one(
    args: argparse.Namespace, run: Run, task: ImageTask, recipe: Recipe, seed: int, folder: Path
) -> tuple[torch.nn.Module, History]:
    """One training in `folder`; resumed if the command says so and the folder has a last.pth."""
    torch.manual_seed(seed)
    architecture = architecture_of(args, task)
    model = build_network(architecture)
    history = recipes.train(
        model,
        task,
        recipe,
        seed,
        device=run.device,
        precision=run.convolution_precision,
        folder=folder,
        label=f"{args.model} seed {seed}",
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        compile=args.compile,
        tensorboard=args.tensorboard,
        facts={"architecture": architecture, "dataset": task.name, **facts_of(task)},
    )
    return model, history


def architecture_of(args: argparse.Namespace, task: ImageTask) -> dict[str, Any]:
    """What rebuilds the network: name, sizes, and the widths if they are not the usual ones."""
    architecture = task.architecture(args.model)
    if args.widths is None:
        return architecture
    if args.model != "simple_cnn":
        raise UserError(f"--widths is for simple_cnn, not for {args.model}.")
    return architecture | {"widths": args.widths}


def build_network(architecture: dict[str, Any]) -> torch.nn.Module:
    """The network; a size it cannot read is the user's choice, so a UserError."""
    facts = dict(architecture)
    try:
        return build_model(facts.pop("model"), **facts)
    except ValueError as error:
        raise UserError(str(error)) from None


def judge(history: History, logits: Tensor, task: ImageTask) -> dict[str, float]:
    """What is reported of one training: accuracies in per cent, and its time."""
    return {
        "epochs": len(history.epochs),
        "best_epoch": history.best["epoch"],
        "train": 100 * history.best["train_accuracy"],
        "val": 100 * history.best["val_accuracy"],
        "test": 100 * recipes.share_right(logits, task.test[1].cpu()),
        "seconds": history.seconds,
    }


def report(args, run: Run, task: ImageTask, recipe: Recipe, shown, rows, histories) -> None:
    """Pictures of the first seed, the result of all seeds, and the first seed's weights."""
    name = f"train_{task.name}_{args.model}"
    model, logits = shown
    labels = task.test[1].cpu()
    confusion = train_figures.confusion_counts(labels, logits.argmax(dim=1), len(task.classes))
    title = f"{args.model} on {task.name}"
    metrics = summary(rows) | {
        "baseline": 100 * majority_accuracy(task)["test"],
        "by_class": dict(zip(task.classes, train_figures.recall(confusion), strict=True)),
        "recipe": recipe.as_dict(),
        "parameters": parameter_count(model),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(rows, metrics)}, seeds)
    run.save_checkpoint(
        checkpoint_name(task.name, args.model),
        {key: value.contiguous() for key, value in model.cpu().state_dict().items()},
        architecture=architecture_of(args, task),
        folder="results",
        dataset=task.name,
        metrics={"val_accuracy_percent": rows[0]["val"], "test_accuracy_percent": rows[0]["test"]},
        task=f"classification into {len(task.classes)} classes",
        **facts_of(task),
        parameters=metrics["parameters"],
        seconds=rows[0]["seconds"],
    )
    run.save_figure(train_figures.curves(histories, title), f"{name}_curves")
    run.save_figure(train_figures.confusion(confusion, task.classes, title), f"{name}_confusion")
    run.save_figure(train_figures.by_class(confusion, task.classes, title), f"{name}_classes")
    run.save_figure(train_figures.worst_mistakes(task, logits, title), f"{name}_mistakes")
    finals = {"val accuracy (%)": metrics["val_mean"], "test accuracy (%)": metrics["test_mean"]}
    weights = run.folder / checkpoint_name(task.name, args.model)
    command = (
        "python chapter_04_cnn_classic/inference.py "
        f"--img_dir ./chapter_04_cnn_classic/data/custom_imgs --model_path {weights}"
    )
    run.finish(finals, next_command=command)


def checkpoint_name(dataset: str, model: str) -> str:
    return "best_model.pth" if (dataset, model) == SHIPPED else f"{dataset}_{model}.pth"


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Every value by seed, and mean and deviation of the ones that are reported."""
    values = {key: [row[key] for row in rows] for key in rows[0]}
    for key in ("val", "test", "seconds"):
        values |= named_mean_std(values[key], key)
    return values


def result_table(rows: list[dict[str, float]], metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Parameters", "参数量", ",d"),
        ("Epochs", "训练轮数", "d"),
        ("Validation accuracy (%)", "验证准确率（%）", ".2f"),
        ("Test accuracy (%)", "测试准确率（%）", ".2f"),
        ("Always the most frequent class (%)", "总猜最多的一类（%）", ".1f"),
        ("Seconds a run", "每次训练（秒）", ".0f"),
    ]
    val, test, seconds = cells(rows, ("val", "test", "seconds"))
    row = [metrics["parameters"], rows[0]["epochs"], val, test, metrics["baseline"], seconds]
    return table(columns, [row])


evaluate_checkpoint = evaluator(load_model, load_task, recipes.accuracy)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
