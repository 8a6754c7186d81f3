"""Deeper plain networks have a higher *training* error; deeper residual networks do not.

What you learn: the degradation problem (He et al. 2015, figures 1 and 6). A deeper network contains
the shallower one: let the added layers be the identity. So if its training error is higher, it is
not overfitting, and not a lack of expressive power; the optimiser does not find even the solution
that is known to exist.

    python chapter_05_resnet_modern_cnn/src/exp_degradation.py                     shapes, 6 minutes
    python chapter_05_resnet_modern_cnn/src/exp_degradation.py --dataset cifar10 --pictures 2500 \\
        --depths 20 56 --epochs 40 --batch_size 32 --lr 0.05 --weight_decay 1e-4 --seeds 2
                                                                                   2 hours, one core
    python chapter_05_resnet_modern_cnn/src/exp_degradation.py --dataset cifar10 \\
        --depths 20 32 44 56 --epochs 40 --seeds 2                                 a day on a CPU
    python chapter_05_resnet_modern_cnn/src/exp_degradation.py --resume RUN_FOLDER

The networks are the paper's for 32 px: 6 n + 2 layers, widths 16, 32, 64, shortcut A, so that a
residual network has exactly the weights of its plain twin. Recipe: SGD with momentum (on `shapes`
Muon), one cycle, flips and crops. A stopped run goes on with the trainings that are not finished.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

import torch

from chapter_04_cnn_classic.recipe import Recipe
from chapter_05_resnet_modern_cnn.src import degradation_figures as figures
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CIFAR_DEPTHS
from chapter_05_resnet_modern_cnn.src.dataset import (
    VAL_PICTURES,
    ImageTask,
    load_task,
    preset,
    quick_augment,
    quick_choice,
    with_pictures,
)
from chapter_05_resnet_modern_cnn.src.model import build_model
from chapter_05_resnet_modern_cnn.src.model_train import (
    add_optimizer_options,
    optimizer_of,
    train_and_judge,
)
from utils import cli
from utils.results import cells, over_seeds, table
from utils.run import Run

QUICK_PICTURES = 256
KINDS = ("plainnet", "resnet")


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_05_resnet_modern_cnn/src/exp_degradation.py"
    parser = cli.make_parser(
        __doc__,
        [path, f"{path} --dataset cifar10 --epochs 40 --seeds 2"],
        device=True,
        precision=True,
    )
    group = parser.add_argument_group("comparison")
    group.add_argument("--dataset", choices=["cifar10", "shapes"], default="shapes")
    help_text = "layers with weights, 6 n + 2"
    group.add_argument(
        "--depths", type=int, nargs="+", choices=CIFAR_DEPTHS, default=[20, 32], help=help_text
    )
    group.add_argument("--pictures", type=cli.positive_int, help="of the training split (all)")
    group.add_argument("--epochs", type=cli.positive_int, default=2)
    group.add_argument("--seeds", type=cli.positive_int, default=1)
    group.add_argument("--batch_size", type=cli.positive_int, default=64)
    add_optimizer_options(group)
    cli.add_resume_option(group, free=["depths", "seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    limit = None
    if run.quick:
        limit = quick_choice(run, QUICK_PICTURES)
        args.depths, args.epochs = ([20], 1) if limit else ([20, 32], 4)
        args.seeds, args.pictures = 1, limit
    task = load_task(args.dataset, args.data_dir, limit=limit)
    task = with_pictures(task, args.pictures)
    task = with_pictures(task, VAL_PICTURES, "val")
    results: dict[str, list[dict[str, Any]]] = {}
    for depth in sorted(args.depths):
        for kind in KINDS:
            name = f"{kind}{depth}"
            results[name] = []
            for seed in range(args.seed, args.seed + args.seeds):
                work = partial(train_one, name, task, seed, args, run)
                results[name].append(run.once(work, dataset=task.name, network=name, seed=seed))
    report(args, run, task, results)


def train_one(
    name: str, task: ImageTask, seed: int, args: argparse.Namespace, run: Run
) -> dict[str, Any]:
    """One training: losses and errors by epoch, final errors in per cent."""
    torch.manual_seed(seed)
    model = build_model(name, len(task.classes), task.image_size, task.channels)
    label = f"{name} seed {seed}"
    row = train_and_judge(model, task, recipe_of(args), seed, args, run, label)
    errors = {
        "train_errors": [100 - percent for percent in row["train_accuracies_percent"]],
        "val_errors": [100 - percent for percent in row["val_accuracies_percent"]],
        "train_error": 100 - row["train"],
        "test_error": 100 - row["test"],
    }
    return row | errors


def recipe_of(args: argparse.Namespace) -> Recipe:
    return Recipe(
        epochs=args.epochs,
        batch_size=args.batch_size,
        augment=quick_augment("flip,crop", args.dataset, args.quick),
        **optimizer_of(args),
    )


def report(
    args: argparse.Namespace, run: Run, task: ImageTask, results: dict[str, list[dict[str, Any]]]
) -> None:
    usual = preset(args.dataset).optimizer
    recipe = recipe_of(args)
    suffix = "" if recipe.optimizer == usual else f"_{recipe.optimizer}"
    name = f"degradation_{task.name}{suffix}"
    means = {network: over_seeds(rows) for network, rows in results.items()}
    metrics = {
        "networks": means,
        "runs": results,
        "depth_cost": {kind: depth_cost(means, kind, sorted(args.depths)) for kind in KINDS},
        "chance_error": 100 - 100 / len(task.classes),
        "pictures": len(task.train[1]),
        "precision": run.convolution_precision,
        "recipe": recipe.as_dict(),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(results)}, seeds)
    run.save_figure(figures.curves(results, task.name), f"{name}_curves")
    run.save_figure(figures.by_depth(results, task.name), name)
    finals = {f"{n}: training error (%)": row["train_error"][0] for n, row in means.items()}
    run.finish(finals, "python chapter_05_resnet_modern_cnn/src/exp_gradient_flow.py")


def depth_cost(means: dict[str, Any], kind: str, depths: list[int]) -> float:
    """Training loss of the deepest network minus that of the shallowest: above 0 is degradation."""
    deep, shallow = (means[f"{kind}{d}"]["train_loss"][0] for d in (depths[-1], depths[0]))
    return deep - shallow


def result_table(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Training loss (nats)", "训练损失（nat）", ".3f"),
        ("Training error (%)", "训练误差（%）", ".2f"),
        ("Test error (%)", "测试误差（%）", ".2f"),
        ("Seconds a run", "每次训练（秒）", ".0f"),
    ]
    lines = []
    for network, rows in results.items():
        mean = over_seeds(rows)
        scores = cells(rows, ("train_loss", "train_error", "test_error"))
        lines.append([network, *scores, mean["seconds"][0]])
    return table(columns, lines)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
