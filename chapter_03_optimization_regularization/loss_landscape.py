"""Looking at the loss around a minimum: filter-normalised slices, and the sharpest direction.

What you learn: a network with a thousand weights has a loss surface with a thousand dimensions; a
picture shows two random ones. Two numbers go with the picture.

    slice       L(theta + a d1 + b d2)       d random, each filter of d as long as theta's
    sharpness   largest eigenvalue of H      H = the second derivatives of L at theta

Why filter normalisation (Li, Xu, Taylor, Studer & Goldstein 2018): a ReLU network does not change
when one layer is multiplied by s and the next divided by s, nor a normalised one when its weights
are multiplied by s. A step of fixed length would then look large or small at will. Measured
in the filter's own length, it looks the same. The eigenvalue has no such protection
(Dinh, Pascanu, Bengio & Bengio 2017): `rescaled` changes it without changing the function.

Power iteration for H: v <- H v / |H v|, where H v is the gradient of (gradient . v): two backward
passes and no matrix (Pearlmutter 1994).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.normalization import BatchNorm2d
from utils.seed import generator

Direction = list[Tensor]


def filter_normalized_direction(model: nn.Module, random: torch.Generator) -> Direction:
    """Gaussian, rescaled so that each filter (row) is as long as the model's own.

    Biases and normalisation parameters, all vectors, stay put: as in the paper.
    """
    direction = []
    for parameter in model.parameters():
        if parameter.ndim < 2:
            direction.append(torch.zeros_like(parameter))
            continue
        noise = torch.randn(parameter.shape, generator=random).to(parameter)
        dims = tuple(range(1, parameter.ndim))
        lengths = [t.square().sum(dims, keepdim=True).sqrt() for t in (parameter.detach(), noise)]
        direction.append(noise * (lengths[0] / lengths[1]))  # (K, C, 3, 3) * (K, 1, 1, 1)
    return direction


@torch.no_grad()
def loss_at(
    model: nn.Module, loss: Callable[[], Tensor], steps: Sequence[tuple[float, Direction]]
) -> float:
    """loss() with `a d` added to the weights for each (a, d); the weights are put back exactly."""
    parameters = list(model.parameters())
    before = [parameter.clone() for parameter in parameters]
    try:
        for length, direction in steps:
            for parameter, change in zip(parameters, direction, strict=True):
                parameter.add_(change, alpha=length)
        return float(loss())
    finally:
        for parameter, old in zip(parameters, before, strict=True):
            parameter.copy_(old)  # not subtracted: rounding would leave a trace


def plane(
    model: nn.Module, loss: Callable[[], Tensor], places: Sequence[float], seed: int
) -> list[list[float]]:
    """Loss on a square grid of two random directions; row i has b = places[i]."""
    random = generator(seed)
    d1, d2 = (filter_normalized_direction(model, random) for _ in range(2))
    return [[loss_at(model, loss, [(a, d1), (b, d2)]) for a in places] for b in places]


def profile(
    model: nn.Module, loss: Callable[[], Tensor], radii: Sequence[float], count: int, seed: int
) -> list[float]:
    """Loss at each radius, averaged over `count` random directions."""
    random = generator(seed)
    directions = [filter_normalized_direction(model, random) for _ in range(count)]
    return [sum(loss_at(model, loss, [(r, d)]) for d in directions) / count for r in radii]


def largest_eigenvalue(
    model: nn.Module,
    loss: Callable[[], Tensor],
    seed: int = 0,
    steps: int = 40,
    tolerance: float = 1e-3,
) -> float:
    """The Hessian's eigenvalue of largest size (with its sign), by power iteration.

    Stops when the estimate changes by less than `tolerance` (relative), or after `steps`.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradient = torch.autograd.grad(loss(), parameters, create_graph=True)
    random = generator(seed)
    v = unit([torch.randn(p.shape, generator=random).to(p) for p in parameters])
    estimate = 0.0
    for _ in range(steps):
        hv = torch.autograd.grad(dot(gradient, v), parameters, retain_graph=True)
        previous, estimate = estimate, float(dot(hv, v))  # v^T H v
        if abs(estimate - previous) <= tolerance * abs(estimate):
            break
        v = unit(hv)
    return estimate


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))


def unit(v: Sequence[Tensor]) -> Direction:
    length = dot(v, v).sqrt()
    return [x / length for x in v]


@torch.no_grad()
def rescaled(model: nn.Sequential, factor: float) -> nn.Sequential:
    """The same function of the input with other weights.

    Without normalisation the first convolution is multiplied by `factor` and the second divided by
    it: ReLU and max pooling pass a positive factor on. With BatchNorm all convolutions are divided
    by it: the layer after them cancels that (up to its eps), once its running statistics follow.
    """
    model = copy.deepcopy(model)
    convolutions = [layer for layer in model if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in model if isinstance(layer, BatchNorm2d)]
    if not norms:
        first, second = convolutions[:2]
        first.weight.mul_(factor)
        first.bias.mul_(factor)
        second.weight.div_(factor)
        return model
    for convolution, norm in zip(convolutions, norms, strict=True):
        convolution.weight.div_(factor)
        convolution.bias.div_(factor)
        norm.running_mean.div_(factor)
        norm.running_var.div_(factor**2)
    return model
