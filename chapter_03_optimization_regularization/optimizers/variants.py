"""Four descendants: three of Adam (Adamax, NAdam, RAdam), and one with a fixed step length.

What you learn: Adam's pieces can be exchanged one at a time, and it is not the only good shape of
step. Lion takes the sign of every element; muon.py has the same idea for a whole matrix.

    Adamax   the largest |g| instead of the root of the mean of g^2
    NAdam    Adam with Nesterov's look-ahead
    RAdam    Adam that holds its adaptive part back until v is a fair estimate
    Lion     sign(mean of g)             step length lr in every element

The notation is explained in classic.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from chapter_03_optimization_regularization.optimizers.base import (
    Group,
    RuleOptimizer,
    State,
    advance,
    options_of,
    scalar,
    zero_state,
)


class Adamax(RuleOptimizer):
    """Adam with the infinity norm (Kingma & Ba 2015, section 7.1).

        m     <- beta1 m + (1 - beta1) g
        u     <- max(beta2 u, |g| + eps)                a maximum that decays
        theta <- theta - lr / (1 - beta1^t) * m / u

    u needs no correction: a maximum does not start too small. Memory: two tensors.
    """

    def __init__(
        self, params: ParamsT, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals()))

    def _init_state(self, p: Tensor, group: Group) -> State:
        return zero_state(p, "exp_avg", "exp_inf")

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = advance(state)
        m = state["exp_avg"].lerp_(g, 1 - beta1)
        u = state["exp_inf"].mul_(beta2)
        torch.maximum(u, g.abs().add_(group["eps"]), out=u)
        p.addcdiv_(m, u, value=-group["lr"] / (1 - beta1**t))


class NAdam(RuleOptimizer):
    """Adam with Nesterov's momentum (Dozat 2016).

        mu_t   = beta1 (1 - 0.5 * 0.96^(t momentum_decay))      momentum rises from beta1 / 2
        m, v  <- as in Adam,  v^ = v / (1 - beta2^t)
        m^     = mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t)
        theta <- theta - lr m^ / (sqrt(v^) + eps)

    The look-ahead: m is weighted with the NEXT step's momentum, and the newest g is added again.
    Memory: two tensors, and the product of the mu.
    """

    def __init__(
        self, params: ParamsT, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals()))

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for kept in self.state.values():
            if not isinstance(kept["mu_product"], Tensor):  # a number in old checkpoints
                kept["mu_product"] = scalar(kept["mu_product"])

    def _init_state(self, p: Tensor, group: Group) -> State:
        return {"mu_product": scalar(1), **zero_state(p, "exp_avg", "exp_avg_sq")}

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["momentum_decay"]
        t = advance(state)
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (s * decay)) for s in (t, t + 1))
        state["mu_product"] *= mu
        product = state["mu_product"].item()
        m = state["exp_avg"].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (v / (1 - beta2**t)).sqrt_().add_(group["eps"])
        p.addcdiv_(g, root, value=-lr * (1 - mu) / (1 - product))
        p.addcdiv_(m, root, value=-lr * mu_next / (1 - product * mu_next))


class RAdam(RuleOptimizer):
    """Adam with a rectified step (Liu, Jiang, He, Chen, Liu, Gao & Han 2020).

        m, v, m^ as in Adam
        rho_inf = 2 / (1 - beta2) - 1,   rho = rho_inf - 2 t beta2^t / (1 - beta2^t)
        rho > 5:   r = sqrt( (rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho) )
                   theta <- theta - lr r m^ sqrt(1 - beta2^t) / (sqrt(v) + eps)
        else:      theta <- theta - lr m^

    rho is the number of gradients that v averages over in effect. With few of them 1 / sqrt(v) has
    a huge variance: first plain momentum steps, then a factor r that grows to 1, which is a warm-up
    that needs no tuning. With beta2 = 0.999 the first 5 steps are plain. Memory: two tensors.
    """

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, decoupled_weight_decay: bool = False, *,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals()))

    def _init_state(self, p: Tensor, group: Group) -> State:
        return zero_state(p, "exp_avg", "exp_avg_sq")

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = advance(state)
        m = state["exp_avg"].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        lr = group["lr"] / (1 - beta1**t)  # corrects m
        r = rectification(t, beta2)
        if r is None:
            p.add_(m, alpha=-lr)
        else:
            root = v.sqrt().add_(group["eps"])
            p.addcdiv_(m, root, value=-lr * r * math.sqrt(1 - beta2**t))


def rectification(t: float, beta2: float) -> float | None:
    """RAdam's r at step t; None while v rests on too few gradients (rho <= 5)."""
    longest = 2 / (1 - beta2) - 1  # rho_inf
    rho = longest - 2 * t * beta2**t / (1 - beta2**t)
    if rho <= 5:
        return None
    return math.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))


class Lion(RuleOptimizer):
    """Evolved sign momentum (Chen, Liang, Huang, Real, Wang, Liu et al. 2023).

        c      = beta1 m + (1 - beta1) g
        theta <- theta - lr (sign(c) + lambda theta)
        m     <- beta2 m + (1 - beta2) g

    Every element moves by lr, so lr is 3 to 10 times smaller than AdamW's, and lambda as much
    larger. The newest g weighs more in the step (1 - beta1) than in the memory (1 - beta2).
    Memory: one tensor. Not in torch.optim; the state is named as Adam's.
    """

    decoupled_weight_decay = True

    def __init__(
        self, params: ParamsT, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals()))

    def _init_state(self, p: Tensor, group: Group) -> State:
        return {"exp_avg": torch.zeros_like(p)}

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        m = state["exp_avg"]
        p.add_(m.lerp(g, 1 - beta1).sign_(), alpha=-group["lr"])
        m.lerp_(g, 1 - beta2)
