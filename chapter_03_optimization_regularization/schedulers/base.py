"""What all schedules share: base rates, the step count, the state. formulas.py has the formulas.

A schedule here is `lr_at(base_lr, t)`, a function of the step t. The state is therefore the step,
the base rates and the formula's constants, all plain numbers that go into a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol


class HasGroups(Protocol):
    """All that a schedule needs of an optimizer."""

    param_groups: list[dict[str, Any]]


class Scheduler:
    """Sets every group's "lr" to `lr_at(base_lr, t)`; t counts the calls of `.step()`.

    With `last_epoch=-1` a group's "initial_lr" is its present "lr", unless one is stored already.
    `last_epoch=t` goes on after step t with the stored ones; KeyError if there are none. To resume
    a run, load both state_dicts, the optimizer's and this one's.

    A group that is added later (`add_param_group`) joins at the next `.step()`: its "lr" is the one
    of the present step, and from there it changes in proportion, as torch's schedules do.
    """

    def __init__(self, optimizer: HasGroups, last_epoch: int = -1):
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"no 'initial_lr' in param_groups[{i}]; load the optimizer's state")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0  # kept for torch, which reads it from an exchanged state_dict
        self.step()  # sets the rate of the first update

    def lr_at(self, base_lr: float, step: int) -> float:
        """The learning rate of update `step` for a group that began with `base_lr`."""
        raise NotImplementedError

    def base_lr_of(self, group: dict[str, Any]) -> float:
        """Where a group added now would have begun, as its lr now is `lr_at(base_lr, t)`."""
        lr = float(group["lr"])
        # Every schedule is a + b base_lr. Where b has vanished (the end of a cosine), nothing can
        # be in proportion to it: the group begins with its own rate.
        a = self.lr_at(0.0, self.last_epoch)
        b = self.lr_at(1.0, self.last_epoch) - a
        base = (lr - a) / b if b else math.inf
        return base if math.isfinite(base) else lr

    def _admit_new_groups(self) -> None:
        new = self.optimizer.param_groups[len(self.base_lrs) :]
        bases = [self.base_lr_of(group) for group in new]
        for group, base in zip(new, bases, strict=True):
            group["initial_lr"] = base
        self.base_lrs = [*self.base_lrs, *bases]

    def get_lr(self) -> list[float]:
        return [self.lr_at(base, self.last_epoch) for base in self.base_lrs]

    def step(self) -> None:
        """To be called after every optimizer step (or after every epoch, if steps mean epochs)."""
        self._admit_new_groups()
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """The learning rates now in force, one a parameter group."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


def per_group(value: float | Sequence[float], optimizer: HasGroups, name: str) -> list[float]:
    """One number a group: a single one is repeated; ValueError if a list has the wrong length."""
    count = len(optimizer.param_groups)
    values = list(value) if isinstance(value, Sequence) else [value] * count
    if len(values) != count:
        raise ValueError(f"{name} needs {count} values, one a parameter group, not {len(values)}")
    return values
