"""Residual networks (He et al. 2015): a block learns what to add to its input.

    plain     y = relu(F(x))                   gradient dy/dx = dF/dx: a product over the layers
    residual  y = relu(S(x) + F(x))            gradient = S' + dF/dx: a sum, which keeps a 1

F is two 3x3 convolutions (`BasicBlock`) or 1x1, 3x3, 1x1 (`Bottleneck`: the 3x3 works on a quarter
of the channels). S, the shortcut, is the identity where shapes allow it. Everything that the papers
vary is a switch here, and each switch leaves the rest as it is:

    shortcut      "A" zeros for new channels, no weights    "B" a 1x1 projection where shapes change
                  "C" a projection in every block           "none" no shortcut: a PlainNet
    version       "v1"    relu after the sum, a bottleneck's stride in its first 1x1 convolution
                  "v1.5"  the same with the stride in the 3x3 (torchvision's; about 0.5 % better)
                  "v2"    pre-activation (He et al. 2016): BatchNorm and ReLU before each
                          convolution, nothing after the sum, so that x_L = x_l + sum of F
    zero_init     F starts at 0, by its last BatchNorm (v2: its last convolution): the block is S
                  (not with "A": a padded channel would be 0 in front of a ReLU for ever)
    resnet_d      a stem of three 3x3 convolutions, and an average pool before a strided projection
                  (He, Tong et al. 2019): no pixel is thrown away
    drop_path     stochastic depth (Huang et al. 2016), rising linearly to this rate
    attention     "se" or "cbam": F's channels (and places) are scaled before the sum

`ResNet` has torchvision's names, so its weights load here. `CifarResNet` is the paper's network for
32 px (section 4.2): three stages of n blocks, 6 n + 2 layers, shortcut "A".

             parameters    MACs at 224 px            parameters    MACs at 32 px
    resnet18  11,689,512    1.814 G         resnet20    0.27 M        41 M
    resnet34  21,797,672    3.664 G         resnet56    0.85 M       126 M
    resnet50  25,557,032    4.089 G         resnet110   1.7 M        253 M
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.common import HALVINGS, strides
from chapter_05_resnet_modern_cnn.src.architectures.residual_block import (
    ATTENTION,
    SHORTCUTS,
    VERSIONS,
    BasicBlock,
    Bottleneck,
    ResidualBlock,
    ZeroPadShortcut,
)

__all__ = [
    "NETWORKS",
    "SHORTCUTS",
    "VERSIONS",
    "BasicBlock",
    "Bottleneck",
    "CifarResNet",
    "ResNet",
    "ResidualBlock",
    "ZeroPadShortcut",
]


class ResNet(nn.Module):
    """Stem, four stages, average over the map, one linear layer; the switches are in the module's
    docstring. (B, channels, H, W) -> logits (B, num_classes).

    skip: halvings left out for small pictures, the first ones (architectures/common.py); then the
    stem is one 3x3 convolution. Strict load from torchvision's at the default switches.
    """

    def __init__(
        self,
        block: type[ResidualBlock],
        layers: Sequence[int],
        num_classes: int = 1000,
        *,
        channels: int = 3,
        skip: int = 0,
        widths: Sequence[int] = (64, 128, 256, 512),
        shortcut: str = "B",
        version: str = "v1.5",
        zero_init: bool = False,
        resnet_d: bool = False,
        drop_path: float = 0.0,
        attention: str = "none",
        **options: Any,
    ) -> None:
        super().__init__()
        check_switches(shortcut, version, attention)
        stem_stride, pool_stride, *stage_strides = strides(skip, HALVINGS)
        self.preactivated = version == "v2"
        self.conv1 = stem(channels, widths[0], stem_stride, resnet_d)
        self.bn1 = nn.Identity() if self.preactivated else nn.BatchNorm2d(widths[0])
        self.relu = nn.Identity() if self.preactivated else nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if pool_stride == 2 else nn.Identity()
        switches = {"shortcut": shortcut, "version": version, "resnet_d": resnet_d}
        switches |= {"attention": attention, **options}
        self.stages = len(layers)
        stages = list(zip(layers, widths, [1, *stage_strides], strict=True))
        width_in = add_stages(self, block, widths[0], stages, drop_path, **switches)
        self.norm = last_norm(width_in) if self.preactivated else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width_in, num_classes)
        initialise(self, zero_init)

    def features(self, x: Tensor) -> Tensor:
        """The last map, (B, channels, H, W) -> (B, C, H / 32, W / 32): what CAM looks at."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, 64, H / 4, W / 4)
        for number in range(1, self.stages + 1):
            x = getattr(self, f"layer{number}")(x)  # (B, 64 2^i, H / 4 / 2^i, ...), i = 0, 1, ...
        return self.norm(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x)).flatten(1)  # (B, C)
        return self.fc(x)  # (B, num_classes)


class CifarResNet(nn.Module):
    """The paper's network for small pictures: widths 16, 32, 64, `blocks` BasicBlocks a stage.

    Layers with weights: 6 blocks + 2. Two halvings, none in the stem; the first `skip` of them are
    left out, for finer maps at more cost.
    """

    def __init__(
        self,
        blocks: int,
        num_classes: int = 10,
        *,
        channels: int = 3,
        skip: int = 0,
        widths: Sequence[int] = (16, 32, 64),
        stem_width: int | None = None,
        shortcut: str = "A",
        version: str = "v1",
        zero_init: bool = False,
        drop_path: float = 0.0,
        attention: str = "none",
    ) -> None:
        super().__init__()
        check_switches(shortcut, version, attention)
        self.preactivated = version == "v2"
        first = stem_width or widths[0]
        self.conv1 = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.Identity() if self.preactivated else nn.BatchNorm2d(first)
        self.relu = nn.Identity() if self.preactivated else nn.ReLU(inplace=True)
        stages = zip([blocks] * 3, widths, [1, *strides(skip, 2)], strict=True)
        switches = {"shortcut": shortcut, "version": version, "attention": attention}
        last = add_stages(self, BasicBlock, first, stages, drop_path, **switches)
        self.norm = last_norm(last) if self.preactivated else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last, num_classes)
        initialise(self, zero_init)

    def features(self, x: Tensor) -> Tensor:
        """The last map, (B, channels, H, W) -> (B, 64, H / 4, W / 4), without `skip`."""
        x = self.relu(self.bn1(self.conv1(x)))  # (B, 16, H, W)
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, H / 4, W / 4)
        return self.norm(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x)).flatten(1)  # (B, 64)
        return self.fc(x)  # (B, num_classes)


def check_switches(shortcut: str, version: str, attention: str) -> None:
    """ValueError for a shortcut, version or attention that does not exist."""
    for name, value, known in (
        ("shortcut", shortcut, SHORTCUTS),
        ("version", version, VERSIONS),
        ("attention", attention, ATTENTION),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


def last_norm(channels: int) -> nn.Sequential:
    """What v2 has after its last sum."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def stem(channels: int, width: int, stride: int, resnet_d: bool) -> nn.Module:
    """7x7 with stride 2; 3x3 where the stride is skipped; or ResNet-D's three 3x3."""
    if not resnet_d:
        size = 7 if stride == 2 else 3
        return nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False)
    half = width // 2
    layers: list[nn.Module] = []
    for in_width, out_width, step in ((channels, half, stride), (half, half, 1)):
        conv = nn.Conv2d(in_width, out_width, 3, step, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(out_width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(half, width, 3, padding=1, bias=False))


def add_stages(
    model: nn.Module,
    block: type[ResidualBlock],
    channels: int,
    stages: Iterable[tuple[int, int, int]],
    drop_path: float,
    **switches: Any,
) -> int:
    """Set model.layer1, layer2, ... from (blocks, width, stride); returns the channels of the last.

    Block number l of L is dropped with probability drop_path l / L (Huang et al. 2016): early
    blocks, on whose features all others rest, are kept most often.
    """
    stages = list(stages)
    total, number = sum(count for count, _, _ in stages), 0
    for stage, (count, width, stride) in enumerate(stages, start=1):
        blocks = []
        for step in [stride] + [1] * (count - 1):
            number += 1
            rate = drop_path * number / total
            blocks.append(block(channels, width, step, drop_path=rate, **switches))
            channels = width * block.expansion
        model.add_module(f"layer{stage}", nn.Sequential(*blocks))
    return channels


def initialise(model: nn.Module, zero_init: bool) -> None:
    """He's first weights by fan-out, as torchvision's; with zero_init every block starts as S.

    A block without a shortcut must not start at zero, so a PlainNet ignores zero_init.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for module in model.modules():
        if zero_init and isinstance(module, ResidualBlock) and not module.plain:
            module.silence()


def resnet(block: type[ResidualBlock], layers: Sequence[int], **preset: Any) -> Callable:
    """A builder (num_classes, channels, skip, **options) of one depth."""

    def build(num_classes: int = 1000, channels: int = 3, skip: int = 0, **options: Any) -> ResNet:
        facts = preset | options
        return ResNet(block, layers, num_classes, channels=channels, skip=skip, **facts)

    return build


def cifar_resnet(depth: int, **preset: Any) -> Callable:
    """A builder (num_classes, channels, skip, **options) of 6 n + 2 = `depth` layers."""
    if (depth - 2) % 6:
        raise ValueError(f"a CIFAR ResNet has 6 n + 2 layers, not {depth}")

    def build(
        num_classes: int = 10, channels: int = 3, skip: int = 0, **options: Any
    ) -> CifarResNet:
        facts = {"channels": channels, "skip": skip} | preset | options
        return CifarResNet((depth - 2) // 6, num_classes, **facts)

    return build


BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
DEEP = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
CIFAR_DEPTHS = (20, 32, 44, 56, 110)


def family(prefix: str, **preset: Any) -> dict[str, Callable[..., nn.Module]]:
    """All depths under this prefix: ImageNet's and CIFAR's."""
    return (
        {
            f"{prefix}{depth}": resnet(BasicBlock, layers, **preset)
            for depth, layers in BASIC.items()
        }
        | {
            f"{prefix}{depth}": resnet(Bottleneck, layers, **preset)
            for depth, layers in DEEP.items()
        }
        | {f"{prefix}{depth}": cifar_resnet(depth, **preset) for depth in CIFAR_DEPTHS}
    )


NETWORKS = family("resnet") | family("plainnet", shortcut="none")
