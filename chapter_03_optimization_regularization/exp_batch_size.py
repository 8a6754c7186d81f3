"""The critical batch size: how far a larger batch saves steps, and when it only costs examples.

What you learn: the gradient of a batch of B examples is the true one, G, plus noise of total
variance tr(Sigma) / B, where Sigma is the covariance of one example's gradient. While the noise is
larger than G, doubling B halves the steps. Once it is smaller, nothing is left to average away:

    S = S_min (1 + B_crit / B)            steps to a target
    E = B S = E_min (1 + B / B_crit)      examples to it, E_min = S_min B_crit
    B_simple = tr(Sigma) / |G|^2          the noise scale: a prediction of B_crit, without training

At B = B_crit a run takes twice the least steps and twice the least examples. The best rate of SGD
obeys eta = eta_max / (1 + B_crit / B): proportional to B below B_crit, constant above. For Adam,
which divides by the gradient's size, noise included, the square root of this is expected.

Measured on the digits with an MLP: steps until the validation loss is below 0.2, with plain SGD and
with Adam, for B = 4 .. 1024, at the best learning rate for each B on a ladder of powers of two.
Batches are drawn with replacement, as the theory assumes, and every step is followed by a
validation; therefore the loop is written out here.

    python chapter_03_optimization_regularization/exp_batch_size.py    about 1.5 minutes, 2 cores

Papers: McCandlish et al. 2018; Goyal et al. 2017 (linear scaling); Shallue et al. 2019; Malladi et
al. 2022 (square root for Adam).
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from chapter_03_optimization_regularization import optimizers
from chapter_03_optimization_regularization.experiments.tables.batch_size import (
    noise_summary,
    tables,
)
from chapter_03_optimization_regularization.experiments.tasks import Task, load_task, small_mlp
from chapter_03_optimization_regularization.figures.batch_size import figure
from utils import cli
from utils.run import Run
from utils.seed import generator

BATCH_SIZES = [2**k for k in range(2, 11)]
TARGET = 0.2  # validation loss in nats; knowing nothing gives log 10 = 2.30
FURTHEST = 3000  # steps after which a run has failed
OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda parameters, lr: optimizers.SGD(parameters, lr),
    "Adam": lambda parameters, lr: optimizers.Adam(parameters, lr),
}
FIRST_EXPONENT = {"SGD": -3, "Adam": -9}  # where the ladder is entered, at the smallest batch
NOISE_BATCH = 64


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_batch_size.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --target 0.4"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("training")
    group.add_argument(
        "--target", type=cli.positive_float, default=TARGET, help="validation loss in nats"
    )
    group.add_argument("--seeds", type=cli.positive_int, default=5, help="first weights tried")
    return parser


def training(task: Task, name: str, rate: float, batch: int, seed: int):
    """Train for ever; yields the model and its validation loss after 0, 1, 2, ... updates."""
    torch.manual_seed(seed)
    model, rng = small_mlp(), generator(seed)
    optimizer = OPTIMIZERS[name](model.parameters(), rate)
    x, y = task.train
    while True:
        with torch.no_grad():
            yield model, F.cross_entropy(model(task.val[0]), task.val[1]).item()
        rows = torch.randint(len(y), (batch,), generator=rng)  # (B,), with replacement
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


def steps_to_target(
    task: Task, name: str, rate: float, batch: int, seed: int, target: float, limit: float
) -> float:
    """Updates until the validation loss is at most `target`; inf after `limit` or a divergence."""
    for step, (_, loss) in enumerate(training(task, name, rate, batch, seed)):
        if loss <= target:
            return step
        if step >= limit or not math.isfinite(loss):
            return math.inf
    return math.inf


def climb(steps_of: Any, start: int) -> dict[int, list[float]]:
    """Walk the ladder from `start` towards fewer steps, until both neighbours are worse.

    steps_of(exponent, limit) -> steps of each seed, up to a first inf beyond the limit. Returns
    {exponent: steps} of all rungs tried. A rung is given up when it takes 1.5 times as long as the
    best one so far.
    """
    tried: dict[int, list[float]] = {}

    def mean(exponent: int) -> float:
        if exponent not in tried:
            best = min((np.mean(steps) for steps in tried.values()), default=math.inf)
            tried[exponent] = steps_of(exponent, min(FURTHEST, 1.5 * best))
        return float(np.mean(tried[exponent]))

    here = start
    while True:
        there = min((here, here + 1, here - 1), key=mean)
        if there == here:
            return tried
        here = there


def tune(task: Task, name: str, batch: int, start: int, args: argparse.Namespace) -> dict:
    """Best exponent, its rate and steps (one a seed), and the mean steps of every rung tried."""

    def steps_of(exponent: int, limit: float) -> list[float]:
        steps: list[float] = []
        for s in range(args.seed, args.seed + args.seeds):
            steps.append(steps_to_target(task, name, 2.0**exponent, batch, s, args.target, limit))
            if math.isinf(steps[-1]):
                break  # one failure rules the rung out
        return steps

    tried = climb(steps_of, start)
    best = min(tried, key=lambda exponent: np.mean(tried[exponent]))
    if not np.isfinite(tried[best]).all():
        raise cli.UserError(f"{name} never came to {args.target} nats; choose a larger --target.")
    if min(tried[best]) == 0:
        target = f"{args.target} nats are reached without a step"
        raise cli.UserError(f"{target}; choose a smaller --target.")
    ladder = {f"2^{k}": float(np.mean(tried[k])) for k in sorted(tried)}
    return {"exponent": best, "rate": 2.0**best, "steps": np.array(tried[best]), "ladder": ladder}


def fit_critical(batches: Any, steps: Any) -> tuple[float, float]:
    """(S_min, B_crit) of S = S_min (1 + B_crit / B), by least squares of log S.

    batches, steps: (n,). For a given B_crit the best log S_min is a mean; B_crit is searched on a
    fine logarithmic grid.
    """
    candidates = np.geomspace(0.1, 1e5, 6001)  # (k,)
    shape = np.log1p(candidates[:, None] / np.asarray(batches, dtype=float))  # (k, n)
    log_steps = np.log(np.asarray(steps, dtype=float))  # (n,)
    level = (log_steps - shape).mean(axis=1, keepdims=True)  # (k, 1)
    errors = np.square(log_steps - shape - level).sum(axis=1)  # (k,)
    best = int(errors.argmin())
    return float(np.exp(level[best, 0])), float(candidates[best])


def slope(batches: Any, rates: Any) -> float:
    """Exponent p of rate ~ B^p: the least-squares line through the logarithms."""
    return float(np.polyfit(np.log(batches), np.log(rates), 1)[0])


def noise_scale(model: nn.Module, x: Tensor, y: Tensor, chunk: int = 100) -> float:
    """tr(Sigma) / |G|^2 from the gradient of each example; x (N, ...), y (N,).

    Both are freed of the bias of N examples: |mean|^2 is |G|^2 + tr(Sigma) / N on average.
    """
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(weights: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, weights, (one[None],)), label[None])

    squares, total = 0.0, 0.0
    for a, b in zip(x.split(chunk), y.split(chunk), strict=True):
        grads = vmap(grad(loss), in_dims=(None, 0, 0))(weights, a, b)  # each (chunk, *shape)
        flat = torch.cat([g.flatten(1) for g in grads.values()], dim=1).double()  # (chunk, P)
        squares += flat.square().sum().item()
        total = total + flat.sum(dim=0)  # (P,)
    n = len(y)
    mean_square = (total / n).square().sum().item()
    trace = (squares / n - mean_square) * n / (n - 1)
    return trace / (mean_square - trace / n)


def noise_course(task: Task, rate: float, seed: int, target: float) -> list[tuple[float, float]]:
    """(validation loss, noise scale) of an SGD run, each time the loss has fallen by a fifth."""
    points: list[tuple[float, float]] = []
    for step, (model, loss) in enumerate(training(task, "SGD", rate, NOISE_BATCH, seed)):
        if not points or loss <= max(target, 0.8 * points[-1][0]):
            points.append((loss, noise_scale(model, *task.train)))
        if loss <= target or step > FURTHEST:
            return points
    return points


def measure(task: Task, name: str, sizes: list[int], args: argparse.Namespace) -> dict:
    """Tune every batch size, the neighbour's best rate being the first guess; fit the law."""
    results, exponent = [], FIRST_EXPONENT[name]
    for batch in cli.progress(sizes, f"{name}, batch sizes"):
        results.append(tune(task, name, batch, exponent, args))
        exponent = results[-1]["exponent"]
    steps = np.stack([r["steps"] for r in results], axis=1)  # (seeds, sizes)
    rates = np.array([r["rate"] for r in results])  # (sizes,)
    fits = np.array([fit_critical(sizes, row) for row in steps])  # (seeds, 2)
    s_min, b_crit = fit_critical(sizes, steps.mean(axis=0))
    small = [i for i, b in enumerate(sizes) if b <= max(b_crit, sizes[1])]
    return {
        "sizes": sizes, "steps": steps, "rates": rates, "ladders": [r["ladder"] for r in results],
        "s_min": s_min, "b_crit": b_crit, "b_crit_std": fits[:, 1].std(), "e_min": s_min * b_crit,
        "slope": slope(sizes, rates),
        "slope_small": slope(np.array(sizes)[small], rates[small]) if len(small) > 1 else math.nan,
        "saving": steps[:, 0].mean() / steps[:, -1].mean(),
    }  # fmt: skip


def experiment(args: argparse.Namespace, run: Run) -> None:
    sizes = BATCH_SIZES
    if args.quick:
        args.seeds, sizes, args.target = 1, [4, 32, 256], max(args.target, 0.6)
    task = load_task("digits", args.data_dir)
    results = {name: measure(task, name, sizes, args) for name in OPTIMIZERS}
    middle = min(range(len(sizes)), key=lambda i: abs(math.log(sizes[i] / NOISE_BATCH)))
    rate = float(results["SGD"]["rates"][middle])
    seeds = [args.seed + s for s in range(args.seeds)]
    noise = [noise_course(task, rate, s, args.target) for s in seeds]
    report(args, run, results, noise)


def report(
    args: argparse.Namespace, run: Run, results: dict[str, dict], noise: list[list[tuple]]
) -> None:
    metrics: dict[str, Any] = {name.lower(): r for name, r in results.items()}
    metrics["noise"] = noise_summary(noise)
    metrics["target"] = args.target
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result("batch_size", metrics, tables(results), seeds)
    run.save_figure(figure(results, noise), "batch_size")
    shown = {f"{name}: B_crit": float(r["b_crit"]) for name, r in results.items()}
    shown["noise scale, start"] = metrics["noise"]["start"]
    shown["noise scale, target"] = metrics["noise"]["target"]
    run.finish(
        shown, next_command="python chapter_03_optimization_regularization/exp_normalization.py"
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
