"""AlexNet (Krizhevsky, Sutskever & Hinton 2012): LeNet made large, with ReLU and dropout.

`AlexNet` is the version on one processor of Krizhevsky's 2014 paper ("One weird trick ..."), the
one in torchvision, whose state_dict it loads: 64 instead of 96 first filters, no split of the
channels over two GPUs, no local response normalisation.

    (B, 3, 224, 224) -11x11, stride 4-> 64 @ 55 -pool-> 27 -5x5-> 192 @ 27 -pool-> 13
      -3x3 three times-> 384, 256, 256 @ 13 -pool-> 256 @ 6 -> 9,216 -> 4,096 -> 4,096 -> K

61,100,840 parameters for 1,000 classes, 58.6 M of them in the three linear layers (the first alone
has 37.8 M); of the 0.71 G multiply-accumulates, the convolutions do 92 %.

`SmallAlexNet` reads pictures of 8 to 223 px: 5x5 kernels with stride 1 (2 from 64 px on) instead of
11x11 with stride 4, pools that round up (padding 1), the map averaged to at most 4x4, and two
hidden linear layers of 1,024.
"""

from __future__ import annotations

from torch import Tensor, nn

from chapter_04_cnn_classic.architectures.common import LARGE, check_size, he_initialise

SMALLEST = 8  # px: maps 4, 2, 1
WIDTHS = (64, 192, 384, 256, 256)  # channels of the five convolutions


class AlexNet(nn.Module):
    """The ImageNet form for pictures of at least 63 px; drop-in for torchvision's."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        stem = nn.Conv2d(3, WIDTHS[0], kernel_size=11, stride=4, padding=2)
        self.features = _features(stem, pool_padding=0)
        self.avgpool = nn.AdaptiveAvgPool2d(6)  # 224 px give 6x6 anyway; other sizes are fitted
        self.classifier = _classifier(WIDTHS[-1] * 6 * 6, 4096, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (B, 3, H, W) -> (B, 256, 6, 6)
        return self.classifier(x.flatten(1))  # (B, num_classes)


class SmallAlexNet(nn.Module):
    """The small-image form; the layers keep the names and numbers of the ImageNet form."""

    def __init__(
        self,
        num_classes: int = 10,
        channels: int = 3,
        image_size: int = 32,
        hidden: int = 1024,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_size("alexnet", image_size, SMALLEST)
        stride = 1 if image_size < LARGE else 2
        stem = nn.Conv2d(channels, WIDTHS[0], kernel_size=5, stride=stride, padding=2)
        last_map = -(-image_size // (8 * stride))  # px; the stem and each pool round up
        side = min(4, last_map)
        self.features = _features(stem, pool_padding=1)
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        self.classifier = _classifier(WIDTHS[-1] * side**2, hidden, num_classes, dropout)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (B, C, H, W) -> (B, 256, side, side)
        return self.classifier(x.flatten(1))  # (B, num_classes)


def _features(stem: nn.Conv2d, pool_padding: int) -> nn.Sequential:
    """Five convolutions, with overlapping 3x3 pools of stride 2 after the 1st, 2nd and 5th."""
    first, second, third, fourth, fifth = WIDTHS

    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(kernel_size=3, stride=2, padding=pool_padding)

    return nn.Sequential(
        *(stem, nn.ReLU(inplace=True), pool()),
        *(nn.Conv2d(first, second, kernel_size=5, padding=2), nn.ReLU(inplace=True), pool()),
        *(nn.Conv2d(second, third, kernel_size=3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(third, fourth, kernel_size=3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(fourth, fifth, kernel_size=3, padding=1), nn.ReLU(inplace=True), pool()),
    )


def _classifier(inputs: int, hidden: int, num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Dropout(dropout), nn.Linear(inputs, hidden), nn.ReLU(inplace=True)),
        *(nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU(inplace=True)),
        nn.Linear(hidden, num_classes),
    )
