"""Loss landscapes with and without BatchNorm, on pictures and in numbers.

Question: is the loss around the minimum flatter with normalisation? The same plain stack of six
convolutions is trained by the same recipe (SGD, momentum 0.9, cosine schedule, digits), without and
with BatchNorm; then its weights are moved along random filter-normalised directions.

A BatchNorm network has two losses. In training its statistics follow the weights; in evaluation
they are frozen where the weights were. Both are drawn: "batch statistics" computes them again at
each point from the pictures used (the function that training went down), "running statistics" is
eval mode. Each panel shows the loss on the same training pictures, on one colour scale.

Numbers, for each seed: the rise of the loss over the radius, averaged over random directions; the
largest Hessian eigenvalue; and both again after `rescaled`, which changes the weights but not the
function. A number that moves there says something about the weights, not about the function.

    python chapter_03_optimization_regularization/exp_loss_landscape.py    about a minute, 2 cores

Papers: Li, Xu, Taylor, Studer & Goldstein 2018; Dinh, Pascanu, Bengio & Bengio 2017;
Santurkar, Tsipras, Ilyas & Madry 2018.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_03_optimization_regularization import loss_landscape as landscape
from chapter_03_optimization_regularization.experiments.normalization.network import (
    plain_stack,
    train,
)
from chapter_03_optimization_regularization.experiments.tables.loss_landscape import (
    FACTOR,
    RADII,
    RADIUS,
    VIEWS,
    collect,
    tables,
)
from chapter_03_optimization_regularization.experiments.tasks import (
    Examples,
    Task,
    accuracy,
    load_task,
)
from chapter_03_optimization_regularization.figures.loss_landscape import (
    plane_figure,
    profile_figure,
)
from utils import cli
from utils.run import Run


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_loss_landscape.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --grid 31 --lr 0.01"])
    parser.set_defaults(threads=1)  # the tensors are too small for two
    add = parser.add_argument_group("training and measuring").add_argument
    add("--epochs", type=cli.positive_int, default=10, help="passes over the training pictures")
    add("--lr", type=cli.positive_float, default=0.03, help="SGD's learning rate")
    add("--seeds", type=cli.positive_int, default=3, help="networks of each kind")
    add("--grid", type=cli.int_from(2), default=21, help="points along a side of the picture")
    add("--pictures", type=cli.positive_int, default=300, help="training pictures in the loss")
    add("--directions", type=cli.positive_int, default=10, help="random directions to average")
    return parser


def train_one(norm: str, task: Task, seed: int, args: argparse.Namespace) -> nn.Sequential:
    model = plain_stack(norm, seed)
    if not train(model, task, lr=args.lr, epochs=args.epochs, seed=seed):
        raise cli.UserError(f"the {norm} network diverged; try a smaller --lr than {args.lr:g}.")
    return model


def loss_of(model: nn.Module, examples: Examples, batch_statistics: bool) -> Callable[[], Tensor]:
    """The cross-entropy on `examples` as a function of the weights the model has when called."""
    # In training mode BatchNorm uses the pictures' own statistics. It would also write them into
    # the running ones, which the next view needs as they were: hence momentum 0.
    model.train(batch_statistics)
    for layer in model:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    return lambda: F.cross_entropy(model(examples[0]), examples[1])


def measure_view(model: nn.Module, view: str, examples: Examples, seed: int, count: int) -> dict:
    """Loss at the minimum, its rise over RADII, the largest eigenvalue."""
    loss = loss_of(model, examples, VIEWS[view][1])
    rise = np.array(landscape.profile(model, loss, RADII, count, seed))
    sharpness = landscape.largest_eigenvalue(model, loss, seed)
    rise -= rise[0]
    at_radius = rise[int(np.abs(RADII - RADIUS).argmin())]
    return {
        "loss": float(loss().detach()),
        "rise": rise,
        "rise_at_radius": at_radius,
        "sharpness": sharpness,
    }


def largest_difference(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """Of the logits in evaluation mode, relative to their size."""
    with torch.no_grad():
        y, z = a.eval()(x), b.eval()(x)
    return float((y - z).abs().max() / y.abs().max())


def measure(task: Task, seed: int, args: argparse.Namespace, with_plane: bool) -> dict:
    """All views of one seed's networks, each as trained and rescaled; the planes if wanted."""
    examples = tuple(part[: args.pictures] for part in task.train)
    places = np.linspace(-1, 1, args.grid)
    models = {norm: train_one(norm, task, seed, args) for norm in ("none", "batch")}
    result: dict[str, Any] = {"planes": {}}
    for view, (norm, batch_statistics, *_) in VIEWS.items():
        model = models[norm]
        numbers = measure_view(model, view, examples, seed, args.directions)
        numbers["test_accuracy_percent"] = 100 * accuracy(model, task.test)
        twin = landscape.rescaled(model, FACTOR)
        numbers["difference"] = largest_difference(model, twin, task.test[0])
        other = measure_view(twin, view, examples, seed, args.directions)
        numbers |= {f"rescaled_{key}": other[key] for key in ("rise_at_radius", "sharpness")}
        result[view] = numbers
        if with_plane:
            loss = loss_of(model, examples, batch_statistics)
            result["planes"][view] = landscape.plane(model, loss, places, seed)
    return result


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.epochs, args.seeds, args.grid, args.directions, args.pictures = 3, 1, 9, 2, 100
    task = load_task("digits")
    seeds = [args.seed + s for s in range(args.seeds)]
    bar = cli.progress(seeds, "seeds")
    results = [measure(task, s, args, with_plane=s == args.seed) for s in bar]
    report(args, run, results)


def report(args: argparse.Namespace, run: Run, results: list[dict]) -> None:
    metrics, seeds = collect(results), [args.seed + s for s in range(args.seeds)]
    run.save_result("loss_landscape", metrics, tables(metrics), seeds)
    run.save_figure(plane_figure(results[0]["planes"], args.grid), "loss_landscape_planes")
    run.save_figure(profile_figure(results), "loss_landscape_profile")
    shown = {
        f"{view}: {key}": metrics[view][key]["mean"]
        for view in VIEWS
        for key in ("test_accuracy_percent", "rise_at_radius", "sharpness", "rescaled_sharpness")
    }
    shown["largest relative change of a logit by rescaling"] = max(
        metrics[view]["difference"]["mean"] for view in VIEWS
    )
    run.finish(shown, "python chapter_03_optimization_regularization/exp_normalization.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
