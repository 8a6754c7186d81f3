"""The tensor engine: NumPy arrays that remember how they were computed.

What you learn: all of PyTorch's autograd that a neural network needs, in a few hundred lines. Read
`value.py` first (the idea, on single numbers), then

    graph.py            edges, the walk back through the graph, grad() of grad()
    ops_elementwise.py  + - * / **, exp, log, maximum, where; what broadcasting does to gradients
    ops_activation.py   tanh, sigmoid, ReLU, GELU, softmax
    ops_reduction.py    sum, mean, var, max, min
    ops_shape.py        reshape, transpose, indexing, concatenate, pad
    ops_linalg.py       matrix products, convolution

and then this file, which gathers them in the class `Tensor`.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x @ x).sum().backward()
    >>> x.grad
    Tensor([[ 7., 11.],
            [ 9., 13.]])

Names and arguments follow NumPy for reductions (`axis`, `keepdims`) and PyTorch for shapes
(`transpose(dim0, dim1)`, `permute`, `expand`, `unsqueeze`). Comparisons give plain boolean arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chapter_01_tensor_autograd import ops_activation as activation
from chapter_01_tensor_autograd import ops_elementwise as elementwise
from chapter_01_tensor_autograd import ops_linalg as linalg
from chapter_01_tensor_autograd import ops_reduction as reduction
from chapter_01_tensor_autograd import ops_shape as shape_ops
from chapter_01_tensor_autograd.graph import Node, change_in_place, grad, no_grad
from chapter_01_tensor_autograd.ops_elementwise import maximum, minimum, where
from chapter_01_tensor_autograd.ops_linalg import conv2d
from chapter_01_tensor_autograd.ops_shape import concatenate, pad, stack

__all__ = [
    "Tensor",
    "concatenate",
    "conv2d",
    "grad",
    "maximum",
    "minimum",
    "no_grad",
    "pad",
    "stack",
    "where",
]


def _swapped(operation):
    """For `2 - x`, Python calls x.__rsub__(2)."""
    return lambda self, other: operation(other, self)


def _comparison(compare: np.ufunc):
    return lambda self, other: compare(self.data, getattr(other, "data", other))


class Tensor(Node):
    """A float32 or float64 array with a gradient.

    `data` is copied. NumPy arrays keep their floating-point type; everything else (Python numbers
    and lists, integers, booleans) becomes float32. `x.data` is the array itself: read it freely,
    but change it through the methods below, so that the change is counted.
    """

    __slots__ = ("__weakref__",)
    __array_ufunc__ = None  # array * tensor: NumPy leaves the operation to __rmul__
    __hash__ = object.__hash__  # by identity, though == compares number by number

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        data = data.data if isinstance(data, Tensor) else data
        dtype = getattr(data, "dtype", None)
        self.data = np.array(data, dtype=dtype if dtype in (np.float32, np.float64) else np.float32)
        self.requires_grad = requires_grad
        self.grad = None
        self.op = ""
        self._edges = ()
        self._reads = ()
        self._version = [0]

    def __repr__(self) -> str:
        numbers = np.array2string(self.data, separator=", ", prefix="Tensor(")
        origin = f", op={self.op}" if self.op else ", requires_grad=True"
        return f"Tensor({numbers}{origin if self.requires_grad else ''})"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def item(self) -> float:
        """The number in a tensor of one element."""
        return self.data.item()

    def numpy(self) -> np.ndarray:
        """The array itself, not a copy."""
        return self.data

    def __iter__(self) -> Iterator[Tensor]:
        if not self.data.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self.data)))

    __add__ = __radd__ = elementwise.add
    __mul__ = __rmul__ = elementwise.multiply
    __sub__, __rsub__ = elementwise.subtract, _swapped(elementwise.subtract)
    __truediv__, __rtruediv__ = elementwise.divide, _swapped(elementwise.divide)
    __pow__, __rpow__ = elementwise.power, _swapped(elementwise.power)
    __matmul__, __rmatmul__ = linalg.matmul, _swapped(linalg.matmul)
    __neg__ = elementwise.negative
    __abs__ = abs = elementwise.absolute
    __getitem__ = shape_ops.getitem

    __lt__, __le__ = _comparison(np.less), _comparison(np.less_equal)
    __gt__, __ge__ = _comparison(np.greater), _comparison(np.greater_equal)
    __eq__, __ne__ = _comparison(np.equal), _comparison(np.not_equal)

    exp = elementwise.exp
    log = elementwise.log
    sqrt = elementwise.sqrt
    clip = elementwise.clip
    astype = elementwise.astype

    tanh = activation.tanh
    sigmoid = activation.sigmoid
    relu = activation.relu
    gelu = activation.gelu
    softmax = activation.softmax
    log_softmax = activation.log_softmax

    sum = reduction.reduce_sum
    mean = reduction.mean
    var = reduction.var
    max = reduction.amax
    min = reduction.amin

    reshape = shape_ops.reshape
    transpose = shape_ops.transpose
    permute = shape_ops.permute
    expand = shape_ops.expand
    squeeze = shape_ops.squeeze
    unsqueeze = shape_ops.unsqueeze

    # In place: the memory stays, the version counter rises. For optimisers, under no_grad().
    def copy_(self, other: Any) -> Tensor:
        return change_in_place(self, copy, other)

    def add_(self, other: Any) -> Tensor:
        return change_in_place(self, np.add, other)

    def sub_(self, other: Any) -> Tensor:
        return change_in_place(self, np.subtract, other)

    def mul_(self, other: Any) -> Tensor:
        return change_in_place(self, np.multiply, other)

    __iadd__, __isub__, __imul__ = add_, sub_, mul_


def copy(_: np.ndarray, other: np.ndarray, out: np.ndarray, casting: str) -> None:
    """np.copyto with the arguments of np.add, for change_in_place."""
    np.copyto(out, other, casting=casting)
