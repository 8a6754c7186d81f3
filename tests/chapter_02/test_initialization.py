"""Initialisers: the same numbers as torch.nn.init, and the variance that the formulas promise."""

import inspect
import math
import os

import pytest
import torch

from chapter_02_nn_basics_mlp import initialization as ours

SEED = int(os.environ.get("FUZZ_SEED", "0"))
theirs = torch.nn.init

SHAPES = [(5, 3), (3, 5), (4, 4), (1, 7), (7, 1), (8, 3, 3), (6, 2, 3, 5), (2, 3, 2, 2, 2)]
DTYPES = [torch.float32, torch.float64]
CALLS = [
    ("uniform_", {}),
    ("uniform_", {"a": -2.0, "b": 3.0}),
    ("normal_", {}),
    ("normal_", {"mean": 1.5, "std": 0.3}),
    ("constant_", {"val": 0.7}),
    ("zeros_", {}),
    ("xavier_uniform_", {}),
    ("xavier_uniform_", {"gain": 5 / 3}),
    ("xavier_normal_", {"gain": 0.5}),
    ("orthogonal_", {}),
    ("orthogonal_", {"gain": 1.7}),
    *[
        (name, {"a": a, "mode": mode, "nonlinearity": nonlinearity})
        for name in ("kaiming_uniform_", "kaiming_normal_")
        for mode in ("fan_in", "fan_out")
        for a, nonlinearity in [(0, "leaky_relu"), (math.sqrt(5), "leaky_relu"), (0, "relu")]
    ],
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options"), CALLS, ids=str)
def test_same_numbers_as_torch(name, options, shape, dtype):
    results = []
    for library in (ours, theirs):
        tensor = torch.empty(shape, dtype=dtype)
        if "val" in options or name == "zeros_":
            returned = getattr(library, name)(tensor, **options)
        else:
            generator = torch.Generator().manual_seed(SEED)
            returned = getattr(library, name)(tensor, **options, generator=generator)
        assert returned is tensor, "filled in place and returned"
        results.append(tensor)
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_the_global_random_state_is_used_without_a_generator():
    for name in ("xavier_normal_", "kaiming_uniform_", "orthogonal_", "normal_", "uniform_"):
        results = []
        for library in (ours, theirs):
            torch.manual_seed(SEED)
            parameter = torch.nn.Parameter(torch.empty(6, 4))  # a leaf that requires a gradient
            results.append(getattr(library, name)(parameter).detach().clone())
            assert parameter.grad_fn is None and parameter.requires_grad
        torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted({name for name, _ in CALLS}))
def test_arguments_are_torchs(name):
    mine, reference = (inspect.signature(getattr(m, name)).parameters for m in (ours, theirs))
    assert list(mine) == list(reference)
    assert [p.default for p in mine.values()] == [p.default for p in reference.values()]


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((5, 3), (3, 5)), ((16, 8, 3, 3), (72, 144)), ((4, 2, 7), (14, 28)), ((0, 3), (3, 0))],
)
def test_fans(shape, fans):
    assert ours.calculate_fan_in_and_fan_out(torch.empty(shape)) == fans


@pytest.mark.parametrize(
    ("nonlinearity", "param"),
    [
        *[(name, None) for name in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh")],
        *[("relu", None), ("selu", None), ("leaky_relu", None)],
        *[("leaky_relu", slope) for slope in (0, 0.2, 1, -0.5)],
    ],
)
def test_gains(nonlinearity, param):
    expected = theirs.calculate_gain(nonlinearity, param)
    assert ours.calculate_gain(nonlinearity, param) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("shape", [(400, 250), (250, 400), (64, 50, 5, 5)], ids=str)
def test_variances_follow_the_formulas(shape):
    generator = torch.Generator().manual_seed(SEED)
    fan_in, fan_out = ours.calculate_fan_in_and_fan_out(torch.empty(shape))
    expected = {
        "xavier_uniform_": 2 / (fan_in + fan_out),
        "xavier_normal_": 2 / (fan_in + fan_out),
        "kaiming_uniform_": 2 / fan_in,
        "kaiming_normal_": 2 / fan_in,
    }
    for name, variance in expected.items():
        tensor = getattr(ours, name)(torch.empty(shape), generator=generator)
        # 80,000 draws and more: the sample variance is within 1 % of the law's (2 std of it).
        assert tensor.var().item() == pytest.approx(variance, rel=0.03)
        assert abs(tensor.mean().item()) < 5 * math.sqrt(variance / tensor.numel())
        if name.endswith("uniform_"):
            assert tensor.abs().max().item() <= math.sqrt(3 * variance) * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5), (4, 2, 3)], ids=str)
def test_orthogonal_keeps_lengths(shape):
    tensor = torch.empty(shape, dtype=torch.float64)
    matrix = ours.orthogonal_(tensor, gain=1.5).flatten(1)
    singular_values = torch.linalg.svdvals(matrix)
    torch.testing.assert_close(singular_values, torch.full_like(singular_values, 1.5))


def test_kaiming_keeps_the_signal_through_twenty_relu_layers():
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(256, 256, generator=generator)
    for _ in range(20):
        weight = ours.kaiming_normal_(torch.empty(256, 256), a=0, generator=generator)
        x = (x @ weight.T).clamp(min=0)
    assert 0.2 < (x**2).mean().item() < 5  # with std 0.01 instead it is about 1e-38


def test_clear_errors():
    with pytest.raises(ValueError, match="2 dimensions"):
        ours.xavier_uniform_(torch.empty(3))
    with pytest.raises(ValueError, match="2 dimensions"):
        ours.orthogonal_(torch.empty(3))
    with pytest.raises(ValueError, match="fan_in"):
        ours.kaiming_normal_(torch.empty(3, 3), mode="fan_sideways")
    with pytest.raises(ValueError, match="softsign"):
        ours.calculate_gain("softsign")
    with pytest.raises(ValueError, match="number"):
        ours.calculate_gain("leaky_relu", True)
    with pytest.warns(UserWarning, match="nothing to initialise"):
        ours.kaiming_uniform_(torch.empty(0, 3))
