"""What all our optimisers share: the walk over groups and parameters, and the checks of options.

What you learn: an optimiser is one update rule, applied to each parameter tensor by itself. The
rest is bookkeeping, and it is the same for all rules:

    for each group:                      a group has its own lr, weight decay, ...
        for each parameter p:
            no gradient?  leave p alone  (a frozen layer, or one not used in this step)
            g = p.grad, or -p.grad to climb
            weight decay, in one of two ways:
                L2         g <- g + lambda p               the rule then sees the penalty's gradient
                decoupled  p <- p - lr lambda p            the rule never sees it (AdamW)
            p <- rule(p, g, state of p)

`torch.optim.Optimizer` supplies `param_groups`, `state`, `state_dict`, `load_state_dict` and
`zero_grad`. It has no update rule, so nothing of the lesson hides there. Our state uses torch's
names, so that a run can go on with the other library's optimiser after any step.

Paper: Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

NON_NEGATIVE = (
    "lr",
    "eps",
    "weight_decay",
    "momentum",
    "alpha",
    "lr_decay",
    "initial_accumulator_value",
    "momentum_decay",
)

State = dict[str, Any]  # what is kept for one parameter: tensors by name
Group = dict[str, Any]  # the options of one parameter group, and "params"


class RuleOptimizer(torch.optim.Optimizer):
    """An optimiser whose update rule is written in `_update`; the rest is here.

    A rule supplies `_init_state` (the memory it needs per parameter) and `_update` (the formula).
    Its constructor lists the options with their defaults and hands them on as they are:

        super().__init__(params, **options_of(locals()))
    """

    supports_sparse = False
    decoupled_weight_decay = False  # where the group has no option of that name

    def __init__(self, params: ParamsT, **defaults: Any) -> None:
        check_options(defaults)
        super().__init__(params, defaults)

    def _init_state(self, p: Tensor, group: Group) -> State:
        """What is kept for `p`, before its first step. Empty: the rule has no memory."""
        raise NotImplementedError

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        """Change `p` in place, given its gradient `g` (same shape) and its state."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters. Returns the closure's loss, None without a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: Group) -> None:
        for p in group["params"]:
            if p.grad is not None:
                g = self._gradient(p, group)
                self._update(p, g, self._state_of(p, group), group)

    def _gradient(self, p: Tensor, group: Group) -> Tensor:
        """The direction to walk against: sign for `maximize`, weight decay applied."""
        g = p.grad
        if g.is_sparse and not self.supports_sparse:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        if group.get("maximize", False):
            g = -g
        weight_decay = group["weight_decay"]
        if weight_decay == 0:
            return g
        if group.get("decoupled_weight_decay", self.decoupled_weight_decay):
            p.mul_(1 - group["lr"] * weight_decay)  # p <- p - lr lambda p
            return g
        if g.is_sparse:
            raise RuntimeError("weight_decay cannot be combined with sparse gradients: it is dense")
        return g.add(p, alpha=weight_decay)  # a new tensor: p.grad belongs to the caller

    def _state_of(self, p: Tensor, group: Group) -> State:
        state = self.state.get(p)  # .get: self.state[p] would store an empty dict
        if not state:
            state = self._init_state(p, group)
            if state:
                self.state[p] = state
        return state

    def add_param_group(self, param_group: Group) -> None:
        """As torch's, and the options of the group are checked too."""
        if isinstance(param_group, dict):
            check_options(param_group)
        super().add_param_group(param_group)
        if any(p.is_complex() for p in self.param_groups[-1]["params"]):
            self.param_groups.pop()
            raise ValueError("complex parameters are left to torch.optim")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """After a load: options that the other side does not know get our defaults."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
        for kept in self.state.values():
            if "step" in kept and not isinstance(kept["step"], Tensor):
                kept["step"] = scalar(kept["step"])  # before torch 1.12, step was an int


def options_of(arguments: dict[str, Any], *first: str) -> dict[str, Any]:
    """The options among a constructor's arguments, by name: they become the group's.

    arguments: `locals()` of the constructor, which are all names in it with their values; before
        it has made any of its own, these are its arguments and, as it uses `super()`, `__class__`.
    first: the options in front in torch's groups, where the signature has another order.
    """
    names = dict.fromkeys([*first, *arguments])  # each once, in this order
    others = ("self", "params", "__class__")
    return {name: arguments[name] for name in names if name not in others}


def scalar(value: float) -> Tensor:
    """A 0-d tensor on the CPU for a counter or a running product, as torch keeps them.

    At least float32, also if the default type is bfloat16, which cannot count past 256.
    """
    double = torch.get_default_dtype() == torch.float64
    return torch.tensor(float(value), dtype=torch.float64 if double else torch.float32)


def zero_state(p: Tensor, *names: str) -> State:
    """A step counter at 0 and, for each name, zeros of p's shape, type and device."""
    return {"step": scalar(0), **{name: torch.zeros_like(p) for name in names}}


def advance(state: State) -> float:
    """Count one more step for this parameter; returns t = 1, 2, ..."""
    state["step"] += 1
    return state["step"].item()


def check_options(options: dict[str, Any]) -> None:
    """ValueError for a value outside its range. `not (x >= 0)` also refuses nan."""
    for name in NON_NEGATIVE:
        value = options.get(name, 0)
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"{name} as a tensor must have one element, got {value.numel()}")
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0, got {value}")
    for index, beta in enumerate(options.get("betas", ())):
        if not 0 <= beta < 1:
            raise ValueError(f"beta {index + 1} must be in [0, 1), got {beta}")
    if not 0 <= options.get("rho", 0) <= 1:
        raise ValueError(f"rho must be in [0, 1], got {options['rho']}")
