"""Which input pixel does output pixel (i, j) see? The integers behind every convolution.

What you learn: along one side of length n, with p0 zeros before and p1 after it, a kernel of k taps
that are d pixels apart covers d (k - 1) + 1 pixels. Moved in steps of s it fits

    n_out = floor((n + p0 + p1 - d (k - 1) - 1) / s) + 1      times,
    and tap u of position i sees the input pixel    i s - p0 + u d.

'same' padding makes n_out = n for s = 1: p0 + p1 = d (k - 1), and the odd pixel goes to the end.
A transposed convolution runs the other way: all n with the same n_out share one inverse,

    n = (n_out - 1) s - p0 - p1 + d (k - 1) + 1 + output_padding,       0 <= output_padding < s.

    from chapter_04_cnn_classic.conv_geometry import output_length
    output_length(32, kernel=3, stride=2, padding=(1, 1))     # 16

Reference: Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right))
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Geometry:
    """All sizes of one convolution. `windows`, im2col and the gradients need nothing else."""

    input_size: Pair  # (H, W) without padding
    output_size: Pair  # (Ho, Wo)
    kernel_size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int = 1


def pair(value: int | Sequence[int], name: str, smallest: int = 1) -> Pair:
    """3 or (3,) -> (3, 3); (3, 5) stays. ValueError for other lengths or values < smallest."""
    values = (value,) * 2 if isinstance(value, Integral) else tuple(value)
    values = values * 2 if len(values) == 1 else values
    if len(values) != 2 or any(v < smallest for v in values):
        raise ValueError(f"{name} must be one or two integers >= {smallest}, got {value!r}")
    return tuple(map(operator.index, values))  # of NumPy's integers Python's


def output_length(
    size: int, kernel: int, stride: int = 1, padding: Pair = (0, 0), dilation: int = 1
) -> int:
    """Number of positions along one side. ValueError if the kernel does not fit at all."""
    covered = dilation * (kernel - 1) + 1
    padded = size + sum(padding)
    if covered > padded:
        raise ValueError(
            f"the kernel covers {covered} pixels (kernel {kernel}, dilation {dilation}), "
            f"but the padded input has only {padded} (input {size}, padding {padding})"
        )
    return (padded - covered) // stride + 1


def transposed_length(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    output_padding: int = 0,
) -> int:
    """The side of a transposed convolution's output. ValueError where nothing would be left."""
    length = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 + output_padding
    if length < 1:
        raise ValueError(f"a side of {size} pixels would become {length}: padding is too large")
    return length


def resolve_padding(
    padding: int | str | Sequence[int], kernel_size: Pair, stride: Pair, dilation: Pair
) -> Padding:
    """2, (2, 1), 'valid' or 'same' -> ((top, bottom), (left, right))."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"padding='same' needs stride 1, got {stride}")
        totals = (d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True))
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid' or numbers, got {padding!r}")
    vertical, horizontal = pair(padding, "padding", smallest=0)
    return (vertical, vertical), (horizontal, horizontal)


def conv_geometry(
    input_size: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Geometry:
    """The geometry of a convolution over an input of (H, W) pixels."""
    kernel, step = pair(kernel_size, "kernel_size"), pair(stride, "stride")
    spread = pair(dilation, "dilation")
    pads = resolve_padding(padding, kernel, step, spread)
    output = tuple(map(output_length, input_size, kernel, step, pads, spread))
    return Geometry(tuple(input_size), output, kernel, step, pads, spread, groups)


def transposed_geometry(
    size: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Geometry:
    """The geometry of the convolution whose transpose maps `size` pixels to `.input_size`."""
    kernel, step = pair(kernel_size, "kernel_size"), pair(stride, "stride")
    spread, pad = pair(dilation, "dilation"), pair(padding, "padding", smallest=0)
    extra = pair(output_padding, "output_padding", smallest=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, step, spread, strict=True)):
        raise ValueError(f"output_padding {extra} must be below stride {step} or dilation {spread}")
    bigger = tuple(map(transposed_length, size, kernel, step, pad, spread, extra))
    pads = tuple((p, p) for p in pad)
    return Geometry(bigger, tuple(size), kernel, step, pads, spread, groups)


def pad_zeros(x: Tensor, padding: Padding) -> Tensor:
    """A frame of zeros around the last two dimensions. (..., H, W) -> (..., Hp, Wp)."""
    (top, bottom), (left, right) = padding
    if top == bottom == left == right == 0:
        return x
    height, width = x.shape[-2:]
    padded = x.new_zeros(*x.shape[:-2], top + height + bottom, left + width + right)
    padded[..., top : top + height, left : left + width] = x
    return padded


def crop(x: Tensor, padding: Padding) -> Tensor:
    """The opposite of `pad_zeros`, and its gradient. (..., Hp, Wp) -> (..., H, W)."""
    (top, bottom), (left, right) = padding
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def source_pixels(size: int, padding: Pair, mode: str) -> Tensor:
    """For each pixel of a padded side, the input pixel that it repeats. (size + p0 + p1,).

    Size 4, padding (2, 2): reflect 2 1 | 0 1 2 3 | 2 1, replicate 0 0 | 0 1 2 3 | 3 3,
    circular 2 3 | 0 1 2 3 | 0 1.
    """
    limits = {"reflect": size - 1, "circular": size, "replicate": max(padding)}
    if max(padding) > limits[mode] or size == 0:
        raise ValueError(f"{mode} padding of {padding} is too large for a side of {size} pixels")
    index = torch.arange(-padding[0], size + padding[1])
    if mode == "circular":
        return index % size
    if mode == "replicate":
        return index.clamp(0, size - 1)
    index = index.abs()  # mirrored at pixel 0, which is not repeated
    return torch.where(index > size - 1, 2 * (size - 1) - index, index)


def pad(x: Tensor, padding: Padding, mode: str = "zeros") -> Tensor:
    """Pad the last two dimensions in one of `PADDING_MODES`. (..., H, W) -> (..., Hp, Wp)."""
    if mode == "zeros":
        return pad_zeros(x, padding)
    rows, columns = (
        source_pixels(size, pads, mode).to(x.device)
        for size, pads in zip(x.shape[-2:], padding, strict=True)
    )
    return x.index_select(-2, rows).index_select(-1, columns)


def windows(padded: Tensor, geometry: Geometry) -> Tensor:
    """Every window at once, without a copy: (B, C, Hp, Wp) -> view (B, C, kh, kw, Ho, Wo).

    Element (b, c, u, v, i, j) is padded[b, c, i s + u d, j s + v d]: a step in i moves s rows
    on, a step in u moves d rows. The view names the same pixel many times, so for fixed (u, v)
    it may be written to, but never as a whole.
    """
    batch, channels, row, column = padded.stride()
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    shape = (*padded.shape[:2], *geometry.kernel_size, *geometry.output_size)
    return padded.as_strided(shape, (batch, channels, dh * row, dw * column, sh * row, sw * column))
