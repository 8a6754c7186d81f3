"""Averages of the weights along the training path: EMA and SWA.

What you learn: SGD with a constant step does not settle, it circles the minimum. The average of the
points it visits lies nearer to the centre than any one of them, at no cost in training time. An
average is a second copy of the weights; training itself never sees it.

    EMA   a <- a + (1 - decay) (w - a)      the last 1 / (1 - decay) steps count, recent ones most
    SWA   a <- a + (w - a) / (n + 1)        the equal average of n + 1 points
    both  the first update copies the weights: a = w

Buffers, such as the running statistics of BatchNorm, are copied from the model and not averaged (as
`torch.optim.swa_utils.AveragedModel` does). For an EMA they fit well enough, since its weights are
near the newest ones. For an SWA average they do not: call `update_bn` before evaluating.

    ema = EMA(model, decay=0.999)
    ...; optimizer.step(); ema.update(model)
    with ema.applied_to(model):
        accuracy(model, val)

Papers: Polyak & Juditsky 1992 (averaging); Izmailov et al. 2018 (SWA).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.training.batches import at_least_one
from utils.modes import kept_modes

HALF = (torch.float16, torch.bfloat16)


class WeightAverage:
    """A running average of a model's parameters; a subclass says how much the newest ones count.

    Tensors are matched by their order in the model, so a wrapper that adds a prefix to the names
    (DistributedDataParallel, torch.compile) changes nothing.
    """

    def __init__(self, model: nn.Module) -> None:
        self.updates = 0
        self.weights = {n: _average_copy(p) for n, p in model.named_parameters()}
        self.buffers = {n: b.detach().clone() for n, b in model.named_buffers()}

    def share(self) -> float:
        """How much of the way to the newest weights the average goes, 0 to 1."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the model's present weights into the average, after an optimiser step."""
        share = self.share() if self.updates else 1.0
        for (name, average), weight in zip(self.weights.items(), model.parameters(), strict=True):
            average = average.to(weight.device)  # the model may have moved since
            self.weights[name] = average.lerp_(weight.to(average.dtype), share)
        for name, buffer in zip(self.buffers, model.buffers(), strict=True):
            self.buffers[name] = self.buffers[name].to(buffer.device).copy_(buffer)
        self.updates += 1

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[nn.Module]:
        """Inside the `with` block the model has the averaged weights; after it, its own again.

        What the block does to the weights or the buffers is undone with the rest.
        """
        tensors = [*model.parameters(), *model.buffers()]
        own = [tensor.detach().clone() for tensor in tensors]
        try:
            _copy([*self.weights.values(), *self.buffers.values()], tensors)
            yield model
        finally:
            _copy(own, tensors)

    def state_dict(self) -> dict[str, Any]:
        """Numbers and tensors only, so that torch.load(weights_only=True) reads it back.

        The tensors are copies: a checkpoint held in memory does not change with later updates.
        """
        parts = {"weights": self.weights, "buffers": self.buffers}
        copies = {key: {n: t.clone() for n, t in part.items()} for key, part in parts.items()}
        return {"updates": self.updates, **copies}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`; ValueError if it belongs to another model."""
        for key, mine in (("weights", self.weights), ("buffers", self.buffers)):
            theirs = state[key]
            if {n: t.shape for n, t in theirs.items()} != {n: t.shape for n, t in mine.items()}:
                raise ValueError(f"the saved average has other {key} than this model")
            for name, tensor in mine.items():
                tensor.copy_(theirs[name])
        self.updates = int(state["updates"])


class EMA(WeightAverage):
    """Exponential moving average: a <- decay a + (1 - decay) w."""

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must lie between 0 and 1, got {decay}")
        super().__init__(model)
        self.decay = decay

    def share(self) -> float:
        return 1 - self.decay

    def state_dict(self) -> dict[str, Any]:
        return {"decay": self.decay, **super().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.decay = float(state["decay"])


class SWA(WeightAverage):
    """Stochastic weight averaging: the equal average of all points given to `update`."""

    def share(self) -> float:
        return 1 / (self.updates + 1)


def _average_copy(weight: Tensor) -> Tensor:
    """A copy, at least in float32: in half precision a step of 0.001 of the way rounds to zero."""
    dtype = torch.float32 if weight.dtype in HALF else weight.dtype
    return weight.detach().to(dtype, copy=True)


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)


@torch.no_grad()
def update_bn(batches: Iterable[Any], model: nn.Module) -> None:
    """Measure the running statistics of every BatchNorm again, with the weights as they are now.

    A module that `model.train()` leaves in evaluation mode is frozen (chapter 5 makes such ones):
    it cannot be measured and keeps what it has.
    `batches` gives x, or tuples that start with x. The statistics are the equal average over the
    batches (BatchNorm's momentum=None). Each module's mode and momentum are restored, and after an
    error the old statistics too. ValueError without a batch.
    """
    with kept_modes(model):
        model.train()
        layers = [m for m in model.modules() if _keeps_statistics(m) and m.training]
        if not layers:
            return
        with _measuring(layers):
            for batch in at_least_one(batches):
                x = batch[0] if isinstance(batch, (tuple, list)) else batch
                model(x.to(layers[0].running_mean.device))


@contextmanager
def _measuring(layers: list[nn.Module]) -> Iterator[None]:
    """Fresh statistics that weigh all batches equally; after an error the old ones return."""
    momenta = [layer.momentum for layer in layers]
    buffers = [buffer for layer in layers for buffer in layer.buffers(recurse=False)]
    before = [buffer.clone() for buffer in buffers]
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        yield
    except BaseException:
        _copy(before, buffers)
        raise
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _keeps_statistics(module: nn.Module) -> bool:
    """True for a BatchNorm, torch's or this chapter's, that tracks running statistics.

    Not for InstanceNorm: with momentum=None it would not measure anything.
    """
    is_batch_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
    return is_batch_norm and module.running_mean is not None
