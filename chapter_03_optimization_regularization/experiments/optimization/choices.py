"""The optimisers that exp_optimization.py compares, under one name each.

    optimizer = make_optimizer("NAdam", [tensor_a, tensor_b], lr=0.01)     # for bare vectors
    optimizer = for_network("Muon", model, lr=0.01)                        # for a network

Only the learning rate is chosen per task. Everything else keeps its default, except that weight
decay is off everywhere but in AdamW, whose whole difference from Adam it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization import optimizers
from chapter_03_optimization_regularization.optimizers.muon import WEIGHT_DECAY, MuonWithAdamW

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


def state_bytes(optimizer: torch.optim.Optimizer) -> float:
    """Bytes of optimiser state per parameter; scalars such as the step count are left out."""
    parts = (
        [optimizer.muon, optimizer.adamw] if isinstance(optimizer, MuonWithAdamW) else [optimizer]
    )
    params = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    tensors = [t for part in parts for state in part.state.values() for t in state.values()]
    kept = [t for t in tensors if isinstance(t, Tensor) and t.ndim > 0]
    return sum(t.numel() * t.element_size() for t in kept) / params
