"""The one-cycle schedule (Smith & Topin 2018): the rate up and down once, momentum against it.

With the share s of a phase that is over, each value goes from a to b as

    a + (b - a) s                            anneal_strategy="linear"
    b + (a - b) (1 + cos(pi s)) / 2          anneal_strategy="cos"

Phase 1 takes `pct_start` of the steps, from max_lr / div_factor to max_lr; phase 2 the rest, down
to max_lr / (div_factor * final_div_factor). Equal to torch.optim.lr_scheduler.OneCycleLR, which is
in closed form as well. The ends of each phase are kept in the parameter groups, as torch does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chapter_03_optimization_regularization.schedulers.base import HasGroups, Scheduler, per_group


def interpolate(start: float, end: float, share: float, strategy: str) -> float:
    """From start to end, straight ("linear") or along half a cosine ("cos")."""
    if strategy == "linear":
        return start + (end - start) * share
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class OneCycleLR(Scheduler):
    """max_lr / div_factor up to max_lr, then down to a `final_div_factor`-th of the first rate.

    Momentum (beta_1 in the Adam family) goes from `max_momentum` to `base_momentum` and back: a
    large rate needs less of it. `three_phase` comes down as slowly as it went up, then further.
    """

    def __init__(
        self,
        optimizer: HasGroups,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is None:
            total_steps = (epochs or 0) * (steps_per_epoch or 0)
        if total_steps <= 0:
            raise ValueError("give total_steps, or both epochs and steps_per_epoch, above 0")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start must be from 0 to 1, not {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
        self.total_steps, self._anneal_func_type = total_steps, anneal_strategy
        self.cycle_momentum = cycle_momentum
        self._schedule_phases = one_cycle_phases(total_steps, pct_start, three_phase)
        max_lrs = per_group(max_lr, optimizer, "max_lr")
        for group, peak in zip(optimizer.param_groups, max_lrs, strict=True):
            if last_epoch == -1:
                group |= {"initial_lr": peak / div_factor, "max_lr": peak}
                group["min_lr"] = group["initial_lr"] / final_div_factor
        if cycle_momentum:
            self._prepare_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _prepare_momentum(self, optimizer: HasGroups, base: Any, top: Any, last_epoch: int) -> None:
        first = optimizer.param_groups[0]
        if "momentum" not in first and "betas" not in first:
            raise ValueError("cycle_momentum needs an optimizer with momentum or betas")
        self.use_beta1 = "betas" in first
        lows = per_group(base, optimizer, "base_momentum")
        tops = per_group(top, optimizer, "max_momentum")
        for group, low, high in zip(optimizer.param_groups, lows, tops, strict=True):
            if last_epoch == -1:
                group |= {"base_momentum": low, "max_momentum": high}

    def base_lr_of(self, group: dict[str, Any]) -> float:
        """KeyError for a group added later that lacks the ends of the phases, as in torch."""
        momenta = {"base_momentum", "max_momentum"} if self.cycle_momentum else set()
        needed = {"initial_lr", "min_lr", "max_lr"} | momenta
        if missing := sorted(needed - set(group)):
            raise KeyError(
                f"a parameter group added to a one-cycle schedule needs {', '.join(missing)}"
            )
        return float(group["initial_lr"])

    def get_lr(self) -> list[float]:
        """The rates; sets the momentum of each group on the way, as torch does."""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"step {self.last_epoch} of a cycle of {self.total_steps} steps")
        rates, start = [], 0.0
        for phase in self._schedule_phases:
            if self.last_epoch <= phase["end_step"]:
                break
            if phase is not self._schedule_phases[-1]:
                start = phase["end_step"]
        share = (self.last_epoch - start) / ((phase["end_step"] - start) or 1)  # or an empty phase
        for group in self.optimizer.param_groups:
            rates.append(self._between(group, phase, "lr", share))
            if self.cycle_momentum:
                momentum = self._between(group, phase, "momentum", share)
                if self.use_beta1:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return rates

    def _between(self, group: dict, phase: dict, what: str, share: float) -> float:
        start, end = group[phase[f"start_{what}"]], group[phase[f"end_{what}"]]
        return interpolate(start, end, share, self._anneal_func_type)


def one_cycle_phases(total_steps: int, pct_start: float, three_phase: bool) -> list[dict]:
    """The phases as torch stores them: end step, and names of the group entries to go between."""

    def phase(end: float, lrs: tuple[str, str], momenta: tuple[str, str]) -> dict:
        names = dict(zip(("start_lr", "end_lr"), lrs, strict=True))
        names |= dict(zip(("start_momentum", "end_momentum"), momenta, strict=True))
        return {"end_step": end, **names}

    down, up = ("max_momentum", "base_momentum"), ("base_momentum", "max_momentum")
    warm = phase(float(pct_start * total_steps) - 1, ("initial_lr", "max_lr"), down)
    if not three_phase:
        return [warm, phase(total_steps - 1, ("max_lr", "min_lr"), up)]
    cool = phase(float(2 * pct_start * total_steps) - 2, ("max_lr", "initial_lr"), up)
    still = ("max_momentum", "max_momentum")
    return [warm, cool, phase(total_steps - 1, ("initial_lr", "min_lr"), still)]
