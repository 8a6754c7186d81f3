"""GoogLeNet (Szegedy et al. 2014): four branches side by side, kept cheap by 1x1 convolutions.

    inception: x -> cat(1x1;  1x1 then 3x3;  1x1 then 5x5;  3x3 max-pool then 1x1)

The size at which a pattern shows is not known beforehand, so each module looks at several and lets
the next one choose. The 1x1 convolutions before the large kernels cut the channels first. In 3a,
on 28x28 maps of 192 channels, the 5x5 branch costs 12.4 M multiply-accumulates with its 1x1 to 16
channels, and would cost 120.4 M without. Average pooling before the last layer (from NiN) saves
AlexNet's linear layers; two auxiliary classifiers on earlier maps pass gradients to the depths
while training and are dropped after it.

`GoogLeNet` is torchvision's variant, whose state_dict it loads: BatchNorm after each convolution
(2015, so not the paper's), no biases, and 3x3 kernels in the branch where the paper has 5x5.
6,624,904 parameters without the auxiliary heads and 13,004,888 with them, 1.5 G
multiply-accumulates. `SmallGoogLeNet` reads 8 to 223 px: a 3x3 stem that shrinks the picture less
(not at all below 16 px, by 2 below 64 px, else by 4), half of all channels, no auxiliary heads, and
plain logits: 1.4 M parameters.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_04_cnn_classic.architectures.common import LARGE, check_size, he_initialise

GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])

SMALLEST = 8  # px: maps 8, 4, 2
# Channels of the 1x1 branch; 1x1 and 3x3 of the second; 1x1 and 3x3 of the third; after the pool.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# The ImageNet means and deviations of the three channels, which `transform_input` takes back.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BasicConv2d(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches on the same map, joined channel after channel; the map keeps its size."""

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
    ) -> None:
        super().__init__()
        self.out_channels = ch1x1 + ch3x3 + ch5x5 + pool_proj
        self.branch1 = BasicConv2d(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1),
            BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, kernel_size=1),
            BasicConv2d(ch5x5red, ch5x5, kernel_size=3, padding=1),  # the paper: 5x5
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            BasicConv2d(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], dim=1)  # (B, out_channels, H, W)


class InceptionAux(nn.Module):
    """An auxiliary classifier on a map of any size."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv = BasicConv2d(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.adaptive_avg_pool2d(x, 4))  # (B, C, H, W) -> (B, 128, 4, 4)
        x = F.relu(self.fc1(x.flatten(1)))  # (B, 1024)
        return self.fc2(self.dropout(x))  # (B, num_classes)


def _add_inceptions(model: nn.Module, channels: int, width: float = 1.0) -> int:
    """Set model.inception3a ... inception5b; returns the channels of the last."""
    for name, plan in INCEPTIONS.items():
        module = Inception(channels, *(round(width * n) for n in plan))
        model.add_module(f"inception{name}", module)
        channels = module.out_channels
    return channels


class GoogLeNet(nn.Module):
    """The ImageNet form for pictures of at least 15 px; drop-in for torchvision's.

    While training with `aux_logits` it returns GoogLeNetOutputs(logits, aux_logits2, aux_logits1),
    else logits. The paper adds the two auxiliary losses with weight 0.3. `transform_input` turns
    pictures normalised with ImageNet's statistics into (x - 0.5) / 0.5, as the original's weights
    want them. torchvision's `blocks` argument is left out.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        *,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.conv1 = BasicConv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        channels = _add_inceptions(self, 192)
        self.aux1 = InceptionAux(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        if init_weights:
            for module in self.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    nn.init.trunc_normal_(module.weight, std=0.01, a=-2, b=2)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        if self.transform_input:
            x = _undo_imagenet_statistics(x)
        with_aux = self.training and self.aux_logits
        x = self.maxpool1(self.conv1(x))  # (B, 3, 224, 224) -> (B, 64, 56, 56)
        x = self.maxpool2(self.conv3(self.conv2(x)))  # (B, 192, 28, 28)
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # (B, 480, 14, 14)
        x = self.inception4a(x)  # (B, 512, 14, 14)
        aux1 = self.aux1(x) if with_aux else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))  # (B, 528, 14, 14)
        aux2 = self.aux2(x) if with_aux else None
        x = self.maxpool4(self.inception4e(x))  # (B, 832, 7, 7)
        x = self.inception5b(self.inception5a(x))  # (B, 1024, 7, 7)
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))  # (B, num_classes)
        return GoogLeNetOutputs(logits, aux2, aux1) if with_aux else logits


class SmallGoogLeNet(nn.Module):
    """The small-image form; `width` scales all channels of the ImageNet form."""

    def __init__(
        self,
        num_classes: int = 10,
        channels: int = 3,
        image_size: int = 32,
        width: float = 0.5,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_size("googlenet", image_size, SMALLEST)
        first, second = round(width * 64), round(width * 192)
        stride = 1 if image_size < LARGE else 2
        self.conv1 = BasicConv2d(channels, first, kernel_size=3, stride=stride, padding=1)
        self.maxpool1 = nn.MaxPool2d(2, ceil_mode=True) if image_size >= 16 else nn.Identity()
        self.conv2 = BasicConv2d(first, first, kernel_size=1)
        self.conv3 = BasicConv2d(first, second, kernel_size=3, padding=1)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        last = _add_inceptions(self, second, width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(last, num_classes)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3(
            self.conv2(self.maxpool1(self.conv1(x)))
        )  # (B, C, 32, 32) -> (B, 96, 16, 16)
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # (B, 240, 8, 8)
        x = self.inception4c(self.inception4b(self.inception4a(x)))  # (B, 256, 8, 8)
        x = self.maxpool4(self.inception4e(self.inception4d(x)))  # (B, 416, 4, 4)
        x = self.inception5b(self.inception5a(x))  # (B, 512, 4, 4)
        return self.fc(self.dropout(self.avgpool(x).flatten(1)))  # (B, num_classes)


def _undo_imagenet_statistics(x: Tensor) -> Tensor:
    """(x std + mean - 0.5) / 0.5 channel by channel; x is (B, 3, H, W)."""
    mean = x.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = x.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return x * (std / 0.5) + (mean - 0.5) / 0.5
