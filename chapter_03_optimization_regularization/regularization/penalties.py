"""Regularisation: what keeps a network from learning its training set by heart.

What you learn: each method limits something. A penalty limits the size of the weights, dropout
what a unit may rely on, clipping how far a single step may go, early stopping the time, and an
average of weights (averaging.py) or changed data (mixing.py) what a single batch can do.

    L2 penalty     loss + lam/2 sum w^2     gradient lam w: weights shrink in proportion
    L1 penalty     loss + lam sum |w|       gradient lam sign(w): by a constant, down to zero
    proximal step  w <- sign(w) max(|w| - lr lam, 0)    the L1 step that stops *at* zero
    DropPath       y = x b / (1 - p)        b ~ Bernoulli(1 - p), one a sample, training only
    clip by norm   g <- g min(1, c / |g|)   |g| over all parameters together
    max-norm       w <- w min(1, c / |w|)   for the incoming weights w of each unit

With plain SGD the L2 penalty *is* weight decay: w <- w - lr (g + lam w). With Adam it is not:
there lam w is divided by the root of the gradient's second moment like any gradient, so weights
with large gradients are hardly decayed. AdamW decays beside the update (Loshchilov & Hutter 2019).

Papers: Krogh & Hertz 1991 (weight decay); Tibshirani 1996 (L1); Srivastava et al. 2014 (dropout,
max-norm); Huang et al. 2016 (stochastic depth); Pascanu et al. 2013 (clipping); Prechelt 1998.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

Choice = Callable[[str, Tensor], bool]

# --- penalties on the weights ---


def is_weight_matrix(name: str, parameter: Tensor) -> bool:
    """The default choice of what is penalised: matrices and filters.

    Not biases and the scales of normalisations (one dimension each): there are few of them, and a
    bias that must be large does not make the function less smooth.
    """
    return parameter.ndim >= 2


def _chosen(model: nn.Module, choice: Choice) -> list[Tensor]:
    return [p for name, p in model.named_parameters() if choice(name, p)]


def l1_penalty(model: nn.Module, choice: Choice = is_weight_matrix) -> Tensor:
    """Sum of |w| over the chosen parameters, a scalar: `loss + lam * l1_penalty(model)`.

    Its gradient keeps its size up to zero and then flips, so weights dither around zero and are
    never exactly zero; `soft_threshold_` after each step is the method that makes true zeros.
    """
    return _total(_chosen(model, choice), torch.abs)


def l2_penalty(model: nn.Module, choice: Choice = is_weight_matrix) -> Tensor:
    """Half the sum of w^2 over the chosen parameters, a scalar.

    The half makes the gradient w, so that lam * l2_penalty is SGD(weight_decay=lam) exactly.
    """
    return _total(_chosen(model, choice), lambda w: w.square() / 2)


def _total(weights: list[Tensor], function: Callable[[Tensor], Tensor]) -> Tensor:
    if not weights:
        return torch.zeros(())
    return torch.stack([function(w).sum() for w in weights]).sum()


def decay_groups(
    model: nn.Module, weight_decay: float, choice: Choice = is_weight_matrix
) -> list[dict[str, Any]]:
    """Two parameter groups for an optimiser: the chosen ones decay, the others do not."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in named if choice(n, p)], "weight_decay": weight_decay},
        {"params": [p for n, p in named if not choice(n, p)], "weight_decay": 0.0},
    ]


@torch.no_grad()
def soft_threshold_(model: nn.Module, amount: float, choice: Choice = is_weight_matrix) -> None:
    """Pull the chosen weights towards zero by `amount` and stop there: the proximal L1 step.

    argmin_v (v - w)^2 / 2 + amount |v|; after a gradient step of the loss without the penalty,
    amount = lr * lam (ISTA: Daubechies, Defrise & De Mol 2004).
    """
    for w in _chosen(model, choice):
        w.copy_(w.sign() * (w.abs() - amount).clamp(min=0))


@torch.no_grad()
def max_norm_(
    model: nn.Module, max_norm: float, norm_type: float = 2.0, choice: Choice = is_weight_matrix
) -> None:
    """Shrink the incoming weights of each unit whose norm exceeds `max_norm`; to call after a step.

    For a weight (out, *) a unit's weights are row i, w[i]. Others are left as they are.
    """
    for w in _chosen(model, choice):
        norms = torch.linalg.vector_norm(w.flatten(1), norm_type, dim=1)  # (out, *) -> (out,)
        factor = (max_norm / norms.clamp(min=1e-12)).clamp(max=1.0)
        w.mul_(factor.reshape(-1, *[1] * (w.ndim - 1)))  # (out,) -> (out, 1, ..., 1)


# --- noise inside the network ---


class DropPath(nn.Module):
    """Stochastic depth: a residual branch is left out, for whole samples. (B, *) -> (B, *).

        x = x + drop_path(branch(x))

    In training the branch of each sample is 0 with probability drop_prob and otherwise grows by
    1 / (1 - drop_prob), so its expectation stays; in evaluation it is the identity. Deep networks
    let drop_prob rise linearly with depth, from 0 at the input (Huang et al. 2016).
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        if not 0 <= drop_prob <= 1:
            raise ValueError(f"drop_prob must lie between 0 and 1, got {drop_prob}")
        self.drop_prob = drop_prob

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return input
        keep = 1 - self.drop_prob
        shape = (len(input), *[1] * (input.ndim - 1))
        mask = torch.empty(shape, dtype=input.dtype, device=input.device)  # (B, 1, ..., 1)
        mask.bernoulli_(keep)
        return input * (mask / keep if keep > 0 else mask)

    def extra_repr(self) -> str:
        return f"drop_prob={self.drop_prob}"


# --- limits on a step ---


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in tensors if p.grad is not None]


@torch.no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Cut each element of the gradients to -clip_value .. clip_value. It turns the direction."""
    for gradient in _gradients(parameters):
        gradient.clamp_(-clip_value, clip_value)


@torch.no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one number so that their common norm is at most `max_norm`.

    The direction stays. Returns the norm before clipping, a scalar to log: it is the first sign of
    trouble in training. RuntimeError for a norm of nan or inf, if asked for. torch's namesake adds
    1e-6 to the norm it divides by, and so do we.
    """
    gradients = _gradients(parameters)
    if not gradients:
        return torch.tensor(0.0)
    device = gradients[0].device
    norms = [torch.linalg.vector_norm(g, norm_type).to(device) for g in gradients]
    total = torch.linalg.vector_norm(torch.stack(norms), norm_type)  # the norm of the norms
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(f"the gradients' norm of order {norm_type} is {total.item()}")
    factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.to(gradient.device))
    return total


# --- a limit on the time ---


class EarlyStopping:
    """Says when a validation number has not improved for `patience` updates in a row.

        stopper = EarlyStopping(patience=5)
        if stopper.update(val_loss): keep these weights
        if stopper.should_stop: break

    `mode` "min" for a loss, "max" for an accuracy. An improvement is one by more than `min_delta`;
    nan and infinity never are one. Prechelt 1998 compares such rules.
    """

    def __init__(self, patience: int, mode: str = "min", min_delta: float = 0.0) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if patience < 1 or min_delta < 0:
            raise ValueError("patience must be at least 1 and min_delta at least 0")
        self.patience, self.mode, self.min_delta = patience, mode, min_delta
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_updates = 0  # since the best one

    @property
    def should_stop(self) -> bool:
        return self.bad_updates >= self.patience

    def update(self, value: float) -> bool:
        """Take the newest value; True if it is the best so far."""
        gain = self.best - value if self.mode == "min" else value - self.best
        improved = bool(gain > self.min_delta) and math.isfinite(value)
        if improved:
            self.best = float(value)
        self.bad_updates = 0 if improved else self.bad_updates + 1
        return improved

    def state_dict(self) -> dict[str, Any]:
        """Numbers only; the rule itself (patience, mode, min_delta) comes from the constructor."""
        return {"best": self.best, "bad_updates": self.bad_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.bad_updates = float(state["best"]), int(state["bad_updates"])
