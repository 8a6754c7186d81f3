"""The course's one training loop: `fit`. Every later chapter trains with it.

What you learn: around five lines of gradient descent stands what makes a long run trustworthy.

    for batch in train:                      # Batches: an order that depends on (seed, epoch) only
        loss, metrics = loss_fn(model, batch)
        loss.backward()                      # several times, if gradients are accumulated
        clip_grad_norm_(...)                 # optional
        optimizer.step(); scheduler.step(); optimizer.zero_grad(); ema.update(model)

validation after each epoch, early stopping, `best.pth` and `last.pth`, resume to the same bits, a
stop that names the step when the loss is no number, Ctrl-C without losing the run. Processors,
16-bit precision and several processes come from Hugging Face Accelerate. versions.py lets this loop
grow from the five lines; evaluation.py has the loss and the means, state.py what a resume needs.

    history = fit(model, classification_loss(), Adam(model.parameters()), Batches(x, y,
                  batch_size=64, shuffle=True), epochs=10, val=Batches(*val, batch_size=1024))
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.training import state as training_state
from chapter_03_optimization_regularization.training.batches import (
    Batches,
    check_batches,
    count_batches,
)
from chapter_03_optimization_regularization.training.evaluation import (
    LossFunction,
    Means,
    Metrics,
    epoch_of,
    evaluate_on,
    grouped,
    make_accelerator,
    rows_in,
    to_device,
)
from chapter_03_optimization_regularization.training.fingerprint import fingerprint
from chapter_03_optimization_regularization.training.state import StopRequest, TrainingError
from utils.errors import UserError
from utils.modes import evaluating, frozen_modules, train_except
from utils.progress import progress

if TYPE_CHECKING:
    from accelerate import Accelerator


CHECK_EVERY = 50  # steps between looks at the loss on an accelerator: each look waits for it


@dataclass
class History:
    """What a training leaves besides the weights.

    epochs: a row an epoch (epoch, step, lr, train_loss, val_loss, ..., seconds).
    step_losses: the training loss of every optimiser step (with several processes: of this one).
    best: the row of the best epoch; None while the monitored value never was a finite number.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)
    best: dict[str, float] | None = None
    stopped_early: bool = False
    seconds: float = 0.0

    def best_row(self) -> dict[str, float]:
        """`best`, for those who cannot go on without: UserError if there is none."""
        if self.best is None:
            raise UserError(
                "no epoch was the best: the monitored value never was a finite number; "
                "often the learning rate is too high."
            )
        return self.best


def is_better(value: float, best: float | None, mode: str) -> bool:
    """Whether `value` beats `best` (None: nothing yet). nan and infinity never do."""
    if not math.isfinite(value):
        return False
    return best is None or (value < best if mode == "min" else value > best)


def is_plateau(scheduler: Any) -> bool:
    """Whether this schedule waits for a validation result, be it chapter 3's or torch's."""
    return type(scheduler).__name__ == "ReduceLROnPlateau"


def fit(
    model: nn.Module,
    loss_fn: LossFunction,
    optimizer: torch.optim.Optimizer,
    train: Batches,
    *,
    epochs: int,
    val: Batches | None = None,
    scheduler: Any = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema: Any = None,
    early_stopping: Any = None,
    monitor: str = "loss",
    mode: str = "min",
    restore_best: bool = False,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    compile: bool = False,
    folder: str | Path | None = None,
    resume: bool = False,
    save_every: int = 0,
    facts: dict[str, Any] | None = None,
    tensorboard: bool = False,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    label: str = "",
) -> History:
    """Train `model` for `epochs` passes over `train`; the weights change in place.

    loss_fn(model, batch) -> (mean loss, {name: mean}); it must call model(...) itself.
    scheduler: `.step()` after each optimiser step (ReduceLROnPlateau: after each epoch, with the
        monitored value). accumulate: batches that share one optimiser step.
    ema: regularization.EMA; validation and best.pth then use the averaged weights.
    monitor, mode: the value that decides what is best ("loss" or a metric; "min" or "max"), of
        the validation set if there is one; nan and inf never are best. restore_best: end with
        the best weights (with the last ones if no epoch was best).
    folder: receives last.pth (each epoch, and every `save_every` steps), best.pth, metrics.jsonl.
    resume: go on from the folder's last.pth; with more `epochs` if the schedule allows it, and
        under the same rules (fingerprint.py).
    facts: architecture, dataset, task, ... for the files.
    label: shows a progress bar of this name.

    Raises ValueError before the first step if `mode` or `monitor` is unknown, TrainingError on a
    non-finite loss or when a checkpoint cannot be written, and KeyboardInterrupt after Ctrl-C,
    once last.pth is saved.
    """
    loop = _Loop(
        model, loss_fn, optimizer, train, epochs, val, scheduler, accumulate, clip_norm, ema,
        early_stopping, ("train_" if val is None else "val_") + monitor, mode, restore_best,
        make_accelerator(torch.device(device), precision), folder and Path(folder), save_every,
        facts or {}, on_epoch,
    )  # fmt: skip
    with training_state.prepared(model, optimizer, loop.accelerator, compile) as pair:
        loop.runner, loop.stepper = pair
        return loop.run(resume, label, tensorboard)


@dataclass
class _Loop:
    """The state of one call of `fit`: its arguments, and where the training stands."""

    model: nn.Module
    loss_fn: LossFunction
    optimizer: torch.optim.Optimizer
    train: Any
    epochs: int
    val: Any
    scheduler: Any
    accumulate: int
    clip_norm: float | None
    ema: Any
    early_stopping: Any
    monitor: str
    mode: str
    restore_best: bool
    accelerator: Accelerator
    folder: Path | None
    save_every: int
    facts: dict[str, Any]
    on_epoch: Callable[[dict[str, float]], None] | None

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', not {self.mode!r}")
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, not {self.accumulate}")
        self.epoch = self.batch = self.step = 0  # the next epoch, its next batch; steps done
        self.history, self.means = History(), Means()
        self.frozen: list[nn.Module] = []  # modules that stay in evaluation mode
        self.best_state: dict[str, Tensor] | None = None
        self.pending: list[list[tuple[int, float, Tensor, Metrics]]] = []  # steps not looked at
        self.check_every = 1 if self.accelerator.device.type == "cpu" else CHECK_EVERY
        check_batches(self.train, "training ", self.epochs)
        if self.val is not None:
            check_batches(self.val, "validation ", self.epochs)
        self.per_epoch = math.ceil(count_batches(self.train) / self.accumulate)  # optimiser steps

    def run(self, resume: bool, label: str, tensorboard: bool) -> History:
        self.fingerprint = fingerprint(self) if self.folder else {}  # before any state is loaded
        if resume:
            training_state.load(self)
        else:
            training_state.begin(self)
        self.optimizer.zero_grad()  # a training that an error ended may have left gradients, or nan
        self.write_log = training_state.tensorboard_writer(self, tensorboard)
        started, before = time.perf_counter(), self.history.seconds
        total = self.epochs * self.per_epoch
        steps = self.steps()
        if label and self.accelerator.is_main_process:
            steps = progress(steps, label, total - self.step)
        with StopRequest() as stop:
            for _ in steps:
                self.history.seconds = before + time.perf_counter() - started
                if label and self.accelerator.is_main_process and self.step % 20 == 0:
                    steps.set_postfix(loss=f"{self.history.step_losses[-1]:.4f}")
                if stop.requested:
                    self.save_last()
                    raise KeyboardInterrupt
                if self.save_every and self.step % self.save_every == 0:
                    self.save_last()
        if self.restore_best and self.best_state is not None:
            self.model.load_state_dict(self.best_state)
        return self.history

    def steps(self) -> Iterator[None]:
        """Train; yields after each optimiser step, when everything is in order for a checkpoint."""
        while self.epoch < self.epochs and not self.history.stopped_early:
            if self.model.training:  # on_epoch may have frozen more, or evaluated the model
                self.frozen = frozen_modules(self.model)
            train_except(self.runner, self.frozen)
            batches = epoch_of(self.train, self.epoch, self.batch, self.accelerator)
            for group in grouped(batches, self.accumulate):
                self.update(group)
                yield
            self.end_epoch()

    def update(self, group: list[Any]) -> None:
        """One optimiser step from a group of batches: the step of one batch of all their rows."""
        rows = [rows_in(batch) for batch in group]
        looks = []
        for index, (batch, count) in enumerate(zip(group, rows, strict=True)):
            share = count / sum(rows)
            last = index == len(group) - 1  # processes exchange gradients once, at the last batch
            with nullcontext() if last else self.accelerator.no_sync(self.runner):
                batch = to_device(batch, self.accelerator.device)
                loss, metrics = self.loss_fn(self.runner, batch)
                if self.step == index == 0:
                    self.check_monitor(metrics)
                self.accelerator.backward(loss if share == 1 else loss * share)
            looks.append((count, share, loss.detach(), metrics))
        self.pending.append(looks)
        self.step += 1
        self.batch += len(group)
        if len(self.pending) >= self.check_every:
            self.look()  # before the update: weights that are no numbers are never made
        if self.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.stepper.step()
        self.stepper.zero_grad()
        if self.scheduler is not None and not is_plateau(self.scheduler):
            self.scheduler.step()
        if self.ema is not None:
            self.ema.update(self.model)

    def check_monitor(self, metrics: Metrics) -> None:
        """ValueError, before the first update, for a value to monitor that nobody measures."""
        name = self.monitor.partition("_")[2]
        once = isinstance(self.val, Iterator)  # a look would use up its first batch
        if self.val is not None and name != "loss" and not once:
            state = training_state.random_state()  # a look ahead must not change what follows
            with evaluating(self.model), torch.no_grad():
                for batch in epoch_of(self.val, 0, 0, self.accelerator, even=False):
                    batch = to_device(batch, self.accelerator.device)
                    metrics = self.loss_fn(self.model, batch)[1]
                    break
            training_state.set_random_state(state)
        if name not in ("loss", *metrics):
            known = ", ".join(["loss", *metrics])
            raise ValueError(f"monitor must be one of {known}, not {name!r}")

    def look(self) -> None:
        """Fetch the losses of the steps since the last look; stop at one that is not finite."""
        first = self.step - len(self.pending) + 1
        for step, looks in enumerate(self.pending, start=first):
            losses = [float(loss) for _, _, loss, _ in looks]
            mean = sum(look[1] * loss for look, loss in zip(looks, losses, strict=True))
            if not math.isfinite(mean):
                raise TrainingError.non_finite(mean, step, self.epoch, self.folder)
            self.history.step_losses.append(mean)
            for (rows, _, _, metrics), loss in zip(looks, losses, strict=True):
                self.means.add(rows, loss, metrics)
        self.pending.clear()

    def end_epoch(self) -> None:
        """Validate, note the row, decide what is best and whether to stop, save."""
        self.look()
        row = {"epoch": self.epoch + 1, "step": self.step}
        row["lr"] = float(self.optimizer.param_groups[0]["lr"])
        row |= self.means.result(self.accelerator, "train_")
        self.epoch, self.batch, self.means = self.epoch + 1, 0, Means()
        with self.ema.applied_to(self.model) if self.ema is not None else nullcontext():
            if self.val is not None:
                row |= evaluate_on(self.runner, self.loss_fn, self.val, self.accelerator, "val_")
            row["seconds"] = self.history.seconds
            self.history.epochs.append(row)
            self.keep_best(row)
        value = row[self.monitor]
        if self.scheduler is not None and is_plateau(self.scheduler):
            self.scheduler.step(value if math.isfinite(value) else math.nan)  # nan is never best
        if self.early_stopping is not None:
            self.early_stopping.update(value)
            self.history.stopped_early = self.early_stopping.should_stop
        self.save_last()
        self.write_log(row)
        if self.on_epoch is not None:
            self.on_epoch(row)

    def keep_best(self, row: dict[str, float]) -> None:
        """Called with the weights that were validated in place (the averaged ones, with ema)."""
        best = self.history.best
        if not is_better(row[self.monitor], best and best[self.monitor], self.mode):
            return
        self.history.best = row
        if self.restore_best:
            state = self.model.state_dict()
            self.best_state = {name: value.detach().clone() for name, value in state.items()}
        if self.folder is not None and self.accelerator.is_main_process:
            training_state.write(self, self.folder / "best.pth", with_training=False)

    def save_last(self) -> None:
        """Write last.pth and metrics.jsonl, if there is a folder and this process is the first."""
        self.look()
        if self.folder is not None and self.accelerator.is_main_process:
            training_state.write(self, self.folder / "last.pth", with_training=True)
            training_state.write_metrics(self.folder / "metrics.jsonl", self.history.epochs)
