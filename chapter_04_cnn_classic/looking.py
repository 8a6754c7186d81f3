"""The care that every look into a network needs, in one place.

A method that explains an answer must neither change the network nor misread the question:

    mode      evaluation mode for every module, afterwards each has its own again: in training mode
              a look would move BatchNorm's statistics, and dropout would blur the answer
    gradient  on or off as the method needs it, also inside torch.no_grad or torch.inference_mode
    shape     one picture where one is asked for: of a batch only the first would be explained
    copies    of the picture and of what a layer gave: a later `ReLU(inplace=True)` would write
              over them

    @looks_into("(1, C, H, W)", grad=True)
    def grad_cam(model, x, label, layer): ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp.layers import Linear
from chapter_04_cnn_classic import layers
from utils.modes import evaluating

CONVOLUTIONS = (nn.Conv2d, layers.Conv2d)  # torch's and the course's
LINEAR = (nn.Linear, Linear)


def looks_into(shape: str, *, grad: bool = False) -> Callable[[Callable], Callable]:
    """A method (model, x, ...) that gets a quiet network and its own copy of x.

    shape: of x, "(1, C, H, W)" for one picture. ValueError for another shape, for pixels that are
    whole numbers, and for weights of which no gradient can ever be had.
    """

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def run(model: nn.Module, x: Tensor, *args: Any, **options: Any) -> Any:
            _check(model, x, shape, grad)
            with quiet(model, grad=grad):
                return method(model, x.detach().clone(), *args, **options)

        return run

    return decorate


@contextmanager
def quiet(model: nn.Module, *, grad: bool = False) -> Iterator[None]:
    """Evaluation mode inside, gradients on or off; then each module has its own mode again."""
    with evaluating(model), torch.inference_mode(False), torch.set_grad_enabled(grad):
        yield


def _check(model: nn.Module, x: Tensor, shape: str, grad: bool) -> None:
    sides = shape.strip("()").split(", ")
    if x.ndim != len(sides) or (sides[0] == "1" and len(x) != 1):
        wanted = f"pictures {shape} are" if sides[0] == "B" else f"exactly one picture {shape} is"
        raise ValueError(f"{wanted} needed, got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"standardised pixels are needed, got {x.dtype}")
    if grad and any(p.is_inference() for p in (*model.parameters(), *model.buffers())):
        raise ValueError(
            "the network was built or loaded inside torch.inference_mode and can have no "
            "gradients; build it outside"
        )


@contextmanager
def watching(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The layer's outputs, in the order of its calls, while the block runs."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> Any:
        seen.append(output)
        # What follows gets a copy: an in-place ReLU then leaves `output` as the layer gave it.
        return output.clone() if isinstance(output, Tensor) else output

    handle = layer.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def maps_of(seen: list[Tensor]) -> Tensor:
    """The maps (1, K, h, w) of a watched layer's last call; ValueError if they are none."""
    if not seen:
        raise ValueError("the layer was not used in the forward pass")
    maps = seen[-1]
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"the layer gives {got}, not maps (1, K, h, w)")
    return maps


def of_class(logits: Tensor, label: int) -> Tensor:
    """Column `label` of logits or probabilities (B, classes), in fp32 at least: (B,)."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the network answers with {got}, not logits (B, classes)")
    if not 0 <= label < logits.shape[1]:
        raise ValueError(f"there is no class {label} among {logits.shape[1]}")
    return full(logits[:, label])


def full(values: Tensor) -> Tensor:
    """fp16 and bf16 as fp32, in which sums and quotients of small numbers are safe."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
