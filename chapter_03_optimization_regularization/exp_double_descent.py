"""Double descent: test error against width, through the point where the training set is fitted.

What you learn: the U-shaped curve of bias and variance is only the left half. At P = N features the
training set is fitted exactly, in one way only, with enormous weights; beyond it there are many
ways, the least-squares solution of least norm is a smooth one, and the error falls a second time.

    features     phi(x) = sqrt(2 / P) relu(x W / sqrt(D)),  W (D, P) standard normal, never trained
    solution     A = argmin |phi(X) A - Y|^2; if there are many, the one of least norm (P, C)
    with ridge   A = argmin |phi(X) A - Y|^2 + lam |A|^2,   lam > 0 chosen on validation
    error        E |f(x) - label|^2 = bias^2 + variance + noise

N = 200 digits (8x8, embedded), Y one-hot, 0, 10 or 20 % of the training labels wrong. Nothing is
trained: one singular value decomposition a draw gives all solutions. A draw is a new training set,
new wrong labels and new features; bias and variance are over draws, and a new example's label is
as noisy as those of the training set.

    python chapter_03_optimization_regularization/exp_double_descent.py      about 1 minute, 2 cores

Papers: Belkin, Hsu, Ma & Mandal 2019 (double descent); Rahimi & Recht 2007 (random features);
Nakkiran et al. 2021 (optimal ridge removes the peak); Geman, Bienenstock & Doursat 1992.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_03_optimization_regularization.experiments.label_noise import (
    CLASSES,
    mean_target,
    noise_level,
    wrong_labels,
)
from chapter_03_optimization_regularization.experiments.tables.double_descent import (
    summary,
    tables,
)
from chapter_03_optimization_regularization.experiments.tasks import Task, load_task
from chapter_03_optimization_regularization.figures.double_descent import error_figure, parts_figure
from utils import cli
from utils.run import Run
from utils.seed import generator

SHARES = (0.0, 0.1, 0.2)  # of wrong labels in the training set
# Features for each training example, from N/10 to 20 N, dense around the threshold at 1.
RATIOS = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 1.0, 1.05, 1.2, 1.5, 2, 3, 5, 10, 20)
RIDGES = tuple(10.0**k for k in np.arange(-4, 1.75, 0.5))


def at_least_two(text: str) -> int:
    """Type of --draws: a variance needs two."""
    value = cli.positive_int(text)
    if value < 2:
        raise argparse.ArgumentTypeError("a variance needs 2 draws or more")
    return value


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_double_descent.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --samples 400"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("experiment")
    add = group.add_argument
    add("--samples", type=cli.positive_int, default=200, help="N, training examples")
    add("--draws", type=at_least_two, default=30, help="training sets and features drawn")
    return parser


# --- the model ---


def relu_features(x: Tensor, weights: Tensor) -> Tensor:
    """(N, D) -> (N, P); the factor keeps |phi(x)|^2 near |x|^2 / D whatever P is."""
    dimensions, width = weights.shape
    return (x @ weights / dimensions**0.5).relu() * (2 / width) ** 0.5


class Factors(NamedTuple):
    """Thin singular value decomposition of the features: u (N, r), s (r,), vh (r, P)."""

    u: Tensor
    s: Tensor
    vh: Tensor


def factorise(features: Tensor) -> Factors:
    """Features (N, P) -> their factors, without the singular values that are zero to rounding."""
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    kept = s > s[0] * max(features.shape) * torch.finfo(s.dtype).eps
    return Factors(u[:, kept], s[kept], vh[kept])


def coordinates(factors: Factors, targets: Tensor, ridge: float = 0.0) -> Tensor:
    """The solution in the basis of the right singular vectors, (r, C); A = vh^T times it.

    Least squares divides by s; ridge by s + ridge / s, which tames the small ones. ridge=0 is the
    pseudo-inverse: the solution of least norm, if several fit.
    """
    scale = factors.s / (factors.s.square() + ridge)  # (r,)
    return scale[:, None] * (factors.u.T @ targets)  # (r, C)


def solve(features: Tensor, targets: Tensor, ridge: float = 0.0) -> Tensor:
    """Features (N, P), targets (N, C) -> weights (P, C)."""
    factors = factorise(features)
    return factors.vh.T @ coordinates(factors, targets, ridge)


def decompose(predictions: Tensor, target: Tensor, noise: float) -> dict[str, float]:
    """Mean squared error over draws, and its three parts, averaged over the examples.

    predictions (R, M, C): of R draws; target (M, C): the mean of a new label; noise: the mean
    squared distance of a label from it. error = bias + variance + noise, exactly; bias stands for
    bias^2. The mean of R draws is itself off by variance / R, so that much is taken from the
    bias and given to the variance: both are then right in expectation, and bias may come out < 0.
    """
    draws, mean = len(predictions), predictions.mean(dim=0)  # (M, C)
    spread = float((predictions - mean).square().sum(-1).mean()) * draws / (draws - 1)
    return {
        "error": float((predictions - target).square().sum(-1).mean()) + noise,
        "bias": float((mean - target).square().sum(-1).mean()) - spread / draws,
        "variance": spread,
        "noise": noise,
    }


def largest_share(predictions: Tensor) -> float:
    """Share of the variance (%) that the most extreme of the draws (R, M, C) accounts for."""
    spread = (predictions - predictions.mean(dim=0)).square().sum(dim=(1, 2))  # (R,)
    return float(100 * spread.max() / spread.sum())


# --- the measurement ---


class Outcome(NamedTuple):
    """Of one width. S shares of wrong labels, L ridges (the first is 0), R draws."""

    test: Tensor  # (S, L, R, M, C) predictions
    val_error: Tensor  # (S, L, R) squared error against the mean of a new label
    train_error: Tensor  # (S, L, R) wrong on their own labels, in per cent
    norm: Tensor  # (S, L, R)


def measure(task: Task, width: int, args: argparse.Namespace) -> Outcome:
    """All draws at one width. A draw uses the same examples and labels at every width."""
    draws = [train_one(task, width, args.samples, args.seed + r) for r in range(args.draws)]
    return Outcome(*(torch.stack(parts, dim=2) for parts in zip(*draws, strict=True)))


def train_one(task: Task, width: int, samples: int, seed: int) -> Outcome:
    """The same without the axis R. One decomposition serves all shares and ridges."""
    random = generator(seed)
    rows = torch.randperm(len(task.train[1]), generator=random)[:samples]
    labels = [wrong_labels(task.train[1][rows], q, CLASSES, generator(seed))[0] for q in SHARES]
    sets = [x.flatten(1).double() for x in (task.train[0][rows], task.val[0], task.test[0])]
    weights = torch.randn(sets[0].shape[1], width, generator=random, dtype=torch.float64)
    train, val, test = (relu_features(x, weights) for x in sets)  # (N, P), (V, P), (M, P)
    factors = factorise(train)
    bases = [features @ factors.vh.T for features in (train, val, test)]  # (*, r)
    targets = [F.one_hot(y, CLASSES).double() for y in labels]  # (N, C)
    weights = torch.stack(
        [torch.stack([coordinates(factors, t, ridge) for ridge in (0.0, *RIDGES)]) for t in targets]
    )  # (S, L, r, C); a norm is the same in this basis
    on_train, on_val, on_test = (basis @ weights for basis in bases)  # (S, L, *, C)
    wanted = torch.stack([mean_target(task.val[1], q, CLASSES) for q in SHARES])  # (S, V, C)
    val_error = (on_val - wanted[:, None]).square().sum(-1).mean(-1)  # (S, L)
    missed = on_train.argmax(-1) != torch.stack(labels)[:, None]  # (S, L, N)
    return Outcome(on_test, val_error, 100 * missed.double().mean(-1), weights.norm(dim=(2, 3)))


def summarise(outcome: Outcome, task: Task) -> dict[str, dict[str, Any]]:
    """For each share of wrong labels: without ridge, and with the best one on validation."""
    result: dict[str, dict[str, Any]] = {}
    for s, share in enumerate(SHARES):
        best = 1 + int(outcome.val_error[s, 1:].mean(-1).argmin())
        target = mean_target(task.test[1], share, CLASSES)
        for name, column in (("none", 0), ("ridge", best)):
            predictions = outcome.test[s, column]  # (R, M, C)
            missed = (predictions.argmax(-1) != task.test[1]).double().mean(-1)  # (R,)
            result.setdefault(f"wrong_{round(100 * share)}", {})[name] = {
                "test_error": (100 * missed).tolist(),
                "train_error": float(outcome.train_error[s, column].mean()),
                "norm": outcome.norm[s, column].tolist(),
                "ridge": (0.0, *RIDGES)[column],
                "largest_draw": largest_share(predictions),
                **decompose(predictions, target, noise_level(share, CLASSES)),
            }
    return result


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.samples, args.draws = 100, 4
    task = load_task("digits")
    widths = [max(1, round(ratio * args.samples)) for ratio in RATIOS]
    rows = [summarise(measure(task, w, args), task) for w in cli.progress(widths, "widths")]
    metrics: dict[str, Any] = {"ratios": list(RATIOS), "widths": widths, "rows": rows}
    metrics["shares"] = list(rows[0])
    metrics["summary"] = summary(metrics)
    report(args, run, metrics)


def report(args: argparse.Namespace, run: Run, metrics: dict[str, Any]) -> None:
    seeds = [args.seed + r for r in range(args.draws)]
    run.save_result("double_descent", metrics, tables(metrics), seeds)
    run.save_figure(error_figure(metrics), "double_descent")
    run.save_figure(parts_figure(metrics), "double_descent_parts")
    last = metrics["summary"][metrics["shares"][-1]]
    shown = {f"20 % wrong labels, {k} (%)": last[f"{k}_mean"] for k in ("narrow", "peak", "widest")}
    path = "python chapter_03_optimization_regularization/exp_regularization.py"
    run.finish(shown, next_command=path)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
