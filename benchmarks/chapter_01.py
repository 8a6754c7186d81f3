"""Chapter 1: the tensor engine against PyTorch, and against the scalar engine it grew from.

The work is one step of training an MLP 64-128-64-10 on a batch of 128: forward, softmax
cross-entropy, backward, SGD update, all in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.harness import Row, compare
from chapter_01_tensor_autograd import value
from chapter_01_tensor_autograd.tensor import Tensor, no_grad

WIDTHS = (64, 128, 64, 10)
BATCH = 128
CHAIN = 1000
SCALAR_OPERATIONS = 10_000
LR = 0.01


def initial_weights() -> list[np.ndarray]:
    """W1, b1, W2, b2, W3, b3 with W (in, out)."""
    rng = np.random.default_rng(0)
    weights = []
    for inputs, outputs in pairwise(WIDTHS):
        weights.append(rng.normal(0, (2 / inputs) ** 0.5, (inputs, outputs)).astype(np.float32))
        weights.append(np.zeros(outputs, np.float32))
    return weights


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Inputs (B, 64) and labels (B,)."""
    rng = np.random.default_rng(1)
    return rng.random((BATCH, WIDTHS[0]), np.float32), rng.integers(0, WIDTHS[-1], BATCH)


def tensor_step() -> Callable[[], float]:
    """One training step with our engine."""
    images, labels = batch()
    x, rows = Tensor(images), np.arange(BATCH)
    parameters = [Tensor(array, requires_grad=True) for array in initial_weights()]
    w1, b1, w2, b2, w3, b3 = parameters

    def step() -> float:
        hidden = (x @ w1 + b1).relu()  # (B, 128)
        hidden = (hidden @ w2 + b2).relu()  # (B, 64)
        log_p = (hidden @ w3 + b3).log_softmax(axis=1)  # (B, 10)
        loss = -log_p[rows, labels].mean()
        loss.backward()
        with no_grad():
            for parameter in parameters:
                parameter.sub_(parameter.grad * LR)
                parameter.zero_grad()
        return loss.item()

    return step


def torch_step() -> Callable[[], float]:
    """The same step with PyTorch's tensors, eager, on the CPU."""
    images, labels = (torch.from_numpy(array) for array in batch())
    parameters = [torch.from_numpy(array).requires_grad_() for array in initial_weights()]
    w1, b1, w2, b2, w3, b3 = parameters

    def step() -> float:
        hidden = (images @ w1 + b1).relu()
        hidden = (hidden @ w2 + b2).relu()
        loss = F.cross_entropy(hidden @ w3 + b3, labels)
        loss.backward()
        with torch.no_grad():
            for parameter in parameters:
                parameter.sub_(parameter.grad * LR)
                parameter.grad = None
        return loss.item()

    return step


def value_step() -> Callable[[], float]:
    """The same step for ONE example of the batch with the scalar engine."""
    images, labels = batch()
    pixels, label = images[0].tolist(), int(labels[0])
    model = value.MLP(list(WIDTHS))
    neurons = [neuron for layer in model.layers for neuron in layer]
    parameters = [p for neuron in neurons for p in (*neuron.weights, neuron.bias)]

    def step() -> float:
        exponentials = [logit.exp() for logit in model(pixels)]
        loss = -(exponentials[label] / sum(exponentials, value.Value(0.0))).log()
        loss.backward()
        for parameter in parameters:
            parameter.data -= LR * parameter.grad
            parameter.grad = 0.0
        return loss.data

    return step


def tensor_chain() -> Callable[[], np.ndarray]:
    """The gradient of a chain of 1,000 operations on 64 numbers."""
    x = Tensor(np.linspace(-1, 1, 64, dtype=np.float32), requires_grad=True)

    def step() -> np.ndarray:
        y = x
        for _ in range(CHAIN // 2):
            y = (y * 1.01).tanh()
        y.sum().backward()
        gradient = x.grad.numpy()
        x.zero_grad()
        return gradient

    return step


def torch_chain() -> Callable[[], torch.Tensor]:
    x = torch.linspace(-1, 1, 64, requires_grad=True)

    def step() -> torch.Tensor:
        y = x
        for _ in range(CHAIN // 2):
            y = (y * 1.01).tanh()
        y.sum().backward()
        gradient, x.grad = x.grad, None
        return gradient

    return step


def scalar_chain(make: Callable[[float], object]) -> Callable[[], object]:
    """10,000 operations on single numbers, forward and backward."""

    def step() -> object:
        x = make(0.5)
        y = x
        for _ in range(SCALAR_OPERATIONS // 2):
            y = y * x + x
        y.backward()
        return x.grad

    return step


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    seconds = 0.2 if quick else 3.0
    step = compare(
        "Training step of an MLP 64-128-64-10, batch 128",
        tensor_step(),
        torch_step(),
        min_seconds=seconds,
        name_zh="训练一步：MLP 64-128-64-10，批次大小 128",
    )
    scalars = compare(
        "The same step, scalar engine on 1 of 128 examples",
        tensor_step(),
        value_step(),
        min_seconds=seconds,
        against="value.py × 128",
        name_zh="同一步，标量引擎只算 128 个样本中的 1 个",
        theirs_scale=BATCH,
    )
    chain = compare(
        "Gradient of a chain of 1,000 operations on 64 numbers",
        tensor_chain(),
        torch_chain(),
        min_seconds=seconds,
        name_zh="64 个数上 1000 次运算组成的链的梯度",
    )
    single = compare(
        "10,000 operations on single numbers (value.py)",
        scalar_chain(value.Value),
        scalar_chain(lambda number: torch.tensor(number, requires_grad=True)),
        min_seconds=seconds,
        name_zh="单个数上的 10000 次运算（value.py）",
    )
    return [step, scalars, chain, single]
