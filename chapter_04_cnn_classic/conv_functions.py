"""Convolution in three more ways: seven loops, a loop over positions, Fourier transform.

What you learn: the definition as code, and how the same numbers come out of less Python.

    y_boij = b_o + sum_cuv w_ocuv x~_b,c,(i s + u d),(j s + v d)          x~: x with zero padding

    conv2d_loops   seven loops b o i j c u v, one product at a time: the definition itself
    conv2d_naive   two loops i j; at each position one product over c u v for all b and o
    conv2d_im2col  no loop over positions: one product of matrices (conv_im2col.py)
    conv2d_fft     no windows at all: products of spectra

What deep learning calls convolution is cross-correlation: w is not turned round. The convolution
theorem says F(x * w) = F(x) F(w); for correlation the second factor is conjugated,

    y = F^-1( sum_c F(x_c) conj(F(w_oc)) ),     F: the 2-d discrete Fourier transform, (Hp, Wp).

The transform is periodic, so sums wrap round at the border. The positions where the kernel fits
inside the padded image never wrap, and only they are kept. Dilation is zeros put between the taps,
stride is leaving positions out, after all have been computed. For B images of N pixels and kernels
of k x k taps, im2col needs B O C N k^2 multiplications, FFT about B (C + O) N log N + B O C N: it
pays for large kernels, not for 3 x 3.

All but conv2d_loops get their gradients from autograd.
Papers: Mathieu, Henaff & LeCun 2014 (training with FFT); Dumoulin & Visin 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor

from chapter_04_cnn_classic.conv_geometry import Geometry, conv_geometry, pad_zeros, windows
from chapter_04_cnn_classic.conv_im2col import accumulator_type, check_channels, conv2d_im2col

Size = int | Sequence[int]


def _geometry(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
) -> Geometry:
    check_channels(input, weight, groups)
    types = [t.dtype for t in (input, weight, bias) if t is not None]
    if len(set(types)) > 1 or types[0] == torch.bool:
        raise RuntimeError(f"input, weight and bias need one type of numbers, got {types}")
    size, kernel = input.shape[-2:], weight.shape[-2:]
    return conv_geometry(size, kernel, stride, padding, dilation, groups)


@torch.no_grad()
def conv2d_loops(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """The definition, one multiplication at a time. (B, C, H, W) -> (B, O, Ho, Wo), no gradient.

    About a microsecond for each multiplication-and-addition: for a few hundred pixels at most.
    """
    g = _geometry(input, weight, bias, stride, padding, dilation, groups)
    x, w = pad_zeros(input, g.padding).tolist(), weight.tolist()
    (sh, sw), (dh, dw) = g.stride, g.dilation
    filters, per_group, kh, kw = weight.shape
    y = input.new_zeros(len(input), filters, *g.output_size)
    for b, o, i, j in product(*map(range, y.shape)):
        total = 0.0 if bias is None else bias[o].item()
        first = o // (filters // groups) * per_group  # the group's first input channel
        for c, u, v in product(range(per_group), range(kh), range(kw)):
            total += w[o][c][u][v] * x[b][first + c][i * sh + u * dh][j * sw + v * dw]
        y[b, o, i, j] = total
    return y


def conv2d_naive(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """One product at each output position. (B, C, H, W) -> (B, O, Ho, Wo)."""
    g = _geometry(input, weight, bias, stride, padding, dilation, groups)
    patches = windows(pad_zeros(input, g.padding), g)  # (B, C, kh, kw, Ho, Wo), a view
    filters = weight.reshape(groups, len(weight) // groups, -1)  # (G, O/G, K)
    pixels = []
    for i, j in product(*map(range, g.output_size)):
        patch = patches[..., i, j].reshape(len(input), *filters.shape[::2])  # (B, G, K)
        pixels.append(torch.einsum("bgk,gok->bgo", patch, filters).flatten(1))  # (B, O)
    y = torch.stack(pixels, dim=-1).unflatten(-1, g.output_size)  # (B, O, Ho, Wo)
    return y if bias is None else y + bias.view(-1, 1, 1)


def dilate(weight: Tensor, dilation: tuple[int, int]) -> Tensor:
    """Zeros between the taps: (O, C, kh, kw) -> (O, C, dh (kh - 1) + 1, dw (kw - 1) + 1)."""
    if dilation == (1, 1):
        return weight
    sizes = (d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[-2:], strict=True))
    spread = weight.new_zeros(*weight.shape[:2], *sizes)
    spread[..., :: dilation[0], :: dilation[1]] = weight
    return spread


def conv2d_fft(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Correlation as a product of spectra. (B, C, H, W) -> (B, O, Ho, Wo).

    Every frequency reads every pixel: one pixel of nan or inf makes its whole picture nan.
    """
    g = _geometry(input, weight, bias, stride, padding, dilation, groups)
    # There is no transform in half precision. Integers stay exact in float64, up to 2^53.
    exact = not input.is_floating_point()
    dtype = torch.float64 if exact else accumulator_type(input.dtype)
    x, w = pad_zeros(input, g.padding).to(dtype), dilate(weight, g.dilation).to(dtype)
    size = x.shape[-2:]  # Hp, Wp
    x_hat = torch.fft.rfft2(x).unflatten(1, (groups, -1))  # (B, G, C/G, Hp, Wp // 2 + 1)
    w_hat = torch.fft.rfft2(w, s=size).unflatten(0, (groups, -1))  # (G, O/G, C/G, Hp, Wp // 2 + 1)
    y_hat = torch.einsum("bgcmn,gocmn->bgomn", x_hat, w_hat.conj()).flatten(1, 2)
    y = torch.fft.irfft2(y_hat, s=size)  # (B, O, Hp, Wp); the last rows and columns wrap round
    (sh, sw), (height, width) = g.stride, g.output_size
    y = y[..., ::sh, ::sw][..., :height, :width]  # (B, O, Ho, Wo)
    y = (y.round().long() if exact else y).to(input.dtype)
    return y if bias is None else y + bias.view(-1, 1, 1)


METHODS: dict[str, Callable[..., Tensor]] = {
    "im2col": conv2d_im2col,
    "naive": conv2d_naive,
    "fft": conv2d_fft,
}
