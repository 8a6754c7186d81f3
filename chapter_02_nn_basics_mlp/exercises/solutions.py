"""Solutions of chapter 2's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 2 --solutions`.
"""

import math

import torch


def linear_backward(x, weight, grad_output):
    rows = x.reshape(-1, x.shape[-1])  # (*, D_in) -> (B, D_in)
    grads = grad_output.reshape(-1, grad_output.shape[-1])  # (*, D_out) -> (B, D_out)
    return grad_output @ weight, grads.T @ rows, grads.sum(dim=0)


def dropout_forward(x, p, training, generator=None):
    if not training:
        return x
    if p == 1:
        return x * 0.0
    keep = torch.rand(x.shape, generator=generator) >= p
    return x * keep / (1 - p)


def standardise(train, *others):
    mean = train.mean(dim=0)  # (N, D) -> (D,)
    std = train.std(dim=0, correction=0)  # (N, D) -> (D,)
    constant = train.amax(dim=0) == train.amin(dim=0)
    scale = torch.where(constant, 1.0, std)
    return tuple((part - mean) / scale for part in (train, *others))


def kfold_indices(n, folds, generator=None):
    if not 2 <= folds <= n:
        raise ValueError(f"{n} samples cannot be cut into {folds} folds: 2 .. {n} are possible")
    order = torch.randperm(n, generator=generator)
    parts = [order[i::folds] for i in range(folds)]
    return [
        (torch.cat([part for j, part in enumerate(parts) if j != i]), parts[i])
        for i in range(folds)
    ]


def activation_gain(activation):
    z = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2)
    density = density / density.sum()
    return 1 / math.sqrt((activation(z) ** 2 * density).sum().item())


def cross_entropy(logits, targets, smoothing=0.0):
    samples, classes = logits.shape
    shifted = logits - logits.amax(dim=1, keepdim=True)  # the largest is 0: exp cannot overflow
    log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()  # (B, C)
    q = torch.full_like(logits, smoothing / classes)
    q[torch.arange(samples), targets] += 1 - smoothing
    loss = -(q * log_p).sum(dim=1).mean()  # (B, C) -> (B,) -> ()
    return loss, (log_p.exp() - q) / samples


def hinge_network(x, y, left_slope=0.0, right_slope=0.0):
    ends = torch.tensor([left_slope, right_slope], dtype=x.dtype)
    slopes = torch.cat([(y[1:] - y[:-1]) / (x[1:] - x[:-1]), ends[1:]])  # (K,): right of each x_k
    bends = torch.cat([slopes[:1], slopes[1:] - slopes[:-1]])  # (K,)
    w1 = torch.ones(len(x) + 1, dtype=x.dtype)
    w1[0] = -1.0  # the hinge that faces left: relu(x_0 - t)
    b1 = torch.cat([x[:1], -x])  # (K + 1,)
    w2 = torch.cat([-ends[:1], bends])
    return w1, b1, w2, y[0]


def tent_network(depth):
    bias = torch.tensor([0.0, -0.5], dtype=torch.float64)
    first = torch.ones(2, 1, dtype=torch.float64)
    fold = torch.tensor([[2.0, -4.0]], dtype=torch.float64)  # 2 relu(t) - 4 relu(t - 1/2) = T(t)
    hidden = [(first, bias)] + [(first @ fold, bias)] * (depth - 1)
    return [*hidden, (fold, torch.zeros(1, dtype=torch.float64))]
