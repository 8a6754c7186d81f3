"""The residual block: a branch F, a shortcut S, and the order in which they are joined.

    v1    y = relu(S(x) + F(x)),   F = conv, BatchNorm, ReLU, conv, BatchNorm
    v2    y = S(x) + F(x),         F = BatchNorm, ReLU, conv, BatchNorm, ReLU, conv

`BasicBlock` has two 3x3 convolutions, `Bottleneck` 1x1, 3x3, 1x1; what may be switched is told in
resnet.py, which builds networks of these blocks.

Papers: He et al. 2015 (blocks, shortcuts); He et al. 2016 (v2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_05_resnet_modern_cnn.src.architectures.attention_blocks import (
    CBAM,
    SqueezeExcitation,
)
from chapter_05_resnet_modern_cnn.src.architectures.stochastic_depth import StochasticDepth

SHORTCUTS = ("A", "B", "C", "none")
ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "se": lambda channels: SqueezeExcitation(channels, max(4, channels // 16)),
    "cbam": CBAM,
}
VERSIONS = ("v1", "v1.5", "v2")


class ZeroPadShortcut(nn.Module):
    """Option A: every `stride`-th pixel, and zeros for the channels that the input lacks."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride, self.missing = stride, out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]  # (B, C, H, W) -> (B, C, H / s, W / s)
        before = self.missing // 2
        return F.pad(x, (0, 0, 0, 0, before, self.missing - before))  # (B, C_out, H / s, W / s)


def projection(
    in_channels: int, out_channels: int, stride: int, normed: bool, pooled: bool
) -> nn.Sequential:
    """A 1x1 convolution; `normed` adds BatchNorm, `pooled` takes the mean of the pixels first."""
    layers: list[nn.Module] = []
    if pooled and stride > 1:
        layers.append(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        stride = 1
    layers.append(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False))
    if normed:
        layers.append(nn.BatchNorm2d(out_channels))
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """S(x) + F(x) for a list of convolutions F, in both orders of the activation.

    The convolutions are conv1, conv2, ...; their normalisations bn1, bn2, ...: after them (v1), or
    before (v2). `downsample` is None for the identity; torchvision gave it that name.
    """

    expansion = 1  # channels of the block over `width`

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        shortcut: str = "B",
        version: str = "v1.5",
        resnet_d: bool = False,
        drop_path: float = 0.0,
        attention: str = "none",
        **options: Any,
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.preactivated, self.plain = version == "v2", shortcut == "none"
        convolutions = self.convolutions(in_channels, width, stride, version, **options)
        for number, conv in enumerate(convolutions, start=1):
            channels = conv.in_channels if self.preactivated else conv.out_channels
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(channels))
        self.depth = len(convolutions)
        self.relu = nn.ReLU(inplace=True)
        self.attention = ATTENTION[attention](out_channels)
        self.drop_path = StochasticDepth(drop_path)
        self.downsample: nn.Module | None = None
        changes = stride > 1 or in_channels != out_channels
        if shortcut == "A" and changes:
            self.downsample = ZeroPadShortcut(in_channels, out_channels, stride)
        elif shortcut == "C" or (shortcut == "B" and changes):
            facts = (in_channels, out_channels, stride)
            self.downsample = projection(*facts, not self.preactivated, resnet_d)

    def convolutions(
        self, in_channels: int, width: int, stride: int, version: str, **options: Any
    ) -> list[nn.Conv2d]:
        """F, from the input on."""
        raise NotImplementedError

    @torch.no_grad()
    def silence(self) -> None:
        """Make F(x) = 0, in place, by what comes last in F.

        v2 ends in a convolution. Its last BatchNorm must not be zeroed: the ReLU after it would
        stand at 0, where it passes no gradient on.
        """
        last = getattr(self, f"{'conv' if self.preactivated else 'bn'}{self.depth}")
        last.weight.zero_()

    def branch(self, x: Tensor) -> Tensor:
        """F(x), (B, C, H, W) -> (B, C_out, H / stride, W / stride); in v2 x is activated."""
        for number in range(1, self.depth + 1):
            conv, norm = getattr(self, f"conv{number}"), getattr(self, f"bn{number}")
            if self.preactivated:
                x = conv(x if number == 1 else self.relu(norm(x)))
            else:
                x = norm(conv(x))
                x = x if number == self.depth else self.relu(x)
        return self.attention(x)

    def activated(self, x: Tensor) -> Tensor:
        """What a v2 block's convolutions read."""
        return F.relu(self.bn1(x))

    def forward(self, x: Tensor) -> Tensor:
        if self.preactivated:
            active = self.activated(x)
            change = self.branch(active)
            if self.plain:
                return change
            # A shortcut that changes the shape reads the activated input; the identity reads x.
            short = x if self.downsample is None else self.downsample(active)
            return short + self.drop_path(change)
        change = self.branch(x)
        if not self.plain:
            short = x if self.downsample is None else self.downsample(x)
            change = short + self.drop_path(change)
        return self.relu(change)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions: 18 C^2 weights for C channels."""

    def convolutions(
        self, in_channels: int, width: int, stride: int, version: str, **options: Any
    ) -> list[nn.Conv2d]:
        if options.get("groups", 1) != 1 or options.get("width_per_group", 64) != 64:
            raise ValueError("a BasicBlock has one group of the usual width")
        first = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        return [first, nn.Conv2d(width, width, 3, padding=1, bias=False)]


class Bottleneck(ResidualBlock):
    """1x1 down, 3x3, 1x1 up: 17 w^2 weights for 4 w channels, where two 3x3 would need 288 w^2.

    `groups` and `width_per_group` are ResNeXt's and WideResNet's way to spend the saving.
    """

    expansion = 4

    def convolutions(
        self,
        in_channels: int,
        width: int,
        stride: int,
        version: str,
        *,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> list[nn.Conv2d]:
        inner = width * width_per_group // 64 * groups
        first, second = (stride, 1) if version == "v1" else (1, stride)
        return [
            nn.Conv2d(in_channels, inner, 1, first, bias=False),
            nn.Conv2d(inner, inner, 3, second, padding=1, groups=groups, bias=False),
            nn.Conv2d(inner, width * self.expansion, 1, bias=False),
        ]
