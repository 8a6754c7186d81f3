"""Classify with an MLP: three spirals, handwritten digits, and pieces of clothing.

What you learn: the same network, loss and loop serve points and pictures; what a decision boundary
looks like while it forms; how to judge an accuracy (chance, a linear model, people); and which
mistakes remain.

    loss = mean of -log softmax(MLP(x))_y         (gradient at the logits: softmax - onehot(y))

    python chapter_02_nn_basics_mlp/classify.py --dataset spiral          about 15 s, a GIF
    python chapter_02_nn_basics_mlp/classify.py --dataset digits          about 15 s, about 97 %
    python chapter_02_nn_basics_mlp/classify.py --dataset fashion_mnist   about 3 min, >= 89.5 %
    python chapter_02_nn_basics_mlp/classify.py --dataset digits --load   the shipped weights

Every accuracy is the mean over 3 seeds on the test split, looked at once, after the last epoch. The
recipes (width, dropout, learning rate, epochs) were chosen on the validation split of one seed.
The optimiser is torch's: chapter 3 builds it. The loop is written out in `train`.

Fashion-MNIST: Xiao, Rasul & Vollgraf 2017. Its README (github.com/zalandoresearch/fashion-mnist)
gives 83.5 % for people without training in fashion, 88.3 % for an MLP with 256-128-100 units and
96.7 % for the best convolutional network listed there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp import classify_figures as figures
from chapter_02_nn_basics_mlp.classify_data import Task, load_task
from chapter_02_nn_basics_mlp.losses import CrossEntropyLoss
from chapter_02_nn_basics_mlp.model import MLP
from utils import cli
from utils.checkpoint import CheckpointError, evaluator, load_checkpoint, load_state
from utils.device import set_threads
from utils.model_summary import parameter_count
from utils.modes import evaluating
from utils.results import mean_std, table
from utils.run import Run

FOLDER = Path(__file__).parent
# Published accuracies beside ours, per cent. People: Fashion-MNIST README.
PEOPLE = {"fashion_mnist": 83.5}
BEST_KNOWN = {"fashion_mnist": (96.7, "WRN-40-4, Fashion-MNIST README")}


@dataclass(frozen=True)
class Recipe:
    """What was chosen on the validation split."""

    hidden_dim: int
    depth: int
    activation: str
    dropout: float
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    label_smoothing: float = 0.0
    flip: bool = False  # mirror half of the training pictures: clothes may, digits may not


RECIPES = {
    "spiral": Recipe(64, 2, "silu", 0.0, 60, 32, 1e-2, 0.0),
    "digits": Recipe(256, 2, "relu", 0.2, 40, 64, 2e-3, 0.05),
    # Validation accuracy after 20 epochs, one seed: no mirroring, no label smoothing 90.1; three
    # layers of 384 units 90.1; pictures also shifted by one pixel 89.0; this 90.3. 16 save time.
    "fashion_mnist": Recipe(512, 2, "relu", 0.1, 16, 256, 2e-3, 0.01, 0.1, flip=True),
}


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_02_nn_basics_mlp/classify.py"
    parser = cli.make_parser(
        __doc__,
        [f"{path} --dataset spiral", f"{path} --dataset digits --load"],
        device=True,
    )
    add = parser.add_argument_group("data and training").add_argument
    add("--dataset", choices=list(RECIPES), default="spiral", help="what to classify")
    text = "passes over the training set (default: " + ", ".join(
        f"{name} {recipe.epochs}" for name, recipe in RECIPES.items()
    )
    add("--epochs", type=cli.positive_int, help=f"{text})")
    add("--seeds", type=cli.positive_int, help="repetitions (default: 3; quick: 1)")
    text = "evaluate trained weights instead of training (without PATH: the shipped ones)"
    add("--load", type=cli.path, nargs="?", const=False, metavar="PATH", help=text)
    return parser


def build_model(task: Task, recipe: Recipe) -> MLP:
    """The recipe's network for this task."""
    return MLP(
        task.train[0].shape[1],
        recipe.hidden_dim,
        len(task.classes),
        recipe.depth,
        recipe.activation,
        recipe.dropout,
    )


def train(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    schedule: Any = None,
    flip_width: int = 0,
    label_smoothing: float = 0.0,
    after_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Mini-batch training, written out. Returns the loss of every step.

    The incomplete last batch of an epoch is left out; shuffling gives its items another chance.
    """
    order = torch.Generator().manual_seed(seed)
    loss_fn, losses = CrossEntropyLoss(label_smoothing=label_smoothing), []
    for epoch in range(1, epochs + 1):
        model.train()
        shuffled = torch.randperm(len(x), generator=order)
        steps = max(1, len(x) // batch_size)
        for step in range(steps):
            chosen = shuffled[step * batch_size : (step + 1) * batch_size]
            inputs = x[chosen]  # (B, D)
            if flip_width:
                inputs = random_mirror(inputs, flip_width, order)
            loss = loss_fn(model(inputs), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            losses.append(loss.item())
        if after_epoch is not None:
            after_epoch(epoch, float(np.mean(losses[-steps:])))
    return losses


def random_mirror(flat: Tensor, width: int, source: torch.Generator) -> Tensor:
    """Mirror each picture left to right with probability 1/2. (B, H * W) -> (B, H * W)."""
    images = flat.unflatten(1, (-1, width))  # (B, H, W)
    mirrored = torch.rand(len(images), 1, 1, generator=source).to(flat.device) < 0.5
    return torch.where(mirrored, images.flip(2), images).flatten(1)


@torch.no_grad()
def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Class probabilities (N, K), without dropout."""
    with evaluating(model):
        return torch.cat([model(part).softmax(dim=-1) for part in x.split(2048)])


def accuracy(model: nn.Module, split: tuple[Tensor, Tensor]) -> float:
    """Share of the split's labels that are predicted."""
    x, y = split
    return float((predict(model, x).argmax(dim=1) == y).double().mean())


def fit(task: Task, model: nn.Module, recipe: Recipe, seed: int, run: Run, watch=None) -> list:
    """Train by the recipe: AdamW, one-cycle learning rate. Returns a record an epoch."""
    x, y = task.train
    steps = recipe.epochs * max(1, len(x) // recipe.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=max(steps, 2), pct_start=0.2
    )
    records = []

    def after_epoch(epoch: int, loss: float) -> None:
        val = accuracy(model, task.val)
        records.append({"seed": seed, "epoch": epoch, "loss": loss, "val_accuracy": val})
        run.log(**records[-1])
        if watch is not None:
            watch(epoch, model)

    train(
        model, x, y, optimizer, epochs=recipe.epochs, batch_size=recipe.batch_size, seed=seed,
        schedule=schedule, flip_width=28 if recipe.flip else 0,
        label_smoothing=recipe.label_smoothing, after_epoch=after_epoch,
    )  # fmt: skip
    return records


def softmax_regression(task: Task, seed: int) -> float:
    """The trivial baseline, in per cent right: a linear model (depth 0), trained to its end."""
    torch.manual_seed(seed)
    x, y = task.train
    model = MLP(x.shape[1], 1, len(task.classes), depth=0).to(x.device)
    epochs, batch_size, lr = (10, 256, 2e-3) if len(x) > 5_000 else (60, 64, 1e-2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    steps = epochs * (len(x) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    options = {"epochs": epochs, "batch_size": batch_size, "schedule": schedule}
    train(model, x, y, optimizer, seed=seed, **options)
    return 100 * accuracy(model, task.test)


def train_seeds(task: Task, recipe: Recipe, seeds: list[int], run: Run):
    """A network a seed; for the spiral also the frames of the first one's decision boundary."""
    models, records, frames = [], [], []

    def watch(epoch: int, model: nn.Module) -> None:
        if epoch <= 12 or epoch % 3 == 0:  # most happens at the beginning
            frames.append(figures.boundary_frame(task, model, predict, f"epoch {epoch}"))

    for seed in cli.progress(seeds, f"training on {task.name}"):
        torch.manual_seed(seed)
        model = build_model(task, recipe).to(run.device)
        filming = task.name == "spiral" and seed == seeds[0]
        records.append(fit(task, model, recipe, seed, run, watch if filming else None))
        models.append(model)
    return models, records, frames


def measure(task: Task, models: list[nn.Module], seed: int) -> dict[str, Any]:
    """Test accuracies with the numbers they must be compared to."""

    def percent(split: tuple[Tensor, Tensor]) -> list[float]:
        return [100 * accuracy(model, split) for model in models]

    values = percent(task.test)
    mean, std = mean_std(values)
    labels = task.test[1]
    metrics = {
        "accuracy_mean_percent": mean,
        "accuracy_std_percent": std,
        "accuracy_all_percent": values,
        "val_accuracy_mean_percent": np.mean(percent(task.val)),
        "train_accuracy_mean_percent": np.mean(percent(task.train)),
        "chance": 100 * float(labels.bincount().max()) / len(labels),
        "softmax_regression": softmax_regression(task, seed),
        "parameters": parameter_count(models[0]),
    }
    if task.name == "spiral":
        metrics["bayes"] = 100 * figures.spiral_bayes_accuracy(task)
    if task.name in PEOPLE:
        metrics |= {"people": PEOPLE[task.name], "best_known": BEST_KNOWN[task.name][0]}
    return metrics


def result_table(task: Task, metrics: dict[str, Any]) -> dict[str, Any]:
    """Our number between the ones that give it a meaning."""
    columns = [("Classifier", "分类器", "s"), ("Test accuracy (%)", "测试准确率（%）", ".2f")]
    ours = (metrics["accuracy_mean_percent"], metrics["accuracy_std_percent"])
    mlp = {"en": f"MLP, {metrics['parameters']:,} parameters"}
    mlp["zh"] = f"多层感知机，{metrics['parameters']:,} 个参数"
    rows: list[list[Any]] = [
        [{"en": "always the most frequent class", "zh": "总是猜最常见的类别"}, metrics["chance"]],
        [{"en": "softmax regression", "zh": "softmax 回归"}, metrics["softmax_regression"]],
        [mlp, ours],
    ]
    if "bayes" in metrics:
        name = {
            "en": "best possible (knows the arms and the noise)",
            "zh": "理论最优（已知旋臂与噪声）",
        }
        rows.append([name, metrics["bayes"]])
    if task.name in PEOPLE:
        people = {"en": "people (Fashion-MNIST README)", "zh": "人类（Fashion-MNIST README）"}
        rows.insert(2, [people, metrics["people"]])
        best = {"en": f"best known: {BEST_KNOWN[task.name][1]}"}
        best["zh"] = f"已知最好：{BEST_KNOWN[task.name][1]}"
        rows.append([best, metrics["best_known"]])
    return table(columns, rows)


def load_model(path: Path, dataset: str | None = None) -> tuple[MLP, dict[str, Any]]:
    """The network of a checkpoint, and all of it; CheckpointError if it is not what we need."""
    checkpoint = load_checkpoint(path)
    name = checkpoint["dataset"]
    if name not in RECIPES or dataset not in (None, name):
        wanted = dataset or ", ".join(RECIPES)
        raise CheckpointError(f"{path} was trained on {name!r}, not on {wanted}.")
    try:
        model = MLP(**checkpoint["architecture"])
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{path} describes no network of this chapter: {error}.") from None
    load_state(model, checkpoint["state"], path)
    return model, checkpoint


def accuracy_on_test(model: nn.Module, task: Task) -> float:
    return accuracy(model, task.test)


evaluate_checkpoint = evaluator(load_model, load_task, accuracy_on_test)


def experiment(args: argparse.Namespace, run: Run) -> None:
    name, recipe = args.dataset, RECIPES[args.dataset]
    if not args.threads and name != "fashion_mnist":
        set_threads(1)  # the matrices are too small for two
    path = Path(args.load or FOLDER / "models" / f"{name}.pth")
    # Before the data: a damaged file is reported at once.
    loaded = None if args.load is None else load_model(path, name)[0]
    task = load_task(name, args.data_dir, args.quick).to(run.device)
    seeds = [args.seed + i for i in range(args.seeds or (1 if args.quick else 3))]
    # A tenth of Fashion-MNIST's pictures are seen half as often, to pass softmax regression.
    divisor = (2 if name == "fashion_mnist" else 3) if args.quick else 1
    epochs = args.epochs or recipe.epochs // divisor
    recipe = Recipe(**(vars(recipe) | {"epochs": epochs}))
    if loaded is None:
        models, records, frames = train_seeds(task, recipe, seeds, run)
    else:
        models, records, frames = [loaded.to(run.device)], [], []
    metrics = measure(task, models, args.seed)
    tables = {"main": result_table(task, metrics)}
    run.save_result(f"classify_{name}", metrics, tables, seeds)
    if loaded is None:
        save(run, task, models[0], metrics)
    figures.save_all(run, task, models, records, frames, predict)
    shown = ("accuracy_mean_percent", "accuracy_std_percent", "chance", "softmax_regression")
    following = list(RECIPES)[(list(RECIPES).index(name) + 1) % len(RECIPES)]
    run.finish(
        {f"{key.removesuffix('_percent')} (%)": float(metrics[key]) for key in shown},
        next_command=f"python chapter_02_nn_basics_mlp/classify.py --dataset {following}",
    )


def save(run: Run, task: Task, model: MLP, metrics: dict[str, Any]) -> None:
    """Ship the first seed's weights with that seed's own accuracy, not the best one's."""
    run.save_checkpoint(
        f"{task.name}.pth",
        {key: value.cpu() for key, value in model.state_dict().items()},
        architecture=model.architecture,
        folder="models",
        dataset=task.name,
        metrics={"test_accuracy_percent": metrics["accuracy_all_percent"][0]},
        task=f"classification into {len(task.classes)} classes",
        card_note="per cent of the test split, first of the seeds",
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
