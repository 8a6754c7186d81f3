"""The course's one training loop: `fit`. Every later chapter trains with it.

What you learn: around five lines of gradient descent stands what makes a long run trustworthy.

    for batch in train:                      # Batches: an order that depends on (seed, epoch) only
        loss, metrics = loss_fn(model, batch)
        loss.backward()                      # several times, if gradients are accumulated
        clip_grad_norm_(...)                 # optional
        optimizer.step(); scheduler.step(); optimizer.zero_grad(); ema.update(model)

validation after each epoch, early stopping, `best.pth` and `last.pth`, resume to the same bits
(what it needs: `_Loop.state_dict`), a stop that names the step when the loss is no number, Ctrl-C
without losing the run. Processors, 16-bit precision and several processes come from Hugging Face
Accelerate. versions.py lets this loop grow from the five lines.

    history = fit(model, classification_loss(), Adam(model.parameters()), Batches(x, y,
                  batch_size=64, shuffle=True), epochs=10, val=Batches(*val, batch_size=1024))
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
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
    check_monitor,
    epoch_of,
    evaluate_on,
    grouped,
    make_accelerator,
    rows_in,
    to_device,
)
from chapter_03_optimization_regularization.training.fingerprint import check, fingerprint
from chapter_03_optimization_regularization.training.history import History, is_better
from utils.checkpoint import load_state
from utils.modes import frozen_modules, train_except
from utils.progress import progress

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECK_EVERY = 50  # steps between looks at the loss on an accelerator: each look waits for it


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
        model=model, loss_fn=loss_fn, optimizer=optimizer, train=train, epochs=epochs, val=val,
        scheduler=scheduler, accumulate=accumulate, clip_norm=clip_norm, ema=ema,
        early_stopping=early_stopping, monitor=("train_" if val is None else "val_") + monitor,
        mode=mode, restore_best=restore_best, folder=folder and Path(folder),
        accelerator=make_accelerator(torch.device(device), precision), save_every=save_every,
        facts={"architecture": {}, "dataset": "unknown"} | (facts or {}), on_epoch=on_epoch,
    )  # fmt: skip
    prepared = training_state.prepared(model, optimizer, loop.accelerator, compile)
    with prepared as (loop.runner, loop.stepper):
        return loop.run(resume, label, tensorboard)


@dataclass(kw_only=True)
class _Loop:
    """The state of one call of `fit`: its arguments, and where the training stands.

    What a resume restores is in `state_dict` and `load_state_dict`, and nowhere else.
    """

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
        self.writes = self.folder is not None and self.accelerator.is_main_process
        self.plateau = type(self.scheduler).__name__ == "ReduceLROnPlateau"  # ours, or torch's
        self.check_every = 1 if self.accelerator.device.type == "cpu" else CHECK_EVERY
        check_batches(self.train, "training ", self.epochs)
        if self.val is not None:
            check_batches(self.val, "validation ", self.epochs)
        self.per_epoch = math.ceil(count_batches(self.train) / self.accumulate)  # optimiser steps
        # What has a state of its own, besides the model; None where the training goes without.
        names = ("optimizer", "scheduler", "ema", "early_stopping")
        self.parts = {name: getattr(self, name) for name in names}
        self.parts["scaler"] = self.accelerator.scaler  # of fp16
        self.rules = {} if self.folder is None else fingerprint(
            train=self.train, val=self.val, optimizer=self.optimizer, scheduler=self.scheduler,
            ema=self.ema, accumulate=self.accumulate, monitor=self.monitor, mode=self.mode,
            facts=self.facts,
        )  # fmt: skip

    def run(self, resume: bool, label: str, tensorboard: bool) -> History:
        if resume:
            self.resume()
        elif self.folder is not None:
            content = {"state": self.model.state_dict(), "training": self.state_dict()}
            training_state.begin(self.folder, content, self.facts, self.writes)
        self.optimizer.zero_grad()  # a training that an error ended may have left gradients, or nan
        self.write_log = training_state.tensorboard_writer(self.folder, tensorboard and self.writes)
        started, before = time.perf_counter(), self.history.seconds
        steps = self.steps()
        if label and self.accelerator.is_main_process:
            steps = progress(steps, label, self.epochs * self.per_epoch - self.step)
        with training_state.StopRequest() as stop:
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

    def state_dict(self) -> dict[str, Any]:
        """Everything a resume needs besides the weights, as plain values and tensors."""
        parts = self.parts.items()
        return {
            "fingerprint": self.rules,
            "planned_epochs": self.epochs,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "sums": self.means.sums,
            **self.history.state_dict(),
            **{name: None if part is None else part.state_dict() for name, part in parts},
            "random": training_state.random_state(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The reverse. A part that this training has and `saved` has not starts afresh."""
        for name, part in self.parts.items():
            if part is not None and saved[name] is not None:
                part.load_state_dict(saved[name])
        self.epoch, self.batch, self.step = saved["epoch"], saved["batch"], saved["step"]
        self.means = Means(saved["sums"])
        self.history.load_state_dict(saved, self.monitor)
        if self.early_stopping is not None:
            for row in self.history.epochs if saved["early_stopping"] is None else []:
                self.early_stopping.update(row.get(self.monitor, math.nan))
            self.history.stopped_early = self.early_stopping.should_stop
        training_state.set_random_state(saved["random"])

    def resume(self) -> None:
        """Go on from last.pth; CheckpointError if it is missing or of another run."""
        path, weights, saved = training_state.read_last(self.folder)
        check(saved, self.rules, self.epochs, path)
        load_state(self.model, weights, path)
        self.load_state_dict(saved)
        if self.restore_best and self.history.best is not None:
            self.best_state, row = training_state.read_best(self.folder)
            if row["step"] != self.history.best["step"]:  # killed after best.pth, before last.pth
                self.history.best = row

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
        if self.scheduler is not None and not self.plateau:
            self.scheduler.step()
        if self.ema is not None:
            self.ema.update(self.model)

    def check_monitor(self, metrics: Metrics) -> None:
        check_monitor(self.monitor, metrics, self.model, self.loss_fn, self.val, self.accelerator)

    def look(self) -> None:
        """Fetch the losses of the steps since the last look; stop at one that is not finite."""
        first = self.step - len(self.pending) + 1
        for step, looks in enumerate(self.pending, start=first):
            losses = [float(loss) for _, _, loss, _ in looks]
            mean = sum(look[1] * loss for look, loss in zip(looks, losses, strict=True))
            if not math.isfinite(mean):
                raise training_state.TrainingError.non_finite(mean, step, self.epoch, self.folder)
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
        if self.plateau:
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
        if self.writes:
            self.write("best.pth")

    def save_last(self) -> None:
        """Write last.pth and metrics.jsonl, if there is a folder and this process is the first."""
        self.look()
        if self.writes:
            self.write("last.pth", self.state_dict())
            training_state.write_metrics(self.folder / "metrics.jsonl", self.history.epochs)

    def write(self, name: str, training: dict[str, Any] | None = None) -> None:
        """Save the model as it is now; `training`: what a resume needs besides."""
        metrics = self.history.epochs[-1] if self.history.epochs else {}
        training_state.write(
            self.folder / name, self.model.state_dict(), self.facts, metrics, training, self.step
        )
