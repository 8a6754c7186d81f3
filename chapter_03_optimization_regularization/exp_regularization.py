"""Regularisation compared on a training set that invites learning by heart.

What you learn: 250 digits, 20 % of them with a wrong label, and an MLP of 85 thousand weights.
Without regularisation it ends up repeating every wrong label, and pays for that on the test set. It
does so late: the clean examples are learnt first. Every method below makes the second part harder.

    none, L1 (proximal), L2 = weight decay, dropout, early stopping, label smoothing, mixup,
    augmentation (small shifts and rotations), four of them together, an ensemble of five

One thing changes at a time: SGD with momentum 0.9, the same learning rate, 60 epochs, 5 seeds; a
seed gives the examples, the wrong labels, the first weights and the order. Each strength is the
best of a grid of three on the (clean) validation set, tried on two other seeds. Two rows for
comparison: the same 250 examples with right labels, and all 1,197 of them in as many steps.

    python chapter_03_optimization_regularization/exp_regularization.py     about 2 minutes, 2 cores

Papers: Arpit et al. 2017 (clean patterns are learnt before noise); Zhang et al. 2017 (networks can
learn random labels); the methods' papers are named in regularization/.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from chapter_03_optimization_regularization.experiments.regularization.tables import (
    NAMES,
    collect,
    memorising,
    tables,
)
from chapter_03_optimization_regularization.experiments.regularization.training import (
    Method,
    NoisyData,
    Options,
    Trained,
    noisy_data,
    scores,
    train,
    weights_of,
)
from chapter_03_optimization_regularization.experiments.tasks import Task, load_task
from chapter_03_optimization_regularization.figures import regularization as figures
from utils import cli
from utils.run import Run

SHARE = 0.2  # of wrong labels
MEMBERS = 5  # networks in the ensemble
GRIDS: dict[str, tuple[float, ...]] = {
    "l1": (0.001, 0.003, 0.006),
    "l2": (0.01, 0.03, 0.1),
    "dropout": (0.5, 0.7, 0.85),
    "smoothing": (0.6, 0.8, 0.95),
    "mixup": (1.0, 4.0, 16.0),
    "augment": (0.5, 1.0, 1.5),
}
# Four at once: weak, middle, or each about as strong as is best alone.
TOGETHER: dict[str, tuple[float, ...]] = {
    "l2": (0.003, 0.01, 0.03),
    "dropout": (0.2, 0.3, 0.7),
    "smoothing": (0.1, 0.2, 0.6),
    "augment": (0.5, 0.75, 1.0),
}
L1_STRENGTHS = (0.0003, 0.001, 0.003, 0.006)


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_regularization.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --samples 500 --epochs 60"], device=True)
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--samples", type=cli.positive_int, default=250, help="training examples")
    add("--hidden", type=cli.positive_int, default=256, help="units in each of two hidden layers")
    add("--epochs", type=cli.positive_int, default=60, help="passes over the training set")
    add("--lr", type=cli.positive_float, default=0.03, help="learning rate of SGD")
    add("--seeds", type=cli.positive_int, default=5, help="training sets and first weights tried")
    add("--patience", type=cli.positive_int, default=10, help="epochs; for early stopping only")
    return parser


def candidates(name: str) -> list[Method]:
    """The strengths of a method to choose from, weak to strong."""
    if name == "together":
        return [Method(**{n: TOGETHER[n][i] for n in TOGETHER}) for i in range(3)]
    return [Method(**{name: strength}) for strength in GRIDS[name]]


def choose(
    names: list[str], task: Task, options: Options, args: argparse.Namespace
) -> tuple[dict[str, Method], dict[str, Any]]:
    """The best candidate of each method on validation; and all validation accuracies (%)."""
    seeds = [args.seed + 1000 + s for s in range(1 if args.quick else 2)]
    data = [noisy_data(task, args.samples, SHARE, seed) for seed in seeds]
    chosen, tried = {}, {}
    for name in cli.progress(names, "choosing strengths"):
        methods = candidates(name)
        found = [
            [
                scores(d, [train(d, m, options, s).model])["val"]
                for d, s in zip(data, seeds, strict=True)
            ]
            for m in methods
        ]
        means = np.mean(found, axis=1)  # (strengths,)
        best = int(means.argmax())
        chosen[name] = methods[best]
        strengths = GRIDS.get(name, ("weak", "middle", "strong"))
        tried[name] = {"strengths": strengths, "val": found, "chosen": strengths[best]}
        tried[name] |= {"chosen_val": means[best], "strongest_val": means[-1]}
    return chosen, tried


def measure(
    methods: dict[str, Method], task: Task, options: Options, args: argparse.Namespace
) -> tuple[dict[str, list[dict[str, float]]], dict[str, list[Trained]]]:
    """Scores and trained networks of each row of the table, a list entry a seed."""
    results: dict[str, list[dict[str, float]]] = {}
    networks: dict[str, list[Trained]] = {}
    for s in cli.progress(range(args.seeds), "seeds"):
        seed = args.seed + s
        data = noisy_data(task, args.samples, SHARE, seed)
        for name, method in methods.items():
            trained = train(data, method, options, seed, watch=True)
            networks.setdefault(name, []).append(trained)
            row = scores(data, [trained.model]) | {"epochs": trained.stopped_after}
            results.setdefault(name, []).append(row)
        models = [networks["none"][s].model]
        for member in range(1, 2 if args.quick else MEMBERS):
            models.append(train(data, Method(), options, seed + 10_000 * member).model)
        results.setdefault("ensemble", []).append(scores(data, models))
        for name, (reference, changed) in references(task, data, options, args, seed).items():
            model = train(reference, Method(), changed, seed).model
            results.setdefault(name, []).append(scores(reference, [model]))
    return results, networks


def references(
    task: Task, data: NoisyData, options: Options, args: argparse.Namespace, seed: int
) -> dict[str, tuple[NoisyData, Options]]:
    """What is attainable: the same examples with right labels, and all of them in as many steps."""
    everything = noisy_data(task, len(task.train[1]), 0.0, seed)
    epochs = max(1, round(options.epochs * args.samples / len(everything.true)))
    right = data._replace(given=data.true, is_wrong=torch.zeros_like(data.is_wrong))
    return {
        "right_labels": (right, options),
        "all_data": (everything, replace(options, epochs=epochs)),
    }


def sparsity(task: Task, options: Options, args: argparse.Namespace) -> dict[str, Any]:
    """Both forms of L1 over its strength: exact zeros, near zeros (%), and test accuracy."""
    result: dict[str, Any] = {"strengths": L1_STRENGTHS[2:3] if args.quick else L1_STRENGTHS}
    data = noisy_data(task, args.samples, SHARE, args.seed)
    for form in ("l1", "l1_in_loss"):
        rows: dict[str, list[float]] = {"zero": [], "near_zero": [], "val": []}
        for strength in result["strengths"]:
            model = train(data, Method(**{form: strength}), options, args.seed).model
            weights = weights_of(model)
            rows["zero"].append(100 * float(np.mean(weights == 0)))
            rows["near_zero"].append(100 * float(np.mean(np.abs(weights) < 1e-3)))
            rows["val"].append(scores(data, [model])["val"])
            result.setdefault("weights", {})[(form, strength)] = weights
        result[form] = rows
    return result


def experiment(args: argparse.Namespace, run: Run) -> None:
    names = list(GRIDS)
    if args.quick:
        args.seeds, args.epochs, args.hidden, names = 1, 25, 128, ["l2"]
    task = load_task("digits").to(run.device)
    options = Options(args.hidden, args.epochs, args.lr, device=run.device)
    chosen, tried = choose(names if args.quick else [*names, "together"], task, options, args)
    methods = {"none": Method(), **chosen, "early": Method(patience=args.patience)}
    if args.quick:  # one strength of the others, not chosen
        methods |= {n: candidates(n)[1] for n in [*GRIDS, "together"] if n not in methods}
    results, networks = measure(methods, task, options, args)
    metrics = {"methods": collect(results), "tried": tried}
    metrics["sparsity"] = sparsity(task, options, args)
    weights = metrics["sparsity"].pop("weights")
    weights["none"] = weights_of(networks["none"][0].model)
    weights["l2"] = weights_of(networks["l2"][0].model)
    metrics |= {"memorising": memorising(networks), "runs": results}
    report(args, run, metrics, networks, weights, methods["l1"].l1)


def report(
    args: argparse.Namespace,
    run: Run,
    metrics: dict[str, Any],
    networks: dict[str, list[Trained]],
    weights: dict[Any, np.ndarray],
    strength: float,
) -> None:
    """`strength`: of L1, chosen on validation."""
    summary, zeros = metrics["methods"], metrics["sparsity"]
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result("regularization", metrics, tables(metrics), seeds)
    run.save_figure(figures.curves_figure(networks, NAMES, summary), "regularization_curves")
    run.save_figure(figures.memorising_figure(networks, NAMES), "regularization_memorising")
    run.save_figure(figures.weights_figure(weights, zeros, strength), "regularization_weights")
    shown = {f"{NAMES[name][0]}: test (%)": summary[name]["test_mean"] for name in NAMES}
    path = "python chapter_03_optimization_regularization/exp_double_descent.py"
    run.finish(shown, next_command=path)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
