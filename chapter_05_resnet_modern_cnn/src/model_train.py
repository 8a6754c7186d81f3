"""Train a residual network, its plain twin, or both under one recipe.

What you learn: what a shortcut is worth when nothing else differs. `--model_type compare` trains
both networks from the same seed on the same batches, and draws their losses and the norms of their
gradients, layer by layer, over the training.

    python chapter_05_resnet_modern_cnn/src/model_train.py --epochs 100 --batch_size 64 --lr 0.1
    python chapter_05_resnet_modern_cnn/src/model_train.py --model_type plainnet --epochs 100
    python chapter_05_resnet_modern_cnn/src/model_train.py --dataset shapes --model_type compare
    python chapter_05_resnet_modern_cnn/src/model_train.py --dataset natural_images96 --depth 34
    python chapter_05_resnet_modern_cnn/src/model_train.py --resume RUN_FOLDER          after Ctrl-C

The first two lines train on STL-10, the third on drawn shapes, which need no download.
Recipe: SGD with momentum (on `shapes` Muon), one cycle up to `--lr`, weight decay, flips, crops.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from chapter_03_optimization_regularization.training import History
from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.image_tasks import facts_of, train_batches
from chapter_04_cnn_classic.recipe import Recipe, augmentations
from chapter_05_resnet_modern_cnn.src import baselines
from chapter_05_resnet_modern_cnn.src import comparison_figures as figures
from chapter_05_resnet_modern_cnn.src.architectures.resnet import BASIC, CIFAR_DEPTHS, DEEP
from chapter_05_resnet_modern_cnn.src.dataset import (
    DATASETS,
    ImageTask,
    load_task,
    preset,
    quick_choice,
)
from chapter_05_resnet_modern_cnn.src.model import build_model, load_model
from utils import cli
from utils.checkpoint import evaluator, load_checkpoint, load_state
from utils.model_summary import parameter_count
from utils.modes import training
from utils.results import cells, over_seeds, table
from utils.run import Run

TYPES = {"resnet": ("resnet",), "plainnet": ("plainnet",), "compare": ("resnet", "plainnet")}
DEPTHS = tuple(sorted([*BASIC, *DEEP, *CIFAR_DEPTHS]))
RATES = {  # optimizer: highest rate, weight decay
    "gd": (0.1, 5e-4),
    "sgd": (0.1, 5e-4),
    "adam": (0.003, 0.0),
    "adamw": (0.003, 0.05),
    "muon": (0.02, 0.05),
}
PROBE_ROWS = 64  # pictures of the batch whose gradients are looked at
SHOWN = "compare_natural_images96_34"  # the run whose curves are results/loss_comparison.png
HALF = torch.float16  # of shipped weights: half the bytes, the same accuracy


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_05_resnet_modern_cnn/src/model_train.py"
    examples = [
        f"{path} --epochs 100 --batch_size 64 --lr 0.1",
        f"{path} --dataset shapes --model_type compare",
    ]
    parser = cli.make_parser(__doc__, examples, device=True, precision=True)
    group = parser.add_argument_group("task")
    group.add_argument("--dataset", choices=DATASETS, default="stl10")
    group.add_argument("--model_type", choices=list(TYPES), default="resnet")
    group.add_argument("--depth", type=int, choices=DEPTHS, help="layers (default: by data set)")
    group.add_argument("--skip", type=int, choices=range(6), help="halvings to leave out")
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="runs, one after another")
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, help="passes (default: by data set)")
    group.add_argument("--batch_size", type=cli.positive_int, default=64)
    add_optimizer_options(group)
    group.add_argument("--schedule", choices=recipes.SCHEDULES, default="one_cycle")
    group.add_argument("--label_smoothing", type=cli.below_one, default=0.0)
    help_text = '"none" or as in chapter 4 (default: by data set)'
    group.add_argument("--augment", type=augmentations, help=help_text)
    cli.add_training_options(parser, free=["model_type"])
    return parser


def add_optimizer_options(group: argparse._ArgumentGroup) -> None:
    """--optimizer, --lr and --weight_decay, for `optimizer_of`."""
    help_text = "default: by data set"
    group.add_argument("--optimizer", choices=list(RATES), help=help_text)
    help_text = "highest learning rate (default: by optimizer)"
    group.add_argument("--lr", type=cli.positive_float, help=help_text)
    help_text = "default: by optimizer"
    group.add_argument("--weight_decay", type=cli.non_negative_float, help=help_text)


def optimizer_of(args: argparse.Namespace) -> dict[str, Any]:
    """Optimizer, highest rate and weight decay, with the defaults where the command is silent."""
    optimizer = args.optimizer or preset(args.dataset).optimizer
    lr, weight_decay = RATES[optimizer]
    return {
        "optimizer": optimizer,
        "lr": lr if args.lr is None else args.lr,
        "weight_decay": weight_decay if args.weight_decay is None else args.weight_decay,
    }


def experiment(args: argparse.Namespace, run: Run) -> None:
    limit = None
    if run.quick:
        limit = quick_choice(run, preset(args.dataset).quick)
        args.seeds = 1
    defaults = preset(args.dataset)
    # Quick: 20 layers of the narrow kind instead of 18 wide ones.
    args.depth = args.depth or (max(20, defaults.depth) if run.quick else defaults.depth)
    recipe = recipe_of(args, 2 if limit else defaults.epochs)
    task = load_task(args.dataset, args.data_dir, limit=limit)
    results: dict[str, list[dict[str, Any]]] = {}
    models: dict[str, nn.Module] = {}
    for kind in TYPES[args.model_type]:
        results[kind] = []
        for seed in range(args.seed, args.seed + args.seeds):
            model, row = train_one(f"{kind}{args.depth}", args, run, task, recipe, seed)
            models.setdefault(kind, model)
            results[kind].append(row)
    report(args, run, task, recipe, models, results)


def recipe_of(args: argparse.Namespace, epochs: int) -> Recipe:
    """The settings of the command, with the data set's defaults where it is silent."""
    augment = preset(args.dataset).augment if args.augment is None else args.augment
    return Recipe(
        epochs=args.epochs or epochs,
        batch_size=args.batch_size,
        schedule=args.schedule,
        label_smoothing=args.label_smoothing,
        augment=augment,
        **optimizer_of(args),
    )


def train_one(
    name: str, args: argparse.Namespace, run: Run, task: ImageTask, recipe: Recipe, seed: int
) -> tuple[nn.Module, dict[str, Any]]:
    """One network, one seed: its best weights, and what is reported of its training."""
    torch.manual_seed(seed)
    architecture = task.architecture(name) | ({} if args.skip is None else {"skip": args.skip})
    model = build_network(architecture).to(run.device)
    norms = {  # by epoch; of a resumed run, those from before
        row["epoch"]: row["gradients"]
        for row in run.logged()
        if (row["network"], row["seed"]) == (name, seed)
    }

    def look(row: dict[str, float]) -> None:
        norms[row["epoch"]] = gradient_norms(model, task, seed)
        facts = {"network": name, "seed": seed, "epoch": row["epoch"]}
        run.log(**facts, gradients=norms[row["epoch"]])

    if not norms:
        look({"epoch": 0})
    precision = run.convolution_precision
    folder = run.folder / f"{name}_seed{seed}"
    last = folder / "last.pth"
    resume = args.resume is not None and last.is_file()
    if resume:
        saved = load_checkpoint(last)
        epoch, batch = (saved["training"][key] for key in ("epoch", "batch"))
        if epoch not in norms and batch == 0:  # killed after the checkpoint, before its row
            load_state(model, saved["state"], last)
            look({"epoch": epoch})
    history = recipes.train(
        model,
        task,
        recipe,
        seed,
        device=run.device,
        precision=precision,
        folder=folder,
        label=f"{name} seed {seed}",
        resume=resume,
        compile=args.compile,
        tensorboard=args.tensorboard,
        facts={"architecture": architecture, "dataset": task.name, **facts_of(task)},
        on_epoch=look,
    )
    test = 100 * recipes.accuracy(model, task, device=run.device, precision=precision)
    gradients = [norms[epoch] for epoch in sorted(norms)]
    return model, judge(history, test) | {"gradients": gradients, "architecture": architecture}


def build_network(architecture: dict[str, Any]) -> nn.Module:
    facts = dict(architecture)
    return build_model(facts.pop("model"), **facts)


def gradient_norms(model: nn.Module, task: ImageTask, seed: int) -> list[float]:
    """Gradient norm over weight norm of every 3x3 or larger convolution, on one fixed batch.

    The network is put back as it was: mode, gradients and the running means of BatchNorm.
    """
    device = next(model.parameters()).device
    images, labels = next(iter(train_batches(task, PROBE_ROWS, seed)))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    weights = [m.weight for m in model.modules() if is_wide(m)]
    with training(model):
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
    gradients = torch.autograd.grad(loss, weights)
    ratios = [g.norm() / w.detach().norm() for g, w in zip(gradients, weights, strict=True)]
    model.load_state_dict(state)
    return torch.stack(ratios).tolist()


def is_wide(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1


def train_and_judge(
    model: nn.Module,
    task: ImageTask,
    recipe: Recipe,
    seed: int,
    args: argparse.Namespace,
    run: Run,
    label: str,
) -> dict[str, Any]:
    """Train `model` in place on the run's device; what `judge` says of it."""
    where = {"device": run.device, "precision": run.convolution_precision}
    history = recipes.train(model, task, recipe, seed, label=label, **where)
    return judge(history, 100 * recipes.accuracy(model, task, **where))


def judge(history: History, test: float) -> dict[str, Any]:
    """What is reported of one training: accuracies in per cent, losses, and its time."""
    return {
        "train_losses": [row["train_loss"] for row in history.epochs],
        "train_accuracies_percent": [100 * row["train_accuracy"] for row in history.epochs],
        "val_losses": [row["val_loss"] for row in history.epochs],
        "val_accuracies_percent": [100 * row["val_accuracy"] for row in history.epochs],
        "epochs": len(history.epochs),
        "train_loss": history.epochs[-1]["train_loss"],
        "train": 100 * history.epochs[-1]["train_accuracy"],
        "val": 100 * history.best["val_accuracy"],
        "test": test,
        "seconds": history.seconds,
    }


def report(
    args: argparse.Namespace,
    run: Run,
    task: ImageTask,
    recipe: Recipe,
    models: dict[str, nn.Module],
    results: dict[str, list[dict[str, Any]]],
) -> None:
    """Curves, gradient norms, the table, and the weights of each network's first seed."""
    title = f"{args.depth} layers on {task.name}"
    name = f"{args.model_type}_{task.name}_{args.depth}"
    curves = "loss_comparison" if name == SHOWN else f"{name}_losses"
    metrics = {
        "networks": {kind: over_seeds(rows) for kind, rows in results.items()},
        "runs": results,
        "parameters": {k: parameter_count(m) for k, m in models.items()},
        "chance": 100 / len(task.classes),
        "precision": run.convolution_precision,
        "baselines": {
            "majority": {k: 100 * v for k, v in baselines.majority_accuracy(task).items()},
            "linear": baselines.linear(task),
        },
        "recipe": recipe.as_dict(),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(args.depth, results, metrics)}, seeds)
    for kind, model in models.items():
        save_weights(run, task, f"{kind}{args.depth}", model, results[kind][0])
    run.save_figure(figures.losses(results, title), curves)
    run.save_figure(figures.gradients(results, title), f"{name}_gradients")
    finals = {f"{k}: test accuracy (%)": r["test"][0] for k, r in metrics["networks"].items()}
    weights = run.folder / weights_name(f"resnet{args.depth}", task.name)
    command = f"python chapter_05_resnet_modern_cnn/src/inference.py --model_path {weights}"
    run.finish(finals, next_command=command)


def save_weights(
    run: Run, task: ImageTask, name: str, model: nn.Module, row: dict[str, Any]
) -> None:
    """The weights in half precision; the metrics are those of these very weights."""
    half = {
        key: value.to(HALF) if value.is_floating_point() else value
        for key, value in model.cpu().state_dict().items()
    }
    run.save_checkpoint(
        weights_name(name, task.name),
        {key: value.contiguous() for key, value in half.items()},
        architecture=row["architecture"],
        dataset=task.name,
        metrics={"val_accuracy_percent": row["val"], "test_accuracy_percent": row["test"]},
        task=f"classification into {len(task.classes)} classes",
        parameters=parameter_count(model),
        seconds=row["seconds"],
        **facts_of(task),
    )


def weights_name(model: str, dataset: str) -> str:
    """resnet18_natural_images.pth: a photo set's name without the side of its pictures."""
    if not dataset.startswith("shapes"):  # those are drawn in several sizes
        dataset = dataset.removesuffix("96").removesuffix("_")
    return f"{model}_{dataset}.pth"


def result_table(
    depth: int, results: dict[str, list[dict[str, Any]]], metrics: dict[str, Any]
) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Parameters", "参数量", ",d"),
        ("Epochs", "训练轮数", "d"),
        ("Training loss (nats)", "训练损失（nat）", ".3f"),
        ("Validation accuracy (%)", "验证准确率（%）", ".2f"),
        ("Test accuracy (%)", "测试准确率（%）", ".2f"),
        ("Seconds a run", "每次训练（秒）", ".0f"),
    ]
    lines = []
    for kind, rows in results.items():
        mean = metrics["networks"][kind]
        scores = cells(rows, ("train_loss", "val", "test"))
        facts = [f"{kind}{depth}", metrics["parameters"][kind], rows[0]["epochs"]]
        lines.append([*facts, *scores, mean["seconds"][0]])
    side = baselines.SIDE
    titles = {
        "linear": {
            "en": f"linear, {side} x {side} pixels",
            "zh": f"线性模型，{side} x {side} 像素",
        },
        "majority": {"en": "most frequent class", "zh": "总猜最多的一类"},
    }
    for name, title in titles.items():
        row = metrics["baselines"][name]
        lines.append([title, row.get("parameters"), None, None, row["val"], row["test"], None])
    return table(columns, lines)


evaluate_checkpoint = evaluator(load_model, load_task, recipes.accuracy)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
