"""EfficientNet (Tan & Le 2019): one small network, and a rule that makes it larger.

    MBConv: x -> 1x1 to t C -> depthwise kxk -> squeeze-and-excitation -> 1x1 to C' (+ x)

The block is MobileNetV2's (Sandler et al. 2018): wide inside, narrow outside, the shortcut between
the narrow ends, no activation there. Kernels, widths and depths of B0 were found by a search that
weighed accuracy against multiply-accumulates.

Compound scaling. A network can be made deeper (more blocks), wider (more channels) or see larger
pictures. One alone soon stops to help, so all three grow together with a single number phi:

    depth d = alpha^phi,  width w = beta^phi,  picture r = gamma^phi
    cost ~ d w^2 r^2 = (alpha beta^2 gamma^2)^phi

since a convolution pays for its channels twice (in and out) and for the picture's side twice. With
alpha beta^2 gamma^2 = 2 a step of phi doubles the cost. A search on B0 gave alpha = 1.2,
beta = 1.1, gamma = 1.15, whose product is 1.92 (`compound_scaling`).

B1 to B7 follow the rule only roughly. `SCALES` holds their published factors, with which the
published parameter counts come out; they are not the powers. B2 is phi = 1, B3 about 2; B7's depth
3.1 is phi = 6.2, its width 2.0 is phi = 7.3, its 600 px are phi = 7.1. Scaled widths are rounded to
multiples of 8, numbers of blocks up, so B2 costs not 1.92 but 2.6 times B0 (1.2 x 1 block are 2).

                 B0      B1      B2      B3      B4      B5      B6      B7
    width        1.0     1.0     1.1     1.2     1.4     1.6     1.8     2.0
    depth        1.0     1.1     1.2     1.4     1.8     2.2     2.6     3.1
    px           224     240     260     300     380     456     528     600
    10^6 param.  5.29    7.79    9.11   12.23   19.34   30.39   43.04   66.35
    G MACs       0.39    0.7     1.0     1.8     4.2     9.9    19      37      (at these px; paper)

First weights: He et al. 2015 by fan-out for convolutions, uniform in +- 1 / sqrt(classes) for the
last layer, biases 0. Stochastic depth grows from 0 towards 0.2.

Paper: Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.attention_blocks import SqueezeExcitation
from chapter_05_resnet_modern_cnn.src.architectures.common import (
    conv_bn,
    divisible,
    strides,
)
from chapter_05_resnet_modern_cnn.src.architectures.stochastic_depth import (
    StochasticDepth,
    linear_rates,
)

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15


class Stage(NamedTuple):
    """Blocks of B0 that share a width; the first of them halves the map where `halves` is set."""

    expand: int  # t, the factor of the widening
    kernel: int
    halves: bool
    channels: int
    blocks: int


STEM, HEAD = 32, 4  # channels of the first layer; the last has HEAD times those of the last stage
STAGES = (
    Stage(1, 3, False, 16, 1),
    Stage(6, 3, True, 24, 2),
    Stage(6, 5, True, 40, 2),
    Stage(6, 3, True, 80, 3),
    Stage(6, 5, False, 112, 3),
    Stage(6, 5, True, 192, 4),
    Stage(6, 3, False, 320, 1),
)


def compound_scaling(phi: float) -> tuple[float, float, float]:
    """Factors (depth, width, picture) of the rule; phi = 0 is B0."""
    return ALPHA**phi, BETA**phi, GAMMA**phi


conv_bn_silu = partial(conv_bn, activation=nn.SiLU)


class MBConv(nn.Module):
    """(B, in, H, W) -> (B, out, H / stride, W / stride).

    The squeezed width is a quarter of the block's input, not of the wide middle.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expand: int,
        kernel_size: int,
        stride: int,
        drop: float = 0.0,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        wide = in_channels * expand
        widen = [conv_bn_silu(in_channels, wide, 1, norm=norm)] if expand > 1 else []
        self.block = nn.Sequential(
            *widen,  # (B, wide, H, W)
            conv_bn_silu(wide, wide, kernel_size, stride, groups=wide, norm=norm),
            SqueezeExcitation(wide, max(1, in_channels // 4), activation=nn.SiLU),
            conv_bn(wide, out_channels, 1, norm=norm, activation=None),
        )
        self.residual = stride == 1 and in_channels == out_channels
        self.stochastic_depth = StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.block(x)
        return x + self.stochastic_depth(branch) if self.residual else branch


class EfficientNet(nn.Module):
    """B0 with its channels times `width` and its blocks times `depth`.

    (B, channels, H, W) -> logits (B, num_classes). torchvision's state_dict. `norm` makes a
    normalisation for a number of channels.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
        stochastic_depth_prob: float = 0.2,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        *,
        channels: int = 3,
        skip: int = 0,
    ) -> None:
        super().__init__()
        halvings = iter(strides(skip))
        counts = [math.ceil(depth * stage.blocks) for stage in STAGES]
        # The last block stays below `stochastic_depth_prob`: the step after it would reach it.
        drops = iter(linear_rates(stochastic_depth_prob, sum(counts), reached=False))
        last = divisible(width * STEM)
        layers: list[nn.Module] = [conv_bn_silu(channels, last, 3, next(halvings), norm=norm)]
        for stage, count in zip(STAGES, counts, strict=True):
            blocks = []
            stride = next(halvings) if stage.halves else 1
            out = divisible(width * stage.channels)
            for _ in range(count):
                sizes = (last, out, stage.expand, stage.kernel, stride)
                blocks.append(MBConv(*sizes, drop=next(drops), norm=norm))
                last, stride = out, 1
            layers.append(nn.Sequential(*blocks))
        layers.append(conv_bn_silu(last, HEAD * last, 1, norm=norm))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(HEAD * last, num_classes))
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (B, 3, 224, 224) -> (B, 1280, 7, 7)
        return self.classifier(self.avgpool(x).flatten(1))  # (B, num_classes)


def _initialise(model: EfficientNet) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)


class Scale(NamedTuple):
    """Published factors of one network, the side of its pictures in px, and its dropout."""

    width: float
    depth: float
    px: int
    dropout: float


SCALES = {
    "efficientnet_b0": Scale(1.0, 1.0, 224, 0.2),
    "efficientnet_b1": Scale(1.0, 1.1, 240, 0.2),
    "efficientnet_b2": Scale(1.1, 1.2, 260, 0.3),
    "efficientnet_b3": Scale(1.2, 1.4, 300, 0.3),
    "efficientnet_b4": Scale(1.4, 1.8, 380, 0.4),
    "efficientnet_b5": Scale(1.6, 2.2, 456, 0.4),
    "efficientnet_b6": Scale(1.8, 2.6, 528, 0.5),
    "efficientnet_b7": Scale(2.0, 3.1, 600, 0.5),
}
# torchvision's B5 to B7 have the BatchNorm settings of the weights they were converted from.
_CONVERTED = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


def _builder(name: str, scale: Scale) -> Callable[..., nn.Module]:
    options = {"width": scale.width, "depth": scale.depth, "dropout": scale.dropout}
    if name in ("efficientnet_b5", "efficientnet_b6", "efficientnet_b7"):
        options["norm"] = _CONVERTED
    return partial(EfficientNet, **options)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    name: _builder(name, scale) for name, scale in SCALES.items()
}
