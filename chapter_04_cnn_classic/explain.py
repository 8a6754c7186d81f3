"""Looking into a trained network: filters, feature maps, occlusion and saliency.

What you learn: four ways to ask why a network said what it said, each with its own limits.

- *Filters*: the weights of the first convolution are small pictures, as they multiply pixels.
- *Feature maps*: what each stage passes on; where is it active, and to which of its channels?
- *Occlusion* (Zeiler & Fergus 2013): cover a place with a grey square, and see how far the class's
  probability falls. It asks about the network's real behaviour, and costs one forward pass a place.

      drop(i, j) = p_c(x) - p_c(x with the square at (i, j) covered)

- *Saliency* (Simonyan, Vedaldi & Zisserman 2013): how much would the class's logit z_c change if
  this pixel changed a little? One backward pass for all pixels.

      s(i, j) = max over channels of |d z_c / d x(channel, i, j)|

  Gradients of deep ReLU networks are ragged. SmoothGrad (Smilkov et al. 2017) averages them over n
  copies with noise:  1/n sum of d z_c / d x (x + noise), noise ~ N(0, sigma^2).

    maps = feature_maps(model, x)             # x: (1, C, H, W), standardised
    drop = occlusion(model, x[0], label)      # (H, W), in probability
    slope = saliency(model, x[0], label)      # (H, W)

A look changes nothing in the network, and may be taken in any mode (looking.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chapter_04_cnn_classic.looking import CONVOLUTIONS, full, looks_into, of_class
from utils.seed import generator

OCCLUSION_POSITIONS = 13  # squares a side
SMOOTH_SAMPLES = 16
SMOOTH_NOISE = 0.1  # of the picture's range, the paper advises 0.1 to 0.2


@dataclass(frozen=True)
class FeatureMap:
    """The output of the last layer before the picture shrinks: (C, h, w) of one picture."""

    name: str
    values: Tensor


def first_filters(model: nn.Module) -> Tensor:
    """The first convolution's weights (filters, C, k, k). ValueError without a convolution."""
    for module in model.modules():
        if isinstance(module, CONVOLUTIONS):
            return module.weight.detach().cpu()
    raise ValueError("the network has no convolution")


@looks_into("(1, C, H, W)")
def feature_maps(model: nn.Module, x: Tensor) -> list[FeatureMap]:
    """What leaves each stage for one picture x (1, C, H, W).

    A stage is a run of layers with one map size; it counts if it has a convolution, and the output
    of its last layer stands for it (with the activation, before the next pool).
    """
    calls: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def remember(name: str):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                # A copy, as a later in-place ReLU would write over the layer's own output.
                calls.append((name, module, output, output[0].cpu().clone()))

        return hook

    modules = [(name, module) for name, module in model.named_modules() if name]
    handles = [module.register_forward_hook(remember(name)) for name, module in modules]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return [_last_of(stage) for stage in _stages(calls)]


def _stages(calls: list) -> list[list]:
    """The calls cut where the map's size changes; without stages that do not convolve."""
    stages: list[list] = []
    for call in calls:
        if not stages or stages[-1][-1][2].shape[-2:] != call[2].shape[-2:]:
            stages.append([])
        stages[-1].append(call)
    return [
        stage
        for stage in stages
        if any(isinstance(module, CONVOLUTIONS) for _, module, _, _ in stage)
        and stage[0][2].shape[-1] > 1
    ]


def _last_of(stage: list) -> FeatureMap:
    """The stage's final output, named after the innermost and last layer that returned it.

    A container returns its last layer's tensor, and an in-place ReLU its input: several names.
    """
    _, _, final, values = stage[-1]
    names = [name for name, _, output, _ in reversed(stage) if output is final]
    name = max(names, key=lambda name: name.count("."))
    return FeatureMap(name, values)  # (C, h, w)


def strongest(values: Tensor, count: int) -> Tensor:
    """Numbers of the channels of (C, h, w) with the largest mean activation, strongest first."""
    return values.clamp(min=0).mean(dim=(1, 2)).argsort(descending=True, stable=True)[:count]


def square_starts(size: int, square: int, positions: int) -> list[int]:
    """About `positions` places, evenly spread, at which a square of `square` px fits in `size`."""
    last = size - square
    if last <= 0 or positions == 1:
        return [max(0, last // 2)]
    steps = min(positions - 1, last)
    return sorted({round(i * last / steps) for i in range(steps + 1)})


@looks_into("(C, H, W)")
def occlusion(
    model: nn.Module,
    x: Tensor,
    label: int,
    *,
    square: int | None = None,
    positions: int = OCCLUSION_POSITIONS,
    batch_size: int = 64,
) -> Tensor:
    """How much probability of class `label` a square of grey costs, x (C, H, W) -> (H, W).

    Each pixel gets the mean over the squares that cover it. `square`: side in px, default a quarter
    of the picture. Grey is 0, the mean colour of the training pictures, as x is standardised.
    """
    height, width = x.shape[-2:]
    square = square or max(1, round(min(height, width) / 4))
    rows, columns = (square_starts(side, square, positions) for side in (height, width))
    places = [(top, left) for top in rows for left in columns]
    whole = probability(model, x[None].clone(), label)  # (1,)
    total, count = torch.zeros(2, height, width, dtype=whole.dtype, device=x.device)
    for start in range(0, len(places), batch_size):
        chunk = places[start : start + batch_size]
        covered = x.repeat(len(chunk), 1, 1, 1)  # (B, C, H, W)
        for copy, (top, left) in zip(covered, chunk, strict=True):
            copy[:, top : top + square, left : left + square] = 0
        drops = whole - probability(model, covered, label)  # (B,)
        for drop, (top, left) in zip(drops, chunk, strict=True):
            total[top : top + square, left : left + square] += drop
            count[top : top + square, left : left + square] += 1
    return (total / count.clamp(min=1)).cpu()


def probability(model: nn.Module, x: Tensor, label: int) -> Tensor:
    """Of class `label`, for each picture of a batch: (B, C, H, W) -> (B,)."""
    return of_class(full(model(x)).softmax(dim=1), label)


@looks_into("(B, C, H, W)", grad=True)
def gradient(model: nn.Module, x: Tensor, label: int) -> Tensor:
    """d logit / d x for each picture of a batch: (B, C, H, W) -> the same.

    In evaluation mode no picture of a batch touches another, so one backward pass from the sum of
    the logits gives each its own gradient.
    """
    x.requires_grad_()
    logits = of_class(model(x.clone()), label)  # (B,)
    return torch.autograd.grad(logits.sum(), x)[0]


@looks_into("(C, H, W)")
def saliency(model: nn.Module, x: Tensor, label: int) -> Tensor:
    """The largest |d logit / d x| over the channels of x (C, H, W): (H, W)."""
    return gradient(model, x[None], label)[0].abs().amax(dim=0).cpu()  # (H, W)


@looks_into("(C, H, W)")
def smooth_saliency(
    model: nn.Module,
    x: Tensor,
    label: int,
    *,
    samples: int = SMOOTH_SAMPLES,
    noise: float = SMOOTH_NOISE,
    seed: int = 0,
) -> Tensor:
    """Saliency of the mean gradient over noisy copies; `noise` is a share of max(x) - min(x)."""
    sigma = noise * (x.max() - x.min())
    draws = torch.randn(samples, *x.shape, generator=generator(seed)).to(x)  # (n, C, H, W)
    mean = full(gradient(model, x + sigma * draws, label)).mean(dim=0)  # (C, H, W)
    return mean.abs().amax(dim=0).cpu()  # (H, W)
