"""Learning rate schedules from scratch, each a formula for the learning rate after t updates.

What you learn: a schedule is a function of the step. PyTorch's versions mostly update the rate from
the previous one (lr <- lr * gamma at a milestone), so that several can be chained on an optimizer.
Here each is a closed form of t = `last_epoch`, the number of `.step()` calls so far. Nothing
accumulates, so a resumed run is exact. With eta_0 a group's first learning rate:

    StepLR             eta_0 gamma^floor(t / step_size)
    MultiStepLR        eta_0 gamma^(milestones <= t)
    ExponentialLR      eta_0 gamma^t
    CosineAnnealingLR  eta_min + (eta_0 - eta_min) (1 + cos(pi t / T_max)) / 2
    CosineWithWarmup   eta_0 (t + 1) / (W + 1) for t < W, then half a cosine that ends at step S
    WSD                the same warm-up, eta_0 until S - D, then down to the end within D steps
    OneCycleLR         up to max_lr and down again, momentum the other way round
    ReduceLROnPlateau  lr <- lr * factor when a watched number has not improved for a while

The last has no closed form: it depends on what is measured. The six with a counterpart in
torch.optim.lr_scheduler have its arguments and state_dict, and the same learning rates up to
rounding. One thing differs: they do not chain. A second schedule on the same optimizer starts from
the groups' "initial_lr", not from the present "lr".

    scheduler = CosineWithWarmup(optimizer, warmup_steps=50, total_steps=1000)
    for batch in batches:
        ...
        optimizer.step()
        scheduler.step()                     # after the optimizer's step, as in torch

Papers: Loshchilov & Hutter 2017 (cosine); Goyal et al. 2017 (warm-up); Smith & Topin 2018 (one
cycle); Hu et al. 2024 and Hägele et al. 2024 (warm-up, stable, decay).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from chapter_03_optimization_regularization.schedulers.base import HasGroups, Scheduler, per_group


def cosine_warmup_multiplier(
    step: int, warmup_steps: int, total_steps: int, min_ratio: float = 0.0
) -> float:
    """Share of the peak learning rate used by update `step` (0, 1, ...).

    Warm-up: 1/(W+1), 2/(W+1), ..., W/(W+1); update W is the first at the peak. No update is wasted
    on a rate of 0, with which some libraries start. Then half a cosine; it would reach `min_ratio`
    at `total_steps`, one after the last update, and stays there.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * progress)) / 2


# Share of the way down that is left after the share p of the decay's steps.
DECAY_SHAPES = {
    "linear": lambda p: 1 - p,
    "1-sqrt": lambda p: 1 - math.sqrt(p),  # Hägele et al. 2024: fast at first
    "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,
}


def wsd_multiplier(
    step: int,
    warmup_steps: int,
    total_steps: int,
    decay_steps: int,
    min_ratio: float = 0.0,
    shape: str = "linear",
) -> float:
    """Share of the peak learning rate used by update `step`: warm up, stay, decay (Hu et al. 2024).

    The warm-up is that of `cosine_warmup_multiplier`. Updates from `warmup_steps` to
    `total_steps - decay_steps` (included) are at the peak; `min_ratio` would come at `total_steps`.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - (total_steps - decay_steps)) / max(1, decay_steps)
    return min_ratio + (1 - min_ratio) * DECAY_SHAPES[shape](min(1.0, max(0.0, progress)))


def peak_of(self: Scheduler, group: dict[str, Any]) -> float:
    """`base_lr_of` for schedules with a warm-up: in it, in proportion would mean far too high."""
    return float(group["lr"])


class StepLR(Scheduler):
    """Times `gamma` every `step_size` steps."""

    def __init__(
        self, optimizer: HasGroups, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * self.gamma ** (step // self.step_size)


class MultiStepLR(Scheduler):
    """Times `gamma` at each milestone (a step number; one given twice counts twice)."""

    def __init__(
        self,
        optimizer: HasGroups,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ):
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * self.gamma ** bisect_right(sorted(self.milestones.elements()), step)


class ExponentialLR(Scheduler):
    """Times `gamma` at every step."""

    def __init__(self, optimizer: HasGroups, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * self.gamma**step


class CosineAnnealingLR(Scheduler):
    """Half a cosine from the base rate to `eta_min` in `T_max` steps (and up again after them)."""

    def __init__(
        self, optimizer: HasGroups, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        share = (1 + math.cos(math.pi * step / self.T_max)) / 2
        return self.eta_min + (base_lr - self.eta_min) * share


class CosineWithWarmup(Scheduler):
    """`cosine_warmup_multiplier` times the base rate, which is the peak (of a group added, too)."""

    def __init__(
        self,
        optimizer: HasGroups,
        warmup_steps: int,
        total_steps: int,
        min_ratio: float = 0.0,
        last_epoch: int = -1,
    ):
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"need 0 <= warmup_steps < total_steps: {warmup_steps}, {total_steps}")
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.min_ratio = min_ratio
        super().__init__(optimizer, last_epoch)

    base_lr_of = peak_of

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * cosine_warmup_multiplier(
            step, self.warmup_steps, self.total_steps, self.min_ratio
        )


class WSD(Scheduler):
    """`wsd_multiplier` times the base rate, which is the peak (of a group added, too).

    shape: linear, 1-sqrt or cosine.
    """

    def __init__(
        self,
        optimizer: HasGroups,
        warmup_steps: int,
        total_steps: int,
        decay_steps: int,
        min_ratio: float = 0.0,
        shape: str = "linear",
        last_epoch: int = -1,
    ):
        if min(warmup_steps, decay_steps) < 0 or warmup_steps + decay_steps > total_steps:
            raise ValueError("warmup_steps and decay_steps must fit into total_steps")
        if shape not in DECAY_SHAPES:
            raise ValueError(f"shape must be one of {', '.join(DECAY_SHAPES)}, not {shape!r}")
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.decay_steps, self.min_ratio, self.shape = decay_steps, min_ratio, shape
        super().__init__(optimizer, last_epoch)

    base_lr_of = peak_of

    def lr_at(self, base_lr: float, step: int) -> float:
        return base_lr * wsd_multiplier(
            step,
            self.warmup_steps,
            self.total_steps,
            self.decay_steps,
            self.min_ratio,
            self.shape,
        )


class ReduceLROnPlateau:
    """Times `factor` when `.step(metric)` saw no improvement more than `patience` times in a row.

    An improvement beats the best so far by `threshold`: a share of it ("rel") or as it is ("abs").
    After a cut, `cooldown` steps do not count as bad. Cuts smaller than `eps` are not made.
    """

    def __init__(
        self,
        optimizer: HasGroups,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        if factor >= 1:
            raise ValueError(f"factor must be below 1, not {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', not {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', not {threshold_mode!r}")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.default_min_lr = None if isinstance(min_lr, Sequence) else min_lr
        self.min_lrs = per_group(min_lr, optimizer, "min_lr")
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.num_bad_epochs = self.cooldown_counter = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: float) -> None:
        """`metrics`: the watched number, such as the validation loss after an epoch."""
        current = float(metrics)
        self._admit_new_groups()
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _admit_new_groups(self) -> None:
        count = len(self.optimizer.param_groups)
        if len(self.min_lrs) < count and self.default_min_lr is None:
            raise RuntimeError(
                f"min_lr was given for {len(self.min_lrs)} parameter groups, and there are {count} "
                "now; add the new ones' values to `min_lrs`"
            )
        self.min_lrs += [self.default_min_lr] * (count - len(self.min_lrs))

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            limit = self.best * (1 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return current > limit if self.mode == "max" else current < limit  # nan is never better

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, least)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

    get_last_lr = Scheduler.get_last_lr
    state_dict = Scheduler.state_dict
    load_state_dict = Scheduler.load_state_dict
