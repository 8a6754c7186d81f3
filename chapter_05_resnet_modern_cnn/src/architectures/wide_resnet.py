"""Wide residual networks (Zagoruyko & Komodakis 2016): fewer layers, more channels.

Depth has to be computed one layer after the other; width is computed at once. A 16-layer network
with k times the channels has k^2 times the weights a layer, trains several times faster than a
thousand thin layers, and is as accurate. The blocks are pre-activated (v2), as in the paper.

    wrn_d_k   CIFAR form: d = 6 n + 4 layers, widths 16 k, 32 k, 64 k
              wrn_28_10: 36.5 M parameters, 5.2 G MACs at 32 px; 4.00 % error on CIFAR-10 (paper)
    wide_resnet50_2   ResNet-50 with twice the inner channels: 68,883,240 parameters, 11.398 G MACs
    wide_resnet101_2  126,886,696 parameters, 22.753 G MACs at 224 px (torchvision's counts)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chapter_05_resnet_modern_cnn.src.architectures.resnet import (
    DEEP,
    Bottleneck,
    CifarResNet,
    resnet,
)


def wide_cifar_resnet(depth: int, widening: int) -> Callable[..., CifarResNet]:
    """A builder of WRN-depth-widening: its stem has 16 channels, its stages `widening` times more.

    ValueError unless depth = 6 n + 4 (the paper counts the projections as layers, too).
    """
    if (depth - 4) % 6:
        raise ValueError(f"a wide ResNet has 6 n + 4 layers, not {depth}")

    def build(
        num_classes: int = 10, channels: int = 3, skip: int = 0, **options: Any
    ) -> CifarResNet:
        widths = [width * widening for width in (16, 32, 64)]
        facts = {"widths": widths, "stem_width": 16, "shortcut": "B", "version": "v2"} | options
        return CifarResNet((depth - 4) // 6, num_classes, channels=channels, skip=skip, **facts)

    return build


NETWORKS = {
    "wide_resnet50_2": resnet(Bottleneck, DEEP[50], width_per_group=128),
    "wide_resnet101_2": resnet(Bottleneck, DEEP[101], width_per_group=128),
    "wrn_16_4": wide_cifar_resnet(16, 4),
    "wrn_28_10": wide_cifar_resnet(28, 10),
}
