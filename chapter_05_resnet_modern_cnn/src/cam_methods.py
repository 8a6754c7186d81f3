"""Where does a network look? Maps of the evidence for a class, and numbers for how good they are.

A network that ends in "average over the map A (K, h, w), then a linear layer w" computes

    z_c = sum_k w_ck (1/hw) sum_ij A_k(i, j) + b_c = (1/hw) sum_ij [ sum_k w_ck A_k(i, j) ] + b_c

so the bracket is place (i, j)'s share of the logit: the class activation map (CAM, Zhou et al.
2016). The others take any layer and any end; each weighs the maps A_k in its own way:

    Grad-CAM      a_k = mean over (i, j) of dz_c/dA_k                         Selvaraju et al. 2017
                  (for the network above dz_c/dA_k = w_ck / hw: Grad-CAM is CAM)
    Grad-CAM++    a_k = sum over (i, j) of g^2 / (2 g^2 + g^3 sum A_k) relu(g)   Chattopadhay 2018
    Score-CAM     a_k = the probability of c when only A_k's places are shown       Wang et al. 2020
    map           relu( sum_k a_k A_k ): only what speaks for the class

Integrated gradients (Sundararajan et al. 2017) do without a layer. Along the way from a reference
x' to x they add up slope times distance, so that all pixels together make the whole difference:

    IG_i = (x_i - x'_i) * integral over t = 0 .. 1 of dz_c/dx_i (x' + t (x - x'))
    sum_i IG_i = z_c(x) - z_c(x')

    heat = METHODS["grad_cam"](model, x, label, layer)          # x (1, C, H, W) -> (H, W) in 0 .. 1
    deletion_insertion(model, x, label, heat)                   # two areas in 0 .. 1
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_04_cnn_classic.explain import gradient, probability
from chapter_04_cnn_classic.looking import (
    CONVOLUTIONS,
    LINEAR,
    full,
    looks_into,
    maps_of,
    of_class,
    watching,
)

CAM_NEEDS = "CAM needs the last maps of a network that ends in an average and one linear layer"
SCORE_BATCH = 64
PATH_STEPS = 32  # points on the way of integrated gradients
CURVE_STEPS = 24  # of deletion and insertion


@dataclass
class Look:
    """What a layer passed on (1, K, h, w), and the gradient of a logit with respect to it."""

    activation: Tensor = field(default_factory=lambda: torch.empty(0))
    gradient: Tensor = field(default_factory=lambda: torch.empty(0))


@looks_into("(1, C, H, W)", grad=True)
def look_at(model: nn.Module, x: Tensor, label: int, layer: nn.Module) -> Look:
    """One forward and one backward pass of the class's logit."""
    x.requires_grad_()  # so that a graph exists even if the weights are frozen
    with watching(layer) as seen:
        (logit,) = of_class(model(x.clone()), label)
    activation = maps_of(seen)
    gradient = None
    if activation.requires_grad:
        (gradient,) = torch.autograd.grad(logit, activation, allow_unused=True)
    if gradient is None:
        raise ValueError("the class's logit does not depend on the layer")
    return Look(full(activation.detach()), full(gradient))


# --- the methods: (model, x (1, C, H, W), label, layer) -> heat (H, W) in 0 .. 1 ---


@looks_into("(1, C, H, W)")
def cam(model: nn.Module, x: Tensor, label: int, layer: nn.Module) -> Tensor:
    """Zhou et al. 2016. ValueError unless the logits are a linear function of this layer's mean."""
    with watching(layer) as seen:
        logits = model(x)
    of_class(logits, label)  # ValueError if there is no such class
    maps = full(maps_of(seen))  # (1, K, h, w)
    linear = [module for module in model.modules() if isinstance(module, LINEAR)]
    if not linear or linear[-1].in_features != maps.shape[1]:
        raise ValueError(CAM_NEEDS)
    weight, bias = full(linear[-1].weight), linear[-1].bias  # (classes, K)
    again = F.linear(maps.mean(dim=(2, 3)), weight, None if bias is None else full(bias))
    near = max(1e-3, 4 * torch.finfo(logits.dtype).eps)  # bf16 has three digits only
    if again.shape != logits.shape or not torch.allclose(again, full(logits), near, near):
        raise ValueError(CAM_NEEDS)
    return as_heat(weighted(maps, weight[label]), x)


@looks_into("(1, C, H, W)")
def grad_cam(model: nn.Module, x: Tensor, label: int, layer: nn.Module) -> Tensor:
    """Selvaraju et al. 2017."""
    look = look_at(model, x, label, layer)
    weights = look.gradient.mean(dim=(0, 2, 3))  # (K,)
    return as_heat(weighted(look.activation, weights), x)


@looks_into("(1, C, H, W)")
def grad_cam_pp(model: nn.Module, x: Tensor, label: int, layer: nn.Module) -> Tensor:
    """Chattopadhay et al. 2018, for the score exp(z): its derivatives are powers of dz/dA."""
    look = look_at(model, x, label, layer)
    g = look.gradient  # (1, K, h, w)
    total = look.activation.sum(dim=(2, 3), keepdim=True)  # (1, K, 1, 1)
    bottom = 2 + g * total  # both sides divided by g^2: the powers of a small g would be 0
    alpha = torch.where(bottom != 0, 1 / bottom, torch.zeros_like(g))
    weights = (alpha * g.relu()).sum(dim=(0, 2, 3))  # (K,)
    return as_heat(weighted(look.activation, weights), x)


@looks_into("(1, C, H, W)")
def score_cam(model: nn.Module, x: Tensor, label: int, layer: nn.Module) -> Tensor:
    """Wang et al. 2020: one forward pass a channel, no gradient.

    The weight is the probability itself, as in the authors' code. (A softmax over the channels, as
    in the paper's algorithm 1, would make all weights equal within a factor e.)
    """
    with watching(layer) as seen:
        model(x.clone())
    maps = full(maps_of(seen))  # (1, K, h, w)
    masks = F.interpolate(maps, size=x.shape[2:], mode="bilinear")[0]  # (K, H, W)
    low, high = masks.amin(dim=(1, 2), keepdim=True), masks.amax(dim=(1, 2), keepdim=True)
    masks = ((masks - low) / (high - low).clamp(min=1e-12)).to(x.dtype)
    scores = [probability(model, x * part[:, None], label) for part in masks.split(SCORE_BATCH)]
    weights = torch.cat(scores)  # (K,)
    return as_heat(weighted(maps, weights), x)


@looks_into("(1, C, H, W)")
def integrated_gradients(
    model: nn.Module, x: Tensor, label: int, layer: nn.Module | None = None
) -> Tensor:
    """Sundararajan et al. 2017; size of each pixel's share, all channels together."""
    return as_heat(attributions(model, x, label).abs().sum(dim=1, keepdim=True), x)


@looks_into("(1, C, H, W)")
def attributions(model: nn.Module, x: Tensor, label: int, steps: int = PATH_STEPS) -> Tensor:
    """Integrated gradients (1, C, H, W) from the mean picture, 0 after standardisation.

    The integral is a sum over the middles of `steps` equal parts. The picture's values add up to
    z(x) - z(0), up to the error of this sum.
    """
    middles = (torch.arange(steps, device=x.device) + 0.5) / steps  # (steps,)
    path = (middles[:, None, None, None] * x).to(x.dtype)  # (steps, C, H, W)
    slopes = gradient(model, path, label)  # (steps, C, H, W)
    return full(x) * full(slopes).mean(dim=0, keepdim=True)


METHODS: dict[str, Callable[..., Tensor]] = {
    "cam": cam,
    "grad_cam": grad_cam,
    "grad_cam_pp": grad_cam_pp,
    "score_cam": score_cam,
    "integrated_gradients": integrated_gradients,
}


def weighted(maps: Tensor, weights: Tensor) -> Tensor:
    """relu( sum_k a_k A_k ): (1, K, h, w), (K,) -> (1, 1, h, w)."""
    return torch.einsum("nkhw,k->nhw", maps, weights).relu()[:, None]


def as_heat(values: Tensor, x: Tensor) -> Tensor:
    """(1, 1, h, w) >= 0 -> (H, W) of the picture with the largest value 1; all zero stays zero."""
    values = F.interpolate(full(values), size=x.shape[2:], mode="bilinear")[0, 0]
    peak = values.max()
    return values / peak if peak > 0 else values


@looks_into("(1, C, H, W)")
def default_layer(model: nn.Module, x: Tensor, places: int = 2) -> nn.Module:
    """The last module whose maps have `places` or more places a side.

    With 2 it is what the network averages over. x (1, C, H, W) is a picture of the size the network
    is used for. ValueError without such maps.
    """
    found: list[nn.Module] = []

    def remember(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and max(output.shape[2:]) >= places:
            found.append(module)

    handles = [m.register_forward_hook(remember) for m in model.modules() if m is not model]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(f"the network has no layer that gives maps of {places} places a side")
    return found[-1]


# --- how good is a map? ---


@looks_into("(1, C, H, W)")
def deletion_insertion(
    model: nn.Module, x: Tensor, label: int, heat: Tensor, steps: int = CURVE_STEPS
) -> dict[str, float]:
    """Areas under two curves of the class's probability (Petsiuk et al. 2018), each in 0 .. 1.

    deletion: the hottest pixels become the mean colour, step by step; a good map makes the
    probability fall at once (small area). insertion: they are uncovered on a blurred picture; a
    good map makes it rise at once (large area). `score` = insertion - deletion. Pixels of equal
    heat come in reading order: the score of an empty map is that order's. ValueError for a map of
    another size or with nan.
    """
    height, width = x.shape[2:]
    if heat.shape != x.shape[2:] or heat.isnan().any():
        raise ValueError(f"a map {(height, width)} of numbers is needed, got {tuple(heat.shape)}")
    order = heat.to(x.device).flatten().argsort(descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=x.device))
    rank = rank.view(1, 1, height, width)
    shares = torch.linspace(0, 1, steps + 1, device=x.device)
    hot = torch.cat([rank < round(share.item() * height * width) for share in shares])
    hot = hot.to(x.dtype)  # (steps + 1, 1, H, W): 1 where already touched
    blurred = blur(x)  # (1, C, H, W)
    areas = {}
    for name, pictures in (
        ("deletion", x * (1 - hot)),
        ("insertion", x * hot + blurred * (1 - hot)),
    ):
        curve = probability(model, pictures, label)  # (steps + 1,)
        areas[name] = torch.trapezoid(curve, shares).item()
    return areas | {"score": areas["insertion"] - areas["deletion"]}


def blur(x: Tensor) -> Tensor:
    """(B, C, H, W) with everything finer than an eighth of the picture averaged away."""
    small = F.adaptive_avg_pool2d(x, 4)
    return F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)


def mass_inside(heat: Tensor, mask: Tensor) -> float:
    """Share of the map's sum that lies where mask (H, W) is true; 0 for an empty map."""
    total = heat.sum()
    return (heat[mask].sum() / total).item() if total > 0 else 0.0


def as_coarse_as(places: tuple[int, int], mask: Tensor) -> Tensor:
    """A mask (H, W) as a layer with (h, w) places could draw it, enlarged again: (H, W)."""
    small = F.adaptive_avg_pool2d(mask[None, None].float(), places)
    return as_heat(small, mask[None, None])


def widened(mask: Tensor, margin: tuple[int, int]) -> Tensor:
    """A mask (H, W) grown by (rows, columns) pixels on each side: (H, W)."""
    size = tuple(2 * pixels + 1 for pixels in margin)
    return F.max_pool2d(mask[None, None].float(), size, stride=1, padding=margin)[0, 0].bool()


def hottest(heat: Tensor, share: float = 0.5) -> Tensor:
    """What of a map (H, W) is above `share` of its maximum; the rest is 0."""
    return (heat - share * heat.max()).clamp(min=0)


def points_inside(heat: Tensor, mask: Tensor) -> bool:
    """Whether the maximum lies where mask (H, W) is true (pointing game, Zhang et al. 2016).

    An empty map points nowhere.
    """
    return bool(mask.flatten()[heat.argmax()]) and not is_empty(heat)


def is_empty(heat: Tensor) -> bool:
    """Whether a map is 0 everywhere: at this layer nothing speaks for the class."""
    return not heat.any()


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's: the correlation of the ranks of all pixels, -1 .. 1.

    nan if a map is flat: it ranks nothing, so there is nothing to agree or to disagree with. nan
    too if a map holds nan.
    """
    if any(m.isnan().any() or m.min() == m.max() for m in (first, second)):
        return math.nan
    both = torch.stack([ranks(first.flatten()), ranks(second.flatten())])  # (2, H W)
    return torch.corrcoef(both)[0, 1].item()


def ranks(values: Tensor) -> Tensor:
    """1 for the smallest; equal values share the mean of their places. (n,) -> (n,) float64.

    After a ReLU half of a map can be 0. Numbered in reading order, as a sort leaves them, the zeros
    of any two maps would agree: 0.5 and more between maps that have nothing in common.
    """
    _, group, size = values.unique(return_inverse=True, return_counts=True)  # by rising value
    last = size.cumsum(0)  # the place of each group's last member
    return (last - (size - 1) / 2).double()[group]


def layers_with_weights(model: nn.Module) -> list[nn.Parameter]:
    """The weights of all convolutions and linear layers, in the order of the network's parts."""
    return [m.weight for m in model.modules() if isinstance(m, (*CONVOLUTIONS, *LINEAR))]


@contextmanager
def randomised(model: nn.Module, layers: int, seed: int = 0) -> Iterator[None]:
    """The last `layers` convolutions and linear layers with shuffled weights, inside the block.

    The sanity check of Adebayo et al. 2018: a map that does not change when the network's knowledge
    is destroyed shows the picture, not the network. Shuffling keeps each layer's distribution;
    normalisations keep what they learnt. ValueError if the network has fewer layers.
    """
    weights = layers_with_weights(model)
    if not 0 <= layers <= len(weights):
        raise ValueError(
            f"the network has {len(weights)} convolutions and linear layers; {layers} of them "
            "cannot be shuffled"
        )
    generator = torch.Generator().manual_seed(seed)
    chosen = weights[len(weights) - layers :]
    before = [weight.detach().clone() for weight in chosen]
    with torch.no_grad():
        for weight in chosen:
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(chosen, before, strict=True):
                weight.copy_(old)
