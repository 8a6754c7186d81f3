"""ShuffleNetV2 (Ma et al. 2018): half of the channels pass by, then all are shuffled.

    stride 1:  x -> split -> a --------------------------------- cat -> shuffle -> y
                          -> b -> 1x1 -> 3x3 depthwise -> 1x1 ---+

    shuffle with g groups: channel i n + j -> channel j g + i      (i < g, j < n = C / g)

Networks of equal multiply-accumulates (MACs) differ in speed, since memory is moved as well. For a
1x1 convolution from C1 to C2 channels on a map of H W pixels

    MACs = H W C1 C2,    memory accesses = H W (C1 + C2) + C1 C2 >= 2 sqrt(H W MACs) + MACs / (H W)

with equality where C1 = C2. From this and from timings the paper draws four rules: (1) as many
channels in as out; (2) no large groups in 1x1 convolutions; (3) few parallel pieces; (4) few
element-wise operations: they have no MACs to speak of, but they cost time. MobileNetV2's wide
inside breaks rule 1, its additions rule 4. Here the shortcut is half of the channels, untouched and
never added, and the shuffle lets the next unit work on a half that comes from both.

A unit that halves the map does not split: both branches read all channels and each gives half of
the output, which is how the channels grow.

    network         parameters    MACs at 224 px   ImageNet accuracy (paper)
    x0_5             1,366,792            40 M     60.3 %
    x1_0             2,278,604           145 M     69.4 %
    x1_5             3,503,624           296 M     72.6 %
    x2_0             7,393,996           583 M     74.9 %

Counts are torchvision's; the paper has 41, 146, 299 and 591 M.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.common import conv_bn, strides
from chapter_05_resnet_modern_cnn.src.architectures.mobilenet import initialise

REPEATS = (4, 8, 4)  # units in stages 2, 3, 4
WIDTHS = {  # table 5 of the paper: channels of conv1, stages 2, 3, 4, and conv5
    "x0_5": (24, 48, 96, 192, 1024),
    "x1_0": (24, 116, 232, 464, 1024),
    "x1_5": (24, 176, 352, 704, 1024),
    "x2_0": (24, 244, 488, 976, 2048),
}


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels out: the first of each group, then the second of each, and so on.

    (B, C, H, W) -> (B, C, H, W); C must be a multiple of `groups`.
    """
    x = x.unflatten(1, (groups, -1))  # (B, groups, C / groups, H, W)
    return x.transpose(1, 2).flatten(1, 2)  # (B, C, H, W)


class ShuffleUnit(nn.Module):
    """One unit; it splits its input where it keeps the channels, else both branches read all."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.splits = in_channels == out_channels
        to_branch2 = half if self.splits else in_channels
        self.branch1 = nn.Sequential()  # passes its half on as it is
        if not self.splits:
            self.branch1 = nn.Sequential(
                *conv_bn(in_channels, in_channels, 3, stride, groups=in_channels, activation=None),
                *conv_bn(in_channels, half, 1),
            )
        self.branch2 = nn.Sequential(
            *conv_bn(to_branch2, half, 1),
            *conv_bn(half, half, 3, stride, groups=half, activation=None),
            *conv_bn(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1) if self.splits else (x, x)  # (B, C / 2, H, W) each
        x = torch.cat([self.branch1(a), self.branch2(b)], dim=1)  # (B, N, H / stride, W / stride)
        return channel_shuffle(x, groups=2)


class ShuffleNetV2(nn.Module):
    """Logits (B, num_classes) of pictures (B, channels, H, W); drop-in for torchvision's.

    `widths` are the channels of conv1, stages 2, 3, 4 and conv5. The first `skip` of the five
    halvings are left out (the second is the max-pool). First weights: see `mobilenet.initialise`;
    the paper does not say.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        channels: int = 3,
        skip: int = 0,
        *,
        widths: tuple[int, int, int, int, int] = WIDTHS["x1_0"],
    ) -> None:
        super().__init__()
        first, second, *rest = strides(skip)
        width, *stages, last = widths
        self.conv1 = conv_bn(channels, width, 3, first)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if second == 2 else nn.Identity()
        for number, (out, repeats, stride) in enumerate(zip(stages, REPEATS, rest, strict=True), 2):
            units = [ShuffleUnit(width, out, stride)]
            units += [ShuffleUnit(out, out, stride=1) for _ in range(repeats - 1)]
            self.add_module(f"stage{number}", nn.Sequential(*units))
            width = out
        self.conv5 = conv_bn(width, last, 1)
        self.fc = nn.Linear(last, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))  # (B, 3, 224, 224) -> (B, 24, 56, 56)
        x = self.stage2(x)  # (B, 116, 28, 28) in x1_0
        x = self.stage3(x)  # (B, 232, 14, 14)
        x = self.conv5(self.stage4(x))  # (B, 464, 7, 7) -> (B, 1024, 7, 7)
        return self.fc(x.mean(dim=(2, 3)))  # (B, num_classes)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    f"shufflenet_v2_{name}": partial(ShuffleNetV2, widths=widths) for name, widths in WIDTHS.items()
}
