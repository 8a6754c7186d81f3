"""Optimisers, one update rule each: from gradient descent to Adam with decoupled weight decay.

What you learn: every optimiser here is theta <- theta - lr * direction. They differ in how the
direction is made from the gradients so far, and in what they remember to make it.

    SGD       direction = g, or a running sum of g (momentum)
    Adagrad   g / sqrt(sum of g^2)               a step size per element, which only shrinks
    RMSprop   g / sqrt(running mean of g^2)      old gradients are forgotten
    Adadelta  g * RMS(past steps) / RMS(g)       has the unit of theta: no lr to find
    Adam      running mean of g / sqrt(running mean of g^2), both corrected for their start at 0
    AdamW     Adam, with the weight decay outside the fraction

Each class is a drop-in for its namesake in `torch.optim`: same arguments, same steps,
same state_dict; what is not here are the options that choose an implementation (foreach, fused,
capturable, differentiable). The fast form with one call for a list of tensors is foreach.py.

    from chapter_03_optimization_regularization.optimizers import Adam
    optimizer = Adam(model.parameters(), lr=1e-3)

Notation: theta or `p` parameter, `g` gradient after weight decay (base.py), `t` step
1, 2, ..., lr step size; all operations are elementwise. The trailing underscore of `mul_`,
`addcmul_`, `addcdiv_`, `lerp_` means in place: a step should not copy the model at every line.

    a.lerp_(b, w)                 a <- a + w (b - a) = (1 - w) a + w b
    a.addcmul_(b, c, value=w)     a <- a + w b c
    a.addcdiv_(b, c, value=w)     a <- a + w b / c
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


class SGD(RuleOptimizer):
    """Gradient descent with momentum (Robbins & Monro 1951; Polyak 1964; Nesterov 1983).

        b     <- momentum b + (1 - dampening) g         the first time: b = g
        theta <- theta - lr b
        Nesterov: theta <- theta - lr (g + momentum b)

    Without momentum b = g. Memory: one tensor of the parameter's size, none without momentum.
    With a constant gradient, b grows to g / (1 - momentum): momentum 0.9 steps 10 times as far.
    Nesterov's form is that of Sutskever, Martens, Dahl & Hinton 2013.
    """

    supports_sparse = True

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum needs momentum > 0 and dampening 0")
        super().__init__(params, **options_of(locals()))

    def _init_state(self, p: Tensor, group: Group) -> State:
        return {"momentum_buffer": None} if group["momentum"] != 0 else {}

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, momentum = group["lr"], group["momentum"]
        if momentum != 0:
            b = state.get("momentum_buffer")
            if b is None:
                b = state["momentum_buffer"] = g.clone()
            else:
                b.mul_(momentum).add_(g, alpha=1 - group["dampening"])
            g = g.add(b, alpha=momentum) if group["nesterov"] else b
        p.add_(g, alpha=-lr)


class Adagrad(RuleOptimizer):
    """A step size per element that shrinks with all it has seen (Duchi, Hazan & Singer 2011).

        G     <- G + g^2                                G starts at initial_accumulator_value
        theta <- theta - lr / (1 + (t - 1) lr_decay) * g / (sqrt(G) + eps)

    Memory: one tensor. Made for sparse gradients (rare words): a row that was seen seldom keeps
    its large step. With a sparse gradient only the rows in it are read or written.
    """

    supports_sparse = True

    def __init__(
        self, params: ParamsT, lr: float = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals(), "lr", "lr_decay", "eps"))
        for group in self.param_groups:  # at once, not at the first step: so does torch
            for p in group["params"]:
                self.state[p] = self._init_state(p, group)

    def _init_state(self, p: Tensor, group: Group) -> State:
        start = self.defaults["initial_accumulator_value"]
        return {"step": scalar(0), "sum": torch.full_like(p, start)}

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        t = advance(state)
        lr = group["lr"] / (1 + (t - 1) * group["lr_decay"])
        if g.is_sparse:
            _adagrad_rows(p, g, state["sum"], lr, group["eps"])
        else:
            G = state["sum"].addcmul_(g, g)  # G + g^2
            p.addcdiv_(g, G.sqrt().add_(group["eps"]), value=-lr)


def _adagrad_rows(p: Tensor, g: Tensor, G: Tensor, lr: float, eps: float) -> None:
    """Adagrad for the entries that a sparse gradient holds."""
    g = g.coalesce()  # adds up entries with the same index: (a + b)^2 is not a^2 + b^2
    rows, values = tuple(g.indices()), g.values()
    G[rows] += values**2
    p[rows] -= lr * values / (G[rows].sqrt() + eps)


class Adadelta(RuleOptimizer):
    """Steps with the unit of the parameter itself (Zeiler 2012).

        v     <- rho v + (1 - rho) g^2
        delta  = sqrt(u + eps) / sqrt(v + eps) * g      RMS of past steps over RMS of gradients
        u     <- rho u + (1 - rho) delta^2
        theta <- theta - lr delta

    Memory: two tensors. u starts at 0, so that the first steps are about sqrt(eps) long: slow at
    first, and eps is the option that changes this.
    """

    def __init__(
        self, params: ParamsT, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6,
        weight_decay: float = 0, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals()))

    def _init_state(self, p: Tensor, group: Group) -> State:
        return zero_state(p, "square_avg", "acc_delta")

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        rho, eps = group["rho"], group["eps"]
        v, u = state["square_avg"], state["acc_delta"]
        advance(state)  # the formula has no t; the count is kept for the exchange with torch
        v.mul_(rho).addcmul_(g, g, value=1 - rho)
        delta = u.add(eps).sqrt_().div_(v.add(eps).sqrt_()).mul_(g)
        u.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        p.add_(delta, alpha=-group["lr"])


class RMSprop(RuleOptimizer):
    """Adagrad with a mean that forgets (Hinton 2012, lecture 6e; centred: Graves 2013).

        v     <- alpha v + (1 - alpha) g^2
        centred:   a <- alpha a + (1 - alpha) g,  and  v - a^2  takes the place of v
        theta <- theta - lr g / (sqrt(v) + eps)
        momentum:  b <- momentum b + g / (sqrt(v) + eps),  theta <- theta - lr b

    v - a^2 estimates the variance of g. Memory: one tensor, one more each for centred and momentum.
    """

    def __init__(
        self, params: ParamsT, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False, *,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            params, **options_of(locals(), "lr", "momentum", "alpha", "eps", "centered")
        )

    def _init_state(self, p: Tensor, group: Group) -> State:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return zero_state(p, *names)

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, alpha, momentum = group["lr"], group["alpha"], group["momentum"]
        advance(state)
        v = state["square_avg"].mul_(alpha).addcmul_(g, g, value=1 - alpha)
        if group["centered"]:
            a = state["grad_avg"].lerp_(g, 1 - alpha)
            v = v.addcmul(a, a, value=-1)  # v - a^2, a new tensor
        scale = v.sqrt().add_(group["eps"])
        if momentum > 0:
            b = state["momentum_buffer"].mul_(momentum).addcdiv_(g, scale)
            p.add_(b, alpha=-lr)
        else:
            p.addcdiv_(g, scale, value=-lr)


class Adam(RuleOptimizer):
    """Adaptive moments (Kingma & Ba 2015; amsgrad: Reddi, Kale & Kumar 2018).

        m     <- beta1 m + (1 - beta1) g                running mean of the gradient
        v     <- beta2 v + (1 - beta2) g^2              running mean of its square
        m^     = m / (1 - beta1^t),  v^ = v / (1 - beta2^t)
        theta <- theta - lr m^ / (sqrt(v^) + eps)

    m and v start at 0 and are too small by exactly these factors if g keeps its distribution: at
    t = 1, m = (1 - beta1) g. So the first step has length lr in every element, whatever the scale
    of the loss. Memory: two tensors. amsgrad uses the largest v so far (a third tensor).
    """

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *,
        maximize: bool = False, decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals()))

    def _init_state(self, p: Tensor, group: Group) -> State:
        names = ["exp_avg", "exp_avg_sq"]
        if group["amsgrad"]:
            names.append("max_exp_avg_sq")
        return zero_state(p, *names)

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        t = advance(state)
        m = state["exp_avg"].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            v = torch.maximum(largest, v, out=largest)
        # The corrections are numbers, so they go where they cost least: one on the root of v,
        # the other on the step size. m^ and v^ never exist as tensors.
        root = v.sqrt().div_(math.sqrt(1 - beta2**t)).add_(group["eps"])  # sqrt(v^) + eps
        p.addcdiv_(m, root, value=-lr / (1 - beta1**t))


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

        theta <- theta - lr lambda theta - lr m^ / (sqrt(v^) + eps)

    In Adam's L2 form, lambda theta is part of g and is divided by sqrt(v^) too: weights with large
    gradients are then decayed less. Here every weight shrinks at the same rate.
    """

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, **options_of(locals()), decoupled_weight_decay=True)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # also after loading a state that Adam wrote
            group["decoupled_weight_decay"] = True
