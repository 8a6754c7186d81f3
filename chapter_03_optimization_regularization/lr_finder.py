"""The learning rate range test: which rates are worth a try, from a single short run.

What you learn: let the rate grow by a constant factor at every step i = 0 .. n - 1,

    eta_i = low (high / low)^(i / (n - 1))

and watch the training loss. Too small: nothing happens. Then the loss falls, fastest where the rate
is good. Then it rises: the steps overshoot. Two rules read a rate off the curve of the smoothed
loss: the steepest descent over log eta, and a tenth of the rate at the minimum.

    result = range_test(model, loss_fn, optimizer, batches)      # the weights are put back
    result.steepest, result.tenth_of_minimum

The script does it for two optimizers on the digits, and then checks the suggestions the slow way:
it trains at six constant rates and looks where the validation loss is least.

    python chapter_03_optimization_regularization/lr_finder.py         about 50 seconds, 2 cores

Papers: Smith 2017 (the test); Gugger 2018 (the smoothing with bias correction).
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_03_optimization_regularization import optimizers
from chapter_03_optimization_regularization.experiments.tables.lr_finder import (
    GRIDS,
    summary,
    tables,
)
from chapter_03_optimization_regularization.experiments.tasks import Task, load_task, small_cnn
from chapter_03_optimization_regularization.figures.lr_finder import figure
from chapter_03_optimization_regularization.training import (
    Batches,
    LossFunction,
    TrainingError,
    classification_loss,
    fit,
)
from chapter_03_optimization_regularization.training.batches import at_least_one
from utils import cli
from utils.errors import UserError
from utils.modes import training
from utils.run import Run

OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda parameters, lr: optimizers.SGD(parameters, lr, momentum=0.9),
    "Adam": lambda parameters, lr: optimizers.Adam(parameters, lr),
}
RANGES = {"SGD": (1e-5, 10.0), "Adam": (1e-6, 1.0)}
BATCH = 64


@dataclass(frozen=True)
class RangeTest:
    """A point a step: rate, loss before the update with it, smoothed loss; all lists of length n.

    diverged_at: the rate at which the smoothed loss had blown up, or None if the end was reached.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    diverged_at: float | None

    @property
    def steepest(self) -> float:
        """The rate of the steepest descent of the smoothed loss over log(rate).

        Looked for before the minimum. The first tenth of the points is left out: there the running
        mean has few terms, and noise makes the steepest slope. ValueError if the loss never fell.
        """
        start = max(1, len(self.rates) // 10)
        end = max(self._minimum + 1, start + 2)
        # A slope needs two points; the run may have ended at once.
        slopes = np.gradient(self.smoothed, np.log(self.rates)) if len(self.rates) > 1 else []
        if not np.min(slopes[start:end], initial=0.0) < 0:
            raise ValueError(self._in_words("the loss never fell"))
        return self.rates[start + int(np.argmin(slopes[start:end]))]

    @property
    def tenth_of_minimum(self) -> float:
        """A tenth of the rate at which the smoothed loss is least. ValueError without a step."""
        return self.rates[self._minimum] / 10

    @property
    def _minimum(self) -> int:
        if not self.rates:
            raise ValueError(self._in_words("there was not one step"))
        return int(np.argmin(self.smoothed))

    def _in_words(self, fault: str) -> str:
        tried = self.rates or [self.diverged_at]
        span = f"{tried[0]:.2g} to {tried[-1]:.2g}"
        return f"no rate can be read off: {fault} at rates {span}; try another range"


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Batch after batch for ever; `Batches` are shuffled anew in every epoch."""
    number = 0
    while True:
        again = batches.epoch(number) if isinstance(batches, Batches) else batches
        yield from at_least_one(again)
        number += 1


def range_test(
    model: nn.Module,
    loss_fn: LossFunction,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Any],
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 200,
    smoothing: float = 0.8,
    stop_factor: float = 2.0,
) -> RangeTest:
    """Train for `steps` updates at growing rates; stop when the smoothed loss has blown up.

    Blown up: above `stop_factor` times its least value so far, or not finite. Groups keep the ratio
    of their rates; the largest runs from `lowest` to `highest`. Afterwards weights, buffers, modes
    and optimizer state are as before, and there are no gradients, even if the run was interrupted.
    ValueError without batches, or if they are an iterator that ends before the steps do.
    """
    if steps < 2:
        raise ValueError(f"a range needs at least 2 steps, not {steps}")
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    try:
        with training(model):
            return _run(model, loss_fn, optimizer, batches, (lowest, highest, steps), smoothing,
                        stop_factor)  # fmt: skip
    finally:
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        optimizer.zero_grad()


def _run(
    model: nn.Module, loss_fn: LossFunction, optimizer: Any, batches: Iterable[Any],
    span: tuple[float, float, int], smoothing: float, stop_factor: float,
) -> RangeTest:  # fmt: skip
    largest = max(group["lr"] for group in optimizer.param_groups)
    # All rates are 0 where a schedule has ended: then the groups are tried at one rate.
    shares = [group["lr"] / largest if largest else 1.0 for group in optimizer.param_groups]
    rates, losses, smoothed, mean = [], [], [], 0.0
    for rate, batch in zip(np.geomspace(*span).tolist(), endless(batches), strict=False):
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = rate * share
        optimizer.zero_grad()
        loss, _ = loss_fn(model, batch)
        mean = smoothing * mean + (1 - smoothing) * loss.item()
        smooth = mean / (1 - smoothing ** (len(rates) + 1))  # the mean began at 0: undo that
        if not math.isfinite(smooth) or smooth > stop_factor * min([*smoothed, smooth]):
            return RangeTest(rates, losses, smoothed, diverged_at=rate)
        rates.append(rate)
        losses.append(loss.item())
        smoothed.append(smooth)
        loss.backward()
        optimizer.step()
    return RangeTest(rates, losses, smoothed, diverged_at=None)


# --- the script ---


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/lr_finder.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --epochs 10"])
    parser.set_defaults(threads=1)  # the pictures are too small for two
    group = parser.add_argument_group("training")
    group.add_argument("--steps", type=cli.int_from(2), default=150, help="steps of a range test")
    group.add_argument("--epochs", type=cli.positive_int, default=3, help="passes for the check")
    group.add_argument("--seeds", type=cli.positive_int, default=3, help="first weights tried")
    return parser


def digits_batches(task: Task, seed: int) -> Batches:
    return Batches(*task.train, batch_size=BATCH, shuffle=True, seed=seed)


def find(name: str, task: Task, seed: int, steps: int) -> RangeTest:
    """The range test of a fresh small CNN on the digits."""
    torch.manual_seed(seed)
    model = small_cnn()
    optimizer = OPTIMIZERS[name](model.parameters(), 1e-3)
    low, high = RANGES[name]
    test = range_test(
        model, classification_loss(), optimizer, digits_batches(task, seed),
        lowest=low, highest=high, steps=steps,
    )  # fmt: skip
    try:
        test.steepest, test.tenth_of_minimum  # noqa: B018
    except ValueError as error:
        raise UserError(f"{name}, seed {seed}: {error}, or more --steps.") from None
    return test


def validation_loss(name: str, rate: float, task: Task, seed: int, epochs: int) -> float:
    """After training at a constant rate; nan if the loss was no number any more."""
    torch.manual_seed(seed)
    model = small_cnn()
    optimizer = OPTIMIZERS[name](model.parameters(), rate)
    val = Batches(*task.val, batch_size=512)
    try:
        history = fit(
            model, classification_loss(), optimizer, digits_batches(task, seed),
            epochs=epochs, val=val,
        )  # fmt: skip
    except TrainingError:
        return float("nan")
    return history.epochs[-1]["val_loss"]


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.epochs, args.seeds, args.steps = 1, 1, 100
    task = load_task("digits", args.data_dir)
    seeds = [args.seed + s for s in range(args.seeds)]
    tests = {name: [find(name, task, s, args.steps) for s in seeds] for name in OPTIMIZERS}
    checks = {
        name: np.array(
            [
                [validation_loss(name, rate, task, s, args.epochs) for s in seeds]
                for rate in cli.progress(GRIDS[name], f"{name}, constant rates")
            ]
        )  # (rates, seeds)
        for name in OPTIMIZERS
    }
    report(run, tests, checks, seeds)


def report(
    run: Run, tests: dict[str, list[RangeTest]], checks: dict[str, np.ndarray], seeds: list[int]
) -> None:
    metrics = summary(tests, checks)
    run.save_result("lr_finder", metrics, tables(metrics), seeds)
    run.save_figure(figure(tests, checks), "lr_finder")
    shown = {f"{name}: {key}": value for name, row in metrics.items() for key, value in row.items()}
    run.finish(shown, next_command="python chapter_03_optimization_regularization/exp_schedules.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
