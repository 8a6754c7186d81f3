"""Reverse-mode automatic differentiation of scalars: the whole idea on one page.

A `Value` remembers the values it was computed from and the *local derivative* to each of them.
`backward()` then applies the chain rule from the result back to the start,

    dL/dparent  +=  dL/dchild * dchild/dparent        (one product for every edge of the graph),

visiting each value only after everything that was computed from it. The sum (`+=`) is there
because a value may be used more than once, and its uses add up.

Paper: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).

    >>> x, w = Value(3.0), Value(-2.0)
    >>> loss = (w * x + 7.0).tanh()
    >>> loss.backward()
    >>> round(w.grad, 4)          # (1 - tanh(1)^2) * x
    1.2599

What is missing here is speed: every number is a Python object (a few hundred thousand of them a
second, forward and backward). `tensor.py` keeps the idea and lets each value be a whole array.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise


class Value:
    """A number in a computational graph, with the gradient of the result with respect to it."""

    __slots__ = ("data", "grad", "parents", "slopes")

    def __init__(
        self, data: float, parents: tuple[Value, ...] = (), slopes: tuple[float, ...] = ()
    ) -> None:
        self.data = data
        self.grad = 0.0
        self.parents = parents
        self.slopes = slopes  # d(self)/d(parent), a number for each parent

    def __add__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, exponent: float) -> Value:
        slope = exponent * power(self.data, exponent - 1) if exponent else 0.0
        return Value(power(self.data, exponent), (self,), (slope,))

    def exp(self) -> Value:
        result = or_else(math.inf, math.exp, self.data)
        return Value(result, (self,), (result,))

    def log(self) -> Value:
        result = or_else(math.nan if self.data else -math.inf, math.log, self.data)
        return Value(result, (self,), (power(self.data, -1.0),))

    def tanh(self) -> Value:
        result = math.tanh(self.data)
        return Value(result, (self,), (1.0 - result * result,))

    def relu(self) -> Value:
        return Value(max(self.data, 0.0), (self,), (1.0 if self.data > 0 else 0.0,))

    def backward(self) -> None:
        """Add d(self)/d(value) to `.grad` of every value that `self` was computed from."""
        order, seen, stack = [], set(), [(self, False)]
        while stack:  # depth first without recursion, so that a long chain is no problem
            value, parents_done = stack.pop()
            if parents_done:
                order.append(value)
            elif value not in seen:
                seen.add(value)
                stack.append((value, True))
                stack.extend([(parent, False) for parent in value.parents])
        for value in order:
            if value.parents:  # a result starts at zero; only the leaves accumulate over calls
                value.grad = 0.0
        self.grad += 1.0
        for value in reversed(order):  # children before parents
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                parent.grad += value.grad * slope

    # The other operators are compositions of the ones above.
    def __neg__(self) -> Value:
        return self * -1.0

    def __sub__(self, other: Value | float) -> Value:
        return self + -other

    def __rsub__(self, other: float) -> Value:
        return -self + other

    def __truediv__(self, other: Value | float) -> Value:
        return self * (other**-1 if isinstance(other, Value) else power(other, -1.0))

    def __rtruediv__(self, other: float) -> Value:
        return self**-1 * other

    __radd__ = __add__
    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"Value(data={self.data:.6g}, grad={self.grad:.6g})"


# Where Python raises an error or leaves the real numbers, torch has inf or nan, and so have we.
def or_else(edge: float, function: Callable[..., float], *numbers: float) -> float:
    """function(*numbers), or `edge` outside its domain and beyond the largest float."""
    try:
        return function(*numbers)
    except (ValueError, OverflowError):
        return edge


def power(base: float, exponent: float) -> float:
    """base ** exponent: the root of -1 is nan and no complex number, 0 ** -1 is inf."""
    edge = math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
    return or_else(math.nan if base < 0 and exponent % 1 else edge, math.pow, base, exponent)


class Neuron:
    """f(w . x + b) with f = ReLU, or the identity in the last layer."""

    def __init__(self, inputs: int, rng: random.Random, activate: bool) -> None:
        bound = (6.0 / inputs) ** 0.5 if activate else (3.0 / inputs) ** 0.5  # Kaiming, for f
        self.weights = [Value(rng.uniform(-bound, bound)) for _ in range(inputs)]
        self.bias = Value(0.0)
        self.activate = activate

    def __call__(self, inputs: list[Value | float]) -> Value:
        total = self.bias
        for weight, value in zip(self.weights, inputs, strict=True):
            total = total + weight * value
        return total.relu() if self.activate else total


class MLP:
    """Layers of neurons: `MLP([64, 128, 10])` maps 64 numbers to 10."""

    def __init__(self, widths: list[int], seed: int = 0) -> None:
        rng = random.Random(seed)
        last = len(widths) - 2
        self.layers = [
            [Neuron(inputs, rng, activate=depth < last) for _ in range(outputs)]
            for depth, (inputs, outputs) in enumerate(pairwise(widths))
        ]

    def __call__(self, inputs: list[Value | float]) -> list[Value]:
        for layer in self.layers:
            inputs = [neuron(inputs) for neuron in layer]
        return inputs

    def parameters(self) -> list[Value]:
        neurons = [neuron for layer in self.layers for neuron in layer]
        return [value for neuron in neurons for value in (*neuron.weights, neuron.bias)]
