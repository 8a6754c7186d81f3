"""Train a small network with `fit`, stop it, and go on: the loop of all later chapters at work.

What you learn: how the parts of this chapter (optimiser, schedule, clipping, averaging, checkpoint)
go together in one call, and that a stopped run can be resumed to the very same weights.

    python chapter_03_optimization_regularization/train.py                about 40 s, 3 seeds
    python chapter_03_optimization_regularization/train.py --epochs 200   press Ctrl-C, then:
    python chapter_03_optimization_regularization/train.py --resume RUN_FOLDER
    torchrun --nproc_per_node=2 chapter_03_optimization_regularization/train.py --threads 1

Expected: about 99 % of the digits' test pictures. With several processes each takes its share of
every batch. The results are near, not equal: BatchNorm then sees the rows of one process only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chapter_03_optimization_regularization import optimizers, schedulers
from chapter_03_optimization_regularization.experiments.tables.train import tables
from chapter_03_optimization_regularization.experiments.tasks import (
    Task,
    load_task,
    small_cnn,
    small_mlp,
)
from chapter_03_optimization_regularization.figures.train import curves_figure
from chapter_03_optimization_regularization.regularization import EMA, EarlyStopping
from chapter_03_optimization_regularization.training import (
    Batches,
    classification_loss,
    evaluate,
    fit,
)
from utils import cli
from utils.checkpoint import evaluator, load_checkpoint, load_state
from utils.model_summary import parameter_count
from utils.results import named_mean_std
from utils.run import Run

OPTIMIZERS = {
    "sgd": lambda parameters, lr: optimizers.SGD(parameters, lr=lr, momentum=0.9, nesterov=True),
    "rmsprop": lambda parameters, lr: optimizers.RMSprop(parameters, lr=lr),
    "adam": lambda parameters, lr: optimizers.Adam(parameters, lr=lr),
    "adamw": lambda parameters, lr: optimizers.AdamW(parameters, lr=lr),
    "lion": lambda parameters, lr: optimizers.Lion(parameters, lr=lr),
}
MODELS = {"cnn": small_cnn, "mlp": small_mlp}


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/train.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --dataset fashion_mnist --epochs 5"], device=True, precision=True
    )
    parser.set_defaults(threads=1)  # the digits' convolutions are too small for two
    group = parser.add_argument_group("task")
    group.add_argument("--dataset", choices=["digits", "mnist", "fashion_mnist"], default="digits")
    group.add_argument("--model", choices=list(MODELS), default="cnn", help="network")
    group.add_argument(
        "--seeds", type=cli.positive_int, default=3, help="runs, one after the other"
    )
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, default=20, help="passes over the data")
    group.add_argument("--batch_size", type=cli.positive_int, default=64, help="of all processes")
    group.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adamw")
    group.add_argument("--lr", type=cli.positive_float, default=1e-2, help="highest learning rate")
    group.add_argument(
        "--schedule", choices=["constant", "cosine", "one_cycle"], default="one_cycle"
    )
    group.add_argument("--clip_norm", type=cli.positive_float, help="limit of the gradient's norm")
    group.add_argument("--accumulate", type=cli.positive_int, default=1, help="batches a step")
    group.add_argument(
        "--ema_decay", type=cli.below_one, help="average the weights with this decay"
    )
    group.add_argument("--label_smoothing", type=cli.below_one, default=0.0)
    group.add_argument("--patience", type=cli.positive_int, help="epochs without a better val loss")
    group.add_argument("--save_every", type=cli.non_negative_int, default=0, help="steps; 0: epoch")
    cli.add_training_options(parser)
    return parser


def architecture_of(name: str, task: Task) -> dict[str, Any]:
    """What rebuilds the network that suits this data set: the arguments of `make_model`."""
    return {"model": name} | ({"inputs": task.train[0][0].numel()} if name == "mlp" else {})


def make_model(model: str, inputs: int = 64) -> nn.Module:
    """A fresh network for ten classes, from the global random state."""
    return small_mlp(inputs) if model == "mlp" else small_cnn()


def make_scheduler(name: str, optimizer: torch.optim.Optimizer, args: Any, steps: int) -> Any:
    """The learning rate as a function of the step, over `steps` optimiser steps."""
    if name == "cosine":
        return schedulers.CosineWithWarmup(optimizer, warmup_steps=steps // 10, total_steps=steps)
    if name == "one_cycle":
        return schedulers.OneCycleLR(optimizer, max_lr=args.lr, total_steps=steps)
    return None


def train_one(task: Task, seed: int, args: argparse.Namespace, run: Run, folder: Path):
    """One training in `folder`; resumed if the folder has a last.pth. -> (model, history)."""
    torch.manual_seed(seed)
    architecture = architecture_of(args.model, task)
    model = make_model(**architecture)
    optimizer = OPTIMIZERS[args.optimizer](model.parameters(), args.lr)
    train = Batches(*task.train, batch_size=args.batch_size, shuffle=True, seed=seed)
    steps = args.epochs * -(-len(train) // args.accumulate)
    history = fit(
        model,
        classification_loss(args.label_smoothing),
        optimizer,
        train,
        epochs=args.epochs,
        val=Batches(*task.val, batch_size=1000),
        scheduler=make_scheduler(args.schedule, optimizer, args, steps),
        accumulate=args.accumulate,
        clip_norm=args.clip_norm,
        ema=EMA(model, args.ema_decay) if args.ema_decay else None,
        early_stopping=EarlyStopping(args.patience) if args.patience else None,
        restore_best=True,
        device=run.device,
        precision=run.precision,
        compile=args.compile,
        folder=folder,
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        save_every=args.save_every,
        facts={"architecture": architecture, "dataset": task.name},
        tensorboard=args.tensorboard,
        label=f"seed {seed}",
    )
    return model, history


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.epochs, args.seeds = min(args.epochs, 3), 1
    task = load_task(args.dataset, args.data_dir, limit=6000 if args.quick else None)
    rows, histories, first = [], [], None
    for seed in range(args.seed, args.seed + args.seeds):
        folder = run.folder if seed == args.seed else run.folder / f"seed_{seed}"
        model, history = train_one(task, seed, args, run, folder)
        first = first or model
        histories.append(history)
        rows.append(
            {
                "epochs": len(history.epochs),
                "val": 100 * history.best_row()["val_accuracy"],
                "test": 100 * accuracy_on_test(model, task, run.device),
                "chance": 100 / len(task.classes),
                "seconds": history.seconds,
            }
        )
    report(args, run, task, first, rows, histories)


def report(args, run: Run, task: Task, model: nn.Module, rows: list, histories: list) -> None:
    """Curves, the result, and the first seed's weights as a small file for later use."""
    metrics = {key: [row[key] for row in rows] for key in rows[0]}
    for key in ("val", "test", "seconds"):
        metrics |= named_mean_std(metrics[key], key)
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result(f"train_{task.name}", metrics, tables(rows), seeds)
    run.save_checkpoint(
        f"{task.name}_{args.model}.pth",
        model.cpu().state_dict(),
        architecture=architecture_of(args.model, task),
        dataset=task.name,
        metrics={"test_accuracy_percent": rows[0]["test"]},
        task=f"classification into {len(task.classes)} classes",
        parameters=parameter_count(model),
    )
    run.save_figure(curves_figure(histories, task), f"train_{task.name}")
    shown = {"val accuracy (%)": metrics["val_mean"], "test accuracy (%)": metrics["test_mean"]}
    command = "python chapter_03_optimization_regularization/train.py --epochs 200  (then Ctrl-C)"
    run.finish(shown, next_command=command)


def load_model(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint, and all of it."""
    checkpoint = load_checkpoint(path)
    model = make_model(**checkpoint["architecture"])
    load_state(model, checkpoint["state"], path)
    return model, checkpoint


def accuracy_on_test(model: nn.Module, task: Task, device: torch.device | str = "cpu") -> float:
    held_out = Batches(*task.test, batch_size=1000)
    return evaluate(model, classification_loss(), held_out, device)["accuracy"]


evaluate_checkpoint = evaluator(load_model, load_task, accuracy_on_test)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
