"""Activation functions, written from exp, log and comparisons.

What you learn: each formula with its derivative, and the form of it that survives inputs of
+-10,000. Two rules keep all of them finite, forward and backward:

1.  `exp` only ever sees numbers <= 0, so it never overflows.
2.  `torch.where` computes *both* branches, and backward multiplies the unused one by 0. An inf
    there gives 0 * inf = nan. So the unused branch must be finite too.

A third rule is easy to miss: |x| has the subgradient 0 at x = 0, so writing a smooth function with
`x.abs()` gives a wrong gradient at exactly 0 (where every zero-initialised bias starts). `_abs`
below has the derivative 1 there, and the two halves of each formula then add up to the truth.

Same arguments as in `torch.nn`; all shapes are (*) -> (*), element by element, except for the
softmaxes. Used through `from chapter_02_nn_basics_mlp.layers import ReLU`.
`python chapter_02_nn_basics_mlp/exp_activations.py` compares them in training.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn


def _abs(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, -x)  # derivative +1 at 0, not 0


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), from z = exp(-|x|) <= 1: x >= 0: 1 / (1 + z);  x < 0: z / (1 + z)."""
    z = torch.exp(-_abs(x))
    return torch.where(x >= 0, 1 / (1 + z), z / (1 + z))


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); log1p keeps the digits of a tiny exp."""
    return torch.where(x >= 0, x, 0) + torch.log1p(torch.exp(-_abs(x)))


def tanh(x: Tensor) -> Tensor:
    """(1 - exp(-2|x|)) / (1 + exp(-2|x|)) with the sign of x; expm1 keeps the digits near 0."""
    e = torch.expm1(-2 * _abs(x))  # in (-1, 0]
    size = -e / (2 + e)
    return torch.where(x >= 0, size, -size)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """x - log(sum(exp(x))), with the largest x of each row taken out of the exponent first.

    The shift cancels in the exact formula, so it is detached: no gradient flows through the max.
    log(softmax(x)) in two steps would be log(0) = -inf as soon as two logits differ by 104 (fp32).
    """
    shifted = x - _largest(x, dim)  # <= 0, and at least one exp is 1
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def softmax(x: Tensor, dim: int) -> Tensor:
    """exp(x_i) / sum_j exp(x_j), computed after subtracting the largest x of each row."""
    e = torch.exp(x - _largest(x, dim))
    return e / e.sum(dim, keepdim=True)


def _largest(x: Tensor, dim: int) -> Tensor:
    """The largest x of each row, detached; where there are no numbers any value does."""
    return (x.amax(dim, keepdim=True) if x.numel() else x.sum(dim, keepdim=True)).detach()


class _Elementwise(nn.Module):
    """An activation with torch's `inplace` option: overwrite the input with the output."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def _apply_elementwise(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if not self.inplace:
            return function(x)
        # Backward needs the old x, so autograd gets a copy. Our in-place form therefore shows the
        # semantics and saves no memory while training; torch's fused kernels do.
        return x.copy_(function(x.clone()))


class ReLU(_Elementwise):
    """max(x, 0) (Nair & Hinton 2010). Derivative: 1 for x > 0, else 0 (torch's choice at 0)."""

    def forward(self, input: Tensor) -> Tensor:
        # Not x * (x > 0): for x = -inf that is inf * 0 = nan.
        return self._apply_elementwise(lambda x: x.masked_fill(x <= 0, 0), input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(_Elementwise):
    """x for x > 0, else slope * x (Maas, Hannun & Ng 2013). Derivative: 1, or slope: never dead."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        slope = self.negative_slope
        return self._apply_elementwise(lambda x: torch.where(x > 0, x, slope * x), input)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(_Elementwise):
    """x for x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2015). Derivative: 1, or alpha*exp(x).

    The exponent is capped at 0 because the unused branch must not overflow (rule 2); by `where`,
    since clamp may cut the gradient at exactly 0 (rule 3). expm1 replaces exp(x) - 1, which loses
    all digits for |x| < 1e-16.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        def elu(x: Tensor) -> Tensor:
            negative = torch.where(x > 0, 0, x)
            return torch.where(x > 0, x, self.alpha * torch.expm1(negative))

        return self._apply_elementwise(elu, input)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class GELU(nn.Module):
    """x * Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016).

    Derivative: Phi(x) + x * phi(x), with the normal density phi.
    approximate="none": Phi(x) = erfc(-x / sqrt 2) / 2. The usual (1 + erf(x / sqrt 2)) / 2 is equal
    on paper, and cancels to 0 for x < -8; erfc keeps its digits there.
    approximate="tanh": Phi(x) ~ (1 + tanh(u)) / 2 with u = sqrt(2/pi) * (x + 0.044715 x^3), as in
    GPT-2. It cancels in the same way, and equals sigmoid(2u), which does not.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        if self.approximate == "none":
            return 0.5 * input * torch.erfc(-input / math.sqrt(2))
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)
        return input * sigmoid(2 * inner)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(_Elementwise):
    """x * sigmoid(x), also called swish (Elfwing et al. 2017; Ramachandran et al. 2017).

    Derivative: s + x * s * (1 - s) with s = sigmoid(x).
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._apply_elementwise(lambda x: x * sigmoid(x), input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(nn.Module):
    """1 / (1 + exp(-x)), in (0, 1). Derivative: s * (1 - s), at most 1/4."""

    def forward(self, input: Tensor) -> Tensor:
        return sigmoid(input)


class Tanh(nn.Module):
    """(e^x - e^-x) / (e^x + e^-x) = 2 * sigmoid(2x) - 1, in (-1, 1). Derivative: 1 - tanh(x)^2."""

    def forward(self, input: Tensor) -> Tensor:
        return tanh(input)


class Softplus(nn.Module):
    """log(1 + exp(beta * x)) / beta, a smooth ReLU (Dugas et al. 2001).

    Derivative: sigmoid(beta * x). Above `beta * x > threshold` it is x itself,
    as in torch: at 20 the difference is 2e-9.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        scaled = self.beta * input
        return torch.where(scaled > self.threshold, input, softplus(scaled) / self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _AlongDim(nn.Module):
    """The `dim` of the two softmaxes, with torch's old guess where it is not given."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _choose_dim(self, x: Tensor) -> int:
        if self.dim is not None:
            return self.dim
        dim = 0 if x.ndim in (0, 1, 3) else 1
        warnings.warn(f"{type(self).__name__} without dim: took dim={dim}; name it", stacklevel=3)
        return dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """p_i = exp(x_i) / sum_j exp(x_j) along `dim`. Derivative: p_i * ([i = j] - p_j)."""

    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self._choose_dim(input))


class LogSoftmax(_AlongDim):
    """x_i - log(sum_j exp(x_j)) along `dim`. Derivative: [i = j] - softmax(x)_j."""

    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self._choose_dim(input))
