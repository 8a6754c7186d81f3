"""Weight initialisation: how large should random weights be?

What you learn: a layer sums `fan_in` products, so its output has the variance
`fan_in * Var(w) * E[x^2]`. Keeping that constant from layer to layer fixes Var(w):

    forward pass     Var(w) = gain^2 / fan_in
    backward pass    Var(w) = gain^2 / fan_out
    both, nearly     Var(w) = gain^2 * 2 / (fan_in + fan_out)      (Xavier)

`gain` repairs what the activation takes away: ReLU halves E[x^2], hence gain^2 = 2 (Kaiming).
A uniform law on [-b, b] has variance b^2 / 3, hence b = sqrt(3) * std.

Papers: Glorot & Bengio 2010 (Xavier); He, Zhang, Ren & Sun 2015 (Kaiming);
Saxe, McClelland & Ganguli 2013 (orthogonal).

Same names, arguments and random stream as `torch.nn.init`: from one generator state both fill a
tensor with equal numbers. Functions ending in `_` change their argument and return it.
`python chapter_02_nn_basics_mlp/exp_initialization.py` shows what a bad choice does to a deep net.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor


def calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Connections into one output unit and out of one input unit.

    `tensor` is a weight (out, in) or a convolution kernel (out, in, *kernel): every output pixel
    reads `in * prod(kernel)` inputs.
    """
    if tensor.ndim < 2:
        raise ValueError(f"fan_in and fan_out need 2 dimensions or more, got {tuple(tensor.shape)}")
    kernel_positions = math.prod(tensor.shape[2:])  # 1 for a Linear weight
    return tensor.shape[1] * kernel_positions, tensor.shape[0] * kernel_positions


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on std that makes up for what `nonlinearity` does to the signal's size.

    ReLU keeps half of E[x^2], so sqrt(2). Leaky ReLU with slope a keeps (1 + a^2) / 2 of it.
    tanh (5/3) and SELU (3/4) were found by experiment. `param` is the slope of leaky ReLU.
    """
    linear = ["linear", *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)), "sigmoid"]
    if nonlinearity in linear:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"the negative slope must be a number, got {param!r}")
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4.0
    raise ValueError(f"no gain known for the nonlinearity {nonlinearity!r}")


@torch.no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fill with draws from U(a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@torch.no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fill with draws from N(mean, std^2)."""
    return tensor.normal_(mean, std, generator=generator)


@torch.no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`. Right for biases; as weights it keeps all units of a layer equal."""
    return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """U(-b, b) with b = gain * sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16)."""
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(
    tensor: Tensor, gain: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """N(0, std^2) with std = gain * sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 12)."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """U(-b, b) with b = gain * sqrt(3 / fan) (He et al. 2015).

    `a` is the negative slope of leaky ReLU (0: plain ReLU). `mode="fan_in"` keeps the size of the
    activations constant, `"fan_out"` that of the gradients.
    """
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """N(0, std^2) with std = gain / sqrt(fan) (He et al. 2015, eqs. 10 and 14)."""
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@torch.no_grad()
def orthogonal_(
    tensor: Tensor, gain: float = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Orthonormal rows (or columns, if there are more rows): every singular value is `gain`.

    An orthogonal matrix keeps the length of every vector, so depth neither shrinks nor blows up
    the signal of a linear network (Saxe et al. 2013). Trailing dimensions are flattened.
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_ needs 2 dimensions or more, got {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows, cols = tensor.shape[0], tensor.numel() // tensor.shape[0]
    gaussian = tensor.new_empty((rows, cols)).normal_(0, 1, generator=generator)
    tall = gaussian.T if rows < cols else gaussian  # (max, min): QR gives orthonormal columns
    q, r = torch.linalg.qr(tall)  # (max, min), (min, min)
    # QR leaves each column's sign to the algorithm. Fixing diag(R) > 0 makes Q unique, and then
    # uniformly distributed over all orthogonal matrices (Mezzadri 2007).
    q = q * r.diagonal().sign()
    q = q.T if rows < cols else q  # (rows, cols)
    return tensor.copy_(q.reshape(tensor.shape)).mul_(gain)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    fan_in, fan_out = calculate_fan_in_and_fan_out(tensor)
    return gain * math.sqrt(2.0 / float(fan_in + fan_out))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), calculate_fan_in_and_fan_out(tensor), strict=True))
    if mode.lower() not in fans:
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans[mode.lower()])


def _is_empty(tensor: Tensor) -> bool:
    if tensor.numel() == 0:
        warnings.warn("a tensor without elements has nothing to initialise", stacklevel=3)
    return tensor.numel() == 0
