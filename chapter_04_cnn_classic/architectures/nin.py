"""Network in network (Lin, Chen & Yan 2013): 1x1 convolutions, and an average instead of layers.

- After each convolution two of size 1x1: a small network with one hidden layer, applied to the
  channels of every pixel with the same weights. A convolution alone finds linear patterns; this
  one is not limited to them.
- The last layer has one map for each class. Its average over all pixels is the class's score: no
  linear layer, no weights that belong to a place, nothing to overfit there.

The paper does not print its widths; these are of the authors' own configurations for Caffe. `NiN`
is the ImageNet form: 7,595,176 parameters for 1,000 classes (AlexNet: 61.1 M), all of them in
convolutions. `SmallNiN` is their CIFAR-10 form: 966,986 parameters, 0.22 G multiply-accumulates at
32 px. It differs in He's first weights and in that no ReLU follows the last layer: the original's
class maps cannot go below 0, where a class that starts there stays.
"""

from __future__ import annotations

from torch import Tensor, nn

from chapter_04_cnn_classic.architectures.common import LARGE, check_size, he_initialise

SMALLEST = 8  # px: maps 8, 4, 2


def block(
    in_channels: int, widths: tuple[int, int, int], kernel_size: int, **options: int
) -> nn.Sequential:
    """A convolution and two of 1x1, each with ReLU; `options`: stride and padding of the first."""
    layers: list[nn.Module] = []
    for number, width in enumerate(widths):
        extra = options if number == 0 else {}
        layers.append(nn.Conv2d(in_channels, width, 1 if number else kernel_size, **extra))
        layers.append(nn.ReLU(inplace=True))
        in_channels = width
    return nn.Sequential(*layers)


class NiN(nn.Module):
    """The ImageNet form, for pictures of about 224 px: 54x54 maps, pooled to 27, 13 and 6."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.block1 = block(3, (96, 96, 96), 11, stride=4)
        self.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.block2 = block(96, (256, 256, 256), 5, padding=2)
        self.pool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.block3 = block(256, (384, 384, 384), 3, padding=1)
        self.pool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.dropout = nn.Dropout(dropout)
        self.block4 = block(384, (1024, 1024, num_classes), 3, padding=1)
        self.average = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.block1(x))  # (B, 3, 224, 224) -> (B, 96, 27, 27)
        x = self.pool2(self.block2(x))  # (B, 256, 13, 13)
        x = self.pool3(self.block3(x))  # (B, 384, 6, 6)
        x = self.block4(self.dropout(x))  # (B, num_classes, 6, 6)
        return self.average(x).flatten(1)  # (B, num_classes)


class SmallNiN(nn.Module):
    """The CIFAR-10 form for pictures of 8 to 223 px; from 64 px on the first stride is 2."""

    def __init__(
        self, num_classes: int = 10, channels: int = 3, image_size: int = 32, dropout: float = 0.5
    ) -> None:
        super().__init__()
        check_size("nin", image_size, SMALLEST)
        stride = 1 if image_size < LARGE else 2
        self.block1 = block(channels, (192, 160, 96), 5, stride=stride, padding=2)
        self.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.dropout1 = nn.Dropout(dropout)
        self.block2 = block(96, (192, 192, 192), 5, padding=2)
        self.pool2 = nn.AvgPool2d(3, stride=2, ceil_mode=True)
        self.dropout2 = nn.Dropout(dropout)
        self.block3 = block(192, (192, 192, num_classes), 3, padding=1)[:-1]  # no last ReLU
        self.average = nn.AdaptiveAvgPool2d(1)
        he_initialise(self)
        nn.init.normal_(self.block3[-1].weight, std=0.01)  # the classes' layer starts small

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout1(self.pool1(self.block1(x)))  # (B, C, 32, 32) -> (B, 96, 16, 16)
        x = self.dropout2(self.pool2(self.block2(x)))  # (B, 192, 8, 8)
        x = self.block3(x)  # (B, num_classes, 8, 8)
        return self.average(x).flatten(1)  # (B, num_classes)
