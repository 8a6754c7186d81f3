"""Normalisation layers: the same formula over different sets of numbers.

What you learn: take a set S of numbers, subtract its mean, divide by its standard deviation, then
let the network choose a new scale w and shift b. For an input (B, C, H, W) the set is

    BatchNorm      one channel of the whole batch        (B, H, W)     needs the batch
    LayerNorm      one example                           (C, H, W)     or the last dimensions only
    GroupNorm      some channels of one example          (C/G, H, W)
    InstanceNorm   one channel of one example            (H, W)
    RMSNorm        the last dimensions, no mean:         y = w x / sqrt(mean_S x^2 + eps)

Only BatchNorm mixes examples, so only it needs other statistics for evaluation.

Every class is a drop-in for its namesake in `torch.nn`: same arguments, same parameter and buffer
names. They choose S and give it as `dims` to functions.py, where the arithmetic stands: means and
rsqrt, never F.layer_norm and the like.

    from chapter_03_optimization_regularization.normalization import BatchNorm2d, make_norm

Papers: Ioffe & Szegedy 2015 (batch); Ba, Kiros & Hinton 2016 (layer); Ulyanov, Vedaldi & Lempitsky
2016 (instance); Wu & He 2018 (group); Zhang & Sennrich 2019 (RMS).
`python chapter_03_optimization_regularization/exp_normalization.py` compares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.normalization.batch import (
    BatchNorm2d,
    InstanceNorm2d,
)
from chapter_03_optimization_regularization.normalization.functions import (
    Dims,
    Norm,
    layer_norm_by_hand,
    per_channel,
    rms_norm_by_hand,
)


class LayerNorm(Norm):
    """Each example by itself, over its last dimensions, whose sizes are `normalized_shape`.

    (*, D) -> (*, D). w and b have the shape of D: every feature has its own.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        wanted = elementwise_affine, elementwise_affine and bias
        self._add_parameters(self.normalized_shape, *wanted, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        dims = last_dims(input, self.normalized_shape)
        return layer_norm_by_hand(input, self.weight, self.bias, self.eps, dims)

    def extra_repr(self) -> str:
        affine = self.elementwise_affine
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}"


def as_shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """4, NumPy's integers too, or (3, 4) -> a tuple of Python's integers."""
    one = isinstance(normalized_shape, Integral)
    return tuple(map(int, (normalized_shape,) if one else normalized_shape))


def last_dims(x: Tensor, shape: tuple[int, ...]) -> Dims:
    """(-2, -1) for a shape of two sizes; RuntimeError if x does not end in them."""
    if tuple(x.shape[-len(shape) :]) != shape:
        raise RuntimeError(f"an input that ends in {shape} is needed, got {tuple(x.shape)}")
    return tuple(range(-len(shape), 0))


class GroupNorm(Norm):
    """Each example by itself, over groups of C / num_groups channels. (B, C, *) -> (B, C, *).

    One group is LayerNorm over (C, *) with w and b per channel; C groups are InstanceNorm.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(f"{num_channels} channels do not make {num_groups} equal groups")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._add_parameters((num_channels,), affine, affine and bias, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        batch, channels = input.shape[:2]
        if channels != self.num_channels:
            raise RuntimeError(f"{self.num_channels} channels, but input {tuple(input.shape)}")
        shape = self.num_groups, channels // self.num_groups  # (G, C / G)
        size = math.prod(input.shape[2:])  # not -1: unknown for an empty batch
        groups = input.reshape(batch, *shape, size)  # (B, C, *) -> (B, G, C / G, n)
        parameters = (None if p is None else p.view(*shape, 1) for p in (self.weight, self.bias))
        y = layer_norm_by_hand(groups, *parameters, self.eps, dims=(-2, -1))
        return y.reshape(input.shape)  # (B, G, C / G, n) -> (B, C, *)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class RMSNorm(Norm):
    """LayerNorm without the mean and without b: y = w x / sqrt(mean(x^2) + eps). (*, D) -> (*, D).

    eps=None is the machine epsilon of the type it computes in (float32 for half precision).
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        shape = self.normalized_shape
        self._add_parameters(shape, elementwise_affine, False, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self._scale(x, self.weight, last_dims(x, self.normalized_shape))

    def _scale(self, x: Tensor, weight: Tensor | None, dims: Dims) -> Tensor:
        computed_in = torch.promote_types(x.dtype, torch.float32)
        eps = torch.finfo(computed_in).eps if self.eps is None else self.eps
        return rms_norm_by_hand(x, weight, eps, dims)

    def extra_repr(self) -> str:
        affine = self.elementwise_affine
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}"


class ChannelRMSNorm(RMSNorm):
    """RMSNorm over the C channels at each pixel of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return self._scale(x, per_channel(self.weight, x.ndim), dims=(1,))


def make_norm(kind: str, channels: int) -> nn.Module:
    """A normalisation for (B, C, H, W), each with one w (and b) per channel.

    none; batch; layer: over (C, H, W), GroupNorm with 1 group; group: 4 groups; instance: over
    (H, W); rms: over C at each pixel, no b.
    """
    kinds = {
        "none": lambda: nn.Identity(),
        "batch": lambda: BatchNorm2d(channels),
        "layer": lambda: GroupNorm(1, channels),
        "group": lambda: GroupNorm(4, channels),
        "instance": lambda: InstanceNorm2d(channels, affine=True),
        "rms": lambda: ChannelRMSNorm(channels),
    }
    if kind not in kinds:
        raise ValueError(f"the normalisation must be one of {', '.join(kinds)}, got {kind!r}")
    return kinds[kind]()
