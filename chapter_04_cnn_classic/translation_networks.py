"""The networks and the pictures of exp_translation.py.

What you learn: three heads and three poolings that differ in nothing but what they do with places.

    dense head         logits = W flatten(maps) + b      other weights for each place
    global average     logits = W mean(maps) + b         where something was is forgotten
    max pooling        every second pixel of the maxima: odd shifts give other numbers
    blurred pooling    the same, smoothed by [1, 2, 1] / 4 before every second pixel is dropped

Paper: Zhang 2019 (making convolutional networks shift-invariant again).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_02_nn_basics_mlp.model import MLP
from chapter_04_cnn_classic.image_tasks import ImageTask
from utils.model_summary import parameter_count
from utils.seed import generator

WIDTHS = (8, 16, 32)
WIDE = 512


# --- the networks ---


class MaxBlurPool(nn.Module):
    """Max pooling without stride, then a blur, then every second pixel (Zhang 2019).

    Two averages over 2 pixels in a row weigh 3 pixels by [1, 2, 1] / 4.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(x, 2, stride=1)  # (B, C, H, W) -> (B, C, H - 1, W - 1)
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")  # (B, C, H + 1, W + 1)
        x = F.avg_pool2d(x, 2, stride=1)  # (B, C, H, W)
        return F.avg_pool2d(x, 2)  # (B, C, H / 2, W / 2)


POOLS = {"max": lambda: nn.MaxPool2d(2), "average": lambda: nn.AvgPool2d(2), "blur": MaxBlurPool}
HEADS = {"mean": lambda: nn.AdaptiveAvgPool2d(1), "max": lambda: nn.AdaptiveMaxPool2d(1)}


def cnn(task: ImageTask, head: str = "mean", pool: str = "max") -> nn.Sequential:
    """Three 3x3 convolutions with two poolings between; head "flatten", "mean" or "max".

    (B, C, H, W) -> maps (B, 32, H / 4, W / 4) -> logits (B, K).
    """
    layers: list[nn.Module] = []
    channels, side = task.channels, task.image_size
    for number, width in enumerate(WIDTHS):
        if number:
            layers.append(POOLS[pool]())
            side //= 2
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    if head != "flatten":
        layers.append(HEADS[head]())  # one number for each map: where it was is forgotten
        side = 1
    linear = nn.Linear(channels * side * side, len(task.classes))
    return nn.Sequential(*layers, nn.Flatten(), linear)


def matched_width(inputs: int, classes: int, parameters: int) -> int:
    """Hidden units h of an MLP with two hidden layers and about so many parameters.

    h (inputs + 1) + h (h + 1) + h classes + classes = parameters, solved for h.
    """
    linear, rest = inputs + 2 + classes, parameters - classes
    return max(1, round((-linear + (linear**2 + 4 * rest) ** 0.5) / 2))


def build(name: str, task: ImageTask) -> nn.Module:
    """A fresh network; "mlp" has as many parameters as "cnn_flatten"."""
    if name.startswith("cnn"):
        head, _, pool = name.removeprefix("cnn_").partition("_")
        return cnn(task, head, pool or "max")
    inputs, classes = task.channels * task.image_size**2, len(task.classes)
    hidden = WIDE
    if name == "mlp":
        hidden = matched_width(inputs, classes, parameter_count(cnn(task, "flatten")))
    return nn.Sequential(nn.Flatten(), MLP(inputs, hidden, classes, 2, "relu"))


# --- the pictures ---


def centred(task: ImageTask, margin: int) -> ImageTask:
    """Every picture in the middle of a black canvas; mean and deviation of the new training set."""

    def on_canvas(split: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return F.pad(split[0], (margin,) * 4), split[1]  # (N, C, H + 2 margin, W + 2 margin)

    parts = {name: on_canvas(getattr(task, name)) for name in ("train", "val", "test")}
    pixels = parts["train"][0].float() / 255
    mean, std = pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3))  # (C,)
    return replace(task, **parts, mean=mean, std=std)


def moved(task: ImageTask, down: int, right: int) -> ImageTask:
    """The test pictures shifted; the black margin makes a cyclic shift a real one."""
    x, y = task.test
    return replace(task, test=(x.roll((down, right), dims=(2, 3)), y))


def block_permutation(side: int, block: int, seed: int) -> Tensor:
    """A shuffle (side * side,) of the pixels inside each block x block square, its own in each.

    Output pixel i is input pixel order[i]. block 1 changes nothing, block >= side is any shuffle.
    """
    row, column = torch.meshgrid(*[torch.arange(side) // block] * 2, indexing="ij")
    square = (row * side + column).flatten()  # (side * side,) the number of each pixel's square
    noise = torch.rand(side * side, generator=generator(seed), dtype=torch.float64)
    order = torch.empty_like(square)
    order[square.argsort(stable=True)] = (square + noise).argsort()  # squares stay in their order
    return order


def permuted(task: ImageTask, order: Tensor) -> ImageTask:
    """The same shuffle of the pixels in every picture of every split."""

    def shuffle(split: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return split[0].flatten(2)[:, :, order].view_as(split[0]), split[1]  # (N, C, H, W)

    return replace(task, **{k: shuffle(getattr(task, k)) for k in ("train", "val", "test")})
