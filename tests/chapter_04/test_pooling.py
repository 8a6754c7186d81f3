"""Pooling layers against torch.nn: values, gradients, indices, ties, odd values, errors."""

import math
import random

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from chapter_04_cnn_classic import layers
from chapter_04_cnn_classic.pooling import bins

TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-11},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def random_window(seed):
    """Options of a pooling window, and an input shape."""
    draw = random.Random(seed)
    kernel = draw.choice([draw.randint(1, 4), (draw.randint(1, 4), draw.randint(1, 4))])
    smallest = kernel if isinstance(kernel, int) else min(kernel)
    stride = draw.choice([None, draw.randint(1, 3), (draw.randint(1, 3), draw.randint(1, 3))])
    options = {"kernel_size": kernel, "stride": stride, "ceil_mode": draw.random() < 0.5}
    options["padding"] = draw.randint(0, smallest // 2)
    batch = [draw.randint(1, 3)] if draw.random() < 0.8 else []
    return options, (*batch, 2, draw.randint(4, 9), draw.randint(4, 9)), draw


def assert_same(name, options, x):
    """Value and input gradient of our layer and torch's, for one random weighting."""
    found = []
    for package in (layers, nn):
        leaf = x.detach().clone().requires_grad_()
        outputs = getattr(package, name)(**options)(leaf)
        y, *indices = outputs if isinstance(outputs, tuple) else (outputs,)
        weighting = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(2))
        found.append([y, *indices, *torch.autograd.grad((y * weighting).sum(), leaf)])
    torch.testing.assert_close(*found, **TOLERANCE[x.dtype], equal_nan=True)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("seed", range(50))
def test_max_pool(seed, dtype):
    options, shape, draw = random_window(seed)
    options |= {"dilation": draw.randint(1, 2), "return_indices": draw.random() < 0.5}
    try:
        nn.MaxPool2d(**options)(torch.zeros(shape))
    except RuntimeError:
        with pytest.raises(ValueError, match="does not fit"):
            layers.MaxPool2d(**options)(torch.zeros(shape))
        return
    assert_same("MaxPool2d", options, torch.randn(shape, dtype=dtype))
    ties = torch.randint(0, 3, shape).to(dtype)  # many equal numbers: the first one wins
    assert_same("MaxPool2d", options | {"return_indices": True}, ties)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("seed", range(50))
def test_avg_pool(seed, dtype):
    options, shape, draw = random_window(seed)
    options["count_include_pad"] = draw.random() < 0.5
    options["divisor_override"] = draw.choice([None, None, 3])
    assert_same("AvgPool2d", options, torch.randn(shape, dtype=dtype))


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("norm_type", [1, 2, 3.0, 0.5, math.inf, -math.inf])
@pytest.mark.parametrize("seed", range(6))
def test_lp_pool(seed, norm_type, dtype):
    options, shape, _ = random_window(seed)
    del options["padding"]
    assert_same("LPPool2d", options | {"norm_type": norm_type}, torch.rand(shape, dtype=dtype))


def test_lp_pool_of_negative_numbers_and_zeros():
    assert layers.LPPool is layers.LPPool2d
    for norm_type in (1, 2, 3):
        options = {"norm_type": norm_type, "kernel_size": 2}
        assert_same("LPPool2d", options, torch.randn(2, 3, 6, 6))  # nan where a sum of cubes is < 0
        assert_same("LPPool2d", options, torch.zeros(1, 1, 4, 4))


def test_lp_pool_approaches_the_maximum():
    x = torch.rand(1, 2, 6, 6, dtype=torch.float64)
    largest = layers.MaxPool2d(2)(x)
    distances = [(layers.LPPool2d(p, 2)(x) - largest).abs().max() for p in (1, 4, 16, 64)]
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.03


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("size", [1, 2, 3, 7, (2, 3), (None, 1), (4, None)])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (3, 7, 4), (1, 2, 1, 3)], ids=str)
def test_adaptive_pools(shape, size, dtype):
    x = torch.randn(shape, dtype=dtype)
    assert_same("AdaptiveAvgPool2d", {"output_size": size}, x)
    assert_same("AdaptiveMaxPool2d", {"output_size": size, "return_indices": True}, x)
    assert_same("AdaptiveMaxPool2d", {"output_size": size}, x)


def test_bins_cover_every_pixel():
    assert bins(5, 3) == [(0, 2), (1, 4), (3, 5)]
    for size in range(1, 12):
        for count in range(1, 12):
            covered = {p for start, end in bins(size, count) for p in range(start, end)}
            assert covered == set(range(size)) and all(a < b for a, b in bins(size, count))


def test_max_pool_of_infinities_and_nan():
    x = torch.randn(1, 1, 4, 4)
    x[0, 0, :2, :2] = -math.inf
    x[0, 0, 3, 3], x[0, 0, 2, 0] = math.nan, math.inf
    options = {"kernel_size": 2, "padding": 1, "stride": 1, "return_indices": True}
    assert_same("MaxPool2d", options, x)
    whole = torch.full((1, 1, 4, 4), -math.inf)
    values, pixels = layers.MaxPool2d(**options)(whole)
    assert torch.equal(values, nn.MaxPool2d(**options)(whole)[0])
    assert pixels.min() >= 0 and pixels.max() < 16, "padding never wins"


POOLS = [
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True}),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("LPPool2d", {"kernel_size": 2, "norm_type": 1}),
    ("AdaptiveAvgPool2d", {"output_size": 3}),
    ("AdaptiveAvgPool2d", {"output_size": (2, None)}),
    ("AdaptiveMaxPool2d", {"output_size": 3, "return_indices": True}),
]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("name", "options"), POOLS, ids=str)
def test_one_bad_pixel_stays_in_its_windows(name, options, value):
    """In the input, and in the gradient that comes back."""
    x = torch.randn(1, 2, 6, 7)
    x[0, 0, 1, 2] = value
    assert_same(name, options, x)
    for package in (layers, nn):
        y = getattr(package, name)(**options)(x)
        assert (y[0] if isinstance(y, tuple) else y).isfinite().sum() > y[0].numel() // 2
    gradients = []
    for package in (layers, nn):
        leaf = torch.randn(1, 1, 6, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = getattr(package, name)(**options)(leaf)
        y = y[0] if isinstance(y, tuple) else y
        weighting = torch.ones_like(y)
        weighting[0, 0, 0, 0] = value
        gradients += torch.autograd.grad(y, leaf, weighting)
    torch.testing.assert_close(*gradients, equal_nan=True)
    assert gradients[0].isfinite().any()


INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


def integers(dtype, shape=(2, 3, 5, 7)):
    """Whole numbers over the whole range of the type, its ends included."""
    info = torch.iinfo(dtype)
    x = torch.randint(info.min, info.max, shape, dtype=dtype)
    x[0, 0, 0, 0], x[0, 0, 0, 1], x[1, 1] = info.max, info.min, info.min
    return x


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pool_of_integers(dtype, ceil_mode):
    options = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": ceil_mode}
    x = integers(dtype)
    values, pixels = layers.MaxPool2d(**options, return_indices=True)(x)
    assert torch.equal(values, nn.MaxPool2d(**options)(x)) and values.dtype == dtype
    assert torch.equal(values, x.flatten(2).gather(2, pixels.flatten(2)).view_as(values))
    assert pixels.min() >= 0 and pixels.max() < 35, "padding never wins"
    bins_of_x = layers.AdaptiveMaxPool2d((2, 3))(x)
    assert bins_of_x[0, 0, 0, 0] == torch.iinfo(dtype).max and bins_of_x.dtype == dtype


@pytest.mark.parametrize("dtype", [*INTEGERS, torch.bool])
def test_averages_of_integers_are_refused_as_in_torch(dtype):
    x = torch.full((1, 1, 4, 4), 100).to(dtype)
    for name, argument in [("AdaptiveAvgPool2d", 2), ("AdaptiveAvgPool2d", 1), ("AvgPool2d", 2)]:
        if (name, dtype) == ("AvgPool2d", torch.int64):
            continue
        for package in (layers, nn):
            with pytest.raises((NotImplementedError, RuntimeError)):
                getattr(package, name)(argument)(x)
    with pytest.raises(NotImplementedError, match="float"):
        layers.AdaptiveAvgPool2d(2)(x)


def test_average_of_int64_is_cut_as_in_torch():
    x = torch.randint(-100, 100, (2, 3, 6, 6))
    assert torch.equal(layers.AvgPool2d(2)(x), nn.AvgPool2d(2)(x))


@pytest.mark.parametrize("dtype", INTEGERS[:4])
def test_lp_pool_of_integers_does_not_overflow(dtype):
    x = torch.randint(100, 120, (2, 3, 6, 6)).to(dtype)
    for p in (1, 2, 3):
        expected = nn.LPPool2d(p, 2)(x.float())
        torch.testing.assert_close(layers.LPPool2d(p, 2)(x), expected)


@pytest.mark.parametrize("name", ["MaxPool2d", "AvgPool2d"])
def test_layouts_types_and_empty_batches(name):
    ours, theirs = (getattr(package, name)(3, 2, padding=1) for package in (layers, nn))
    x = torch.randn(2, 3, 6, 5)
    for variant in (x.to(memory_format=torch.channels_last), x.transpose(2, 3), x[:, :, ::2]):
        torch.testing.assert_close(ours(variant), theirs(variant))
    half = ours(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, theirs(x.bfloat16()), rtol=0.01, atol=0.01)
    assert ours(torch.randn(0, 3, 6, 5)).shape == theirs(torch.randn(0, 3, 6, 5)).shape


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_derivatives(check):
    x = torch.randperm(12).add(1).double().view(1, 1, 4, 3).div(10).requires_grad_()
    for layer in (
        layers.MaxPool2d(2, 1, padding=1),
        layers.AvgPool2d(2, padding=1, ceil_mode=True, count_include_pad=False),
        layers.AdaptiveAvgPool2d((2, 3)),
        layers.AdaptiveMaxPool2d(2),
        layers.LPPool2d(3, 2),
    ):
        assert check(layer, (x,), fast_mode=True)


def test_errors():
    for make in (
        lambda: layers.MaxPool2d(2, padding=2)(torch.zeros(1, 1, 4, 4)),
        lambda: layers.MaxPool2d(5)(torch.zeros(1, 1, 4, 4)),
        lambda: layers.AvgPool2d(0)(torch.zeros(1, 1, 4, 4)),
        lambda: layers.AvgPool2d(2)(torch.zeros(4, 4)),
        lambda: layers.AvgPool2d(2, divisor_override=0),
        lambda: layers.LPPool2d(0, 2),
        lambda: layers.AdaptiveAvgPool2d((1, 2, 3))(torch.zeros(1, 1, 4, 4)),
        lambda: layers.AdaptiveAvgPool2d(2)(torch.zeros(1, 1, 0, 4)),
    ):
        with pytest.raises(ValueError):
            make()
