"""MobileNetV2 (Sandler et al. 2018): inverted residuals and linear bottlenecks.

    x (C) -> 1x1, ReLU6 (6 C) -> 3x3 depthwise, ReLU6 (6 C) -> 1x1, no activation (N)
      |                                                                              |
      +---------------------------- where N = C and stride 1 ------------------------+ -> y

MobileNetV1 spends 95 % of its work on 1x1 convolutions between wide maps. Here the maps between the
blocks are narrow and only the cheap depthwise convolution works on a wide one: ResNet's bottleneck
(wide, narrow, wide) turned inside out. A ReLU on a narrow map would lose what it sets to zero, as
no other channel holds a copy; so the narrow end has none, it is linear. The shortcut joins the
narrow ends. At inference only these must be kept whole: the wide inside can be computed a few
channels at a time.

ReLU6(x) = min(max(x, 0), 6) keeps values in a known range for arithmetic with few bits.

3,504,872 parameters, 301 M multiply-accumulates at 224 px (torchvision's counts; the paper: 3.4 M
and 300 M, ImageNet accuracy 72.0 %, against 4.2 M, 575 M and 70.6 % for MobileNetV1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.common import (
    conv_bn,
    divisible,
    strides,
)
from chapter_05_resnet_modern_cnn.src.architectures.mobilenet import initialise

STEM, LAST = 32, 1280
# Table 2 of the paper: expansion t, output channels c, repeats n, stride s of the first of them.
PLAN = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

conv_bn6 = partial(conv_bn, activation=nn.ReLU6)


class InvertedResidual(nn.Module):
    """Expand `expansion`-fold, filter channel by channel, project without activation.

    The shortcut is there where the shape stays. Expansion 1 has no first 1x1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.shortcut = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            *([conv_bn6(in_channels, wide, 1)] if expansion != 1 else []),
            conv_bn6(wide, wide, 3, stride, groups=wide),
            *conv_bn(wide, out_channels, 1, activation=None),  # linear: nothing is cut off
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)  # (B, C, H, W) -> (B, N, H / stride, W / stride), inside 6 C channels
        return x + y if self.shortcut else y


class MobileNetV2(nn.Module):
    """Logits (B, num_classes) of pictures (B, channels, H, W); drop-in for torchvision's.

    `width_mult` scales all channels, the last 1280 only upwards, to multiples of 8. The first
    `skip` of the five halvings are left out. First weights: see `mobilenet.initialise`.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        channels: int = 3,
        skip: int = 0,
        *,
        width_mult: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        halvings = iter(strides(skip))
        width, last = divisible(STEM * width_mult), divisible(LAST * max(1.0, width_mult))
        layers: list[nn.Module] = [conv_bn6(channels, width, stride=next(halvings))]
        for expansion, full_width, repeats, first_stride in PLAN:
            out_channels = divisible(full_width * width_mult)
            for i in range(repeats):
                stride = next(halvings) if i == 0 and first_stride == 2 else 1
                layers.append(InvertedResidual(width, out_channels, stride, expansion))
                width = out_channels
        layers.append(conv_bn6(width, last, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (B, 3, 224, 224) -> (B, 1280, 7, 7)
        return self.classifier(x.mean(dim=(2, 3)))  # (B, 1280) -> (B, num_classes)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mobilenet_v2": MobileNetV2}
