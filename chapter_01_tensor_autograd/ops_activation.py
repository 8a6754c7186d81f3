"""Non-linearities of neural networks: tanh, sigmoid, ReLU, GELU, softmax, log-softmax.

What you learn: two habits that keep these safe in floating point. First, never exponentiate a large
positive number: e^(x - max x) instead of e^x in softmax, e^(-|x|) in sigmoid. Second, where the
derivative can be written with the *output* (tanh' = 1 - y^2), nothing is computed twice.

Papers: Nair and Hinton (2010) for ReLU; Hendrycks and Gimpel (2016) for GELU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from chapter_01_tensor_autograd.graph import OUTPUT, record
from chapter_01_tensor_autograd.ops_elementwise import exp, where

if TYPE_CHECKING:
    from chapter_01_tensor_autograd.tensor import Tensor


def tanh(x: Tensor) -> Tensor:
    """y = tanh(x)          dL/dx = g * (1 - y^2)"""
    return record("tanh", np.tanh(x.data), (x, lambda g, y: g * (1.0 - y * y), OUTPUT))


def sigmoid(x: Tensor) -> Tensor:
    """y = 1 / (1 + e^-x)          dL/dx = g * y * (1 - y)"""
    small = np.exp(-np.abs(x.data))  # in (0, 1]: no overflow on either side
    value = np.where(x.data >= 0, np.ones_like(small), small) / (small + small.dtype.type(1))
    return record("sigmoid", value, (x, lambda g, y: g * y * (1.0 - y), OUTPUT))


def relu(x: Tensor) -> Tensor:
    """y = max(x, 0)          dL/dx = g where x > 0, else 0"""
    value = np.maximum(x.data, x.data.dtype.type(0))
    # Not g * (x > 0): an infinite g times 0 would be nan.
    return record("relu", value, (x, lambda g, y: where(y.data <= 0, 0.0, g), OUTPUT))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """y = x * Phi(x), with Phi the normal distribution function, or its "tanh" approximation.

    A composition of recorded operations, so that its derivative needs no line of its own.
    """
    if approximate == "none":
        return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    raise ValueError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")


def erf(x: Tensor) -> Tensor:
    """y = 2 / sqrt(pi) * integral of e^(-t^2) from 0 to x

    dL/dx = g * 2 / sqrt(pi) * e^(-x^2)
    """
    value = _erf(x.data).astype(x.data.dtype, copy=False)
    slope = 2.0 / math.sqrt(math.pi)
    return record("erf", value, (x, lambda g, y: g * (slope * exp(-x * x)), x))


# NumPy has no erf. The standard library has it for single numbers: tabulate that once, and reach
# the numbers in between by a Taylor series from the nearest point. With steps of 1/512 the fourth
# order leaves an error near 1e-16. Beyond 6, erf is 1 in double precision.
_STEPS, _LIMIT = 512, 6
_ERF_TABLE = np.array([math.erf(i / _STEPS) for i in range(_LIMIT * _STEPS + 1)])


def _erf(x: np.ndarray) -> np.ndarray:
    size = np.minimum(np.abs(x).astype(np.float64), _LIMIT)  # erf is odd: work with |x|
    nearest = np.rint(np.nan_to_num(size) * _STEPS).astype(np.intp)
    p = nearest / _STEPS
    d = size - p
    series = 1 - d * (p - d * ((2 * p * p - 1) / 3 + d * (p / 2 - p**3 / 3)))
    slope = 2.0 / math.sqrt(math.pi) * np.exp(-p * p)
    return np.copysign(_ERF_TABLE[nearest] + slope * d * series, x)


def _largest(x: np.ndarray, axis: int) -> np.ndarray:
    return x.max(axis=axis, keepdims=True, initial=-np.inf)  # initial: also where there is none


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """y = e^x / sum(e^x)          dL/dx = y * (g - sum(g * y))"""
    powers = np.exp(x.data - _largest(x.data, axis))
    value = powers / powers.sum(axis=axis, keepdims=True)

    def vjp(g: Tensor, y: Tensor) -> Tensor:
        return y * (g - (g * y).sum(axis, keepdims=True))

    return record("softmax", value, (x, vjp, OUTPUT))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """y = x - log(sum(e^x))          dL/dx = g - e^y * sum(g)"""
    shifted = x.data - _largest(x.data, axis)
    value = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))

    def vjp(g: Tensor, y: Tensor) -> Tensor:
        return g - exp(y) * g.sum(axis, keepdims=True)

    return record("log_softmax", value, (x, vjp, OUTPUT))
