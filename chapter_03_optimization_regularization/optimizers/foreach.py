"""Adam for a list of tensors at once: the multi-tensor ("foreach") form.

What you learn: the plain Adam makes about 8 small calls for every parameter tensor. Each call costs
a few microseconds before any arithmetic: Python, the dispatcher, on a GPU also a kernel launch. A
`torch._foreach_*` function takes a whole list and does the same operation on each tensor, so that
the calls are 8 in all, not 8 per tensor:

    torch._foreach_mul_([a, b, c], 0.9)       a.mul_(0.9); b.mul_(0.9); c.mul_(0.9)

On a GPU a few kernels then cover all tensors, and small ones are no longer bound by launches. On
a CPU the loop only moves from Python into C++: worth it for many small tensors, of no use for a few
large ones, where the arithmetic dominates. The price is memory: the roots of v exist for all
tensors at the same time, one more copy of the model while the step runs.
("Fused" goes one step further: all 8 operations in one kernel, each element read and written once.)

The results are those of the plain Adam, to the last bit. `torch._foreach_*` are the functions that
torch.optim itself uses; their names begin with an underscore because they may still change.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from chapter_03_optimization_regularization.optimizers.base import Group
from chapter_03_optimization_regularization.optimizers.classic import Adam


class AdamForeach(Adam):
    """Adam (Kingma & Ba 2015), one call for all tensors of a group.

    The same arguments, steps and state_dict as `Adam`; with decoupled_weight_decay=True it is
    AdamW. The learning rate is a number.
    """

    def _step_group(self, group: Group) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
        gradients = self._gradients(params, group)
        states = [self._state_of(p, group) for p in params]
        m, v, steps = ([s[name] for s in states] for name in ("exp_avg", "exp_avg_sq", "step"))

        # A 0-d tensor, not the number 1: it is made once, not wrapped again for every step count.
        torch._foreach_add_(steps, torch.tensor(1.0), alpha=1.0)
        times = [step.item() for step in steps]  # they may differ: not every p has a g each time
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, gradients, gradients, 1 - beta2)
        if group["amsgrad"]:
            largest = [s["max_exp_avg_sq"] for s in states]
            torch._foreach_maximum_(largest, v)
            v = largest
        roots = torch._foreach_sqrt(v)
        torch._foreach_div_(roots, [math.sqrt(1 - beta2**t) for t in times])
        torch._foreach_add_(roots, eps)
        torch._foreach_addcdiv_(params, m, roots, [-lr / (1 - beta1**t) for t in times])

    def _gradients(self, params: list[Tensor], group: Group) -> list[Tensor]:
        """`_gradient` for a list: sign for `maximize`, weight decay applied."""
        gradients = [p.grad for p in params]
        if any(g.is_sparse for g in gradients):
            raise RuntimeError("AdamForeach does not support sparse gradients")
        if group["maximize"]:
            gradients = torch._foreach_neg(gradients)
        weight_decay = group["weight_decay"]
        if weight_decay == 0:
            return gradients
        if group["decoupled_weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * weight_decay)
            return gradients
        return torch._foreach_add(gradients, params, alpha=weight_decay)
