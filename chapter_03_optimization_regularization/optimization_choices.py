"""The optimisers that exp_optimization.py compares, under one name each.

    optimizer = make_optimizer("NAdam", [tensor_a, tensor_b], lr=0.01)     # for bare vectors
    optimizer = for_network("Muon", model, lr=0.01)                        # for a network

Only the learning rate is chosen per task. Everything else keeps its default, except that weight
decay is off everywhere but in AdamW, whose whole difference from Adam it is.

Muon (Jordan 2024) replaces a matrix of momenta by the nearest orthogonal one. It makes sense for
the matrices between hidden layers only; biases, normalisations and the classifier are left to
AdamW. `MuonWithAdamW` is the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization import optimizers

WEIGHT_DECAY = 0.01  # AdamW's own default

MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": optimizers.SGD,
    "momentum": partial(optimizers.SGD, momentum=0.9),
    "Nesterov": partial(optimizers.SGD, momentum=0.9, nesterov=True),
    "Adagrad": optimizers.Adagrad,
    "Adadelta": optimizers.Adadelta,
    "RMSprop": optimizers.RMSprop,
    "Adam": optimizers.Adam,
    "AdamW": partial(optimizers.AdamW, weight_decay=WEIGHT_DECAY),
    "NAdam": optimizers.NAdam,
    "RAdam": optimizers.RAdam,
    "Adamax": optimizers.Adamax,
    "Lion": partial(optimizers.Lion, weight_decay=0.0),
}
# Small multiples: lines that are compared stand in one panel.
FAMILIES: dict[str, tuple[str, ...]] = {
    "the gradient itself": ("SGD", "momentum", "Nesterov"),
    "divided, no momentum": ("Adagrad", "Adadelta", "RMSprop"),
    "Adam and its kin": ("Adam", "AdamW", "NAdam", "RAdam"),
    "maximum, sign, matrix": ("Adamax", "Lion", "Muon"),
}
NAMES = tuple(name for names in FAMILIES.values() for name in names)
# On a vector Muon is not defined, and AdamW is Adam with a pull towards the origin.
VECTOR_NAMES = tuple(name for name in NAMES if name not in ("AdamW", "Muon"))


def make_optimizer(name: str, params: Iterable[Any], lr: float) -> torch.optim.Optimizer:
    """An optimiser for any parameters (Muon excepted: it needs to know which are matrices)."""
    return MAKERS[name](params, lr=lr)


def for_network(name: str, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The same for a network's parameters, Muon included."""
    if name == "Muon":
        return MuonWithAdamW(model, lr)
    return make_optimizer(name, model.parameters(), lr)


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the hidden layers' matrices and convolutions, AdamW for everything else.

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
        self.hidden = [p for p in params if p.ndim > 1 and p is not head]
        rest = [p for p in params if p.ndim < 2 or p is head]
        # Views of the weights: a step on them is a step on the network.
        self.matrices = [nn.Parameter(as_matrix(p.detach())) for p in self.hidden]
        # float32: a processor without bfloat16 instructions emulates Muon's default, slowly.
        options = {"adjust_lr_fn": "match_rms_adamw", "ns_dtype": ns_dtype}
        self.muon = optimizers.Muon(self.matrices, lr=lr, weight_decay=matrix_decay, **options)
        self.adamw = optimizers.AdamW(rest, lr=lr, weight_decay=WEIGHT_DECAY)

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


def state_bytes(optimizer: torch.optim.Optimizer) -> float:
    """Bytes of optimiser state per parameter; scalars such as the step count are left out."""
    parts = (
        [optimizer.muon, optimizer.adamw] if isinstance(optimizer, MuonWithAdamW) else [optimizer]
    )
    params = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    tensors = [t for part in parts for state in part.state.values() for t in state.values()]
    kept = [t for t in tensors if isinstance(t, Tensor) and t.ndim > 0]
    return sum(t.numel() * t.element_size() for t in kept) / params
