"""Matrix products and convolution.

What you learn: for Y = A B,  dL/dA = G B^T  and  dL/dB = A^T G : read off the shapes, there is only
one way to fit them together. And a convolution is a matrix product too, once every window of the
image has been laid out as a column (`unfold`; the classic name is im2col):

    x (B, C, H, W) -> columns (B, C*kh*kw, H'*W'),    y = weight (O, C*kh*kw) @ columns

The windows overlap, so one pixel stands in several columns. Laying them out costs nothing but
strides: the window view points at the same memory several times. Its transpose `fold` adds the
columns back. Each is the other's VJP, so convolution can be differentiated any number of times.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from chapter_01_tensor_autograd.graph import record, record_view
from chapter_01_tensor_autograd.ops_elementwise import operands, unbroadcast
from chapter_01_tensor_autograd.ops_shape import pad

if TYPE_CHECKING:
    from chapter_01_tensor_autograd.tensor import Tensor


def matmul(a: Any, b: Any) -> Tensor:
    """Y = A B on the last two axes, the others broadcast; a vector is a row (left), column (right).

    dL/dA = G B^T,  dL/dB = A^T G
    """
    a, b = operands(a, b)
    a_dims, b_dims = a.data.ndim, b.data.ndim
    if a_dims == 1 and b_dims:
        y = matmul(a.unsqueeze(0), b)  # (k,) @ (..., k, m): a row, (1, k) -> (..., 1, m)
        return y.squeeze(-2 if b_dims > 1 else 0)
    if b_dims == 1 and a_dims:
        return matmul(a, b.unsqueeze(1)).squeeze(-1)  # (..., n, k) @ (k,): a column, (k, 1)
    if a_dims > 2 and b_dims == 2:
        # One product with many rows is faster than many products, and needs no sum for dL/dB.
        rows = a.reshape(math.prod(a.data.shape[:-1]), a.data.shape[-1])  # (..., n, k) -> (N, k)
        return matmul(rows, b).reshape(*a.data.shape[:-1], b.data.shape[1])  # -> (..., n, m)
    try:
        value = a.data @ b.data
    except ValueError:
        raise ValueError(
            f"matmul: shapes {a.data.shape} and {b.data.shape} do not fit: the last axis of the "
            "first must be as long as the second to last axis of the second, and the axes before "
            "these must broadcast"
        ) from None
    return record(
        "matmul",
        value,
        (a, lambda g, y: unbroadcast(g @ b.transpose(-1, -2), a.data.shape), b),
        (b, lambda g, y: unbroadcast(a.transpose(-1, -2) @ g, b.data.shape), a),
    )


def unfold(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """All windows of an image: (B, C, H, W) -> (B, C, kh, kw, H', W'), a view."""
    windows = np.lib.stride_tricks.sliding_window_view(x.data, kernel, axis=(2, 3))
    value = windows[:, :, :: stride[0], :: stride[1]]  # (B, C, H', W', kh, kw)
    value = value.transpose(0, 1, 4, 5, 2, 3)  # (B, C, kh, kw, H', W')
    size = x.data.shape[2:]
    return record_view("unfold", value, x, lambda g, y: fold(g, size, stride))


def fold(columns: Tensor, size: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Add windows up to an image, the transpose of `unfold`."""
    batch, channels, kh, kw, rows, cols = columns.data.shape
    value = np.zeros((batch, channels, *size), dtype=columns.data.dtype)
    for i in range(kh):  # a pixel at place (i, j) of its window: strided, so one addition for all
        for j in range(kw):
            value[
                :, :, i : i + stride[0] * rows : stride[0], j : j + stride[1] * cols : stride[1]
            ] += columns.data[:, :, i, j]
    return record("fold", value, (columns, lambda g, y: unfold(g, (kh, kw), stride)))


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Cross-correlation, what deep learning calls convolution.

    x (B, C, H, W), weight (O, C, kh, kw), bias (O,) -> (B, O, H', W')
    with H' = (H + 2 padding - kh) // stride + 1.
    """
    stride, padding = _pair(stride), _pair(padding)
    _check_conv2d(x.data.shape, weight.data.shape, padding)
    if any(padding):
        x = pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    out_channels, _, kh, kw = weight.data.shape
    windows = unfold(x, (kh, kw), stride)  # (B, C, kh, kw, H', W')
    batch, channels, _, _, rows, cols = windows.data.shape
    columns = windows.reshape(batch, channels * kh * kw, rows * cols)  # (B, C*kh*kw, H'*W')
    y = weight.reshape(out_channels, channels * kh * kw) @ columns  # (B, O, H'*W')
    if bias is not None:
        y = y + bias.reshape(out_channels, 1)
    return y.reshape(batch, out_channels, rows, cols)  # (B, O, H', W')


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, Integral) else tuple(value)


def _check_conv2d(x: tuple[int, ...], weight: tuple[int, ...], padding: tuple[int, int]) -> None:
    if len(x) != 4 or len(weight) != 4 or x[1] != weight[1]:
        raise ValueError(
            f"conv2d: x must be (B, C, H, W) and weight (O, C, kh, kw) with the same C, "
            f"but their shapes are {x} and {weight}"
        )
    if x[2] + 2 * padding[0] < weight[2] or x[3] + 2 * padding[1] < weight[3]:
        raise ValueError(
            f"conv2d: the kernel of weight {weight} is larger than x {x} with padding {padding}"
        )
