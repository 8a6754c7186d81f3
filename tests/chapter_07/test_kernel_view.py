"""Kernel regression and attention give the same numbers; the width is chosen, or learnt."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from chapter_07_attention_mechanism.kernel_view import (
    KernelRegression,
    best_width,
    distance_attention,
    dot_product_attention,
    learn,
    leave_one_out,
    nadaraya_watson,
    on_circle,
    others,
)
from chapter_07_attention_mechanism.scaled_dot_product import scaled_dot_product_attention
from utils.datasets.toy import sine_curve
from utils.seed import generator

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def sample(queries=7, keys=11, size=3, values=2):
    shapes = ((queries, size), (keys, size), (keys, values))
    return [
        torch.randn(s, generator=generator(n), dtype=torch.float64) for n, s in enumerate(shapes)
    ]


def curve(count=80, noise=0.3, seed=0):
    x, y = sine_curve(count, noise, seed)
    return torch.from_numpy(x), torch.from_numpy(y)


def by_loops(query, keys, values, width):
    """The quotient of two sums, number by number, with NumPy alone."""
    guess = np.zeros((len(query), values.shape[1]))
    for t, q in enumerate(query.numpy()):
        weights = [np.exp(-np.sum((q - k) ** 2) / (2 * width**2)) for k in keys.numpy()]
        guess[t] = sum(w * v for w, v in zip(weights, values.numpy(), strict=True)) / sum(weights)
    return torch.from_numpy(guess)


@pytest.mark.parametrize("width", [0.4, 1.0, 5.0])
@pytest.mark.parametrize("size", [1, 3])
def test_the_three_forms_are_one(width, size):
    query, keys, values = sample(size=size)
    expected = by_loops(query, keys, values, width)
    for form in (nadaraya_watson, distance_attention, dot_product_attention):
        assert_close(form(query, keys, values, width), expected, **EXACT)


@pytest.mark.parametrize("width", [0.4, 1.0])
def test_with_keys_of_one_length_plain_attention_is_the_same(width):
    query, keys, values = sample()
    keys = 1.7 * keys / keys.norm(dim=1, keepdim=True)  # the queries may have any length
    plain = scaled_dot_product_attention(query, keys, values, scale=1 / width**2)
    assert_close(plain, nadaraya_watson(query, keys, values, width), **EXACT)
    stretched = keys * torch.linspace(0.5, 2, len(keys), dtype=torch.float64)[:, None]
    plain = scaled_dot_product_attention(query, stretched, values, scale=1 / width**2)
    other = nadaraya_watson(query, stretched, values, width)
    assert (plain - other).abs().max() > 1e-2  # without that, the lengths do not cancel


def test_the_width_is_a_temperature():
    query, keys, values = sample()
    unit = keys / keys.norm(dim=1, keepdim=True)
    tempered = torch.softmax(query @ unit.T / 0.6**2, dim=1) @ values
    assert_close(distance_attention(query, unit, values, 0.6), tempered, **EXACT)


def test_a_circle_makes_keys_of_one_length():
    x = torch.linspace(-1.5, 1.5, 9, dtype=torch.float64)[:, None]
    places = on_circle(x)
    assert_close(places.norm(dim=1), torch.ones(9, dtype=torch.float64), **EXACT)
    chord = (places[:, None] - places).square().sum(-1)
    assert_close(chord, 2 - 2 * torch.cos(x - x.T), **EXACT)


def test_far_from_all_samples_the_quotient_is_lost_and_the_softmax_is_not():
    keys = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    values, far = keys.clone(), torch.tensor([[60.0]], dtype=torch.float64)
    assert nadaraya_watson(far, keys, values, 1.0).isnan().all()
    assert_close(distance_attention(far, keys, values, 1.0), values[1:])  # the nearest one's


def test_narrow_is_the_nearest_sample_and_wide_the_mean():
    x, y = curve(20)
    assert_close(distance_attention(x, x, y, 1e-5), y, **EXACT)
    wide = distance_attention(x, x, y, 1e4)
    assert_close(wide, y.mean().expand_as(y), rtol=0, atol=1e-6)


def test_leave_one_out_leaves_one_out():
    x, y = curve(12)
    by_hand = []
    for i in range(12):
        kept = torch.arange(12) != i
        guess = nadaraya_watson(x[i : i + 1], x[kept], y[kept], 0.4)
        by_hand.append(float((guess - y[i]) ** 2))
    assert leave_one_out(x, y, 0.4) == pytest.approx(np.mean(by_hand), rel=1e-10)
    assert not others(12).diagonal().any() and others(12).sum() == 12 * 11


def test_the_best_width_is_neither_end():
    x, y = curve()
    widths = [0.02, 0.1, 0.3, 1.0, 3.0]
    assert best_width(x, y, widths) in widths[1:4]
    without = [float((nadaraya_watson(x, x, y, w) - y).square().mean()) for w in widths]
    assert min(without) == without[0] < 1e-2  # each sample guessed from itself: 0.02 looks best


def test_learning_finds_the_width_that_a_search_finds():
    x, y = curve()
    widths = np.geomspace(0.05, 1, 60)
    model = KernelRegression(1).double()
    errors = learn(model, x, y, steps=300)
    assert errors[-1] < errors[0]
    assert model.widths().item() == pytest.approx(best_width(x, y, widths), rel=0.06)
    assert errors[-1] == pytest.approx(min(leave_one_out(x, y, w) for w in widths), rel=1e-3)


def test_a_coordinate_that_says_nothing_is_ignored():
    x, y = curve(120)
    other = torch.randn(120, 1, generator=generator(5), dtype=torch.float64)
    model = KernelRegression(2).double()
    learn(model, torch.cat([x, other], 1), y, steps=300)
    own, ignored = model.widths().tolist()
    assert ignored > 4 * own


def test_gradients_of_the_learnt_kernel():
    query, keys, values = sample(3, 4, 2, 1)
    model = KernelRegression(2).double()
    weight = model.project.weight.detach().requires_grad_()

    def guess(weight):
        return torch.func.functional_call(model, {"project.weight": weight}, (query, keys, values))

    assert torch.autograd.gradcheck(guess, weight)


def test_the_example_of_the_page():
    places = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    values = torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64)
    query = torch.ones(1, 1, dtype=torch.float64)
    weights = distance_attention(query, places, torch.eye(3, dtype=torch.float64), 1.0)
    assert_close(weights[0], torch.tensor([0.348, 0.574, 0.078]).double(), rtol=0, atol=5e-4)
    assert nadaraya_watson(query, places, values, 1.0).item() == pytest.approx(1.885, abs=5e-4)
    assert distance_attention(query, places, values, 1e4).item() == pytest.approx(2.667, abs=5e-4)
    assert distance_attention(query, places, values, 1e-2).item() == 2.0
