"""The state of a training on disk: written, read, and kept whole when something interrupts.

What you learn: a resumed run ends in the same bits only if *everything* that decides the next step
comes back: weights and buffers, the optimiser's moments, the schedule's step, the averaged weights,
the random generators, the place in the data, and the sums of the epoch that was under way. The loop
lists them in its `state_dict` (loop.py); here they are dictionaries.

    last.pth = {"state": weights, "training": {epoch, batch, step, optimizer, ema, random, ...}}
    best.pth = {"state": weights}, of the best epoch so far

Files are replaced in one step (utils.file_io_util.atomic_write): a process killed while it writes,
or a full disk, leaves the previous checkpoint as it was.
"""

from __future__ import annotations

import json
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

from chapter_03_optimization_regularization.training.history import numbers
from utils.checkpoint import CheckpointError, load_checkpoint, require_plain, save_checkpoint
from utils.errors import UserError
from utils.file_io_util import atomic_write, plain

if TYPE_CHECKING:
    from accelerate import Accelerator


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


@contextmanager
def same_random_state() -> Iterator[None]:
    """A look ahead: whatever is drawn inside, the generators go on as if nothing had been."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


def write(
    path: Path,
    weights: dict[str, Any],
    facts: dict[str, Any],
    metrics: dict[str, float],
    training: dict[str, Any] | None,
    step: int,
) -> None:
    """Save the weights and, if it is given, the state of the training. TrainingError: no room."""
    try:
        save_checkpoint(path, weights, metrics=metrics, training=training, **facts)
    except OSError as error:
        raise TrainingError.unwritable(path, error, step) from None


def begin(folder: Path, content: dict[str, Any], facts: dict[str, Any], writes: bool) -> None:
    """Before a new training in a folder: nothing in it belongs to another one, all can be saved.

    content: of last.pth, {"state": weights, "training": ...}. writes: this process does.
    """
    require_plain(plain(facts) | content, folder / "last.pth")
    if writes:
        (folder / "best.pth").unlink(missing_ok=True)


def read_last(folder: Path | None) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Where last.pth is, its weights, and the state of its training; CheckpointError without."""
    if folder is None:
        raise UserError("resume=True needs the folder of the run.")
    path = folder / "last.pth"
    checkpoint = load_checkpoint(path)
    if checkpoint.get("training") is None:
        raise CheckpointError(f"{path} holds weights only; a run resumes from last.pth.")
    return path, checkpoint["state"], checkpoint["training"]


def read_best(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """The weights in best.pth, and the row of their epoch."""
    best = load_checkpoint(folder / "best.pth")
    return best["state"], numbers(best["metrics"])


def write_metrics(path: Path, rows: list[dict[str, float]]) -> None:
    """metrics.jsonl anew from the history, so that a resumed run has each epoch once."""
    with atomic_write(path) as file:
        file.writelines(json.dumps(plain(row)) + "\n" for row in rows)


def tensorboard_writer(folder: Path | None, wanted: bool) -> Callable[[dict[str, float]], None]:
    """A function that logs an epoch's row to <folder>/tensorboard; does nothing if not wanted."""
    if not wanted or folder is None:
        return lambda row: None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard needs the package tensorboard: pip install tensorboard"
        ) from None
    writer = SummaryWriter(str(folder / "tensorboard"))

    def log(row: dict[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["step"]))
        writer.flush()

    return log
