"""Operations that act number by number, with broadcasting: + - * / **, exp, log, maximum, where ...

What you learn: the VJP of y = f(x) number by number is dL/dx = dL/dy * f'(x), and what broadcasting
does to it. If `b` was stretched to the shape of `a`, each number of `b` was used many times, so its
gradient is the *sum* over the places where it was used: `unbroadcast`.

How to read an operation (here and in the other `ops_` files):

    record("name", value, (input, vjp, values the VJP reads ...), ...)

with one tuple for each input. In a VJP, `g` is dL/dy and `y` is the operation's output. VJPs are
written with tensor operations, so they can themselves be differentiated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chapter_01_tensor_autograd.graph import OUTPUT, Node, constant, record

if TYPE_CHECKING:
    from chapter_01_tensor_autograd.tensor import Tensor


def unbroadcast(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum `g` over the axes along which a tensor of shape `shape` was stretched."""
    if g.data.shape == shape:
        return g
    added = g.data.ndim - len(shape)  # axes that broadcasting put in front
    stretched = [
        added + axis
        for axis, size in enumerate(shape)
        if size == 1 and g.data.shape[added + axis] != 1
    ]
    return g.sum((*range(added), *stretched)).reshape(shape)


def operands(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one dtype. A Python number takes the tensor's dtype: it never upcasts."""
    if not isinstance(a, Node):
        a = _as_constant(a, b)
    elif not isinstance(b, Node):
        b = _as_constant(b, a)
    if a.data.dtype != b.data.dtype:
        dtype = np.promote_types(a.data.dtype, b.data.dtype)
        a, b = astype(a, dtype), astype(b, dtype)
    return a, b


def _as_constant(value: Any, like: Tensor) -> Tensor:
    array = np.asarray(value)
    if array.ndim == 0 or array.dtype.kind != "f":
        array = array.astype(like.data.dtype)
    return constant(array, like)


def _broadcast(op: str, function: np.ufunc, a: Tensor, b: Tensor) -> np.ndarray:
    try:
        return function(a.data, b.data)
    except ValueError:
        raise ValueError(
            f"{op}: shapes {a.data.shape} and {b.data.shape} cannot be broadcast together"
        ) from None


def scale(x: Tensor, factor: np.ndarray) -> Tensor:
    """y = x * factor for a constant array          dL/dx = g * factor"""
    return record("scale", x.data * factor, (x, lambda g, y: scale(g, factor)))


def astype(x: Tensor, dtype: np.typing.DTypeLike) -> Tensor:
    """The same numbers in another floating-point type          dL/dx = g in the type of x"""
    if x.data.dtype == dtype:
        return x
    before = x.data.dtype
    return record("astype", x.data.astype(dtype), (x, lambda g, y: astype(g, before)))


def add(a: Any, b: Any) -> Tensor:
    """y = a + b          dL/da = g,  dL/db = g"""
    a, b = operands(a, b)
    return record(
        "add",
        _broadcast("add", np.add, a, b),
        (a, lambda g, y: unbroadcast(g, a.data.shape)),
        (b, lambda g, y: unbroadcast(g, b.data.shape)),
    )


def subtract(a: Any, b: Any) -> Tensor:
    """y = a - b          dL/da = g,  dL/db = -g"""
    a, b = operands(a, b)
    return record(
        "subtract",
        _broadcast("subtract", np.subtract, a, b),
        (a, lambda g, y: unbroadcast(g, a.data.shape)),
        (b, lambda g, y: unbroadcast(-g, b.data.shape)),
    )


def multiply(a: Any, b: Any) -> Tensor:
    """y = a * b          dL/da = g * b,  dL/db = g * a"""
    a, b = operands(a, b)
    return record(
        "multiply",
        _broadcast("multiply", np.multiply, a, b),
        (a, lambda g, y: unbroadcast(g * b, a.data.shape), b),
        (b, lambda g, y: unbroadcast(g * a, b.data.shape), a),
    )


def divide(a: Any, b: Any) -> Tensor:
    """y = a / b          dL/da = g / b,  dL/db = -g * y / b"""
    a, b = operands(a, b)
    return record(
        "divide",
        _broadcast("divide", np.true_divide, a, b),
        (a, lambda g, y: unbroadcast(g / b, a.data.shape), b),
        (b, lambda g, y: unbroadcast(-g * y / b, b.data.shape), b, OUTPUT),
    )


def negative(x: Tensor) -> Tensor:
    """y = -x          dL/dx = -g"""
    return record("negative", -x.data, (x, lambda g, y: -g))


def power(a: Any, b: Any) -> Tensor:
    """y = a ** b          dL/da = g * b * a^(b-1),  dL/db = g * y * log(a)"""
    if isinstance(a, Node) and np.ndim(b) == 0 and not isinstance(b, Node):
        return _power_of_number(a, b)
    a, b = operands(a, b)

    def vjp_b(g: Tensor, y: Tensor) -> Tensor:
        # 0^b is flat in b >= 0: y = 0 there, and log(1) in the place of log(0) keeps 0 * inf away.
        flat = (a.data == 0) & (b.data >= 0)
        return unbroadcast(g * y * log(where(flat, 1.0, a)), b.data.shape)

    def vjp_a(g: Tensor, y: Tensor) -> Tensor:
        slope = where(b.data == 0, 0.0, b * a ** (b - 1.0))  # a^0 is flat, at a = 0 as well
        return unbroadcast(g * slope, a.data.shape)

    value = _broadcast("power", np.power, a, b)
    return record("power", value, (a, vjp_a, a, b), (b, vjp_b, a, b, OUTPUT))


def _power_of_number(x: Tensor, n: float) -> Tensor:
    """y = x ** n          dL/dx = g * n * x^(n-1)"""
    if n == 1:  # the end of the line for derivatives of x^2: no need to compute x^0
        return record("power", x.data.copy(), (x, lambda g, y: g))
    exponent = np.asarray(n, dtype=x.data.dtype)

    def vjp(g: Tensor, y: Tensor) -> Tensor:
        return g * (n * x ** (n - 1)) if n != 0 else g * 0.0

    return record("power", x.data**exponent, (x, vjp, x))


def exp(x: Tensor) -> Tensor:
    """y = e^x          dL/dx = g * y"""
    return record("exp", np.exp(x.data), (x, lambda g, y: g * y, OUTPUT))


def log(x: Tensor) -> Tensor:
    """y = ln(x)          dL/dx = g / x"""
    return record("log", np.log(x.data), (x, lambda g, y: g / x, x))


def sqrt(x: Tensor) -> Tensor:
    """y = x^(1/2)          dL/dx = g / (2 y)"""
    return record("sqrt", np.sqrt(x.data), (x, lambda g, y: g / (2.0 * y), OUTPUT))


def absolute(x: Tensor) -> Tensor:
    """y = |x|          dL/dx = g * sign(x); at 0, where there is no derivative, 0 as in torch"""
    return record("abs", np.abs(x.data), (x, lambda g, y: scale(g, np.sign(x.data)), x))


def clip(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """y = x kept inside [min, max]          dL/dx = g inside, 0 outside and at the bounds"""
    lower = -np.inf if min is None else min
    upper = np.inf if max is None else max

    def vjp(g: Tensor, y: Tensor) -> Tensor:
        return where((lower < x.data) & (x.data < upper), g, 0.0)

    return record("clip", x.data.clip(lower, upper).astype(x.data.dtype, copy=False), (x, vjp, x))


def maximum(a: Any, b: Any) -> Tensor:
    """y = max(a, b)          the larger one gets g; where they are equal each gets g / 2"""
    return _larger("maximum", np.maximum, np.greater, *operands(a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """y = min(a, b)          the smaller one gets g; where they are equal each gets g / 2"""
    return _larger("minimum", np.minimum, np.less, *operands(a, b))


def _larger(op: str, choose: np.ufunc, wins: np.ufunc, a: Tensor, b: Tensor) -> Tensor:
    def vjp(winner: Tensor, loser: Tensor, g: Tensor) -> Tensor:
        g = where(winner.data == loser.data, 0.5 * g, g)
        return unbroadcast(where(wins(loser.data, winner.data), 0.0, g), winner.data.shape)

    return record(
        op,
        _broadcast(op, choose, a, b),
        (a, lambda g, y: vjp(a, b, g), a, b),
        (b, lambda g, y: vjp(b, a, g), a, b),
    )


def where(condition: np.ndarray, a: Any, b: Any) -> Tensor:
    """y = a where the boolean array `condition` is true, else b. Each gets g where it was taken."""
    if not isinstance(a, Node) and not isinstance(b, Node):
        raise TypeError("where: one of the two values must be a Tensor")
    a, b = operands(a, b)
    condition = np.asarray(getattr(condition, "data", condition), dtype=bool)
    try:
        value = np.where(condition, a.data, b.data)
    except ValueError:
        shapes = f"{condition.shape}, {a.data.shape} and {b.data.shape}"
        raise ValueError(f"where: shapes {shapes} cannot be broadcast together") from None
    return record(
        "where",
        value,
        (a, lambda g, y: unbroadcast(where(condition, g, 0.0), a.data.shape)),
        (b, lambda g, y: unbroadcast(where(condition, 0.0, g), b.data.shape)),
    )
