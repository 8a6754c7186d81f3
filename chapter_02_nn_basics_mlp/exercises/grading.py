"""What the grader of chapter 2 compares with: tensors, numbers, the pieces of a hinge network."""

import itertools

import torch

from utils.grading import alike, because


def same(result, expected, words, tolerance=1e-9, mistakes=()):
    """`result` has the shape and the numbers of `expected`; `mistakes`: pairs (reason, value)."""
    assert result is not None, f"{words}: got None; is the `return` missing?"
    assert isinstance(result, torch.Tensor), f"{words}: a tensor is expected, not {result!r}"
    why = because(result, expected, [reason for reason, value in mistakes if alike(result, value)])
    assert result.shape == expected.shape, (
        f"{words}: expected the shape {tuple(expected.shape)}, got {tuple(result.shape)}{why}"
    )
    assert torch.allclose(result.to(expected.dtype), expected, rtol=tolerance, atol=tolerance), (
        f"{words}: expected {short(expected)}, got {short(result)}{why}"
    )


def short(tensor):
    numbers = [f"{number:.4g}" for number in tensor.detach().reshape(-1)[:6].tolist()]
    return f"[{', '.join(numbers)}{', ...' if tensor.numel() > 6 else ''}]"


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def network(weights, t):
    w1, b1, w2, b2 = weights
    return torch.relu(t[:, None] * w1 + b1) @ w2 + b2  # (N,) -> (N, H) -> (N,)


def check_hinge_order(weights, x, y, left, right, where):
    """Are the arrays right, but returned in another order?"""
    t = torch.cat([x[:1] - 1, x, x[-1:] + 1])
    expected = torch.cat([y[:1] - left, y, y[-1:] + right])
    orders = itertools.permutations(weights[:3])
    fits = [alike(network((*order, weights[3]), t), expected) for order in orders]
    assert fits[0] or not any(fits), (
        f"{where}: the right values in the wrong order: return (w1, b1, w2, b2)"
    )


def check_pieces(weights, x, y, left, right, where):
    t = torch.linspace(x[0].item(), x[-1].item(), 201, dtype=torch.float64)
    inside = torch.zeros_like(t)
    for k in range(len(x) - 1):
        on_piece = (t >= x[k]) & (t <= x[k + 1])
        line = y[k] + (t - x[k]) * (y[k + 1] - y[k]) / (x[k + 1] - x[k])
        inside = torch.where(on_piece, line, inside)
    steps = torch.tensor([0.5, 2.0, 100.0], dtype=torch.float64)
    same(network(weights, x), y, f"{where}: at the points themselves")
    if len(x) > 1:
        same(network(weights, t), inside, f"{where}: between the points")
    words = f"{where}: to the right of the last point (the slope is the sum of all hinges)"
    same(network(weights, x[-1] + steps), y[-1] + right * steps, words)
    words = f"{where}: to the left of the first point (all hinges that face right are 0 there)"
    same(network(weights, x[0] - steps), y[0] - left * steps, words)
