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

`batch_norm` and `layer_norm` write the forward pass only and let autograd find the gradient. The
two `torch.autograd.Function`s write it out; they keep x and the statistics for the backward pass,
where the autograd version keeps several tensors of x's size. All are equal to torch's, and have
second derivatives as well.

Papers: Ioffe & Szegedy 2015 (batch); Ba, Kiros & Hinton 2016 (layer).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Dims = tuple[int, ...]


def wide(x: Tensor) -> Tensor:
    """Half precision to float32: a sum of thousands of terms needs more than 8 or 11 bits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def moments(x: Tensor, dims: Dims) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over `dims`, which stay as size 1."""
    mean = x.mean(dims, keepdim=True)  # (1, C, 1, 1) for dims (0, 2, 3) of (B, C, H, W)
    return mean, (x - mean).square().mean(dims, keepdim=True)


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


def normalized_backward(h: Tensor, x_hat: Tensor, rstd: Tensor, dims: Dims) -> Tensor:
    """dL/dx = r [h - mean(h) - x^ mean(h x^)], the last line of the derivation above."""
    return rstd * (h - h.mean(dims, keepdim=True) - x_hat * (h * x_hat).mean(dims, keepdim=True))


class _Normalize(torch.autograd.Function):
    """What the two Functions below share: forward, saved tensors, backward."""

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dims: Dims
    ) -> Tensor:
        mean, var = moments(wide(x), dims)
        rstd = torch.rsqrt(var + eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.eps, ctx.dims = eps, dims
        return affine((wide(x) - mean) * rstd, weight, bias).to(x.dtype)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():
            # backward(create_graph=True): a second derivative must see that mean and rstd depend on
            # x. The saved ones are plain numbers to autograd, so they are computed again.
            mean, var = moments(wide(x), ctx.dims)
            rstd = torch.rsqrt(var + ctx.eps)
        x_hat, g = (wide(x) - mean) * rstd, wide(g)
        h = g if weight is None else g * weight
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = normalized_backward(h, x_hat, rstd, ctx.dims).to(x.dtype)
        if ctx.needs_input_grad[1]:
            grad_weight = (g * x_hat).sum_to_size(weight.shape).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            grad_bias = g.sum_to_size(bias.shape).to(bias.dtype)
        return grad_x, grad_weight, grad_bias, None, None


class BatchNormFunction(_Normalize):
    """apply(x (B, C, *), weight (1, C, 1..) or None, bias, eps, dims = all but the channels)."""


class LayerNormFunction(_Normalize):
    """apply(x (*, D), weight (D) or None, bias (D) or None, eps, dims = the last ones)."""


def batch_norm_by_hand(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """The same as batch_norm, with the hand-derived backward pass. (B, C, *) -> (B, C, *)."""
    parameters = per_channel(weight, x.ndim), per_channel(bias, x.ndim)
    return BatchNormFunction.apply(x, *parameters, eps, channel_dims(x))


def layer_norm_by_hand(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    dims: Dims = (-1,),
) -> Tensor:
    """The same as layer_norm, with the hand-derived backward pass. (*, D) -> (*, D)."""
    return LayerNormFunction.apply(x, weight, bias, eps, dims)


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
