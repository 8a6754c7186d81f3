"""None, batch, layer, group, instance and RMS normalisation compared, and how BatchNorm breaks.

All on the digits with a plain stack of 3x3 convolutions (six of them, Kaiming
weights), SGD with momentum 0.9 and a cosine schedule; all kinds start from the same weights and see
the same batches.

1. Learning rates: validation accuracy over five rates, batches of 32, three passes. Each kind's
   best rate is chosen here.
2. Batch sizes 2 to 128, two passes (as in 3 and 4): the same number of *examples*, the learning
   rate proportional to the batch size, so that small batches make many small steps. For small
   rates that is nearly the same path; what changes for one kind only is due to its normalisation.
3. Activations by layer in a stack of twenty: spread before and after the normalisation, through
   training; also for torch's default first weights, which are too small for a deep ReLU network.
4. Evaluation mode: networks whose running statistics do not fit, measured with the running
   statistics, with those of the test pictures themselves, and after re-estimation.

    python chapter_03_optimization_regularization/exp_normalization.py      about 4 minutes, 2 cores

Papers: Ioffe & Szegedy 2015; Wu & He 2018; Goyal et al. 2017 (rate and batch size); Li, Wang, Shi,
Liu & Hou 2016 (re-estimated statistics).
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import sys
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_03_optimization_regularization.experiments.normalization import measure as look
from chapter_03_optimization_regularization.experiments.normalization.network import (
    PLAN,
    plain_stack,
    train,
)
from chapter_03_optimization_regularization.experiments.normalization.tables import (
    collect,
    tables,
)
from chapter_03_optimization_regularization.experiments.tasks import Task, accuracy, load_task
from chapter_03_optimization_regularization.figures import normalization as figures
from utils import cli
from utils.run import Run

KINDS = ("none", "batch", "layer", "group", "instance", "rms")
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
BATCHES = (2, 8, 32, 128)
BASE = 32  # batch size of everything but the second part
DEEP = (2, 8, 10)  # the stack of twenty
DEEP_KINDS = ("none, default weights", "none", "batch", "layer", "rms")
DEEP_RATE = 0.01  # trains all of them but the one with default weights
LOOK_AT = 256  # training pictures for the activation statistics


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_normalization.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --epochs 6 --seeds 5"])
    parser.set_defaults(threads=1)  # the tensors are too small for two
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=cli.positive_int, default=3, help="passes over the training pictures")
    add("--seeds", type=cli.positive_int, default=3, help="first weights and batch orders tried")
    add(
        "--workers",
        type=cli.int_from(1, cli.MOST_THREADS),
        default=2,
        help="networks trained at the same time",
    )
    return parser


def prepare_process(threads: int = 1) -> None:
    """One thread a process: the processes are the parallelism."""
    torch.set_num_threads(threads)


@cache
def load_data() -> Task:
    """Loaded once in each process."""
    return load_task("digits")


def train_one(job: tuple[str, float, int, int, int]) -> tuple[float, float]:
    """Validation and test accuracy in % of (kind, learning rate, batch size, seed, epochs).

    A run that diverged counts as chance: its network answers at random.
    """
    kind, lr, batch_size, seed, epochs = job
    task, model = load_data(), plain_stack(kind, seed)
    if not train(model, task, lr=lr, epochs=epochs, seed=seed, batch_size=batch_size):
        return 100 / len(task.classes), 100 / len(task.classes)
    return 100 * accuracy(model, task.val), 100 * accuracy(model, task.test)


def make_pool(workers: int) -> AbstractContextManager[Executor | None]:
    """The runs are small and independent: one a core. No pool for a single worker."""
    if workers == 1:
        return nullcontext()
    context = multiprocessing.get_context("spawn")  # a fork of a running torch may hang
    return ProcessPoolExecutor(workers, context, prepare_process)


def run_jobs(jobs: list[tuple], label: str, pool: Executor | None) -> list[tuple[float, float]]:
    """train_one of all jobs, in order."""
    mapped = map(train_one, jobs) if pool is None else pool.map(train_one, jobs)
    return list(cli.progress(mapped, label, len(jobs)))


def over_rates(
    rates: tuple[float, ...], seeds: list[int], epochs: int, pool: Executor | None
) -> dict:
    """{kind: (rates, seeds, 2)}: validation and test accuracy in %."""
    jobs = [(kind, lr, BASE, seed, epochs) for kind in KINDS for lr in rates for seed in seeds]
    scores = np.array(run_jobs(jobs, "learning rates", pool))  # (jobs, 2)
    shape = (len(KINDS), len(rates), len(seeds), 2)
    return dict(zip(KINDS, scores.reshape(shape), strict=True))


def best_rates(scores: dict[str, np.ndarray], rates: tuple[float, ...]) -> dict[str, float]:
    """Of each kind, by the mean validation accuracy."""
    return {kind: rates[int(s[..., 0].mean(axis=1).argmax())] for kind, s in scores.items()}


def over_batches(
    batches: tuple[int, ...],
    best: dict[str, float],
    seeds: list[int],
    epochs: int,
    pool: Executor | None,
) -> dict[str, np.ndarray]:
    """{kind: (batches, seeds)}: test accuracy (%) at the rate best[kind] * batch size / BASE."""
    jobs = [
        (kind, best[kind] * size / BASE, size, seed, epochs)
        for kind in KINDS
        for size in batches
        for seed in seeds
    ]
    scores = np.array(run_jobs(jobs, "batch sizes", pool))[:, 1]  # (jobs, 2) -> (jobs,)
    return dict(zip(KINDS, scores.reshape(len(KINDS), len(batches), len(seeds)), strict=True))


def activations(task: Task, plan: tuple[int, ...], seeds: list[int], epochs: int) -> dict:
    """{kind: {statistic: (seeds, epochs + 1, layers)}}; entry 0 is the fresh network."""
    x = task.train[0][:LOOK_AT]
    result = {}
    for kind in cli.progress(DEEP_KINDS, "activations"):
        runs = []
        for seed in seeds:
            norm = kind.split(",")[0]
            model = plain_stack(norm, seed, plan, kaiming="default" not in kind)
            rows = [look.activation_statistics(model, x)]

            def note(_row: dict, model: nn.Sequential = model, rows: list = rows) -> None:
                rows.append(look.activation_statistics(model, x))

            train(model, task, lr=DEEP_RATE, epochs=epochs, seed=seed, on_epoch=note)
            runs.append({key: [row[key] for row in rows] for key in rows[0]})
        result[kind] = {key: np.array([run[key] for run in runs]) for key in runs[0]}
    return result


# --- evaluation mode ---


def batch_network(
    task: Task, seed: int, lr: float, epochs: int, size: int = BASE, momentum: float = 0.1
) -> nn.Sequential:
    model = plain_stack("batch", seed)
    for layer in look.batch_norms(model):
        layer.momentum = momentum
    train(model, task, lr=lr * size / BASE, epochs=epochs, seed=seed, batch_size=size)
    return model


def evaluations(model: nn.Sequential, task: Task, bright: bool = False) -> dict[str, float]:
    """Test accuracy in %: running statistics, the test set's own, and re-estimated ones."""
    train_x, (test_x, test_y) = task.train[0], task.test
    if bright:
        train_x, test_x = look.brightened(train_x), look.brightened(test_x)
    test = test_x, test_y
    return {
        "running": 100 * accuracy(model, test),
        "own": 100 * look.training_mode_accuracy(copy.deepcopy(model), test, len(test_y)),
        "reestimated": 100 * accuracy(look.reestimate(model, train_x), test),
    }


def few_steps(task: Task, seed: int, lr: float, steps: int = 10) -> nn.Sequential:
    """Trained for `steps` batches only: 0.9^10 = 35 % of the running mean is still its first 0."""
    rows = steps * BASE
    short = Task(task.name, task.classes, tuple(t[:rows] for t in task.train), task.val, task.test)
    return batch_network(short, seed, lr, epochs=1)


def wrong_statistics(
    task: Task, seed: int, lr: float, epochs: int, small: int = 2
) -> dict[str, dict]:
    """{case: accuracies in %} of evaluations(), and what a forgotten model.eval() does."""
    healthy = batch_network(task, seed, lr, epochs)
    cases = {
        "healthy": evaluations(healthy, task),
        "slow": evaluations(batch_network(task, seed, lr, epochs, momentum=0.001), task),
        "few_steps": evaluations(few_steps(task, seed, lr), task),
        "pairs": evaluations(batch_network(task, seed, lr, epochs, size=small), task),
        "bright": evaluations(healthy, task, bright=True),
    }
    polluted = copy.deepcopy(healthy)
    forgotten = {
        "eval": 100 * accuracy(healthy, task.test),
        "mixed": 100 * look.training_mode_accuracy(copy.deepcopy(healthy), task.test, BASE),
        "one_class": 100 * look.training_mode_accuracy(polluted, look.by_class(task.test), BASE),
    }
    forgotten["afterwards"] = 100 * accuracy(polluted, task.test)
    forgotten["repaired"] = 100 * accuracy(look.reestimate(polluted, task.train[0]), task.test)
    return cases | {"forgotten": forgotten}


def experiment(args: argparse.Namespace, run: Run) -> None:
    rates, batches, deep, small = RATES, BATCHES, DEEP, 2
    if args.quick:
        args.epochs, args.seeds = 1, 1
        rates, batches, deep, small = (0.03, 0.1), (BASE, 128), PLAN, 16
    prepare_process(args.threads or torch.get_num_threads())
    shorter = max(1, args.epochs - 1)  # for the parts that take many small steps
    task, workers = load_data(), 1 if args.quick else args.workers
    seeds = [args.seed + s for s in range(args.seeds)]
    with make_pool(workers) as pool:
        scores = over_rates(rates, seeds, args.epochs, pool)
        best = best_rates(scores, rates)
        sizes = over_batches(batches, best, seeds, shorter, pool)
    layers = activations(task, deep, seeds, shorter)
    bar = cli.progress(seeds, "evaluation mode")
    wrong = [wrong_statistics(task, s, best["batch"], shorter, small) for s in bar]
    metrics = collect(scores, rates, best, sizes, batches, layers, wrong)
    metrics["layers"], metrics["deep_layers"] = sum(PLAN), sum(deep)
    report(args, run, metrics, (scores, rates), (sizes, batches), layers, wrong)


def report(
    args: argparse.Namespace,
    run: Run,
    metrics: dict[str, Any],
    by_rate: tuple[dict, tuple[float, ...]],
    by_size: tuple[dict, tuple[int, ...]],
    layers: dict,
    wrong: list[dict],
) -> None:
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result("normalization", metrics, tables(metrics), seeds)
    run.save_figure(figures.rates_figure(*by_rate), "normalization_rates")
    run.save_figure(figures.batches_figure(*by_size), "normalization_batches")
    run.save_figure(figures.activations_figure(layers), "normalization_activations")
    run.save_figure(figures.evaluation_figure(wrong), "normalization_evaluation")
    shown = {f"{kind}: test accuracy (%)": metrics["rates"][kind]["test"]["mean"] for kind in KINDS}
    run.finish(shown, "python chapter_03_optimization_regularization/exp_loss_landscape.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
