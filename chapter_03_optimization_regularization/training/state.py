"""What a training needs besides the weights to go on exactly: read, written, and interrupted.

What you learn: a resumed run ends in the same bits only if *everything* that decides the next step
comes back: weights and buffers, the optimiser's moments, the schedule's step, the averaged weights,
the random generators, the place in the data, and the sums of the epoch that was under way.

    last.pth = {"state": weights, "training": {optimizer, scheduler, ema, rng, epoch, batch, ...}}

Files are replaced in one step (utils.file_io_util.atomic_write): a process killed while it writes,
or a full disk, leaves the previous checkpoint as it was.
"""

from __future__ import annotations

import json
import math
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from chapter_03_optimization_regularization.training.fingerprint import check
from utils.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_state,
    require_plain,
    save_checkpoint,
)
from utils.errors import UserError
from utils.file_io_util import atomic_write, plain

if TYPE_CHECKING:
    from accelerate import Accelerator

    from chapter_03_optimization_regularization.training.loop import _Loop


class TrainingError(UserError):
    """The training cannot go on. `step`: where; `last_checkpoint`: the last good one, or None."""

    def __init__(self, message: str, step: int, last_checkpoint: Path | None) -> None:
        super().__init__(message)
        self.step, self.last_checkpoint = step, last_checkpoint

    @classmethod
    def non_finite(cls, loss: float, step: int, epoch: int, folder: Path | None) -> TrainingError:
        checkpoint, text = last_good(folder)
        return cls(
            f"the loss is {loss} at step {step} (epoch {epoch + 1}); training stops before it "
            f"spoils the weights. {text} Often the learning rate is too high.",
            step,
            checkpoint,
        )

    @classmethod
    def unwritable(cls, path: Path, error: OSError, step: int) -> TrainingError:
        checkpoint, text = last_good(path.parent)
        reason = error.strerror or str(error)
        return cls(f"cannot write {path} at step {step}: {reason}. {text}", step, checkpoint)


def last_good(folder: Path | None) -> tuple[Path | None, str]:
    """The checkpoint a failed run can go on from, and a sentence that names it."""
    path = folder / "last.pth" if folder is not None else None
    if path is None or not path.is_file():
        return None, "There is no checkpoint yet."
    return path, f"The last good checkpoint is {path}."


class StopRequest:
    """Ctrl-C as a request: the step under way ends first, so that the state saved is whole.

    A second Ctrl-C stops at once. Only the main thread can catch the signal; elsewhere, and where
    the signal is ignored (background jobs of some shells), nothing changes.
    """

    requested = False

    def __enter__(self) -> StopRequest:
        self.before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        self.active = main and self.before not in (signal.SIG_IGN, None)
        if self.active:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: Any) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, self.before)

    def __exit__(self, *_: Any) -> None:
        if self.active:
            signal.signal(signal.SIGINT, self.before)


@contextmanager
def prepared(
    model: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator, compile: bool
) -> Iterator[tuple[nn.Module, Any]]:
    """Model and optimiser as Accelerate runs them: on its device, in its precision, on all ranks.

    Accelerate replaces the model's `forward` for 16-bit precision; afterwards it is as before. Its
    wrapper of the optimiser is needed for fp16's loss scaling only, and costs 0.4 ms a step.
    """
    attributes = set(vars(model))
    runner, stepper = accelerator.prepare(model, optimizer)
    if accelerator.scaler is None:
        stepper = optimizer
    move_state(optimizer)
    try:
        yield (torch.compile(runner) if compile else runner), stepper
    finally:
        for name in set(vars(model)) - attributes:
            del model.__dict__[name]


def move_state(optimizer: torch.optim.Optimizer) -> None:
    """The optimiser's state beside its parameters, which may have changed their device."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.dim() > 0:
                state[name] = value.to(parameter.device)


def random_state() -> dict[str, Any]:
    """The state of every global random generator, as plain values and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """The reverse of `random_state`. A run may move to a machine with other accelerators."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def state_of(part: Any) -> Any:
    return None if part is None else part.state_dict()


def training_of(loop: _Loop) -> dict[str, Any]:
    """Everything a resume needs besides the weights, as plain values and tensors."""
    return {
        "fingerprint": loop.fingerprint,
        "planned_epochs": loop.epochs,
        "epoch": loop.epoch,
        "batch": loop.batch,
        "step": loop.step,
        "sums": loop.means.sums,
        "epochs": plain(loop.history.epochs, non_finite=True),
        "best": plain(loop.history.best, non_finite=True),
        "step_losses": torch.tensor(loop.history.step_losses, dtype=torch.float64),
        "stopped_early": loop.history.stopped_early,
        "seconds": loop.history.seconds,
        "optimizer": loop.optimizer.state_dict(),
        "scheduler": state_of(loop.scheduler),
        "ema": state_of(loop.ema),
        "early_stopping": state_of(loop.early_stopping),
        "scaler": state_of(loop.accelerator.scaler),
        "random": random_state(),
    }


def write(loop: _Loop, path: Path, with_training: bool) -> None:
    """Save the model, with what a resume needs if `with_training`. TrainingError: no room."""
    facts = {"architecture": {}, "dataset": "unknown", **loop.facts}
    training = training_of(loop) if with_training else None
    metrics = loop.history.epochs[-1] if loop.history.epochs else {}
    try:
        save_checkpoint(path, loop.model.state_dict(), metrics=metrics, training=training, **facts)
    except OSError as error:
        raise TrainingError.unwritable(path, error, loop.step) from None


def begin(loop: _Loop) -> None:
    """Before a new training in a folder: nothing in it belongs to another one, all can be saved."""
    if loop.folder is None:
        return
    content = {"state": loop.model.state_dict(), "training": training_of(loop)}
    require_plain(plain(loop.facts) | content, loop.folder / "last.pth")
    if loop.accelerator.is_main_process:
        (loop.folder / "best.pth").unlink(missing_ok=True)


def load(loop: _Loop) -> None:
    """Put everything back from last.pth; CheckpointError if it is missing or of another run."""
    if loop.folder is None:
        raise UserError("resume=True needs the folder of the run.")
    path = loop.folder / "last.pth"
    checkpoint = load_checkpoint(path)
    saved = checkpoint.get("training")
    if saved is None:
        raise CheckpointError(f"{path} holds weights only; a run resumes from last.pth.")
    check(saved, loop, path)
    load_state(loop.model, checkpoint["state"], path)
    parts = {name: getattr(loop, name) for name in ("scheduler", "ema", "early_stopping")}
    parts |= {"optimizer": loop.optimizer, "scaler": loop.accelerator.scaler}
    for name, part in parts.items():
        if part is not None and saved[name] is not None:
            part.load_state_dict(saved[name])
    loop.epoch, loop.batch, loop.step = saved["epoch"], saved["batch"], saved["step"]
    loop.means.sums = dict(saved["sums"])
    loop.history.epochs = [_numbers(row) for row in saved["epochs"]]
    loop.history.step_losses = saved["step_losses"].tolist()
    loop.history.seconds = saved["seconds"]
    _load_best(loop, saved["best"])
    _judge_the_stop(loop, saved["early_stopping"] is None)
    set_random_state(saved["random"])


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """A row as it was; what is not finite stands as None in best.pth and in older files."""
    return {name: math.nan if value is None else value for name, value in row.items()}


def _load_best(loop: _Loop, row: dict[str, float] | None) -> None:
    """The best row and, for restore_best, its weights: of one and the same epoch."""
    row = None if row is None else _numbers(row)
    if row is None or not math.isfinite(row.get(loop.monitor, math.nan)):
        return  # no epoch was best so far
    loop.history.best = row
    if loop.restore_best:
        best = load_checkpoint(loop.folder / "best.pth")
        loop.best_state = best["state"]
        if best["metrics"]["step"] != row["step"]:  # killed after best.pth, before last.pth
            loop.history.best = _numbers(best["metrics"])


def _judge_the_stop(loop: _Loop, new: bool) -> None:
    """Whether the run has stopped early, by the rule of now; a new one looks at the past, too."""
    if loop.early_stopping is None:
        return
    for row in loop.history.epochs if new else []:
        loop.early_stopping.update(row.get(loop.monitor, math.nan))
    loop.history.stopped_early = loop.early_stopping.should_stop


def write_metrics(path: Path, rows: list[dict[str, float]]) -> None:
    """metrics.jsonl anew from the history, so that a resumed run has each epoch once."""
    with atomic_write(path) as file:
        file.writelines(json.dumps(plain(row)) + "\n" for row in rows)


def tensorboard_writer(loop: _Loop, wanted: bool) -> Callable[[dict[str, float]], None]:
    """A function that logs an epoch's row to <folder>/tensorboard; does nothing if not wanted."""
    if not wanted or loop.folder is None or not loop.accelerator.is_main_process:
        return lambda row: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard needs the package tensorboard: pip install tensorboard"
        ) from None
    writer = SummaryWriter(str(loop.folder / "tensorboard"))

    def log(row: dict[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["step"]))
        writer.flush()

    return log
