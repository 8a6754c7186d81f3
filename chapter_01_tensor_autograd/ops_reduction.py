"""Operations that take an axis away: sum, mean, var, max, min.

What you learn: a sum's VJP is a broadcast, as broadcasting's VJP is a sum: they are each other's
transpose. A maximum sends its gradient to the place it came from, and if several places are equal,
an equal share to each (as torch.amax does).

`axis` is an int, a tuple or None (all axes); `keepdims` leaves the reduced axes with length 1.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from chapter_01_tensor_autograd.graph import OUTPUT, record
from chapter_01_tensor_autograd.ops_elementwise import scale

if TYPE_CHECKING:
    from chapter_01_tensor_autograd.tensor import Tensor

Axis = int | tuple[int, ...] | None


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """`shape` with the reduced axes at length 1."""
    if axis is None:
        return (1,) * len(shape)
    axes = [a % len(shape) for a in ((axis,) if isinstance(axis, Integral) else axis)]
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


def reduce_sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """y = sum of x          dL/dx = g, once for each number that was summed"""
    shape = x.data.shape

    def vjp(g: Tensor, y: Tensor) -> Tensor:
        return g.reshape(kept_shape(shape, axis)).expand(shape)

    return record("sum", x.data.sum(axis=axis, keepdims=keepdims), (x, vjp))


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum divided by the count."""
    return reduce_sum(x, axis, keepdims) / _count(x, axis)


def var(x: Tensor, axis: Axis = None, keepdims: bool = False, correction: int = 1) -> Tensor:
    """sum((x - mean)^2) / (count - correction). 1, as in torch, makes it unbiased."""
    deviation = x - mean(x, axis, keepdims=True)
    return reduce_sum(deviation * deviation, axis, keepdims) / max(_count(x, axis) - correction, 0)


def _count(x: Tensor, axis: Axis) -> int:
    """How many numbers go into each result."""
    if axis is None:
        return x.data.size
    return math.prod(x.data.shape[a] for a in ((axis,) if isinstance(axis, Integral) else axis))


def amax(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """y = largest of x          dL/dx = g there, in equal shares if there are several"""
    return _extreme("max", x.data.max(axis=axis, keepdims=keepdims), x, axis)


def amin(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """y = smallest of x          dL/dx = g there, in equal shares if there are several"""
    return _extreme("min", x.data.min(axis=axis, keepdims=keepdims), x, axis)


def _extreme(op: str, value: np.ndarray, x: Tensor, axis: Axis) -> Tensor:
    def vjp(g: Tensor, y: Tensor) -> Tensor:
        kept = kept_shape(x.data.shape, axis)
        hit = (x.data == y.data.reshape(kept)).astype(x.data.dtype)
        share = hit / hit.sum(axis=axis, keepdims=True)
        return scale(g.reshape(kept).expand(x.data.shape), share)

    return record(op, value, (x, vjp, x, OUTPUT))
