"""Shift equivariance measured: does layer(shifted picture) equal shifted layer(picture)?

What you learn: convolution with circular padding commutes with every shift; zero padding breaks
that near the border; a stride of s keeps only the shifts by multiples of s, and so does pooling;
a dense layer keeps none.

    error(s) = min over shifts S' of the output of ||f(S_s x) - S' f(x)|| / ||f(x) - mean f(x)||

The minimum gives a layer with stride the benefit of any output shift. 0 is exact (whole numbers in
float64 add up without rounding), about 1.4 is two unrelated maps.

Papers: Zhang 2019 (blur before subsampling); Azulay & Weiss 2019. Used by demo_conv_math.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_04_cnn_classic.conv_im2col import conv2d_im2col as conv2d

Layer = Callable[[Tensor], Tensor]
CHANNELS = 4
SHIFTS = tuple(range(9))


def whole_weights(*shape: int, generator: torch.Generator) -> Tensor:
    """Random whole numbers from -3 to 3 as float64."""
    return torch.randint(-3, 4, shape, generator=generator).double()


def circular(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Convolution of a picture whose edges are joined, (B, C, H, W) -> (B, O, H/s, W/s)."""
    pad = weight.shape[-1] // 2
    return conv2d(F.pad(x, (pad,) * 4, mode="circular"), weight, stride=stride)


def blur_pool(x: Tensor) -> Tensor:
    """Max over 2x2 at every position, then a binomial blur, then every second value."""
    highest = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="circular"), 2, stride=1)
    line = torch.tensor([1, 2, 1], dtype=x.dtype) / 4  # powers of two: still no rounding
    blur = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(highest, (1,) * 4, mode="circular"), blur, stride=2, groups=x.shape[1])


def layers(size: int, generator: torch.Generator) -> dict[str, Layer]:
    """The layers compared, for pictures (1, 1, size, size)."""
    first = whole_weights(CHANNELS, 1, 3, 3, generator=generator)
    later = [whole_weights(CHANNELS, CHANNELS, 3, 3, generator=generator) for _ in range(2)]
    dense = whole_weights(size * size, size * size, generator=generator)

    def stack(x: Tensor) -> Tensor:
        for weight in (first, *later):
            x = F.max_pool2d(circular(x, weight).relu(), 2)  # (1, C, H, W) -> (1, C, H/2, W/2)
        return x

    return {
        "conv_circular": lambda x: circular(x, first),
        "conv_zero": lambda x: conv2d(x, first, padding=1),
        "conv_stride2": lambda x: circular(x, first, stride=2),
        "max_pool": lambda x: F.max_pool2d(circular(x, first).relu(), 2),
        "blur_pool": lambda x: blur_pool(circular(x, first).relu()),
        "three_stages": stack,
        "dense": lambda x: (dense @ x.flatten()).reshape(x.shape),
    }


def shift_difference(layer: Layer, x: Tensor, shift: int) -> Tensor:
    """layer(shifted x) minus the best shift of layer(x), the shape of layer(x)."""
    plain, moved = layer(x), layer(x.roll(shift, dims=-1))
    differences = [moved - plain.roll(step, dims=-1) for step in range(plain.shape[-1])]
    return min(differences, key=lambda difference: float(difference.square().sum()))


def shift_error(layer: Layer, x: Tensor, shift: int) -> float:
    """The error of the module's docstring."""
    output = layer(x)
    return float(shift_difference(layer, x, shift).norm() / (output - output.mean()).norm())


def border_band(
    x: Tensor, depth: int, shift: int, generator: torch.Generator
) -> dict[str, float | None]:
    """Where `depth` zero-padded 3x3 convolutions break a shift: columns that differ, and the error.

    `outside` is the largest difference more than `depth` columns away from the border and from
    the place the border moved to; it must be 0 (None: no column is that far away).
    """
    weights = [whole_weights(1, 1, 3, 3, generator=generator) for _ in range(depth)]

    def stack(picture: Tensor) -> Tensor:
        for weight in weights:
            picture = conv2d(picture, weight, padding=1)
        return picture

    plain = stack(x)
    difference = stack(x.roll(shift, dims=-1)) - plain.roll(shift, dims=-1)
    columns = difference.abs().amax(dim=(0, 1, 2))  # (1, 1, H, W) -> (W,)
    width = len(columns)
    from_border = torch.arange(width).minimum(width - 1 - torch.arange(width))
    far = (from_border >= depth) & (from_border.roll(shift) >= depth)
    return {
        "broken_columns": int((columns > 0).sum()),
        "error": float(difference.norm() / (plain - plain.mean()).norm()),
        "outside": float(columns[far].max()) if far.any() else None,
    }


def measure(x: Tensor, seeds: list[int]) -> dict[str, list[list[float]]]:
    """{layer: errors (seeds, shifts)}."""
    errors: dict[str, list[list[float]]] = {}
    for seed in seeds:
        made = layers(x.shape[-1], torch.Generator().manual_seed(seed))
        for name, layer in made.items():
            row = [shift_error(layer, x, shift) for shift in SHIFTS]
            errors.setdefault(name, []).append(row)
    return errors
