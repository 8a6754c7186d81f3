"""Attention for convolutional maps: squeeze-and-excitation (SENet) and CBAM.

    SE:    s = sigmoid(fc2(act(fc1(mean_HW x))))              x * s,  s of shape (B, C, 1, 1)
    CBAM:  c = sigmoid(mlp(mean_HW x) + mlp(max_HW x))        x' = x * c
           m = sigmoid(conv7x7([mean_C x', max_C x']))        x' * m,  m of shape (B, 1, H, W)

A convolution adds its channels with fixed weights and sees a small window. Squeeze-and-excitation
sums the whole map up in one number a channel and lets those numbers scale the channels: the weight
of a channel now depends on the picture. CBAM adds the maximum to the summary and then scales the
places of the map in the same way.

Costs: SE has 2 C C/r weights (r is the reduction, 16 in the paper) and adds almost no
multiply-accumulates, since it works on 1x1 maps: SE-ResNet-50 has 10 % more parameters than
ResNet-50 and 0.26 % more operations (Hu et al. 2018, section 4). CBAM has the same weights for the
channels and 2 x 7 x 7 = 98 for the places.

Papers: Hu et al. 2018, "Squeeze-and-Excitation Networks"; Woo et al. 2018, "CBAM: Convolutional
Block Attention Module".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number in (0, 1) computed from the averages of all channels.

    (B, C, H, W) -> (B, C, H, W). `squeezed` is the width between the two 1x1 convolutions, which
    are linear layers written for (B, C, 1, 1). `activation` and `gate` are called without arguments
    to make the two nonlinearities (MobileNetV3: ReLU and Hardsigmoid; EfficientNet: SiLU and
    Sigmoid). The state_dict has the names of torchvision.ops.SqueezeExcitation.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        gate: Callable[[], nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.activation = activation()
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.avgpool(x)  # (B, C, H, W) -> (B, C, 1, 1)
        scale = self.gate(self.fc2(self.activation(self.fc1(squeezed))))  # (B, C, 1, 1)
        return x * scale


class ChannelAttention(nn.Module):
    """CBAM's first half: squeeze-and-excitation that also sees the maximum of each channel.

    (B, C, H, W) -> (B, C, H, W). One two-layer network without biases reads both summaries; its
    two answers are added before the sigmoid.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1, bias=False)
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1, bias=False)

    def _score(self, summary: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(summary)))  # (B, C, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        average = x.mean(dim=(2, 3), keepdim=True)  # (B, C, H, W) -> (B, C, 1, 1)
        maximum = x.amax(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * torch.sigmoid(self._score(average) + self._score(maximum))


class SpatialAttention(nn.Module):
    """CBAM's second half: scales each place of the map by one number for all channels.

    (B, C, H, W) -> (B, C, H, W). A single convolution reads two maps: the average and the maximum
    over the channels. `kernel_size` must be odd, else ValueError.
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the map's size, not {kernel_size}")
        # The authors' code has BatchNorm after it, the paper's equation has not.
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        average = x.mean(dim=1, keepdim=True)  # (B, C, H, W) -> (B, 1, H, W)
        maximum = x.amax(dim=1, keepdim=True)  # (B, 1, H, W)
        summary = torch.cat([average, maximum], dim=1)  # (B, 2, H, W)
        return x * torch.sigmoid(self.conv(summary))


class CBAM(nn.Module):
    """Channel attention, then spatial attention: (B, C, H, W) -> (B, C, H, W).

    ValueError if `kernel_size` is even.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))
