"""Gradient descent, momentum and Adam as three functions: the idea, before any class.

What you learn: an optimiser is a few lines that turn gradients into steps. Each function grows
from the one above it; the lines marked NEW are the whole difference.

    gradient_descent   theta <- theta - lr g

    momentum           b     <- beta b + g                          a sum that forgets
                       theta <- theta - lr b

    adam               m     <- beta1 m + (1 - beta1) g             a mean that forgets
                       v     <- beta2 v + (1 - beta2) g^2           the same of the squares
                       m^     = m / (1 - beta1^t)                   both start at 0: too small by
                       v^     = v / (1 - beta2^t)                   these factors, t = 1, 2, ...
                       theta <- theta - lr m^ / (sqrt(v^) + eps)

All take a list of parameters (tensors of any shape), the list of their gradients (same shapes) and
what they remember (the same shapes again, zeros before the first step). They change the parameters
and the memory in place. With a model:

    parameters = list(model.parameters())
    sums = [torch.zeros_like(p) for p in parameters]
    for inputs, targets in batches:
        gradients = torch.autograd.grad(loss_fn(model(inputs), targets), parameters)
        momentum(parameters, gradients, sums, lr=0.01)

base.py and classic.py make classes of them, with groups, options and a state that can be saved; a
test shows that both take the same steps. How many steps each needs in a bowl that is 100 times as
steep along y as along x (two seconds; 346, 56 and 109 steps):

    python -m chapter_03_optimization_regularization.optimizers.minimal

Papers: Polyak 1964 (momentum); Kingma & Ba 2015 (Adam).
"""

from __future__ import annotations

import torch


@torch.no_grad()
def gradient_descent(parameters, gradients, lr):
    """One step against the gradient. Remembers nothing."""
    for p, g in zip(parameters, gradients, strict=True):
        p -= lr * g  # in place: the model's own tensor changes


@torch.no_grad()
def momentum(parameters, gradients, sums, lr, beta=0.9):
    """One step along the sum of the gradients so far, in which old ones fade."""
    for p, g, b in zip(parameters, gradients, sums, strict=True):  # NEW: b, what p remembers
        b *= beta  # NEW: the past fades by this factor in each step
        b += g  # NEW: under a constant g, b grows to g / (1 - beta)
        p -= lr * b  # NEW: b where g was


@torch.no_grad()
def adam(parameters, gradients, means, squares, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Step t = 1, 2, ...: along the mean of the gradients, measured in their usual size."""
    for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):  # NEW: v
        m *= beta1
        m += (1 - beta1) * g  # NEW: a mean, not a sum; its weights add up to 1 - beta1^t
        v *= beta2  # NEW
        v += (1 - beta2) * g * g  # NEW: the mean of g^2, element by element
        m_hat = m / (1 - beta1**t)  # NEW: makes the weights add up to 1
        v_hat = v / (1 - beta2**t)  # NEW
        p -= lr * m_hat / (v_hat.sqrt() + eps)  # NEW: so the first step is lr in every element


CURVATURES = torch.tensor([1.0, 100.0], dtype=torch.float64)  # f(x, y) = (x^2 + 100 y^2) / 2


def steps_in_the_bowl(step, limit=10_000):
    """Steps from (10, 1) until f is a millionth of its first value, 100.

    step(parameters, gradients, t): one of the functions above, with its options and its memory.
    """
    p = torch.tensor([10.0, 1.0], dtype=torch.float64)  # (2,): x and y
    for t in range(1, limit + 1):
        step([p], [CURVATURES * p], t)  # the gradient of f is (x, 100 y)
        if (CURVATURES * p * p).sum() / 2 < 1e-6 * 100:
            return t
    return limit


def main():
    """Each at its best: the first two by formulas from the curvatures, which nobody knows for a
    network, Adam's rate as the best of 0.01, 0.02, 0.05, 0.1, ... 2.
    """
    b, m, v = torch.zeros(3, 2, dtype=torch.float64)  # (2,) each
    runs = {
        "gradient descent": lambda p, g, t: gradient_descent(p, g, lr=2 / 101),
        "momentum": lambda p, g, t: momentum(p, g, [b], lr=(2 / 11) ** 2, beta=(9 / 11) ** 2),
        "Adam": lambda p, g, t: adam(p, g, [m], [v], t, lr=0.5),
    }
    for name, step in runs.items():
        print(f"{name:<16} {steps_in_the_bowl(step):5d} steps")


if __name__ == "__main__":
    main()
