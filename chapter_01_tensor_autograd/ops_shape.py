"""Operations that move numbers without changing them: reshape, transpose, indexing, concatenate ...

What you learn: each of these is y = P x with a matrix P of zeros and ones, so its VJP is P^T g, the
move run backwards: a reshape back, a transposition back, a sum over copies, a scatter to the places
that were read. All are linear, so the VJP of a VJP is the operation itself.

Most of them return a *view*: the same memory, walked in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from chapter_01_tensor_autograd.graph import record, record_view
from chapter_01_tensor_autograd.ops_elementwise import unbroadcast

if TYPE_CHECKING:
    from chapter_01_tensor_autograd.tensor import Tensor


def _as_tuple(sizes: tuple) -> tuple[int, ...]:
    """x.reshape(2, 3) and x.reshape((2, 3)) are the same."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes


def reshape(x: Tensor, *sizes: int) -> Tensor:
    """The same numbers in row-major order in a new shape; one size may be -1."""
    shape, before = _as_tuple(sizes), x.data.shape
    try:
        value = x.data.reshape(shape)
    except ValueError:
        raise ValueError(f"reshape: shape {before} cannot become {shape}") from None
    return record_view("reshape", value, x, lambda g, y: g.reshape(before))


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two axes."""
    value = x.data.swapaxes(dim0, dim1)
    return record_view("transpose", value, x, lambda g, y: g.transpose(dim0, dim1))


def permute(x: Tensor, *dims: int) -> Tensor:
    """Axis i of the result is axis dims[i] of x."""
    dims = _as_tuple(dims)
    value = x.data.transpose(dims)
    back = tuple(np.argsort([dim % len(dims) for dim in dims]).tolist())
    return record_view("permute", value, x, lambda g, y: g.permute(back))


def expand(x: Tensor, *sizes: int) -> Tensor:
    """Repeat axes of length 1, without memory; -1 keeps a size. dL/dx = sum of g over the copies"""
    shape, before = _as_tuple(sizes), x.data.shape
    if -1 in shape:
        added = len(shape) - len(before)
        old = (-1,) * added + before  # there is no size to keep for a new axis
        shape = tuple(o if s == -1 else s for s, o in zip(shape, old, strict=True))
    try:
        value = np.broadcast_to(x.data, shape)
    except ValueError:
        raise ValueError(f"expand: shape {before} cannot be expanded to {shape}") from None
    return record_view("expand", value, x, lambda g, y: unbroadcast(g, before))


def squeeze(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Drop axis `dim` if its length is 1, or with None all such axes."""
    shape = x.data.shape
    dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, Integral) else dim
    drop = {d % len(shape) for d in dims if shape[d] == 1}
    return reshape(x, tuple(size for i, size in enumerate(shape) if i not in drop))


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """Put in an axis of length 1, so that it becomes axis `dim`."""
    return reshape(x, np.expand_dims(x.data, dim).shape)


def getitem(x: Tensor, index: Any) -> Tensor:
    """y = x[index], as in NumPy          dL/dx = g scattered to the places that were read"""
    shape = x.data.shape
    if not _is_basic(index):
        return record("getitem", x.data[index], (x, lambda g, y: scatter(g, index, shape)))
    parts = index if isinstance(index, tuple) else (index,)
    # With "..." a single number is a view as well; without, NumPy would copy it.
    view = x.data[parts if Ellipsis in parts else (*parts, Ellipsis)]
    return record_view("getitem", view, x, lambda g, y: scatter(g, index, shape))


def scatter(g: Tensor, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of `shape`, with g *added* at [index]: a place that was read twice gets both."""
    value = np.zeros(shape, dtype=g.data.dtype)
    if _is_basic(index):  # ints and slices name each place once, and need no addition
        value[index] = g.data
    else:
        np.add.at(value, index, g.data)
    return record("scatter", value, (g, lambda h, y: h[index]))


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, (slice, np.integer))
        or (isinstance(part, int) and not isinstance(part, bool))
        for part in parts
    )


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join along an existing axis          each input gets its own slice of g"""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("concatenate: needs at least one tensor")
    try:
        value = np.concatenate([tensor.data for tensor in tensors], axis=axis)
    except ValueError:
        shapes = ", ".join(str(tensor.data.shape) for tensor in tensors)
        raise ValueError(f"concatenate: shapes {shapes} do not fit along axis {axis}") from None
    edges, start = [], 0
    for tensor in tensors:
        stop = start + tensor.data.shape[axis]
        part = _slice_of_axis(value.ndim, axis, slice(start, stop))
        edges.append((tensor, _slice_vjp(part, tensor.data.dtype)))
        start = stop
    return record("concatenate", value, *edges)


def _slice_of_axis(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if i == axis % ndim else slice(None) for i in range(ndim))


def _slice_vjp(part: tuple[slice, ...], dtype: np.dtype):
    return lambda g, y: g[part].astype(dtype)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join along a new axis."""
    return concatenate([unsqueeze(tensor, axis) for tensor in tensors], axis)


def pad(x: Tensor, pad_width: Any, value: float = 0.0) -> Tensor:
    """Put `value` around x; `pad_width` as in NumPy: n, (before, after) or one pair per axis."""
    widths = np.broadcast_to(pad_width, (x.data.ndim, 2)).tolist()
    sides = zip(widths, x.data.shape, strict=True)
    inside = tuple(slice(before, before + size) for (before, _), size in sides)
    padded = np.pad(x.data, widths, constant_values=value)
    return record("pad", padded, (x, lambda g, y: g[inside]))
