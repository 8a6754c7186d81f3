"""Normalising a tensor over chosen dimensions, and its gradient derived by hand.

What you learn: batch, layer, group and instance normalisation are one formula. They differ only in
the set S of n numbers that share a mean and a variance:

    mu = mean_S x      v = mean_S (x - mu)^2      r = 1 / sqrt(v + eps)
    x^ = (x - mu) r    y = w x^ + b

The gradient, with g = dL/dy and h = g w = dL/dx^. An x_i in S acts on the loss in three ways:
through its own x^_i, through mu, and through r. With dr/dv = -r^3 / 2, dv/dx_i = 2 (x_i - mu) / n:

    dL/dx_i = h_i r                                  its own x^_i
            - r mean_S(h)                            through mu, 1/n to each element of S
            - (x_i - mu) r^3 mean_S(h (x - mu))      through r
            = r [ h_i - mean_S(h) - x^_i mean_S(h x^) ]
    dL/dw   = sum g x^        dL/db = sum g          over all elements that share w and b

So the gradient has its mean over S, and its part along x^, taken out: adding a constant to S or
stretching S does not change the output, and no gradient points along a change that does nothing.

RMSNorm sets mu = 0 and drops its term. `batch_norm`, `layer_norm` and `rms_norm` write the forward
pass only and let autograd find the gradient: read them first. The layers use `NormalizeFunction`,
which writes the gradient out. Both are equal to torch's, and have second derivatives as well.

Why it is written out: such a layer computes little and moves much, so its time is the time of
reading and writing tensors of x's size. Autograd keeps several of them for the backward pass;
NormalizeFunction keeps x, with one mean and one variance per S, and computes x^ again. It changes
its own intermediate results in place (mul_, sub_), for new memory costs more than the arithmetic.

Papers: Ioffe & Szegedy 2015 (batch); Ba, Kiros & Hinton 2016 (layer); Zhang & Sennrich 2019 (RMS).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Dims = tuple[int, ...]


def wide(x: Tensor) -> Tensor:
    """Half precision to float32: a sum of thousands of terms needs more than 8 or 11 bits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def moments(x: Tensor, dims: Dims, centred: bool = True) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over `dims`, which stay as size 1. Not centred: 0 and mean x^2."""
    if not centred:
        mean_square = x.square().mean(dims, keepdim=True)
        return torch.zeros_like(mean_square), mean_square
    mean = x.mean(dims, keepdim=True)  # (1, C, 1, 1) for dims (0, 2, 3) of (B, C, H, W)
    return mean, (x - mean).square_().mean(dims, keepdim=True)


def affine(x_hat: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """w x^ + b; either may be None. Both must broadcast to x^."""
    if weight is not None:
        x_hat = x_hat * weight
    return x_hat if bias is None else x_hat + bias


def per_channel(parameter: Tensor | None, ndim: int) -> Tensor | None:
    """(C,) -> (1, C, 1, ...), to multiply an input (B, C, ...) with `ndim` dimensions."""
    return None if parameter is None else parameter.view(1, -1, *[1] * (ndim - 2))


def channel_dims(x: Tensor) -> Dims:
    """All dimensions but the channel's: (0, 2, 3) for (B, C, H, W), (0,) for (B, C)."""
    return (0, *range(2, x.ndim))


def batch_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Training-mode BatchNorm: S is one channel in the whole batch. (B, C, *) -> (B, C, *)."""
    mean, var = moments(wide(x), channel_dims(x))
    x_hat = (wide(x) - mean) * torch.rsqrt(var + eps)
    y = affine(x_hat, per_channel(weight, x.ndim), per_channel(bias, x.ndim))
    return y.to(x.dtype)


def layer_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    dims: Dims = (-1,),
) -> Tensor:
    """S is one example's features, the last len(dims) dimensions. (*, D) -> (*, D)."""
    mean, var = moments(wide(x), dims)
    x_hat = (wide(x) - mean) * torch.rsqrt(var + eps)
    return affine(x_hat, weight, bias).to(x.dtype)


def rms_norm(
    x: Tensor, weight: Tensor | None = None, eps: float = 1e-6, dims: Dims = (-1,)
) -> Tensor:
    """layer_norm without the mean and without b. (*, D) -> (*, D)."""
    _, mean_square = moments(wide(x), dims, centred=False)
    return affine(wide(x) * torch.rsqrt(mean_square + eps), weight, None).to(x.dtype)


def normalized_backward(
    h: Tensor, along: Tensor, x_hat: Tensor, rstd: Tensor, dims: Dims, centred: bool = True
) -> Tensor:
    """dL/dx = r [h - mean(h) - x^ mean(h x^)], written over h. `along` is mean(h x^)."""
    if centred:
        h.sub_(h.mean(dims, keepdim=True))  # h - mean(h)
    return h.addcmul_(x_hat, along, value=-1).mul_(rstd)  # - x^ mean(h x^), and the whole times r


class NormalizeFunction(torch.autograd.Function):
    """apply(x, weight or None, bias or None, eps, dims, centred) -> y, mean, variance.

    S is what lies along `dims`. Weight and bias must broadcast to x. Mean and variance are for the
    running statistics; no gradient goes through them. centred=False is RMSNorm, with a mean of 0.
    """

    # For torch.func: per-example gradients, Jacobians. A map over weights must go over x as well,
    # because y takes x's memory. Forward-mode derivatives: layer_norm and its like have them.
    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dims: Dims, centred: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        full = wide(x)
        mean, var = moments(full, dims, centred)  # (1, C, 1, 1) or (*, 1), as S is chosen
        y = (full - mean).mul_(torch.rsqrt(var + eps))  # x^ (x's shape); y is made in its memory
        if weight is not None:
            y.mul_(weight)
        if bias is not None:
            y.add_(bias)
        return y.to(x.dtype), mean, var

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
        x, weight, bias, ctx.eps, ctx.dims, ctx.centred = inputs
        _, mean, var = output
        ctx.save_for_backward(x, weight, bias, mean, var)
        ctx.mark_non_differentiable(mean, var)

    @staticmethod
    def backward(ctx, g: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, var = ctx.saved_tensors
        full, g = wide(x), wide(g)
        if torch.is_grad_enabled():
            # backward(create_graph=True): a second derivative must see that mean and var depend on
            # x. The saved ones are plain numbers to autograd, so they are computed again.
            mean, var = moments(full, ctx.dims, ctx.centred)
        rstd = torch.rsqrt(var + ctx.eps)
        x_hat = (full - mean).mul_(rstd)  # all below have x's shape, but for sums and means
        grad_x = grad_weight = grad_bias = None
        product = g * x_hat  # summed twice: over what shares w, and (times w) over S
        if ctx.needs_input_grad[1]:
            grad_weight = product.sum_to_size(weight.shape).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            if weight is not None:
                product.mul_(weight)  # h x^
            along = product.mean(ctx.dims, keepdim=True)  # one number for each S, as mean and var
            del product  # h takes its memory
            h = g.clone() if weight is None else g * weight  # g itself is not ours to change
            grad_x = normalized_backward(h, along, x_hat, rstd, ctx.dims, ctx.centred).to(x.dtype)
        if ctx.needs_input_grad[2]:
            grad_bias = g.sum_to_size(bias.shape).to(bias.dtype)
        return grad_x, grad_weight, grad_bias, None, None, None


class BatchNormFunction(NormalizeFunction):
    """x (B, C, *), weight and bias (1, C, 1, ...) or None, dims = all but the channels."""


class LayerNormFunction(NormalizeFunction):
    """x (*, D), weight and bias (D) or None, dims = the last ones."""


def batch_norm_by_hand(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """The same as batch_norm, with the hand-derived backward pass. (B, C, *) -> (B, C, *)."""
    parameters = per_channel(weight, x.ndim), per_channel(bias, x.ndim)
    return BatchNormFunction.apply(x, *parameters, eps, channel_dims(x), True)[0]


def layer_norm_by_hand(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    dims: Dims = (-1,),
) -> Tensor:
    """The same as layer_norm, with the hand-derived backward pass. (*, D) -> (*, D)."""
    return LayerNormFunction.apply(x, weight, bias, eps, dims, True)[0]


def rms_norm_by_hand(
    x: Tensor, weight: Tensor | None = None, eps: float = 1e-6, dims: Dims = (-1,)
) -> Tensor:
    """The same as rms_norm, with the hand-derived backward pass. (*, D) -> (*, D)."""
    return LayerNormFunction.apply(x, weight, None, eps, dims, False)[0]


class Norm(nn.Module):
    """Creates the scale w = 1 and the shift b = 0, or None where they are switched off."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def _add_parameters(
        self, shape: Sequence[int], weight: bool, bias: bool, **options: object
    ) -> None:
        for name, wanted in (("weight", weight), ("bias", bias)):
            value = nn.Parameter(torch.empty(*shape, **options)) if wanted else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
