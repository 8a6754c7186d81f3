"""Training and evaluation mode: every module gets its own back.

`model.train(was_training)` gives *one* mode to all modules: a BatchNorm that its user froze with
`.eval()` inside a training model would be thawed by a mere evaluation. So the modes are noted
module by module, and put back also when the block raises.

    with evaluating(model):        # all modules in evaluation mode
        ...
    with training(model):          # training mode; modules that are frozen stay frozen
        ...
    with kept_modes(model):        # the block may do with the modes what it likes
        ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def kept_modes(*models: nn.Module) -> Iterator[None]:
    """After the block each module of the models is in the mode it had before."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode  # not .train(mode), which would reach the children too


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block."""
    with kept_modes(*models):
        for model in models:
            model.eval()
        yield


@contextmanager
def training(model: nn.Module) -> Iterator[None]:
    """Training mode inside the block, except for frozen modules."""
    with kept_modes(model):
        train_except(model, frozen_modules(model))
        yield


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """The modules in evaluation mode inside a model in training mode.

    None in a model that is in evaluation mode itself: that one has been evaluated, not frozen.
    """
    return [module for module in model.modules() if not module.training] if model.training else []


def train_except(model: nn.Module, frozen: Iterable[nn.Module]) -> None:
    """Training mode for all modules but these. (A model may do more in its own `train()`.)"""
    model.train()
    for module in frozen:
        module.training = False
