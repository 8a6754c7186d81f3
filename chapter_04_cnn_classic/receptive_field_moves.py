"""How single operations change a receptive field: windows, sums, and moved or thinned out axes.

Every rule takes the field of the input and the operation's own arguments, and gives the field of
the output; None stands for the whole picture. `Unknown` is raised where no rule is known. Which
operation follows which rule is said in receptive_field_rules.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from utils.errors import UserError

if TYPE_CHECKING:
    from chapter_04_cnn_classic.receptive_field_theory import Axis, Field


class Unknown(Exception):
    """The rule is not known for these arguments."""


def window(field: Field, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Field:
    """A window that slides along both spatial axes of (B, C, H, W)."""
    if field.places != (field.ndim - 2, field.ndim - 1):
        raise Unknown
    stride = kernel if stride is None or (isinstance(stride, list) and not stride) else stride
    if isinstance(padding, str):  # "same" puts the odd zero at the end
        spans = zip(_pair(kernel), _pair(dilation), strict=True)
        same = tuple((k - 1) * d // 2 for k, d in spans)
        padding = same if padding == "same" else 0
    rows, columns = zip(*map(_pair, (kernel, stride, padding, dilation)), strict=True)
    axes = {"height": field.height.window(*rows), "width": field.width.window(*columns)}
    return replace(field, **axes, depth=field.depth + 1)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, Integral) else tuple(value)  # NumPy's integers too
    if len(pair) == 1:
        pair *= 2
    if len(pair) != 2 or not all(isinstance(number, Integral) for number in pair):
        raise Unknown
    return tuple(map(int, pair))


def union(fields: Sequence[Field]) -> Field:
    """The field of a sum or concatenation, axis by axis (exact where one branch holds the rest)."""

    def join(axes: list[Axis]) -> Axis:
        if len({axis.jump for axis in axes}) > 1:
            raise UserError("branches with different strides meet: their units do not line up")
        return replace(axes[0], offsets=frozenset().union(*(axis.offsets for axis in axes)))

    if len({(field.places, field.ndim) for field in fields}) > 1:
        raise Unknown
    height, width = join([f.height for f in fields]), join([f.width for f in fields])
    return replace(fields[0], height=height, width=width, depth=max(f.depth for f in fields))


def along(field: Field, dims: Sequence[int] | None, keep_them: bool = True) -> Field | None:
    """An operation that mixes these axes; a spatial one among them, or all: the whole picture."""
    if dims is None:
        return None
    dims = [dim % field.ndim for dim in dims]  # TypeError for None, which torch would guess
    if set(dims) & set(field.places):
        return None
    if keep_them:
        return field
    places = tuple(place - sum(dim < place for dim in dims) for place in field.places)
    return replace(field, places=places, ndim=field.ndim - len(dims))


def keep(field: Field, dims: Sequence[int]) -> Field:
    """An operation along these axes that has a rule only if none is spatial."""
    if any(dim % field.ndim in field.places for dim in dims):
        raise Unknown
    return field


def permute(field: Field, *order: Any) -> Field:
    order = order[0] if isinstance(order[0], (tuple, list)) else order
    order = [dim % field.ndim for dim in order]
    return replace(field, places=tuple(order.index(place) for place in field.places))


def transpose(field: Field, dim0: int, dim1: int) -> Field:
    order = list(range(field.ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(field, order)


def flatten(field: Field, start_dim: int = 0, end_dim: int = -1) -> Field | None:
    """Rows and columns in one axis: a linear layer follows, and sees them all."""
    start, end = start_dim % field.ndim, end_dim % field.ndim
    if start < end and any(start <= place <= end for place in field.places):
        return None
    return _moved(field, start, start - end)


def unflatten(field: Field, dim: int, sizes: Sequence[Any], **names: Any) -> Field:
    dim = dim % field.ndim
    return _moved(keep(field, [dim]), dim, len(sizes) - 1)


def unsqueeze(field: Field, dim: int) -> Field:
    return _moved(field, dim % (field.ndim + 1) - 1, 1)


def squeeze(field: Field, dim: int | None = None) -> Field:
    if dim is None:
        raise Unknown
    return _moved(keep(field, [dim]), dim % field.ndim, -1)


def _moved(field: Field, dim: int, count: int) -> Field:
    """`count` axes more (or fewer) after axis `dim`."""
    places = tuple(place + count * (place > dim) for place in field.places)
    return replace(field, places=places, ndim=field.ndim + count)


def pad(field: Field, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Field:
    """(left, right, top, bottom, ...), from the last axis on: unit 0 moves out of the picture."""
    if mode == "circular":
        raise Unknown
    pad = [pad] * 4 if isinstance(pad, int) else list(pad)
    before = [0] * field.ndim
    for number, zeros in enumerate(pad[::2]):
        before[field.ndim - 1 - number] = zeros
    return _resampled(field, [(1, -zeros) for zeros in before])


def getitem(field: Field, index: Any) -> Field:
    """A slice: x[:, :, 1::2] starts at unit 1 and takes every second one."""
    index = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(item, (slice, int, type(None), type(...))) for item in index):
        raise Unknown
    here = index.index(...) if ... in index else len(index)
    missing = field.ndim - sum(item is not None and item is not ... for item in index)
    index = (*index[:here], *[slice(None)] * missing, *index[here + 1 :])
    steps, places, taken, given_out = [(1, 0)] * field.ndim, {}, 0, 0
    for item in index:
        if item is not None:
            if isinstance(item, slice):
                start = item.start or 0
                counted = not isinstance(start, int) or start < 0  # from the end, or by a variable
                steps[taken] = (item.step or 1, None if counted else start)
                places[taken] = given_out
            taken += 1
        given_out += not isinstance(item, int)
    if not set(field.places) <= set(places):
        raise Unknown  # one row or column: no map any more
    moved = tuple(places[place] for place in field.places)
    return replace(_resampled(field, steps), places=moved, ndim=given_out)


def _resampled(field: Field, steps: list[tuple[Any, Any]]) -> Field:
    """Every step-th unit from the start-th on; (step, start) for each axis."""
    axes = {}
    for name, place in zip(("height", "width"), field.places, strict=True):
        step, start = steps[place]
        if not isinstance(step, int) or not isinstance(start, int):  # known only when it runs
            raise Unknown
        axes[name] = getattr(field, name).window(1, step, -start, 1)
    return replace(field, **axes)


def _pieces(field: Field, sizes: Any, dim: int = 0) -> Field:
    return keep(field, [dim])


SHAPE_RULES: dict[str, Callable] = {
    "permute": permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), transpose),
    "mT": lambda field: transpose(field, -1, -2),
    "T": lambda field: permute(field, range(field.ndim)[::-1]),
    "flatten": flatten,
    "unflatten": unflatten,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "pad": pad,
    "getitem": getitem,
    **dict.fromkeys(("chunk", "split", "tensor_split"), _pieces),
}
