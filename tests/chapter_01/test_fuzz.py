"""Random computational graphs, built in step in our engine and in torch, must agree.

`FUZZ_SEED=3 pytest tests/chapter_01/test_fuzz.py` builds another 600 graphs.
"""

import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from chapter_01_tensor_autograd import tensor as engine
from chapter_01_tensor_autograd.tensor import Tensor, grad

FUZZ_SEED = int(os.environ.get("FUZZ_SEED", "0"))
BATCHES, GRAPHS_PER_BATCH = 20, 30
SHAPES = [(), (3,), (1,), (2, 3), (2, 1), (3, 3), (4, 2, 3), (1, 2, 1), (2, 3, 3)]

Rng = np.random.Generator
Pair = tuple[Tensor, torch.Tensor]
Choose = Callable[[Rng, list[Pair]], Pair | None]  # None: the draw does not fit these shapes


def far_from_ties(values: np.ndarray) -> bool:
    """No two numbers so close that rounding could decide which one is larger."""
    return values.size < 2 or bool(np.diff(np.sort(values.ravel())).min() > 1e-3)


def smooth(rng: Rng, pool: list[Pair]) -> Pair:
    x, t = pool[rng.integers(len(pool))]
    n = rng.uniform(0.5, 2.0)
    return [
        lambda: (x.tanh(), t.tanh()),
        lambda: (x.sigmoid(), t.sigmoid()),
        lambda: (x.gelu(), F.gelu(t)),
        lambda: (x.gelu("tanh"), F.gelu(t, approximate="tanh")),
        lambda: ((x * 0.3).exp(), (t * 0.3).exp()),
        lambda: ((x * x + n).log(), (t * t + n).log()),
        lambda: ((x * x + n).sqrt(), (t * t + n).sqrt()),
        lambda: (n - x, n - t),
        lambda: (n / (x**2 + 1.0), n / (t**2 + 1.0)),
        lambda: ((x**2 + 1.0) ** n, (t**2 + 1.0) ** n),
        lambda: (-x + n, -t + n),
    ][rng.integers(11)]()


def kinked(rng: Rng, pool: list[Pair]) -> Pair | None:
    x, t = pool[rng.integers(len(pool))]
    if x.data.size == 0 or np.abs(np.abs(x.data) - 0.5).min() < 1e-3 or np.abs(x.data).min() < 1e-3:
        return None
    return [
        lambda: (x.relu(), t.relu()),
        lambda: (x.abs(), t.abs()),
        lambda: (x.clip(-0.5, 0.5), t.clamp(-0.5, 0.5)),
        lambda: (engine.where(x > 0, x, x * 0.1), torch.where(t > 0, t, t * 0.1)),
    ][rng.integers(4)]()


def binary(rng: Rng, pool: list[Pair]) -> Pair | None:
    (x, t), (y, u) = pool[rng.integers(len(pool))], pool[rng.integers(len(pool))]
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return None
    kind = rng.integers(6)
    if kind >= 4 and ((x.data - y.data).size == 0 or np.abs(x.data - y.data).min() < 1e-3):
        return None
    return [
        lambda: (x + y, t + u),
        lambda: (x - y, t - u),
        lambda: (x * y, t * u),
        lambda: (x / (y * y + 1.0), t / (u * u + 1.0)),
        lambda: (engine.maximum(x, y), torch.maximum(t, u)),
        lambda: (engine.minimum(x, y), torch.minimum(t, u)),
    ][kind]()


def reduction(rng: Rng, pool: list[Pair]) -> Pair | None:
    x, t = pool[rng.integers(len(pool))]
    if x.ndim == 0:
        return None
    axes = tuple(rng.permutation(x.ndim)[: rng.integers(1, x.ndim + 1)].tolist())
    keep, kind, last = bool(rng.integers(2)), rng.integers(7), axes[0] - x.ndim
    if kind in (3, 4) and not far_from_ties(x.data):
        return None
    return [
        lambda: (x.sum(axes, keep), t.sum(axes, keep)),
        lambda: (x.mean(axes, keepdims=keep), t.mean(axes, keep)),
        lambda: (x.var(axes, keep, 0), t.var(axes, correction=0, keepdim=keep)),
        lambda: (x.max(axes, keep), t.amax(axes, keep)),
        lambda: (x.min(axes, keep), t.amin(axes, keep)),
        lambda: (x.softmax(last), t.softmax(last)),
        lambda: (x.log_softmax(last), t.log_softmax(last)),
    ][kind]()


def reshaping(rng: Rng, pool: list[Pair]) -> Pair | None:
    x, t = pool[rng.integers(len(pool))]
    if x.ndim == 0:
        return (x.unsqueeze(0), t.unsqueeze(0))
    order = rng.permutation(x.ndim).tolist()
    axis, repeats = order[0], rng.integers(x.shape[0], size=4)
    return [
        lambda: (x.permute(order), t.permute(order)),
        lambda: (x.transpose(axis, -1), t.transpose(axis, -1)),
        lambda: (x.reshape(-1), t.reshape(-1)),
        lambda: (x.unsqueeze(axis), t.unsqueeze(axis)) if x.ndim < 4 else None,
        lambda: (x.squeeze(axis), t.squeeze(axis)),
        lambda: (x[..., ::2], t[..., ::2]),
        lambda: (x[repeats], t[torch.tensor(repeats)]),
        lambda: (x[int(repeats[0])], t[int(repeats[0])]),
        lambda: (engine.pad(x, 1), F.pad(t, (1, 1) * t.ndim)) if x.data.size < 40 else None,
        lambda: (engine.stack([x, x * 2.0], axis), torch.stack([t, t * 2.0], axis)),
        lambda: (engine.concatenate([x, x], axis), torch.cat([t, t], axis)),
        lambda: (x.unsqueeze(0).expand(2, *x.shape), t.unsqueeze(0).expand(2, *t.shape)),
    ][rng.integers(12)]()


def product(rng: Rng, pool: list[Pair]) -> Pair | None:
    (x, t), (y, u) = pool[rng.integers(len(pool))], pool[rng.integers(len(pool))]
    if x.ndim > 1 and y.ndim > 1 and max(y.shape) < 6 and rng.integers(2):
        image, kernel = (-1, 1, *x.shape[-2:]), (-1, 1, *y.shape[-2:])  # one channel
        return (
            engine.conv2d(x.reshape(image), y.reshape(kernel), stride=2, padding=2),
            F.conv2d(t.reshape(image), u.reshape(kernel), stride=2, padding=2),
        )
    try:
        np.matmul(x.data, y.data)
    except ValueError:
        return None
    return (x @ y, t @ u)


CHOICES: list[Choose] = [smooth, kinked, binary, binary, reduction, reshaping, reshaping, product]


def random_graph(rng: Rng, dtype) -> tuple[list[Tensor], list[torch.Tensor], Pair]:
    """Leaves of both engines, and the sum of everything computed from them."""
    arrays = [rng.standard_normal(SHAPES[rng.integers(len(SHAPES))]).astype(dtype) for _ in "abc"]
    xs = [Tensor(array, requires_grad=True) for array in arrays]
    ts = [torch.tensor(array, requires_grad=True) for array in arrays]
    pool: list[Pair] = list(zip(xs, ts, strict=True))
    steps = rng.integers(4, 14)
    while len(pool) < 3 + steps:
        pair = CHOICES[rng.integers(len(CHOICES))](rng, pool)
        if pair is None or pair[0].data.size > 200:
            continue
        x, t = pair
        if x.data.size and np.abs(x.data).max() > 3.0:  # keeps deep graphs well conditioned
            x, t = x.tanh(), t.tanh()
        pool.append((x, t))
    weights = [rng.standard_normal(x.shape).astype(dtype) for x, _ in pool]
    y = sum(((x * Tensor(w)).sum() for (x, _), w in zip(pool, weights, strict=True)), Tensor(0.0))
    u = sum((t * torch.tensor(w)).sum() for (_, t), w in zip(pool, weights, strict=True))
    return xs, ts, (y, u)


def close(ours: Tensor, theirs: torch.Tensor, tolerance: float, what: str) -> None:
    theirs = theirs.detach().clone().numpy()  # clone: torch 2.4 may return zeros without memory
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    np.testing.assert_allclose(ours.data, theirs, tolerance, tolerance * scale, err_msg=what)
    assert ours.shape == theirs.shape, what


def check_graph(seed: int) -> None:
    rng = np.random.default_rng([FUZZ_SEED, seed])
    dtype = np.float32 if seed % 5 == 4 else np.float64
    tolerance = 1e-4 if dtype is np.float32 else 1e-7
    xs, ts, (y, u) = random_graph(rng, dtype)
    name = f"graph {seed} of FUZZ_SEED={FUZZ_SEED}"
    close(y, u, tolerance, f"value of {name}")
    second = dtype is np.float64 and seed % 2 == 0
    dxs = grad(y, xs, create_graph=second)
    dts = torch.autograd.grad(u, ts, create_graph=second)
    for dx, dt in zip(dxs, dts, strict=True):
        close(dx, dt, tolerance, f"gradient of {name}")
    if not second:
        return
    directions = [rng.standard_normal(x.shape) for x in xs]
    s = sum(((d * Tensor(v)).sum() for d, v in zip(dxs, directions, strict=True)), Tensor(0.0))
    t = sum((d * torch.tensor(v)).sum() for d, v in zip(dts, directions, strict=True))
    # Where a gradient does not depend on the leaves at all, torch returns None and we return zeros.
    found = grad(s, xs) if s.requires_grad else [x * 0.0 for x in xs]
    reference = torch.autograd.grad(t, ts, allow_unused=True) if t.requires_grad else [None] * 3
    for dx, dt, leaf in zip(found, reference, ts, strict=True):
        dt = torch.zeros_like(leaf) if dt is None else dt
        close(dx, dt, tolerance, f"second derivative of {name}")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_graphs_equal_torch(batch: int) -> None:
    for graph in range(GRAPHS_PER_BATCH):
        check_graph(batch * GRAPHS_PER_BATCH + graph)
