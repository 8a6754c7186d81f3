"""ConvNeXt (Liu et al. 2022): a residual network with the choices of a vision Transformer.

    block: y = x + gamma * Linear(GELU(Linear(LayerNorm(depthwise7x7(x)))))
           channels:  C      C -> C      C -> 4C -> C

The depthwise convolution mixes places, channel by channel; the two linear layers mix channels,
place by place. A Transformer's block has the same two halves, with self-attention in place of the
convolution. One normalisation and one activation a block; LayerNorm reads a single place and so
depends on no batch. Between the stages a 2x2 convolution of stride 2 halves the map.

`convnext_path.py` goes from ResNet-50 to this network in small steps.

LayerScale (Touvron et al. 2021): gamma is one trained factor a channel, first 1e-6, so that each
block begins as the identity. Stochastic depth (`stochastic_depth.py`) grows to 0.1 at the last
block.

ConvNeXt-T has 28,589,128 parameters and 4.456 G multiply-accumulates at 224 px (torchvision's
count). 97.5 % of the blocks' multiply-accumulates are in the linear layers: the 7x7 kernels cost
little because each reads one channel only.

First weights: normal of deviation 0.02 and biases 0, as in torchvision and the authors' code (Table
5 of the paper prints 0.2).

Papers: Liu et al. 2022, "A ConvNet for the 2020s"; Touvron et al. 2021, "Going Deeper with Image
Transformers".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_05_resnet_modern_cnn.src.architectures.common import strides
from chapter_05_resnet_modern_cnn.src.architectures.stochastic_depth import (
    StochasticDepth,
    linear_rates,
)

EPS = 1e-6  # of every LayerNorm


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of each place: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x.permute(0, 2, 3, 1))  # (B, H, W, C)
        return x.permute(0, 3, 1, 2)  # (B, C, H, W)


class Permute(nn.Module):
    """Puts the axes in another order."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


class CNBlock(nn.Module):
    """(B, C, H, W) -> (B, C, H, W); the formula is at the top of the file.

    The linear layers act on the last axis, so the channels are brought there. A 1x1 convolution
    would compute the same.
    """

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim),
            Permute(0, 2, 3, 1),  # (B, H, W, C)
            nn.LayerNorm(dim, eps=EPS),
            nn.Linear(dim, 4 * dim),  # (B, H, W, 4C)
            nn.GELU(),
            nn.Linear(4 * dim, dim),  # (B, H, W, C)
            Permute(0, 3, 1, 2),  # (B, C, H, W)
        )
        self.layer_scale = nn.Parameter(torch.full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.stochastic_depth(self.layer_scale * self.block(x))


class Downsample(nn.Sequential):
    """LayerNorm and a 2x2 convolution: (B, C, H, W) -> (B, C', H / stride, W / stride).

    The norm steadies training, where a bare convolution between stages lets it diverge (section
    2.6 of the paper). With stride 1 (small pictures) a row and a column of zeros below and to the
    right keep the map's size.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, kernel_size=2, stride=stride)
        super().__init__(LayerNorm2d(in_channels), convolution)

    def forward(self, x: Tensor) -> Tensor:
        norm, convolution = self
        x = norm(x)
        if convolution.stride == (1, 1):
            x = F.pad(x, (0, 1, 0, 1))  # (B, C, H + 1, W + 1)
        return convolution(x)


def patchify(in_channels: int, out_channels: int, skip: int = 0, bias: bool = True) -> nn.Conv2d:
    """The stem: cuts the picture into patches of 4x4 px and maps each to one vector.

    The kernel equals the stride, so patches do not overlap. It makes two of the five halvings:
    with `skip` 1 patches have 2x2 px, from 2 on a 3x3 convolution of stride 1 takes their place.
    """
    if skip >= 2:
        return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=bias)
    side = 2 if skip else 4
    return nn.Conv2d(in_channels, out_channels, kernel_size=side, stride=side, bias=bias)


class ConvNeXt(nn.Module):
    """ConvNeXt with `depths` blocks of `widths` channels in its four stages; the default is Tiny.

    (B, channels, H, W) -> logits (B, num_classes). torchvision's state_dict. Pictures have at
    least 32 px with `skip` 0 (`common.halvings_to_skip` chooses it).
    """

    def __init__(
        self,
        num_classes: int = 1000,
        depths: Sequence[int] = (3, 3, 9, 3),
        widths: Sequence[int] = (96, 192, 384, 768),
        layer_scale: float = 1e-6,
        stochastic_depth_prob: float = 0.1,
        *,
        channels: int = 3,
        skip: int = 0,
    ) -> None:
        super().__init__()
        rates = iter(linear_rates(stochastic_depth_prob, sum(depths)))
        stem = nn.Sequential(patchify(channels, widths[0], skip), LayerNorm2d(widths[0]))
        layers: list[nn.Module] = [stem]
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i > 0:
                layers.append(Downsample(widths[i - 1], width, strides(skip)[i + 1]))
            blocks = [CNBlock(width, layer_scale, next(rates)) for _ in range(depth)]
            layers.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            LayerNorm2d(widths[-1]), nn.Flatten(1), nn.Linear(widths[-1], num_classes)
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (B, 3, 224, 224) -> (B, 768, 7, 7)
        return self.classifier(self.avgpool(x))  # (B, num_classes)


def initialise(model: nn.Module) -> None:
    """Truncated normal weights of deviation 0.02 and biases 0 in all convolutions and linears."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"convnext_tiny": ConvNeXt}
