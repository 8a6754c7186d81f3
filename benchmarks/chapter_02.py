"""Chapter 2: layers and losses from tensor operations against torch.nn, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.harness import Row, compare
from chapter_02_nn_basics_mlp import layers, losses

BATCH = 128


def forward_backward(module: nn.Module, *inputs: torch.Tensor) -> Callable[[], None]:
    """One forward and one backward through `module`; gradients of inputs and parameters."""
    inputs = tuple(
        x.detach().clone().requires_grad_(x.is_floating_point() and index == 0)
        for index, x in enumerate(inputs)
    )

    def step() -> None:
        for tensor in (*module.parameters(), *inputs):
            tensor.grad = None
        module(*inputs).sum().backward()

    return step


def pair(ours: nn.Module, theirs: nn.Module, *inputs: torch.Tensor) -> tuple[Callable, Callable]:
    """The same weights in both, the same inputs."""
    ours.load_state_dict(theirs.state_dict())
    return forward_backward(ours, *inputs), forward_backward(theirs, *inputs)


def mlp(library) -> nn.Module:
    """784-256-128-10 from `library`: our layers, or torch.nn."""
    return library.Sequential(
        library.Linear(784, 256),
        library.ReLU(),
        library.Linear(256, 128),
        library.GELU(),
        library.Linear(128, 10),
    )


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    torch.manual_seed(0)
    seconds = 0.2 if quick else 2.0
    images = torch.randn(BATCH, 784)
    wide = torch.randn(BATCH, 1024)
    logits, labels = torch.randn(1024, 1000), torch.randint(0, 1000, (1024,))
    tokens = torch.randint(0, 5000, (BATCH, 64))
    cross_entropy = {"label_smoothing": 0.1}
    cases = [
        (
            "MLP 784-256-128-10, batch 128",
            "MLP 784-256-128-10，批次大小 128",
            pair(mlp(layers), mlp(nn), images),
        ),
        (
            "Linear 784 to 256, batch 128",
            "Linear，784 到 256，批次大小 128",
            pair(layers.Linear(784, 256), nn.Linear(784, 256), images),
        ),
        (
            "GELU of (128, 1024), exact",
            "GELU，(128, 1024)，精确形式",
            pair(layers.GELU(), nn.GELU(), wide),
        ),
        (
            "LogSoftmax of (1024, 1000)",
            "LogSoftmax，(1024, 1000)",
            pair(layers.LogSoftmax(dim=1), nn.LogSoftmax(dim=1), logits),
        ),
        (
            "CrossEntropyLoss of (1024, 1000), smoothed",
            "CrossEntropyLoss，(1024, 1000)，标签平滑",
            pair(
                losses.CrossEntropyLoss(**cross_entropy),
                nn.CrossEntropyLoss(**cross_entropy),
                logits,
                labels,
            ),
        ),
        (
            "Embedding 5000 x 128, tokens (128, 64)",
            "Embedding，5000 × 128，词元 (128, 64)",
            pair(layers.Embedding(5000, 128), nn.Embedding(5000, 128), tokens),
        ),
    ]
    return [
        compare(name, *functions, min_seconds=seconds, name_zh=name_zh)
        for name, name_zh, functions in cases
    ]
