"""Attention in pictures: weights for the channels and for the places of a map.

What you learn: a block in a convolutional network that computes weights from the map and scales the
map with them is attention too. Three of them for a map x of shape (B, C, H, W):

    SE      x * sigmoid(MLP(mean_HW x))                     channels; chapter 5 built it
    CBAM    channels as SE, with the maximum; then places: a 7x7 convolution     chapter 5 as well
    SCSA    places: x * a_H * a_W,   a_H = sigmoid(norm(conv1d(mean_W x)))       (B, C, H, 1)
            channels: x * sigmoid(mean(softmax(q k^T / sqrt(C)) v))              (B, C, 1, 1)

The scaled dot product asks a query for the key that fits it, and its softmax makes the weights of
one query sum to 1: where one gains, another loses. SE's gate is a sigmoid: each channel has a
weight of its own in (0, 1), all may be open, and nothing is summed over channels: it is a rescaling
(`attend_channels` is the equation with the gate as an argument). Only SCSA's second half is the
dot product of this chapter: its tokens are the C channels, and a channel's features are the places
of the map, after pooling. Without weights of their own the channels have no order, so that half is
equivariant to permutations of them.

Sources: Hu et al. 2018 (SE); Woo et al. 2018 (CBAM); Si et al. 2024, "SCSA: Exploring the
Synergistic Effects Between Spatial and Channel Attention" (Neurocomputing 2025).
B batch, C channels, H, W map, N places of the pooled map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.residual_block import (
    ATTENTION,
    ResidualBlock,
)

KERNELS = (3, 5, 7, 9)
WINDOW = 7  # px: the smallest map of a ResNet for pictures of 224 px


def attend_channels(
    x: Tensor, scores: Tensor, gate: Callable[[Tensor], Tensor] = torch.sigmoid
) -> Tensor:
    """x (B, C, H, W) scaled by gate(scores), scores (B, C). SE is this with its MLP's scores.

    With `gate=lambda s: s.softmax(-1)` the channels share one unit of weight between them.
    """
    return x * gate(scores)[:, :, None, None]  # (B, C, H, W) * (B, C, 1, 1)


class SpatialSelfAttention(nn.Module):
    """SMSA, shareable multi-semantic spatial attention: weights for rows and for columns.

    (B, C, H, W) -> (B, C, H, W). The channels are cut into as many groups as there are kernels, and
    each group sees its own distance; rows and columns share the convolutions. The weights of a map
    are a product a_H a_W: 2 C numbers a side instead of C H W. ValueError unless C is a multiple of
    the number of kernels, and kernels are odd.
    """

    def __init__(self, channels: int, kernels: Sequence[int] = KERNELS) -> None:
        super().__init__()
        groups = len(kernels)
        if channels % groups:
            raise ValueError(f"channels must be a multiple of {groups}, not {channels}")
        if any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f"kernels must be odd to keep the map's size, not {tuple(kernels)}")
        size = channels // groups
        self.convs = nn.ModuleList(
            nn.Conv1d(size, size, kernel, padding=kernel // 2, groups=size) for kernel in kernels
        )
        self.norm_h = nn.GroupNorm(groups, channels)
        self.norm_w = nn.GroupNorm(groups, channels)

    def _convolved(self, line: Tensor) -> Tensor:
        parts = line.chunk(len(self.convs), dim=1)  # (B, C, L) -> groups of (B, C / groups, L)
        return torch.cat([conv(p) for conv, p in zip(self.convs, parts, strict=True)], dim=1)

    def weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """a_H (B, C, H, 1) and a_W (B, C, 1, W), in (0, 1)."""
        rows = torch.sigmoid(self.norm_h(self._convolved(x.mean(dim=3))))  # (B, C, H)
        columns = torch.sigmoid(self.norm_w(self._convolved(x.mean(dim=2))))  # (B, C, W)
        return rows.unsqueeze(3), columns.unsqueeze(2)  # (B, C, H, 1), (B, C, 1, W)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.weights(x)
        return x * rows * columns


class ChannelSelfAttention(nn.Module):
    """PCSA, progressive channel-wise self-attention, one head: the tokens are the channels.

    (B, C, H, W) -> (B, C, H, W). Pooling over windows leaves N places, the features of a channel.
    q, k and v scale each channel by one number (a depth-wise 1x1 convolution); a channel looks at
    all channels, and the mean over the places of what it found is its gate. The square root is
    that of C, as in the paper; the sum of a score runs over the N places. A map smaller than the
    window is pooled to one place; what does not fill a window is left out.
    """

    def __init__(self, channels: int, window: int = WINDOW) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.GroupNorm(1, channels)
        self.q = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        self.k = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
        self.v = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)

    def pooled(self, x: Tensor) -> Tensor:
        """Means of windows: (B, C, H, W) -> (B, C, H // w, W // w), at least one a side."""
        h, w = (min(self.window, side) for side in x.shape[2:])
        rows, columns = x.shape[2] // h, x.shape[3] // w
        x = x[:, :, : rows * h, : columns * w].unflatten(3, (columns, w)).unflatten(2, (rows, h))
        return x.mean(dim=(3, 5))  # (B, C, rows, h, columns, w) -> (B, C, rows, columns)

    def weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Who looks at whom, (B, C, C) with rows that sum to 1, and the gate (B, C) in (0, 1)."""
        y = self.norm(self.pooled(x))
        q, k, v = (layer(y).flatten(2) for layer in (self.q, self.k, self.v))  # (B, C, N) each
        scores = q @ k.transpose(1, 2) * x.shape[1] ** -0.5  # (B, C, C)
        attention = scores.softmax(dim=-1)
        return attention, torch.sigmoid((attention @ v).mean(dim=-1))  # (B, C, N) -> (B, C)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)[1][:, :, None, None]


class SCSA(nn.Module):
    """Spatial and channel synergistic attention: first places, then channels.

    (B, C, H, W) -> (B, C, H, W).
    ValueError unless the channels are a multiple of the number of kernels.
    """

    def __init__(
        self, channels: int, window: int = WINDOW, kernels: Sequence[int] = KERNELS
    ) -> None:
        super().__init__()
        self.spatial = SpatialSelfAttention(channels, kernels)
        self.channel = ChannelSelfAttention(channels, window)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel(self.spatial(x))


BLOCKS: dict[str, Callable[[int], nn.Module]] = ATTENTION | {"scsa": SCSA}  # chapter 5's, and ours


def put_attention(network: nn.Module, name: str) -> nn.Module:
    """Give every residual block of chapter 5's network this attention, in place; the network.

    Where SE and CBAM stand: after the branch F, before the sum. The other weights stay as they are,
    so networks of one seed differ in the attention alone. ValueError for an unknown name.
    """
    if name not in BLOCKS:
        raise ValueError(f"attention must be one of {', '.join(BLOCKS)}, not {name!r}")
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            block.attention = BLOCKS[name](getattr(block, f"conv{block.depth}").out_channels)
    return network


def multiply_accumulates(name: str, channels: int, height: int, width: int) -> int:
    """Of the weighted sums of one block on one map; gates, means and normalisations are left out.

    SE and CBAM: 2 C C/r a summary, r the reduction. CBAM's places: 2 * 49 a place. SCSA: (3 + 5 +
    7 + 9) C/4 a row and a column, 3 C N for q, k, v, and 2 C^2 N for the two products, over N
    windows.
    """
    if name == "se":
        return 2 * channels * max(4, channels // 16)
    if name == "cbam":
        return 4 * channels * max(1, channels // 16) + 98 * height * width
    if name == "scsa":
        n = (height // min(WINDOW, height)) * (width // min(WINDOW, width))
        lines = sum(KERNELS) * channels // len(KERNELS) * (height + width)
        return lines + 3 * channels * n + 2 * channels**2 * n
    return 0
