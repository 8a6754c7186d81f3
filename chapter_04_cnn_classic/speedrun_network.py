"""The network of the speedrun: a whitened first layer, three blocks, a scaled linear head.

What you learn: when seconds count, every part must earn its place.

    pictures (B, 3, H, W) -> whitening 2x2 (B, 24, H-1, W-1) -> block -> block -> block
                          -> global max -> linear -> logits (B, K) / 9
    block: conv 3x3, max-pool 2, BatchNorm, GELU, conv 3x3, BatchNorm, GELU

- Whitening. Neighbouring pixels are almost equal, so the first layer of an ordinary network spends
  its first epochs on learning differences. The eigenvectors of the covariance of 2x2 patches, each
  divided by the root of its eigenvalue, give decorrelated channels of variance one at once, with
  nothing to train but a bias. Each eigenvector comes with both signs, as the GELU that follows
  keeps one side only.
- The pool comes straight after the wide convolution of a block: what follows costs a quarter.
- Weights start as the identity where shapes allow it (Dirac): at the start a block passes on what
  it gets. BatchNorm has no scale: GELU's input scale is not worth a parameter here.
- The convolutions' weights are matrices (out, 9 in), as Muon needs them, in the order that makes
  the 4-D view channels_last.

Papers and code the ideas come from: Page 2018 ("How to train your ResNet", whitening), Jordan 2024
("94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498; airbench). Written anew here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOGIT_SCALE = 1 / 9


class MatrixConv2d(nn.Module):
    """A 3x3 convolution, padding 1, no bias, whose weight is a matrix (out, 9 in)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.weight = nn.Parameter(torch.empty(out_channels, 9 * in_channels))
        with torch.no_grad():
            self.kernel().copy_(identity_kernel(out_channels, in_channels))

    def kernel(self) -> Tensor:
        """The weight as (out, in, 3, 3), a view."""
        return self.weight.view(-1, 3, 3, self.in_channels).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), padding=1)  # (B, in, H, W) -> (B, out, H, W)


def identity_kernel(out_channels: int, in_channels: int) -> Tensor:
    """(out, in, 3, 3): output k copies input k while there is one; the rest is random."""
    kernel = nn.init.kaiming_uniform_(torch.empty(out_channels, in_channels, 3, 3), a=5**0.5)
    count = min(out_channels, in_channels)
    nn.init.dirac_(kernel[:count])
    return kernel


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    """(B, in, H, W) -> (B, out, H // 2, W // 2)."""
    return nn.Sequential(
        MatrixConv2d(in_channels, out_channels),
        nn.MaxPool2d(2),
        norm(out_channels),
        nn.GELU(),
        MatrixConv2d(out_channels, out_channels),
        norm(out_channels),
        nn.GELU(),
    )


def norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm with a trained shift and no scale, with a short memory for a short training."""
    layer = nn.BatchNorm2d(channels, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


class SpeedNet(nn.Module):
    """`widths`: channels of the blocks. Call `whiten_(patches)` before training."""

    def __init__(self, widths: Sequence[int] = (48, 160, 256), num_classes: int = 10) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        nn.init.zeros_(self.whiten.bias)
        channels, blocks = 24, []
        for width in widths:
            blocks.append(block(channels, width))
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes, bias=False)

    def whiten_(self, pictures: Tensor) -> None:
        """Set the first layer from standardised training pictures (N, 3, H, W)."""
        filters = whitening_filters(pictures)  # (12, 3, 2, 2)
        with torch.no_grad():
            self.whiten.weight.copy_(torch.cat([filters, -filters]))  # (24, 3, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.whiten(x))  # (B, 3, H, W) -> (B, 24, H - 1, W - 1)
        x = self.blocks(x)  # (B, widths[-1], about H / 8, W / 8)
        x = x.amax(dim=(2, 3))  # (B, widths[-1])
        return self.head(x) * LOGIT_SCALE  # (B, num_classes)


def whitening_filters(pictures: Tensor, size: int = 2, eps: float = 5e-4) -> Tensor:
    """Filters (C s s, C, s, s) whose outputs on these pictures are uncorrelated, variance one.

    With P the matrix of all patches (rows) and P^T P / n = V diag(lambda) V^T, the rows of
    diag(lambda + eps)^(-1/2) V^T do it. eps keeps directions of nothing but noise from being
    blown up. The mean is not subtracted: the pictures are standardised.
    """
    channels = pictures.shape[1]
    patches = pictures.unfold(2, size, 1).unfold(3, size, 1)  # (N, C, H', W', s, s)
    rows = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * size * size)  # (n, C s s)
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))  # (d,), (d, d)
    filters = vectors.T / (values + eps).sqrt()[:, None]  # (d, d), a filter a row
    return filters.flip(0).reshape(-1, channels, size, size)  # strongest direction first
