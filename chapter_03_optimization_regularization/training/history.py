"""What a training leaves besides the weights: a row an epoch, the step losses, and the best row.

What you learn: "best" must be decided by finite values only. Every comparison with nan is false, so
a nan that was taken for the best once would never be beaten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from utils.errors import UserError
from utils.file_io_util import plain


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

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain values and tensors."""
        return {
            "epochs": plain(self.epochs, non_finite=True),
            "best": plain(self.best, non_finite=True),
            "step_losses": torch.tensor(self.step_losses, dtype=torch.float64),
            "stopped_early": self.stopped_early,
            "seconds": self.seconds,
        }

    def load_state_dict(self, saved: dict[str, Any], monitor: str) -> None:
        """As it was, but for `stopped_early`: the rule of now decides that, not the one of then."""
        self.epochs = [numbers(row) for row in saved["epochs"]]
        best = numbers(saved["best"] or {})
        is_number = math.isfinite(best.get(monitor, math.nan))  # in older files nan could be best
        self.best = best if is_number else None
        self.step_losses = saved["step_losses"].tolist()
        self.seconds = saved["seconds"]


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """A row as it was; what is not finite stands as None in best.pth and in older files."""
    return {name: math.nan if value is None else value for name, value in row.items()}


def is_better(value: float, best: float | None, mode: str) -> bool:
    """Whether `value` beats `best` (None: nothing yet). nan and infinity never do."""
    if not math.isfinite(value):
        return False
    return best is None or (value < best if mode == "min" else value > best)
