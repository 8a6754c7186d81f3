"""Chapter 5: a ResNet's training step in the default precision, our networks against torchvision's,
and what fewer multiply-accumulates are worth in time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.harness import Row, compare
from utils.device import autocast, pick_precision

SIDE, BATCH = 96, 64  # the batch is that of model_train.py
CPU = torch.device("cpu")


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    torch.manual_seed(0)
    seconds = 0.1 if quick else 2.0
    batch = 4 if quick else BATCH
    return [*precision_rows(batch, seconds), *twin_rows(batch, seconds), *separable_rows(seconds)]


def training_step(model: nn.Module, batch: int, precision: str, channels_last: bool) -> Callable:
    """Forward, backward and an SGD step on `batch` random pictures of 96 px."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(memory_format=layout).train()
    x = torch.randn(batch, 3, SIDE, SIDE).contiguous(memory_format=layout)
    y = torch.randint(8, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        with autocast(CPU, precision):
            logits = model(x)
        F.cross_entropy(logits.float(), y).backward()
        optimizer.step()

    return step


def precision_rows(batch: int, seconds: float) -> list[Row]:
    """What model_train.py does on this processor, against plain fp32 in PyTorch's usual layout.

    And the same for a network of depthwise convolutions, which wait for memory: see its row in
    `twin_rows` for fp32 in the same layout.
    """
    from chapter_05_resnet_modern_cnn.src.model import build_model

    precision = pick_precision(CPU, "auto", convolutions=True)
    found = []
    for name in ("resnet18", "mobilenet_v2"):
        ours, plain = (build_model(name, 8, skip=0) for _ in range(2))
        found.append(
            compare(
                f"{name} training step, {batch} pictures of {SIDE} px: {precision}, channels_last",
                training_step(ours, batch, precision, True),
                training_step(plain, batch, "fp32", False),
                min_seconds=seconds,
                against="fp32, contiguous",
                name_zh=f"{name} 训练一步，{batch} 张 {SIDE} 像素图片：{precision}，channels_last",
            )
        )
    return found


def twin_rows(batch: int, seconds: float) -> list[Row]:
    """Our networks against torchvision's: the same layers, so the same time."""
    from torchvision import models

    from chapter_05_resnet_modern_cnn.src.model import build_model

    found = []
    for name in ("resnet18", "mobilenet_v2"):
        networks = (build_model(name, 8, skip=0), models.get_model(name, num_classes=8))
        found.append(
            compare(
                f"{name} training step, {batch} pictures of {SIDE} px, fp32",
                *(training_step(network, batch, "fp32", True) for network in networks),
                min_seconds=seconds,
                against="torchvision",
                name_zh=f"{name} 训练一步，{batch} 张 {SIDE} 像素图片，fp32",
            )
        )
    return found


def separable_rows(seconds: float) -> list[Row]:
    """A depthwise separable convolution against the full one, and the ratio of their MACs."""
    found = []
    for width, side in ((64, 32), (256, 8)):
        x = torch.randn(32, width, side, side).contiguous(memory_format=torch.channels_last)
        full = nn.Conv2d(width, width, 3, padding=1, bias=False)
        depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        pointwise = nn.Conv2d(width, width, 1, bias=False)
        separable = nn.Sequential(depthwise, pointwise).to(memory_format=torch.channels_last)
        full = full.to(memory_format=torch.channels_last)
        share = 1 / width + 1 / 9  # of the full convolution's multiply-accumulates
        shape = f"{width} channels, {side} px, batch 32"
        found.append(
            compare(
                f"separable convolution, forward, {shape} ({100 * share:.0f} % of the MACs)",
                forward(separable, x),
                forward(full, x),
                min_seconds=seconds,
                against="full 3x3",
                name_zh=f"可分离卷积，前向，{width} 通道，{side} 像素，批次大小 32"
                f"（乘加次数的 {100 * share:.0f} %）",
            )
        )
    return found


def forward(module: nn.Module, x: torch.Tensor) -> Callable:
    def step() -> None:
        with torch.no_grad():
            module(x)

    return step
