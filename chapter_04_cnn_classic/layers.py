"""The layers of a convolutional network, from tensor operations.

What you learn: a convolution is a small Linear layer that reads one patch at a time, with the same
weights everywhere; a transposed convolution is its gradient used as a layer; pooling summarises a
window; Dropout2d drops whole feature maps, because neighbouring pixels say nearly the same.

    Conv2d            y = w * x + b       n_out = floor((n + 2p - d (k - 1) - 1) / s) + 1
    ConvTranspose2d   y = w *^T x + b     n_out = (n - 1) s - 2p + d (k - 1) + 1 + output_padding
    MaxPool2d, AvgPool2d, LPPool2d, AdaptiveAvgPool2d, AdaptiveMaxPool2d      pooling.py
    Dropout2d         y = x m / (1 - p)   m ~ Bernoulli(1 - p), one for each channel
    BatchNorm2d       chapter 3

Every class is a drop-in for its namesake in torch.nn: same arguments, same parameter names, same
first weights from the same seed. Conv2d(..., method="im2col" | "naive" | "fft") chooses between
three computations of the same numbers. The sizes are in conv_geometry.py, the matrix product with
its gradients in conv_im2col.py, loops and FFT in conv_functions.py.

    from chapter_04_cnn_classic.layers import Conv2d, use_course_layers
    model = use_course_layers(torchvision.models.alexnet())      # runs on our layers alone

Papers: Fukushima 1980 and LeCun et al. 1998 (convolution, pooling); Zeiler et al. 2010 (transposed
convolution); Tompson et al. 2015 (Dropout2d).
`python -m benchmarks --chapter 4` measures the layers against torch.nn.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp import initialization as init
from chapter_02_nn_basics_mlp import layers as chapter_2
from chapter_03_optimization_regularization.normalization import BatchNorm1d, BatchNorm2d
from chapter_04_cnn_classic.conv_functions import (
    METHODS,
    conv2d_fft,
    conv2d_loops,
    conv2d_naive,
)
from chapter_04_cnn_classic.conv_geometry import (
    PADDING_MODES,
    Pair,
    pad,
    pair,
    resolve_padding,
    transposed_length,
)
from chapter_04_cnn_classic.conv_im2col import col2im, conv2d_im2col, conv_transpose2d, im2col
from chapter_04_cnn_classic.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    LPPool,
    LPPool2d,
    MaxPool2d,
)

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout2d",
    "LPPool",
    "LPPool2d",
    "MaxPool2d",
    "col2im",
    "conv2d_fft",
    "conv2d_im2col",
    "conv2d_loops",
    "conv2d_naive",
    "conv_transpose2d",
    "im2col",
    "use_course_layers",
]

Size = int | Sequence[int]


def under_autocast(*tensors: Tensor | None) -> list[Tensor | None]:
    """Inside torch.autocast, cast to its type, as F.conv2d does; elsewhere unchanged."""
    device = tensors[0].device.type
    known = torch.amp.is_autocast_available(device)  # not for "meta", where only shapes are
    if not (known and torch.is_autocast_enabled(device)) or tensors[0].dtype == torch.float64:
        return list(tensors)
    dtype = torch.get_autocast_dtype(device)
    return [None if t is None else t.to(dtype) for t in tensors]


class _Conv(nn.Module):
    """Options and parameters that Conv2d and ConvTranspose2d share."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        groups: int,
        padding_mode: str,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{in_channels} input and {out_channels} output channels do not make {groups} "
                "equal groups"
            )
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = pair(stride, "stride")
        self.padding = padding if isinstance(padding, str) else pair(padding, "padding", 0)
        self.dilation = pair(dilation, "dilation")
        self.groups = groups
        self.padding_mode = padding_mode

    def _add_parameters(
        self,
        shape: tuple[int, ...],
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.register_parameter("bias", None)
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_channels, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """torch's default, as in chapter 2's Linear: w and b uniform on +-1 / sqrt(fan_in).

        fan_in is the second dimension of the weight times the kernel; for a transposed
        convolution that is not its number of inputs, but torch counts so as well.
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def _batched(self, input: Tensor) -> Tensor:
        """(C, H, W) -> (1, C, H, W). ValueError for other shapes or numbers of channels."""
        if input.ndim not in (3, 4) or input.shape[-3] != self.in_channels:
            raise ValueError(
                f"(B, {self.in_channels}, H, W) or ({self.in_channels}, H, W) is needed, "
                f"got {tuple(input.shape)}"
            )
        return input if input.ndim == 4 else input.unsqueeze(0)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        usual = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1}
        usual |= {"padding_mode": "zeros", "method": "im2col"}
        for name, value in usual.items():
            if getattr(self, name, value) != value:
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else text + ", bias=False"


class Conv2d(_Conv):
    """y_o = b_o + sum over the group's channels of w_oc * x_c. (B, C, H, W) -> (B, O, Ho, Wo).

    Parameters: weight (O, C / groups, kh, kw), bias (O). `method`: "im2col", the only one fast
    enough for training; "naive" and "fft" to learn from.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        method: str = "im2col",
    ) -> None:
        sizes = in_channels, out_channels, kernel_size, stride, padding, dilation
        super().__init__(*sizes, groups, padding_mode)
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        self.method = method
        self._pads = resolve_padding(self.padding, self.kernel_size, self.stride, self.dilation)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self._add_parameters(shape, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        x, weight, bias = under_autocast(self._batched(input), self.weight, self.bias)
        padding = self.padding
        if self.padding_mode != "zeros":  # the frame is made first, then nothing is padded
            x, padding = pad(x, self._pads, self.padding_mode), 0  # (B, C, Hp, Wp)
        options = self.stride, padding, self.dilation, self.groups
        y = METHODS[self.method](x, weight, bias, *options)  # (B, O, Ho, Wo)
        return y if input.ndim == 4 else y.squeeze(0)


class ConvTranspose2d(_Conv):
    """The adjoint of Conv2d as a layer that enlarges. (B, C, H, W) -> (B, O, Ho, Wo).

    Each input pixel writes w times its value into a kernel-sized patch of the output, patches are
    `stride` apart, and overlaps add up. Parameters: weight (C, O / groups, kh, kw), bias (O): the
    shapes of the convolution from O to C channels that it transposes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if padding_mode != "zeros" or isinstance(padding, str):
            raise ValueError("a transposed convolution takes numbers as padding, mode 'zeros' only")
        sizes = in_channels, out_channels, kernel_size, stride, padding, dilation
        super().__init__(*sizes, groups, padding_mode)
        self.output_padding = pair(output_padding, "output_padding", 0)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self._add_parameters(shape, bias, device, dtype)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """`output_size`: the last two or all sizes wanted, in place of output_padding."""
        x, weight, bias = under_autocast(self._batched(input), self.weight, self.bias)
        extra = self.output_padding
        if output_size is not None:
            extra = self._missing(input.shape[-2:], output_size, input.ndim)
        options = self.stride, self.padding, extra, self.groups, self.dilation
        y = conv_transpose2d(x, weight, bias, *options)  # (B, O, Ho, Wo)
        return y if input.ndim == 4 else y.squeeze(0)

    def _missing(self, size: Sequence[int], output_size: Sequence[int], ndim: int) -> Pair:
        """The output_padding that gives `output_size`; a stride of s leaves s sizes to choose."""
        if len(output_size) not in (2, ndim):
            raise ValueError(f"output_size needs 2 or {ndim} numbers, got {tuple(output_size)}")
        window = self.kernel_size, self.stride, self.padding, self.dilation
        smallest = tuple(map(transposed_length, size, *window))
        wanted = tuple(output_size[-2:])
        missing = tuple(w - s for w, s in zip(wanted, smallest, strict=True))
        if any(not 0 <= m < s for m, s in zip(missing, self.stride, strict=True)):
            largest = tuple(m + s - 1 for m, s in zip(smallest, self.stride, strict=True))
            raise ValueError(f"output_size must be from {smallest} to {largest}, got {wanted}")
        return missing


class Dropout2d(nn.Module):
    """Training: each channel is 0 with probability p, the others grow by 1 / (1 - p).

    (B, C, H, W): one draw for each example and channel. As in torch, three dimensions are
    read as (B, C, L) and not as an unbatched image.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"the dropout probability must be between 0 and 1, got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2:
            raise ValueError(f"(B, C, ...) is needed, got {tuple(input.shape)}")
        if not self.training or self.p == 0:
            return input
        keep = 1 - self.p
        shape = (*input.shape[:2], *[1] * (input.ndim - 2))  # (B, C, 1, 1)
        mask = input.new_empty(shape).bernoulli_(keep)
        if keep > 0:
            mask /= keep
        return input.mul_(mask) if self.inplace else input * mask

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


OURS = {
    nn.Conv2d: Conv2d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.MaxPool2d: MaxPool2d,
    nn.AvgPool2d: AvgPool2d,
    nn.LPPool2d: LPPool2d,
    nn.AdaptiveAvgPool2d: AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d: AdaptiveMaxPool2d,
    nn.Dropout2d: Dropout2d,
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.Linear: chapter_2.Linear,
    nn.Dropout: chapter_2.Dropout,
    nn.Flatten: chapter_2.Flatten,
    nn.ReLU: chapter_2.ReLU,
    nn.Sigmoid: chapter_2.Sigmoid,
    nn.Tanh: chapter_2.Tanh,
}


def our_twin(layer: nn.Module) -> nn.Module:
    """Our layer with the same options, and the very parameters and buffers of `layer`."""
    ours = OURS[type(layer)]
    names = inspect.signature(ours).parameters
    options = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    if "bias" in options:
        options["bias"] = layer.bias is not None
    with torch.device("meta"):  # first weights that nobody reads cost nothing, nor random numbers
        twin = ours(**options)
    twin._parameters.update(layer._parameters)
    twin._buffers.update(layer._buffers)
    if "train" in vars(layer):  # frozen for good, as chapter 5's transfer does it: so is the twin
        twin.train = copy.deepcopy(layer.train, {id(layer): twin})
    return twin.train(layer.training)


def use_course_layers(model: nn.Module) -> nn.Module:
    """Replace, in place, every torch.nn layer of `OURS` by ours; the parameters stay the same.

    So an optimiser that already holds them goes on working. Hooks are not carried over. Give
    back the model: a single layer cannot be replaced in place.
    """
    if type(model) in OURS:
        return our_twin(model)
    twins: dict[nn.Module, nn.Module] = {}  # a layer that is used twice is still one layer
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if type(child) not in OURS:
                continue
            if child not in twins:
                twins[child] = our_twin(child)
            parent._modules[name] = twins[child]
    return model
