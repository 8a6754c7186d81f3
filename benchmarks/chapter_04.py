"""Chapter 4: convolutions and pooling layers against torch.nn's, at the sizes of CIFAR networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.chapter_04_augmentation import augmentation_rows
from benchmarks.harness import Row, compare

Step = Callable[[], object]

# (channels in, channels out, pixels along a side): 3 x 3 kernels, padding 1, as in a small VGG
CIFAR_SHAPES = [(3, 32, 32), (32, 64, 32), (64, 128, 16), (128, 256, 8)]
BATCH = 64


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    torch.manual_seed(0)
    seconds = 0.2 if quick else 1.0
    found = [*conv_rows(seconds), *method_rows(seconds), *layer_rows(seconds)]
    return found + augmentation_rows(quick)


def forward_backward(module: nn.Module, x: Tensor, input_gradient: bool = True) -> Step:
    """One forward and one backward; gradients of the parameters and, if wanted, of the input."""
    x = x.clone().requires_grad_(input_gradient)
    with torch.no_grad():
        upstream = torch.randn_like(module(x))

    def step() -> None:
        for tensor in (*module.parameters(), x):
            tensor.grad = None
        module(x).backward(upstream)

    return step


def conv_rows(seconds: float) -> list[Row]:
    """im2col Conv2d against nn.Conv2d. In training, the first layer needs no input gradient."""
    from chapter_04_cnn_classic.layers import Conv2d

    found = []
    for inputs, outputs, side in CIFAR_SHAPES:
        first, x = inputs == 3, torch.randn(BATCH, inputs, side, side)
        shape = f"{inputs} to {outputs} channels, {side} px, batch {BATCH}"
        shape_zh = f"{inputs} 到 {outputs} 通道，{side} 像素，批次大小 {BATCH}"
        modules = (library(inputs, outputs, 3, padding=1) for library in (Conv2d, nn.Conv2d))
        found.append(
            compare(
                f"Conv2d {shape}, forward and backward" + first * " (weights only)",
                *(forward_backward(module, x, not first) for module in modules),
                min_seconds=seconds,
                name_zh=f"Conv2d，{shape_zh}，前向与反向" + first * "（只求权重梯度）",
            )
        )
    return found


def method_rows(seconds: float) -> list[Row]:
    """The forward pass computed in our four ways, against im2col."""
    from chapter_04_cnn_classic import layers

    tiny, middle, large = (1, 8, 16), (16, 32, 16), (4, 16, 64)  # batch, channels, pixels
    cases = [
        ("seven loops", "七重循环", layers.conv2d_loops, tiny, 3),
        ("loop over positions", "按位置循环", layers.conv2d_naive, middle, 3),
        ("FFT", "FFT", layers.conv2d_fft, middle, 3),
        ("FFT", "FFT", layers.conv2d_fft, large, 21),
    ]
    found = []
    for name, name_zh, method, (batch, channels, side), kernel in cases:
        x = torch.randn(batch, channels, side, side)
        weight = torch.randn(channels, channels, kernel, kernel)
        shape = f"({batch}, {channels}, {side}, {side})"
        found.append(
            compare(
                f"{name}, forward, {kernel}x{kernel} on {shape}",
                lambda method=method, x=x, weight=weight: method(x, weight),
                lambda x=x, weight=weight: layers.conv2d_im2col(x, weight),
                min_seconds=seconds,
                against="our im2col",
                name_zh=f"{name_zh}，前向，{kernel}x{kernel}，{shape}",
            )
        )
    return found


def layer_rows(seconds: float) -> list[Row]:
    """The other layers, forward and backward."""
    from chapter_04_cnn_classic import layers

    x = torch.randn(BATCH, 32, 32, 32)
    cases = [
        ("Conv2d 1x1", lambda library: library.Conv2d(32, 32, 1)),
        ("Conv2d 3x3 depthwise", lambda library: library.Conv2d(32, 32, 3, padding=1, groups=32)),
        ("ConvTranspose2d 2x2", lambda library: library.ConvTranspose2d(32, 16, 2, stride=2)),
        ("MaxPool2d 2x2", lambda library: library.MaxPool2d(2)),
        ("AvgPool2d 2x2", lambda library: library.AvgPool2d(2)),
    ]
    return [
        compare(
            f"{name} of ({BATCH}, 32, 32, 32), forward and backward",
            *(forward_backward(make(library), x) for library in (layers, nn)),
            min_seconds=seconds,
            name_zh=f"{name}，({BATCH}, 32, 32, 32)，前向与反向",
        )
        for name, make in cases
    ]
