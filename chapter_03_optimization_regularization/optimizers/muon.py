"""Muon: the step of a whole matrix, with every singular value set to about 1 (Jordan et al. 2024).

What you learn: Lion takes the sign of every element; Muon does the same for a matrix. Of the
momentum M = U S V^T it keeps the directions U and V and replaces S by ones: U V^T is the steepest
step among all matrices of spectral norm 1. `newton_schulz` finds it by products alone, without a
singular value decomposition.

    M     <- momentum M + (1 - momentum) g         (m, n)
    theta <- theta - lr scale(m, n) newton_schulz(M)

Muon is made for the matrices between hidden layers. Biases, normalisations and the classifier are
left to AdamW; `MuonWithAdamW` is the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from chapter_03_optimization_regularization.optimizers.base import (
    Group,
    RuleOptimizer,
    State,
    options_of,
)
from chapter_03_optimization_regularization.optimizers.classic import AdamW

WEIGHT_DECAY = 0.01  # AdamW's own default


class Muon(RuleOptimizer):
    """Momentum, orthogonalised (Jordan et al. 2024; scales: Liu et al. 2025, Bernstein 2025).

        B     <- momentum B + (1 - momentum) G          G (m, n), the gradient of a weight matrix
        D      = (1 - momentum) G + momentum B          Nesterov; otherwise D = B
        O      = newton_schulz(D)                       about U V^T, where D = U S V^T
        theta <- theta - lr lambda theta - lr scale(m, n) O

    A gradient matrix is often close to low rank: SGD moves along a few directions only. U V^T keeps
    the directions and sets all their strengths to 1. For 2-D weights only: biases, norms,
    embeddings and the output layer go to AdamW. Memory: one tensor. The same as torch.optim.Muon
    (2.9 and later), and works without it. Ours alone has `ns_dtype`: on a CPU without bf16
    instructions float32 is many times as fast and gives nearly the same step.
    """

    decoupled_weight_decay = True

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315), eps: float = 1e-7,
        ns_steps: int = 5, adjust_lr_fn: str | None = None, *,
        ns_dtype: torch.dtype = torch.bfloat16,
    ) -> None:  # fmt: skip
        if adjust_lr_fn is not None and adjust_lr_fn not in MUON_SCALES:
            raise ValueError(f"adjust_lr_fn must be one of {list(MUON_SCALES)}: {adjust_lr_fn!r}")
        super().__init__(params, **options_of(locals()))

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        wrong = [tuple(p.shape) for p in self.param_groups[-1]["params"] if p.ndim != 2]
        if wrong:
            self.param_groups.pop()
            raise ValueError(f"Muon is for 2-D weights only, got the shapes {wrong}")

    def _init_state(self, p: Tensor, group: Group) -> State:
        return {"momentum_buffer": torch.zeros_like(p)}

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        momentum = group["momentum"]
        b = state["momentum_buffer"].lerp_(g, 1 - momentum)
        d = g.lerp(b, momentum) if group["nesterov"] else b
        steps, eps = group["ns_steps"], group["eps"]
        o = newton_schulz(d, group["ns_coefficients"], steps, eps, group["ns_dtype"])
        scale = MUON_SCALES[group["adjust_lr_fn"] or "original"](*p.shape)
        p.add_(o, alpha=-group["lr"] * scale)


def newton_schulz(
    matrix: Tensor,
    coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """About U V^T of a matrix U S V^T, by products only: (m, n) -> (m, n) of `dtype`.

        X <- a X + b (X X^T) X + c (X X^T)^2 X,   a quintic a s + b s^3 + c s^5 of each singular
                                                  value s; U and V stay as they are

    The start X = D / |D|_F has 0 <= s <= 1. The coefficients make the slope a at 0 steep, so that
    small s grow fast, and give up exactness: after 5 steps every s that began above 0.002 is
    between 0.68 and 1.21. So bfloat16, with less than 3 digits, loses nothing that matters, and a
    GPU is fastest in it.
    """
    if steps >= 100 or len(coefficients) != 3:
        raise ValueError("newton_schulz takes fewer than 100 steps and exactly 3 coefficients")
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(dtype)  # (k, l) with k <= l: the smaller X X^T
    x = x / x.norm().clamp(min=eps)  # the Frobenius norm is at least the largest s
    for _ in range(steps):
        gram = x @ x.T  # (k, l) @ (l, k) -> (k, k)
        # addmm(A, B, C, beta, alpha) = beta A + alpha B C, rounded to bfloat16 once
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)  # b A + c A^2, (k, k)
        x = torch.addmm(x, polynomial, x, beta=a)  # (k, k) @ (k, l) -> (k, l)
    return x.T if tall else x


# All singular values of O are near 1, so an element of O (m, n) is about 1 / sqrt(max(m, n)) in
# size (root mean square). The three proposals differ in what they keep equal between layers.
MUON_SCALES = {
    "original": lambda m, n: math.sqrt(max(1, m / n)),  # Jordan
    "match_rms_adamw": lambda m, n: 0.2 * math.sqrt(max(m, n)),  # RMS 0.2, as AdamW's step (Liu)
    "spectral_unclamped": lambda m, n: math.sqrt(m / n),  # |change of W x| / |x| (Bernstein)
}


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the hidden layers' matrices and convolutions, AdamW for everything else.

    The last matrix is taken for the classifier; tables of embeddings (`nn.Embedding`) stay with
    AdamW, too. A table that is a bare parameter, as a ViT's places, is a matrix to it.

    Muon's `match_rms_adamw` scales its step to the size an AdamW step has (Liu et al. 2025), so
    that one learning rate serves both. A kernel (O, I, K, K) is a matrix (O, I K K) to Muon.
    `matrix_decay`: of Muon's weights. Convert the model's memory format before, not after.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        ns_dtype: torch.dtype = torch.float32,
        matrix_decay: float = 0.0,
    ) -> None:
        super().__init__(model.parameters(), {"lr": lr})
        params = list(model.parameters())
        head = next(p for p in reversed(params) if p.ndim > 1)
        tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
        apart = {id(p) for p in (head, *tables)}
        self.hidden = [p for p in params if p.ndim > 1 and id(p) not in apart]
        rest = [p for p in params if p.ndim < 2 or id(p) in apart]
        # Views of the weights: a step on them is a step on the network.
        self.matrices = [nn.Parameter(as_matrix(p.detach())) for p in self.hidden]
        # float32: a processor without bfloat16 instructions emulates Muon's default, slowly.
        options = {"adjust_lr_fn": "match_rms_adamw", "ns_dtype": ns_dtype}
        self.muon = Muon(self.matrices, lr=lr, weight_decay=matrix_decay, **options)
        self.adamw = AdamW(rest, lr=lr, weight_decay=WEIGHT_DECAY)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> None:
        """One step of both; takes no closure."""
        for optimizer in (self.muon, self.adamw):
            for group in optimizer.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
        for matrix, p in zip(self.matrices, self.hidden, strict=True):
            matrix.grad = None if p.grad is None else as_matrix(p.grad, like=p)
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """Of the learning rate and of both optimisers, so that a training can be resumed."""
        parts = {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}
        return super().state_dict() | parts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = {key: state_dict[key] for key in ("state", "param_groups")}
        super().load_state_dict(own)
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])


def as_matrix(kernel: Tensor, like: Tensor | None = None) -> Tensor:
    """(O, I, K, K) -> (O, I K K), a view; in channels_last (O, K K I). (O, I) stays as it is.

    The order of the columns is the one in memory of `like` (default: of the kernel itself). It
    makes no difference to Muon: permuting columns permutes its step in the same way.
    """
    like = kernel if like is None else like
    if kernel.ndim == 4 and not like.is_contiguous():
        kernel = kernel.permute(0, 2, 3, 1)
    return kernel.flatten(1)
