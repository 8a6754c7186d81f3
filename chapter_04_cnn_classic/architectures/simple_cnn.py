"""simple_cnn: the small network of the course, everything useful of VGG and NiN in 0.3 M weights.

    x (B, C, H, W) -> [conv 3x3, BatchNorm, ReLU] x 2 -> max-pool 2 -> ... -> average over the map
                   -> linear -> logits (B, K)

- Two 3x3 convolutions a stage see 5x5 pixels with 18 instead of 25 weights a channel pair (VGG,
  Simonyan & Zisserman 2014). They have no bias: BatchNorm (Ioffe & Szegedy 2015) subtracts it.
- The width doubles where the map halves, so that a stage costs about as much as the one before.
- The average over the map (NiN, Lin et al. 2013) replaces the large linear layers of AlexNet and
  VGG, and takes maps of any size: the same weights read pictures of 8 px (maps 8 -> 4 -> 2) and 96.

    model = SimpleCNN(num_classes=10, channels=3)      # 288,746 parameters, 38.6 M MACs at 32 px
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from chapter_04_cnn_classic.architectures.common import he_initialise

SMALLEST = 8  # px: two pools leave 2x2 for the last stage


def stage(in_channels: int, width: int) -> nn.Sequential:
    """Two convolutions of `width` channels that keep the map's size."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            norm1=nn.BatchNorm2d(width),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(),
        )
    )


class SimpleCNN(nn.Module):
    """Stages of two convolutions, halved in between; `widths` are the channels of each stage."""

    def __init__(
        self, num_classes: int = 10, channels: int = 3, widths: Sequence[int] = (32, 64, 128)
    ) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, width in enumerate(widths, 1):
            if number > 1:
                layers[f"pool{number - 1}"] = nn.MaxPool2d(2)
            layers[f"stage{number}"] = stage(channels, width)
            channels = width
        self.features = nn.Sequential(layers)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (B, C, H, W) -> (B, widths[-1], H / 4, W / 4) for three stages
        x = self.average(x).flatten(1)  # (B, widths[-1])
        return self.head(x)  # (B, num_classes)
