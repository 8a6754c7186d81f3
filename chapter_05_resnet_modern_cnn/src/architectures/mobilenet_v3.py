"""MobileNetV3 (Howard et al. 2019): MobileNetV2's block, chosen row by row for a telephone.

    x -> 1x1 -> k x k depthwise -> squeeze-and-excitation -> 1x1, linear -> (+ x)

    hard_sigmoid(x) = ReLU6(x + 3) / 6
    hard_swish(x)   = x hard_sigmoid(x)        close to swish(x) = x sigmoid(x), without exp

Kernel, expansion and width of each block were found by a search that measured latency on a
telephone (the tables below), then improved by hand. Three things are new in the network:

- Squeeze-and-excitation in some blocks, with a quarter of the wide map's channels inside and the
  hard sigmoid as its gate.
- Swish in its hard form, in the stem and the deeper half only: deep maps are small, so that the
  activation costs little there, and there the paper finds most of its gain.
- A cheaper end: the last wide 1x1 convolution comes before the pool, what follows it (1280 or 1024
  channels) after the pool, on one number a channel instead of 7 x 7.

Large: 5,483,032 parameters, 217 M multiply-accumulates at 224 px. Small: 2,542,856 and 57 M
(torchvision's counts; the paper: 5.4 M, 219 M, ImageNet accuracy 75.2 %; 2.5 M, 56 M, 67.4 %).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from chapter_05_resnet_modern_cnn.src.architectures.attention_blocks import SqueezeExcitation
from chapter_05_resnet_modern_cnn.src.architectures.common import (
    conv_bn,
    divisible,
    strides,
)
from chapter_05_resnet_modern_cnn.src.architectures.mobilenet import initialise

STEM = 16
# Tables 1 and 2 of the paper: kernel, channels of the wide map, output channels, squeeze-and-
# excitation, activation (RE: ReLU, HS: hard swish), stride.
LARGE = (
    (3, 16, 16, False, "RE", 1),
    (3, 64, 24, False, "RE", 2),
    (3, 72, 24, False, "RE", 1),
    (5, 72, 40, True, "RE", 2),
    (5, 120, 40, True, "RE", 1),
    (5, 120, 40, True, "RE", 1),
    (3, 240, 80, False, "HS", 2),
    (3, 200, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 184, 80, False, "HS", 1),
    (3, 480, 112, True, "HS", 1),
    (3, 672, 112, True, "HS", 1),
    (5, 672, 160, True, "HS", 2),
    (5, 960, 160, True, "HS", 1),
    (5, 960, 160, True, "HS", 1),
)
SMALL = (
    (3, 16, 16, True, "RE", 2),
    (3, 72, 24, False, "RE", 2),
    (3, 88, 24, False, "RE", 1),
    (5, 96, 40, True, "HS", 2),
    (5, 240, 40, True, "HS", 1),
    (5, 240, 40, True, "HS", 1),
    (5, 120, 48, True, "HS", 1),
    (5, 144, 48, True, "HS", 1),
    (5, 288, 96, True, "HS", 2),
    (5, 576, 96, True, "HS", 1),
    (5, 576, 96, True, "HS", 1),
)
PLANS = {"large": (LARGE, 1280), "small": (SMALL, 1024)}  # and the hidden layer of the classifier

# The networks use torch's fused twins of the two functions below.
ACTIVATIONS = {"RE": nn.ReLU, "HS": nn.Hardswish}
conv_bn3 = partial(conv_bn, norm=partial(nn.BatchNorm2d, eps=0.001, momentum=0.01))  # as published


def hard_sigmoid(x: Tensor) -> Tensor:
    """ReLU6(x + 3) / 6: 0 up to -3, 1 from 3 on, straight in between; `nn.Hardsigmoid`."""
    return F.relu6(x + 3) / 6


def hard_swish(x: Tensor) -> Tensor:
    """x hard_sigmoid(x), at most 0.143 from x sigmoid(x) (at -3 and 3); `nn.Hardswish`."""
    return x * hard_sigmoid(x)


class InvertedResidual(nn.Module):
    """MobileNetV2's block with kernel and activation to choose, and squeeze-and-excitation.

    The shortcut is there where the shape stays; a block as wide inside as its input has no first
    1x1 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        wide: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        squeeze: bool,
        activation: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if wide != in_channels:
            layers.append(conv_bn3(in_channels, wide, 1, activation=activation))
        layers.append(conv_bn3(wide, wide, kernel_size, stride, groups=wide, activation=activation))
        if squeeze:
            layers.append(SqueezeExcitation(wide, divisible(wide // 4), gate=nn.Hardsigmoid))
        layers.append(conv_bn3(wide, out_channels, 1, activation=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)  # (B, C, H, W) -> (B, N, H / stride, W / stride)
        return x + y if self.shortcut else y


class MobileNetV3(nn.Module):
    """Logits (B, num_classes) of pictures (B, channels, H, W); drop-in for torchvision's.

    `size` is "large" or "small" (ValueError for others). `width_mult` scales all channels, to
    multiples of 8. The first `skip` of the five halvings are left out; the first block of "small",
    16 -> 16 channels, then has the shortcut as well. First weights: see `mobilenet.initialise`.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        channels: int = 3,
        skip: int = 0,
        *,
        size: str = "large",
        width_mult: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if size not in PLANS:
            raise ValueError(f"size must be one of {', '.join(PLANS)}, not {size!r}")
        plan, hidden = PLANS[size]
        halvings = iter(strides(skip))
        width, hidden = divisible(STEM * width_mult), divisible(hidden * width_mult)
        stem = conv_bn3(channels, width, stride=next(halvings), activation=nn.Hardswish)
        layers: list[nn.Module] = [stem]
        for kernel, wide, out, squeeze, activation, stride in plan:
            wide, out = divisible(wide * width_mult), divisible(out * width_mult)
            stride = next(halvings) if stride == 2 else 1
            shape = (width, wide, out, kernel, stride)
            layers.append(InvertedResidual(*shape, squeeze, ACTIVATIONS[activation]))
            width = out
        layers.append(conv_bn3(width, 6 * width, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Linear(6 * width, hidden), nn.Hardswish(inplace=True), nn.Dropout(dropout)),
            nn.Linear(hidden, num_classes),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (B, 3, 224, 224) -> (B, 960 or 576, 7, 7)
        return self.classifier(x.mean(dim=(2, 3)))  # (B, 960 or 576) -> (B, num_classes)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mobilenet_v3_large": partial(MobileNetV3, size="large"),
    "mobilenet_v3_small": partial(MobileNetV3, size="small"),
}
