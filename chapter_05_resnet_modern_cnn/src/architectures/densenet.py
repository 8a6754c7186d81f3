"""DenseNet (Huang et al. 2017): each layer reads the maps of all layers before it.

    ResNet:    x_l = x_{l-1} + H_l(x_{l-1})
    DenseNet:  x_l = H_l([x_0, x_1, ..., x_{l-1}])          [...]: joined channel after channel

A sum mixes what it joins; a list keeps it. Every layer finds the earlier features as they were, so
it need not carry them on and adds only k new channels (the growth rate, 32), and the loss reaches
each layer by a path with few layers on it. With n layers in a block there are n (n + 1) / 2
connections instead of n.

    H_l: BatchNorm, ReLU, 1x1 to 4 k channels, BatchNorm, ReLU, 3x3 to k channels
    transition between blocks: BatchNorm, ReLU, 1x1 to half of the channels, average pool 2x2

The 1x1 convolutions are the B (bottleneck) and the halving is the C (compression) of the paper's
DenseNet-BC. The number in the name counts the layers with weights: 121 = 1 + 2 (6 + 12 + 24 + 16)
+ 3 + 1.

    network        parameters    MACs at 224 px   ImageNet accuracy (torchvision's weights)
    densenet121     7,978,856           2.83 G    74.4 %
    densenet169    14,149,480           3.36 G    75.6 %
    densenet201    20,013,928           4.29 G    76.9 %
    densenet161    28,681,000           7.73 G    77.1 %      (k = 48)

Counts are torchvision's. Few parameters, but not little memory: written as here, layer l joins and
normalises all earlier maps again, and training keeps both copies: more than n^2 maps of k channels
in a block of n layers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_05_resnet_modern_cnn.src.architectures.common import strides


class DenseLayer(nn.Module):
    """H_l: from the list of earlier maps, each (B, C_i, H, W), to `growth_rate` new channels."""

    def __init__(
        self, in_channels: int, growth_rate: int, bn_size: int = 4, drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        bottleneck = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, bottleneck, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck)
        self.conv2 = nn.Conv2d(bottleneck, growth_rate, kernel_size=3, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, features: list[Tensor]) -> Tensor:
        x = torch.cat(features, dim=1)  # (B, C_0 + ... + C_{l-1}, H, W)
        x = self.conv1(F.relu(self.norm1(x), inplace=True))  # (B, bn_size * growth_rate, H, W)
        x = self.conv2(F.relu(self.norm2(x), inplace=True))  # (B, growth_rate, H, W)
        return F.dropout(x, self.drop_rate, self.training)


class DenseBlock(nn.ModuleDict):
    """`depth` dense layers; (B, C, H, W) -> (B, C + depth * growth_rate, H, W), the input first."""

    def __init__(
        self, depth: int, in_channels: int, growth_rate: int, bn_size: int, drop_rate: float
    ) -> None:
        super().__init__()
        for i in range(depth):
            layer = DenseLayer(in_channels + i * growth_rate, growth_rate, bn_size, drop_rate)
            self[f"denselayer{i + 1}"] = layer

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, dim=1)


def transition(in_channels: int, out_channels: int, stride: int = 2) -> nn.Sequential:
    """(B, C, H, W) -> (B, N, H / stride, W / stride), floor; stride 1 leaves the pool out."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        norm=nn.BatchNorm2d(in_channels),
        relu=nn.ReLU(inplace=True),
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        pool=nn.AvgPool2d(2) if stride == 2 else nn.Identity(),
    )
    return nn.Sequential(parts)


def stem(channels: int, width: int, first: int, second: int) -> nn.Sequential:
    """The 7x7 convolution and the max-pool with these strides; a stride 1 takes 3x3 and no pool."""
    kernel = 7 if first == 2 else 3
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv0=nn.Conv2d(channels, width, kernel, first, padding=kernel // 2, bias=False),
        norm0=nn.BatchNorm2d(width),
        relu0=nn.ReLU(inplace=True),
        pool0=nn.MaxPool2d(3, stride=2, padding=1) if second == 2 else nn.Identity(),
    )
    return nn.Sequential(parts)


class DenseNet(nn.Module):
    """Logits (B, num_classes) of pictures (B, channels, H, W); drop-in for torchvision's.

    `growth_rate` new channels a layer, `block_config` layers in the blocks, `num_init_features`
    channels after the stem, `bn_size` times `growth_rate` channels inside a layer, `drop_rate` of
    the new channels' values (the paper: 0.2 where the data are not augmented). The first `skip` of
    the five halvings are left out: stem, max-pool, three transitions.

    First weights (He et al. 2015, as in the paper): convolutions with variance 2 / fan_in. The
    linear layer has torch's, with biases 0.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        channels: int = 3,
        skip: int = 0,
        *,
        growth_rate: int = 32,
        block_config: tuple[int, int, int, int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        first, second, *pools = strides(skip)
        width = num_init_features
        self.features = stem(channels, width, first, second)
        for i, depth in enumerate(block_config, start=1):
            block = DenseBlock(depth, width, growth_rate, bn_size, drop_rate)
            self.features.add_module(f"denseblock{i}", block)
            width += depth * growth_rate
            if i < len(block_config):
                compress = transition(width, width // 2, pools[i - 1])
                self.features.add_module(f"transition{i}", compress)
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.relu = nn.ReLU(inplace=True)
        self.classifier = nn.Linear(width, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.features(x))  # (B, 3, 224, 224) -> (B, 1024, 7, 7)
        return self.classifier(x.mean(dim=(2, 3)))  # (B, num_classes)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "densenet121": DenseNet,
    "densenet161": partial(
        DenseNet, growth_rate=48, block_config=(6, 12, 36, 24), num_init_features=96
    ),
    "densenet169": partial(DenseNet, block_config=(6, 12, 32, 32)),
    "densenet201": partial(DenseNet, block_config=(6, 12, 48, 32)),
}
