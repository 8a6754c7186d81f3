"""The scalar engine against torch on random expressions, and its edge cases."""

import math
import random

import pytest
import torch

from chapter_01_tensor_autograd.value import MLP, Value

UNARY = {
    "neg": (lambda v: -v, lambda t: -t),
    "tanh": (lambda v: v.tanh(), lambda t: t.tanh()),
    "relu": (lambda v: v.relu(), lambda t: t.relu()),
    "exp": (lambda v: (v * 0.1).exp(), lambda t: (t * 0.1).exp()),
    "log": (lambda v: (v**2 + 0.5).log(), lambda t: (t**2 + 0.5).log()),
    "reciprocal": (lambda v: 2.0 / (v**2 + 1), lambda t: 2.0 / (t**2 + 1)),
    "left minus": (lambda v: 3.0 - v, lambda t: 3.0 - t),
    "right minus": (lambda v: v - 3, lambda t: t - 3),
    "halve": (lambda v: v / 2, lambda t: t / 2),
}
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (b * b + 1.0),
]


def random_pair(seed: int):
    """The same random expression in Value and in torch: (leaves, result) of each."""
    rng = random.Random(seed)
    numbers = [rng.uniform(-2, 2) for _ in range(3)]
    values = [Value(number) for number in numbers]
    tensors = [torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in numbers]
    pool = list(zip(values, tensors, strict=True))
    for _ in range(12):
        (value, tensor), (other_value, other_tensor) = rng.choice(pool), rng.choice(pool)
        if rng.random() < 0.5:
            ours, theirs = rng.choice(list(UNARY.values()))
            pool.append((ours(value).tanh() * 2, theirs(tensor).tanh() * 2))
        else:
            operation = rng.choice(BINARY)
            pool.append((operation(value, other_value), operation(tensor, other_tensor)))
    result, reference = pool[-1]
    for value, tensor in pool[:-1]:
        result, reference = result + value, reference + tensor
    return values, result, tensors, reference


@pytest.mark.parametrize("seed", range(100))
def test_random_expressions_equal_torch(seed: int) -> None:
    values, result, tensors, reference = random_pair(seed)
    assert result.data == pytest.approx(reference.item(), rel=1e-10)
    result.backward()
    reference.backward()
    for value, tensor in zip(values, tensors, strict=True):
        assert value.grad == pytest.approx(tensor.grad.item(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", UNARY)
def test_each_operation_equals_torch(name: str) -> None:
    ours, theirs = UNARY[name]
    for number in (-1.3, 0.0, 0.7):
        value, tensor = Value(number), torch.tensor(number, dtype=torch.float64, requires_grad=True)
        result, reference = ours(value), theirs(tensor)
        result.backward()
        reference.backward()
        assert result.data == pytest.approx(reference.item())
        assert value.grad == pytest.approx(tensor.grad.item())


NUMBERS = [-3.0, -1.0, -0.5, 0.0, 1e-320, 0.5, 1.0, 3.0, 800.0, 1e200, -1e200]
NUMBERS += [math.inf, math.nan]
POWERS = [0, 1, 2, 3, -1, -2, -3, 0.5, -0.5, 1 / 3, 1.5, 2.5, -1.5, 400]
EDGES = {f"** {power:.3g}": (lambda v, p=power: v**p) for power in POWERS}
EDGES |= {f"/ {c}": (lambda v, c=c: v / c) for c in (0.0, -0.0, -2.0)}
EDGES |= {f"{c} /": (lambda v, c=c: c / v) for c in (0.0, 1.0, -2.0)}
EDGES |= {"exp": lambda v: v.exp(), "log": lambda v: v.log(), "tanh": lambda v: v.tanh()}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", EDGES)
def test_edges_of_the_domain_equal_torch(name: str, number: float) -> None:
    """Roots of negative numbers, logarithms and quotients of zero, overflow: inf and nan."""
    value, tensor = Value(number), torch.tensor(number, dtype=torch.float64, requires_grad=True)
    result, reference = EDGES[name](value), EDGES[name](tensor)
    result.backward()
    reference.backward()
    assert isinstance(result.data, float)
    assert result.data == pytest.approx(reference.item(), rel=1e-9, nan_ok=True)
    assert value.grad == pytest.approx(tensor.grad.item(), rel=1e-9, nan_ok=True)


def test_a_quotient_of_two_values_at_zero() -> None:
    for number in (0.0, 2.0, -2.0):
        value, tensor = Value(0.0), torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        result, reference = Value(number) / value, number / tensor
        result.backward()
        reference.backward()
        assert result.data == pytest.approx(reference.item(), nan_ok=True)
        assert value.grad == pytest.approx(tensor.grad.item(), nan_ok=True)


def test_power_zero_at_zero_is_flat() -> None:
    value = Value(0.0)
    (value**0).backward()
    assert value.grad == 0.0


def test_a_value_used_twice_gets_both_gradients() -> None:
    value = Value(3.0)
    (value * value + value).backward()
    assert value.grad == 7.0


def test_leaves_accumulate_over_calls_and_results_do_not() -> None:
    value = Value(2.0)
    square = value * value
    cube = square * value
    cube.backward()
    cube.backward()
    assert square.grad == 2.0
    assert value.grad == 24.0


def test_chain_of_50_000_does_not_recurse() -> None:
    value = total = Value(1.0)
    for _ in range(50_000):
        total = total + 1.0
    total.backward()
    assert value.grad == 1.0
    del total


def test_mlp_overfits_a_few_points() -> None:
    points = [((-1.0, -1.0), -1.0), ((-1.0, 1.0), 1.0), ((1.0, -1.0), 1.0), ((1.0, 1.0), -1.0)]
    model = MLP([2, 8, 1], seed=1)
    for _ in range(200):
        loss = sum(((model(list(x))[0] - y) ** 2 for x, y in points), Value(0.0))
        for parameter in model.parameters():
            parameter.grad = 0.0
        loss.backward()
        for parameter in model.parameters():
            parameter.data -= 0.05 * parameter.grad
    assert len(model.parameters()) == 2 * 8 + 8 + 8 + 1
    assert loss.data < 1e-3
