"""RegNet (Radosavovic et al. 2020): widths and depths of all stages from a straight line.

    block j of n:    u_j = w_0 + w_a j                     widths on a line
                     s_j = round(log(u_j / w_0) / log w_m) which power of w_m is nearest
                     w_j = w_0 w_m^s_j                     then rounded to a multiple of 8
    residual block:  x -> 1x1 -> 3x3 in groups (-> squeeze-and-excitation) -> 1x1, + shortcut

Blocks of equal width form a stage. The authors did not search for one good network but for a rule
that good networks obey: they trained samples of 500 random ones for a few epochs, kept what the
best had in common, and were left with the line above. Four numbers (n, w_0, w_a, w_m) and the
width of a group then fix the network. The best ones had no bottleneck (all three convolutions are
equally wide), a w_m near 2.5, and about 20 blocks whatever their size.

RegNetX has plain blocks, RegNetY squeeze-and-excitation after the grouped convolution. The number
in the name is the multiply-accumulates at 224 px (400MF: 0.4 G).

                     X 400MF   X 800MF  X 1.6GF  X 3.2GF  Y 400MF   Y 800MF  Y 1.6GF  Y 3.2GF
    10^6 param.      5.50      7.26     9.19     15.30    4.34      6.43     11.20    19.44
    G MACs (224 px)  0.414     0.800    1.603    3.177    0.402     0.834    1.612    3.176

Counts as torchvision publishes them; its settings of the larger networks fit `Rule` too.

First weights: He et al. 2015 by fan-out for convolutions, normal of deviation 0.01 for the last
layer.

Paper: Radosavovic et al. 2020, "Designing Network Design Spaces".
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.attention_blocks import SqueezeExcitation
from chapter_05_resnet_modern_cnn.src.architectures.common import (
    conv_bn,
    divisible,
    strides,
)

STEM = 32  # channels of the first layer


@dataclass(frozen=True)
class Rule:
    """The numbers that fix a RegNet. ValueError unless w_0 > 0, w_a >= 0 and w_m > 1."""

    blocks: int
    w_0: int
    w_a: float
    w_m: float
    group_width: int
    se_ratio: float = 0.0  # squeezed width / width of the block's input; 0: no SE (RegNetX)

    def __post_init__(self) -> None:
        if self.w_0 <= 0 or self.w_a < 0 or self.w_m <= 1:
            raise ValueError(f"w_0 > 0, w_a >= 0 and w_m > 1 are needed, not {self}")

    def widths(self) -> list[int]:
        """The width of every block: the line, moved to powers of w_m, then to multiples of 8."""
        line = [self.w_0 + self.w_a * j for j in range(self.blocks)]
        powers = [round(math.log(u / self.w_0) / math.log(self.w_m)) for u in line]
        return [8 * round(self.w_0 * self.w_m**s / 8) for s in powers]

    def stages(self) -> list[tuple[int, int, int]]:
        """(width, blocks, group width) of each stage; the width is a whole number of groups."""
        result = []
        for width, blocks in Counter(self.widths()).items():  # widths never fall
            group = min(self.group_width, width)
            result.append((divisible(width, group), blocks, group))
        return result


class ResBottleneckBlock(nn.Module):
    """(B, in, H, W) -> (B, out, H / stride, W / stride); ReLU after the sum, as in ResNet.

    With `project` the shortcut is a 1x1 convolution: in the first block of a stage.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        group_width: int,
        se_ratio: float = 0.0,
        project: bool = False,
    ) -> None:
        super().__init__()
        self.proj = None
        if project:
            self.proj = conv_bn(in_channels, out_channels, 1, stride, activation=None)
        groups = out_channels // group_width
        layers = OrderedDict(
            a=conv_bn(in_channels, out_channels, 1),
            b=conv_bn(out_channels, out_channels, 3, stride, groups=groups),
        )
        if se_ratio:
            layers["se"] = SqueezeExcitation(out_channels, round(se_ratio * in_channels))
        layers["c"] = conv_bn(out_channels, out_channels, 1, activation=None)
        self.f = nn.Sequential(layers)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.proj is None else self.proj(x)
        return self.activation(shortcut + self.f(x))


RULES = {
    "regnet_x_400mf": Rule(22, 24, 24.48, 2.54, group_width=16),
    "regnet_x_800mf": Rule(16, 56, 35.73, 2.28, group_width=16),
    "regnet_x_1_6gf": Rule(18, 80, 34.01, 2.25, group_width=24),
    "regnet_x_3_2gf": Rule(25, 88, 26.31, 2.25, group_width=48),
    "regnet_y_400mf": Rule(16, 48, 27.89, 2.09, group_width=8, se_ratio=0.25),
    "regnet_y_800mf": Rule(14, 56, 38.84, 2.4, group_width=16, se_ratio=0.25),
    "regnet_y_1_6gf": Rule(27, 48, 20.71, 2.65, group_width=24, se_ratio=0.25),
    "regnet_y_3_2gf": Rule(21, 80, 42.63, 2.66, group_width=24, se_ratio=0.25),
}


class RegNet(nn.Module):
    """The network of a rule: (B, channels, H, W) -> logits (B, num_classes).

    torchvision's state_dict. ValueError unless the rule gives four stages, each of which halves
    the map.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        rule: Rule = RULES["regnet_y_400mf"],
        *,
        channels: int = 3,
        skip: int = 0,
    ) -> None:
        super().__init__()
        stages = rule.stages()
        if len(stages) != 4:
            raise ValueError(f"the rule gives {len(stages)} stages, not 4: {rule}")
        first, *others = strides(skip)
        self.stem = conv_bn(channels, STEM, 3, first)
        self.trunk_output = nn.Sequential()
        width = STEM
        for number, (stage, stride) in enumerate(zip(stages, others, strict=True), start=1):
            blocks = nn.Sequential()
            out_channels, count, group_width = stage
            for i in range(count):
                sizes = (width, out_channels, stride, group_width, rule.se_ratio)
                block = ResBottleneckBlock(*sizes, project=i == 0)
                blocks.add_module(f"block{number}-{i}", block)
                width, stride = out_channels, 1
            self.trunk_output.add_module(f"block{number}", blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, num_classes)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk_output(self.stem(x))  # (B, 3, 224, 224) -> (B, width, 7, 7)
        return self.fc(self.avgpool(x).flatten(1))  # (B, num_classes)


def _initialise(model: RegNet) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.normal_(model.fc.weight, std=0.01)
    nn.init.zeros_(model.fc.bias)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    name: partial(RegNet, rule=rule) for name, rule in RULES.items()
}
