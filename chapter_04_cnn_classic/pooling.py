"""Pooling: one number for each window, channel by channel.

What you learn: pooling is a convolution without weights. It makes images smaller and forgets where
in the window something was. For a window S with n numbers:

    max         y = max_S x               dL/dx: all of g to the pixel that won, 0 to the others
    average     y = sum_S x / n           dL/dx: g / n to every pixel of the window
    Lp          y = (sum_S x^p)^(1/p)     p = 1 sum, p = 2 length, p -> infinity max
    adaptive    the number of windows is given and not their size; they may overlap

    window i of m over n pixels (adaptive):    floor(i n / m) <= pixel < ceil((i + 1) n / m)

`ceil_mode` also keeps the last window that hangs over the right or lower edge, if it starts inside
the input or its left padding. Padding is -inf for max, which never wins, and 0 for the average.

Every class is a drop-in for its namesake in torch.nn: inputs (B, C, H, W) or (C, H, W).

    from chapter_04_cnn_classic.pooling import MaxPool2d

Papers: LeCun et al. 1998 (average); Jarrett et al. 2009 (max against average);
Sermanet, Chintala & LeCun 2012 (Lp); Lin, Chen & Yan 2014 (global average).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from chapter_04_cnn_classic.conv_geometry import Geometry, Padding, Pair, pair, windows
from chapter_04_cnn_classic.conv_im2col import accumulator_type

Size = int | Sequence[int]
Bins = int | None | Sequence[int | None]


def pooled_length(
    size: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Number of windows along a side. ValueError if not one fits."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1  # the last window would start in the right padding and hold no pixel
    if count < 1:
        raise ValueError(
            f"a pooling window of {dilation * (kernel - 1) + 1} pixels does not fit into "
            f"{size} pixels with padding {padding}"
        )
    return count


def pooling_geometry(
    size: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Geometry:
    """All sizes; the lower and right padding grow (or shrink) to where the last window ends."""
    kernel, spread = pair(kernel_size, "kernel_size"), pair(dilation, "dilation")
    no_stride = stride is None or (isinstance(stride, Sequence) and not stride)
    step = kernel if no_stride else pair(stride, "stride")
    before = pair(padding, "padding", smallest=0)
    if any(2 * p > k for p, k in zip(before, kernel, strict=True)):
        raise ValueError(f"padding {before} is more than half of the kernel {kernel}")
    sides = list(zip(size, kernel, step, before, spread, strict=True))
    output = tuple(pooled_length(*side, ceil_mode) for side in sides)
    ends = ((n - 1) * s + d * (k - 1) + 1 for n, (_, k, s, _, d) in zip(output, sides, strict=True))
    pads = tuple((p, max(p, e - p - n)) for p, e, n in zip(before, ends, size, strict=True))
    return Geometry(tuple(size), output, kernel, step, pads, spread)


def pad_with(x: Tensor, padding: Padding, value: float) -> Tensor:
    """A frame of `value`. (B, C, H, W) -> (B, C, Hp, Wp)."""
    (top, bottom), (left, right) = padding
    if top == bottom == left == right == 0:
        return x
    height, width = x.shape[-2:]
    padded = x.new_full((*x.shape[:-2], top + height + bottom, left + width + right), value)
    padded[..., top : top + height, left : left + width] = x
    return padded


def winners(x: Tensor, geometry: Geometry) -> Tensor:
    """Where each window's largest number is: row * W + column in the input. (B, C, Ho, Wo).

    Of equal numbers the first in reading order wins, as in torch, and nan beats all.
    """
    # Even the smallest pixel, -inf or an integer's lowest, must beat the padding.
    if x.is_floating_point():
        x, lowest = x.clamp(min=torch.finfo(x.dtype).min), -math.inf
    else:
        lowest = torch.iinfo(torch.int64).min
        x = x.long().clamp(min=lowest + 1)
    taps = windows(pad_with(x, geometry.padding, lowest), geometry)  # (B, C, kh, kw, Ho, Wo)
    best = taps[:, :, 0, 0]  # (B, C, Ho, Wo)
    winner = torch.zeros(best.shape, dtype=torch.int64, device=x.device)
    for number, (u, v) in enumerate(product(*map(range, geometry.kernel_size))):
        rival = taps[:, :, u, v]
        winner.masked_fill_((rival > best) | rival.isnan(), number)
        best = torch.maximum(best, rival)  # nan, if either is
    return pixel_number(winner, geometry)


def pixel_number(tap: Tensor, geometry: Geometry) -> Tensor:
    """Tap number u kw + v at output position (i, j) -> pixel number in the plane (H, W)."""
    (top, _), (left, _) = geometry.padding
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    height, width = (torch.arange(n, device=tap.device) for n in geometry.output_size)
    rows = (height * sh - top)[:, None] + tap // geometry.kernel_size[1] * dh
    columns = width * sw - left + tap % geometry.kernel_size[1] * dw
    return rows * geometry.input_size[1] + columns


def take(x: Tensor, pixels: Tensor) -> Tensor:
    """x at the pixel numbers; its gradient goes back to those pixels. (B, C, H, W) -> (B, C, *)."""
    return x.flatten(2).gather(2, pixels.flatten(2)).view(pixels.shape)


def max_pool2d(x: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Largest numbers and where they are. (B, C, H, W) -> twice (B, C, Ho, Wo)."""
    with torch.no_grad():
        pixels = winners(x, geometry)
    return take(x, pixels), pixels


def window_sum(x: Tensor, geometry: Geometry) -> Tensor:
    """The sum over each window, first along columns, then along rows. -> (B, C, Ho, Wo)."""
    total = pad_with(x, geometry.padding, 0.0)  # (B, C, Hp, Wp)
    for dim in (-1, -2):
        count, step = geometry.output_size[dim], geometry.stride[dim]
        ranges = (slice(t, t + count * step, step) for t in range(geometry.kernel_size[dim]))
        pieces = (total[..., r] if dim == -1 else total[..., r, :] for r in ranges)
        total = sum(piece.narrow(dim, 0, count) for piece in pieces)
    return total


def window_counts(geometry: Geometry, count_include_pad: bool, padding: Pair) -> Tensor:
    """How many numbers each window averages over. (Ho, Wo).

    Zeros of the padding count if asked for; what hangs over beyond it in ceil_mode never does.
    """
    sides = []
    for dim in range(2):
        size, extra = geometry.input_size[dim], padding[dim]
        start = torch.arange(geometry.output_size[dim]) * geometry.stride[dim] - extra
        end = (start + geometry.kernel_size[dim]).clamp(max=size + extra)
        if not count_include_pad:
            start, end = start.clamp(min=0), end.clamp(max=size)
        sides.append(end - start)
    return torch.outer(*sides)


def averageable(x: Tensor) -> Tensor:
    """x in the type to add it up in. NotImplementedError for integers, as in torch."""
    if not x.is_floating_point():
        raise NotImplementedError(f"an average needs floating point: call .float() on {x.dtype}")
    return x.to(accumulator_type(x.dtype))


class _Pool2d(nn.Module):
    """Unbatched inputs are given a batch dimension; the rest is `_pool`."""

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if input.ndim not in (3, 4):
            raise ValueError(f"(B, C, H, W) or (C, H, W) is needed, got {tuple(input.shape)}")
        if input.ndim == 4:
            return self._pool(input)
        result = self._pool(input.unsqueeze(0))
        return result.squeeze(0) if isinstance(result, Tensor) else tuple(r[0] for r in result)

    def _pool(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        raise NotImplementedError


class MaxPool2d(_Pool2d):
    """The largest number of each window. (B, C, H, W) -> (B, C, Ho, Wo).

    `return_indices` also gives row * W + column of each winner, int64.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _pool(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        window = self.kernel_size, self.stride, self.padding, self.dilation
        values, pixels = max_pool2d(x, pooling_geometry(x.shape[-2:], *window, self.ceil_mode))
        return (values, pixels) if self.return_indices else values

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(_Pool2d):
    """The mean of each window. (B, C, H, W) -> (B, C, Ho, Wo).

    The sum is divided by the pixels in the window, with the padding's zeros (count_include_pad)
    or without, or by `divisor_override`.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        if divisor_override == 0:
            raise ValueError("divisor_override must not be 0")
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _pool(self, x: Tensor) -> Tensor:
        window = self.kernel_size, self.stride, self.padding
        geometry = pooling_geometry(x.shape[-2:], *window, ceil_mode=self.ceil_mode)
        padding = pair(self.padding, "padding", smallest=0)
        divisor = self.divisor_override
        if divisor is None:
            divisor = window_counts(geometry, self.count_include_pad, padding).to(x.device)
        full = x if x.dtype == torch.int64 else averageable(x)  # int64: cut towards 0, as in torch
        return (window_sum(full, geometry) / divisor).to(x.dtype)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool2d(_Pool2d):
    """(sum over the window of x^p)^(1/p). (B, C, H, W) -> (B, C, Ho, Wo).

    As in torch, x^p keeps the sign for odd p, a negative sum gives nan for p > 1, and a window that
    hangs over (ceil_mode) is scaled up as if it were full.
    """

    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        if norm_type == 0:
            raise ValueError("norm_type must not be 0")
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def _pool(self, x: Tensor) -> Tensor:
        window = pooling_geometry(
            x.shape[-2:], self.kernel_size, self.stride, ceil_mode=self.ceil_mode
        )
        if math.isinf(self.norm_type):  # the limits: the largest and the smallest |x|
            sign = math.copysign(1.0, self.norm_type)
            return sign * max_pool2d(sign * x.abs(), window)[0]
        counts = window_counts(window, True, (0, 0)).to(x.device)
        powers = x.pow(float(self.norm_type))  # float: the square of an integer may not fit
        total = window_sum(powers, window) / counts * math.prod(window.kernel_size)
        # At a sum of 0 the root has an infinite slope; relu makes the gradient 0 there, as torch.
        return (torch.sign(total) * torch.relu(total.abs())).pow(1 / self.norm_type)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


LPPool = LPPool2d


def bins(size: int, count: int) -> list[Pair]:
    """The windows of adaptive pooling: [(start, end), ...], all pixels covered, at least one each.

    5 pixels in 3 bins: (0, 2), (1, 4), (3, 5).
    """
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def bin_counts(output_size: Bins, size: Sequence[int]) -> Pair:
    """7, (7, None) -> how many bins each side gets; None keeps the side as it is."""
    wanted = output_size if isinstance(output_size, Sequence) else (output_size,) * 2
    if len(wanted) != 2 or any(w is not None and w < 0 for w in wanted):
        raise ValueError(f"output_size must be one or two sizes or None, got {output_size!r}")
    if 0 in size:
        raise ValueError(f"cannot pool an empty image of {tuple(size)} pixels")
    return tuple(n if w is None else int(w) for w, n in zip(wanted, size, strict=True))


def bin_means(x: Tensor, dim: int, count: int) -> Tensor:
    """The mean over each bin along one side: (..., size, ...) -> (..., count, ...).

    One product with a matrix of 1 / length and 0 would do, but 0 * inf is nan: one such pixel would
    reach the bins that it does not belong to.
    """
    edges = bins(x.shape[dim], count)
    means = [x.narrow(dim, i, j - i).mean(dim, keepdim=True) for i, j in edges]
    return torch.cat(means, dim) if means else x.narrow(dim, 0, 0)


class AdaptiveAvgPool2d(_Pool2d):
    """The mean over each of m x n bins: (B, C, H, W) -> (B, C, m, n), first rows, then columns.

    output_size 1 is global average pooling.
    """

    def __init__(self, output_size: Bins) -> None:
        super().__init__()
        self.output_size = output_size

    def _pool(self, x: Tensor) -> Tensor:
        full = averageable(x)
        rows, columns = bin_counts(self.output_size, x.shape[-2:])
        if rows == columns == 1:
            return full.mean((-2, -1), keepdim=True).to(x.dtype)
        along = bin_means(full, -2, rows)  # (B, C, H, W) -> (B, C, m, W)
        return bin_means(along, -1, columns).to(x.dtype)  # -> (B, C, m, n)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(_Pool2d):
    """The largest number of each of m x n bins: (B, C, H, W) -> (B, C, m, n)."""

    def __init__(self, output_size: Bins, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def _pool(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        counts = bin_counts(self.output_size, x.shape[-2:])
        width, pixels = x.shape[-1], []
        for (top, bottom), (left, right) in product(*map(bins, x.shape[-2:], counts)):
            best = x[..., top:bottom, left:right].detach().flatten(2).argmax(-1)  # (B, C)
            row, column = best // (right - left), best % (right - left)
            pixels.append((top + row) * width + left + column)
        index = torch.stack(pixels, dim=-1).unflatten(-1, counts)  # (B, C, m, n)
        return (take(x, index), index) if self.return_indices else take(x, index)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
