"""Convolution as a matrix product, with its gradients derived by hand.

What you learn: im2col copies the patch under each output position into a column. Then a
convolution is one product of matrices. For x (B, C, H, W), w (O, C/G, kh, kw), groups G,
K = C/G kh kw numbers in a patch, L = Ho Wo positions:

    y_boij = b_o + sum_cuv w_ocuv x~_b,c,(i s + u d),(j s + v d)     x~: x with its padding
    Y = W X        (O/G, B L) = (O/G, K) (K, B L)     for each group; X = im2col(x)

The gradients, with g = dL/dy, follow from those of a matrix product; col2im, the adjoint of
im2col, adds every column back to the pixels it came from:

    dL/dw = g X^T                     (O/G, K)     a correlation of input and output gradient
    dL/dx = col2im(W^T g)             (K, B L)     a transposed convolution
    dL/db = sum_bij g_boij            (O)

The three maps are one: <g, conv(x, w)> is linear in each of x, w and g, and
conv, T(g, w) = dL/dx and W(x, g) = dL/dw are its three partial derivatives. So the backward pass of
each is made of the other two, and derivatives of any order come for free:

    y = conv(x, w)      dx = T(dy, w)         dw = W(x, dy)
    z = T(g, w)         dg = conv(dz, w)      dw = W(dz, g)
    v = W(x, g)         dx = T(g, dv)         dg = conv(x, dv)

Two things make it fast. X has kh kw times the numbers of x, so the batch is worked through in
slices whose columns fit into the processor's cache, and X is built again in the backward pass
instead of being kept: between the passes only x and w are stored, as in F.conv2d.

    from chapter_04_cnn_classic.conv_im2col import conv2d_im2col, im2col

Papers: Chellapilla, Puri & Simard 2006 (convolution as a matrix product); Dumoulin & Visin 2016.
`python -m benchmarks --chapter 4` measures it against F.conv2d.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from chapter_04_cnn_classic.conv_geometry import (
    Geometry,
    conv_geometry,
    crop,
    pad_zeros,
    pair,
    transposed_geometry,
    windows,
)

CACHE_BYTES = 2 * 2**20  # of columns at a time for each thread; 1 to 4 MiB are about equally fast
DEVICE_BYTES = 256 * 2**20  # a GPU wants few large products

Size = int | Sequence[int]


def accumulator_type(dtype: torch.dtype) -> torch.dtype:
    """float32 for half precision: sums of many terms need more than 8 or 11 bits."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def columns_of(x: Tensor, geometry: Geometry) -> Tensor:
    """im2col in the layout of the matrix product: (b, C, H, W) -> (G, K, b L)."""
    patches = windows(pad_zeros(x, geometry.padding), geometry)  # (b, C, kh, kw, Ho, Wo)
    patches = patches.movedim(0, 3)  # (C, kh, kw, b, Ho, Wo), still a view
    rows = x.shape[1] * math.prod(geometry.kernel_size) // geometry.groups
    return patches.reshape(geometry.groups, rows, -1)  # the copy


def images_of(columns: Tensor, channels: int, geometry: Geometry) -> Tensor:
    """col2im, the adjoint: (G, K, b L) -> (b, C, H, W); pixels under many windows add up.

    One addition for each of the kh kw taps: for a fixed tap no two windows share a pixel.
    """
    (top, bottom), (left, right) = geometry.padding
    height, width = geometry.input_size
    kh, kw = geometry.kernel_size
    patches = columns.view(channels, kh, kw, -1, *geometry.output_size)  # (C, kh, kw, b, Ho, Wo)
    images = torch.zeros(
        *(patches.shape[3], channels, top + height + bottom, left + width + right),
        dtype=accumulator_type(columns.dtype),
        device=columns.device,
    )
    target = windows(images, geometry)  # (b, C, kh, kw, Ho, Wo)
    for u in range(kh):
        for v in range(kw):
            target[:, :, u, v] += patches[:, u, v].transpose(0, 1)
    return crop(images, geometry.padding)


def rows_of(y: Tensor, geometry: Geometry) -> Tensor:
    """(b, O, Ho, Wo) -> (G, O/G, b L), the layout of Y in Y = W X."""
    return y.transpose(0, 1).reshape(geometry.groups, y.shape[1] // geometry.groups, -1)


def slices(x: Tensor, channels: int, geometry: Geometry) -> Iterator[slice]:
    """Slices of the batch whose columns fit into the cache; one example at least."""
    positions = math.prod(geometry.output_size) * math.prod(geometry.kernel_size)
    on_cpu = x.device.type == "cpu"
    budget = CACHE_BYTES * torch.get_num_threads() if on_cpu else DEVICE_BYTES
    step = max(1, budget // max(1, channels * positions * x.element_size()))
    return (slice(start, start + step) for start in range(0, len(x), step))


def empty_like_layout(x: Tensor, shape: Sequence[int]) -> Tensor:
    """An empty (B, C, H, W) tensor in the memory order of x: channels last stays channels last."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=order)


class ConvFunction(torch.autograd.Function):
    """conv(x (B, C, H, W), w (O, C/G, kh, kw), b (O) or None, geometry) -> (B, O, Ho, Wo)."""

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor, b: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.geometry = geometry
        matrix = w.reshape(geometry.groups, w.shape[0] // geometry.groups, -1)  # (G, O/G, K)
        bias = 0 if b is None else b.view(-1, 1, 1)  # (O, 1, 1)
        y = empty_like_layout(x, (len(x), w.shape[0], *geometry.output_size))
        for some in slices(x, x.shape[1], geometry):
            product = torch.bmm(matrix, columns_of(x[some], geometry))  # (G, O/G, b L)
            product = product.view(w.shape[0], -1, *geometry.output_size)  # (O, b, Ho, Wo)
            torch.add(product.transpose(0, 1), bias, out=y[some])  # (b, O, Ho, Wo)
        return y

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        wants_x, wants_w, wants_b = ctx.needs_input_grad[:3]
        dx = TransposedFunction.apply(g, w, ctx.geometry) if wants_x else None
        dw = WeightFunction.apply(x, g, ctx.geometry) if wants_w else None
        db = g.sum((0, 2, 3)) if wants_b else None
        return dx, dw, db, None


class TransposedFunction(torch.autograd.Function):
    """T(g (B, O, Ho, Wo), w (O, C/G, kh, kw), geometry) -> (B, C, H, W): col2im(W^T g)."""

    @staticmethod
    def forward(ctx, g: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.geometry = geometry
        channels = w.shape[1] * geometry.groups
        matrix = w.reshape(geometry.groups, w.shape[0] // geometry.groups, -1)  # (G, O/G, K)
        images = empty_like_layout(g, (len(g), channels, *geometry.input_size))
        for some in slices(g, channels, geometry):
            columns = torch.bmm(matrix.mT, rows_of(g[some], geometry))  # (G, K, b L)
            images[some] = images_of(columns, channels, geometry)  # (b, C, H, W)
        return images

    @staticmethod
    def backward(ctx, dz: Tensor) -> tuple[Tensor | None, ...]:
        g, w = ctx.saved_tensors
        dg = ConvFunction.apply(dz, w, None, ctx.geometry) if ctx.needs_input_grad[0] else None
        dw = WeightFunction.apply(dz, g, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dg, dw, None


class WeightFunction(torch.autograd.Function):
    """W(x (B, C, H, W), g (B, O, Ho, Wo), geometry) -> (O, C/G, kh, kw): g X^T."""

    @staticmethod
    def forward(ctx, x: Tensor, g: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.geometry = geometry
        groups, channels = geometry.groups, x.shape[1]
        shape = (g.shape[1], channels // groups, *geometry.kernel_size)  # (O, C/G, kh, kw)
        total = torch.zeros(shape, dtype=accumulator_type(x.dtype), device=x.device)
        matrix = total.view(groups, g.shape[1] // groups, -1)  # (G, O/G, K)
        for some in slices(x, channels, geometry):
            matrix += torch.bmm(rows_of(g[some], geometry), columns_of(x[some], geometry).mT)
        return total.to(x.dtype)

    @staticmethod
    def backward(ctx, dv: Tensor) -> tuple[Tensor | None, ...]:
        x, g = ctx.saved_tensors
        dx = TransposedFunction.apply(g, dv, ctx.geometry) if ctx.needs_input_grad[0] else None
        dg = ConvFunction.apply(x, dv, None, ctx.geometry) if ctx.needs_input_grad[1] else None
        return dx, dg, None


def conv2d_im2col(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """F.conv2d by matrix products. (B, C, H, W), (O, C/G, kh, kw), (O) -> (B, O, Ho, Wo)."""
    check_channels(input, weight, groups)
    size, kernel = input.shape[-2:], weight.shape[-2:]
    geometry = conv_geometry(size, kernel, stride, padding, dilation, groups)
    return ConvFunction.apply(input, weight, bias, geometry)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """F.conv_transpose2d: T(g, w) as a layer. (B, O, Ho, Wo), (O, C/G, kh, kw) -> (B, C, H, W).

    O is what the *layer* calls in_channels, C its out_channels: the shapes of a convolution, read
    from its output to its input.
    """
    if input.ndim != 4 or input.shape[1] != weight.shape[0] or weight.shape[0] % groups != 0:
        shapes = f"input {tuple(input.shape)}, weight {tuple(weight.shape)}, groups {groups}"
        raise ValueError(f"(B, O, Ho, Wo) and (O, C/G, kh, kw) are needed: {shapes}")
    size, kernel = input.shape[-2:], weight.shape[-2:]
    geometry = transposed_geometry(size, kernel, stride, padding, output_padding, groups, dilation)
    y = TransposedFunction.apply(input, weight, geometry)
    return y if bias is None else y + bias.view(-1, 1, 1)


def check_channels(input: Tensor, weight: Tensor, groups: int) -> None:
    """ValueError unless (B, C, H, W) and (O, C/G, kh, kw) fit together."""
    if input.ndim != 4 or weight.ndim != 4:
        raise ValueError(
            f"input (B, C, H, W) and weight (O, C/G, kh, kw) are needed, got {tuple(input.shape)} "
            f"and {tuple(weight.shape)}"
        )
    channels, filters, per_group = input.shape[1], weight.shape[0], weight.shape[1]
    if groups < 1 or channels != per_group * groups or filters % groups != 0:
        raise ValueError(
            f"{channels} input channels and {filters} filters of {per_group} channels do not make "
            f"{groups} groups: the filters expect {per_group * groups} input channels"
        )


class Im2Col(torch.autograd.Function):
    """im2col as an operation of its own; its gradient is col2im."""

    @staticmethod
    def forward(ctx, x: Tensor, geometry: Geometry) -> Tensor:
        ctx.geometry = geometry
        patches = windows(pad_zeros(x, geometry.padding), geometry)  # (B, C, kh, kw, Ho, Wo)
        return patches.flatten(1, 3).flatten(2)  # (B, C kh kw, L)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        return Col2Im.apply(g, ctx.geometry), None


class Col2Im(torch.autograd.Function):
    """The adjoint of im2col; its gradient is im2col."""

    @staticmethod
    def forward(ctx, columns: Tensor, geometry: Geometry) -> Tensor:
        ctx.geometry = geometry
        channels = columns.shape[1] // math.prod(geometry.kernel_size)
        columns = columns.transpose(0, 1).contiguous()  # (C kh kw, B, L)
        return images_of(columns, channels, geometry).to(columns.dtype)  # (B, C, H, W)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        return Im2Col.apply(g, ctx.geometry), None


def im2col(
    input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Each patch as a column, as F.unfold. (B, C, H, W) -> (B, C kh kw, L)."""
    geometry = conv_geometry(input.shape[-2:], kernel_size, stride, padding, dilation)
    return Im2Col.apply(input, geometry)


def col2im(
    input: Tensor,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
) -> Tensor:
    """Columns added back to the pixels they came from, as F.fold. (B, C kh kw, L) -> (B, C, H, W).

    Not the inverse of im2col: a pixel under n windows comes back n times as large.
    """
    size = pair(output_size, "output_size")
    geometry = conv_geometry(size, kernel_size, stride, padding, dilation)
    taps, positions = math.prod(geometry.kernel_size), math.prod(geometry.output_size)
    if input.ndim != 3 or input.shape[1] % taps != 0 or input.shape[2] != positions:
        raise ValueError(f"(B, C * {taps}, {positions}) is needed, got {tuple(input.shape)}")
    return Col2Im.apply(input, geometry)
