"""Sampling: the filters against their definitions, frequencies against probabilities."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chapter_06_rnn_lstm_seq.sampling import (
    filter_top_k,
    filter_top_p,
    greedy,
    sample,
    with_temperature,
)
from utils.errors import UserError

LOGITS = torch.tensor([2.0, 1.0, 0.5, -1.0, 0.0])


def kept(filtered: torch.Tensor) -> list[int]:
    return filtered.isfinite().nonzero().flatten().tolist()


def chi_squared(draws: torch.Tensor, probabilities: torch.Tensor) -> float:
    counts = torch.bincount(draws, minlength=len(probabilities)).double()
    expected = len(draws) * probabilities.double()
    assert counts[expected == 0].sum() == 0
    expected, counts = expected[expected > 0], counts[expected > 0]
    return ((counts - expected) ** 2 / expected).sum().item()


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, LOGITS.exp()),
        ({"temperature": 0.5}, LOGITS.exp() ** 2),
        ({"temperature": 2.0}, LOGITS.exp() ** 0.5),
        ({"top_k": 2}, LOGITS.exp() * torch.tensor([1, 1, 0, 0, 0])),
        ({"top_p": 0.8}, LOGITS.exp() * torch.tensor([1, 1, 1, 0, 0])),  # 0.55, 0.20, 0.12, 0.08
        ({"temperature": 0.5, "top_p": 0.8}, LOGITS.exp() * torch.tensor([1, 0, 0, 0, 0])),
    ],
)
def test_frequencies_agree_with_the_distribution(options: dict, weights: torch.Tensor):
    """Chi-squared with at most 4 degrees of freedom is above 23.5 once in 10,000 seeds."""
    generator = torch.Generator().manual_seed(0)
    draws = sample(LOGITS.expand(20_000, -1), generator=generator, **options)
    assert chi_squared(draws, weights / weights.sum()) < 23.5


@settings(deadline=None)
@given(st.lists(st.integers(-8, 8), min_size=1, max_size=7), st.integers(1, 9))
def test_top_k_keeps_what_fewer_than_k_tokens_beat(scores: list[int], k: int):
    """Ties with the k-th stay, as in the transformers' TopKLogitsWarper."""
    expected = [i for i, s in enumerate(scores) if sum(t > s for t in scores) < k]
    assert kept(filter_top_k(torch.tensor(scores, dtype=torch.float64), k)) == expected


@settings(deadline=None)
@given(st.lists(st.integers(-8, 8), min_size=1, max_size=7), st.floats(0.001, 0.999))
def test_top_p_keeps_the_smallest_set_that_reaches_p(scores: list[int], p: float):
    logits = torch.tensor(scores, dtype=torch.float64)
    probabilities = logits.softmax(0).tolist()
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    sums = [math.fsum(probabilities[i] for i in order[:n]) for n in range(1, len(order) + 1)]
    if min(abs(s - p) for s in sums) < 1e-12:
        return  # rounding decides
    size = next(n for n, s in enumerate(sums, start=1) if s >= p or n == len(order))
    assert kept(filter_top_p(logits, p)) == sorted(order[:size])


def test_one_token_always_stays_and_p_of_one_keeps_all():
    assert kept(filter_top_p(torch.tensor([0.0, 9.0, 0.0]), 1e-9)) == [1]
    assert kept(filter_top_p(torch.zeros(1000), 1.0)) == list(range(1000))
    assert kept(filter_top_p(torch.zeros(4), 0.5)) == [0, 1]  # equal ones: the smaller ids
    assert kept(filter_top_k(torch.zeros(4), 1)) == [0, 1, 2, 3]  # ties with the first
    assert kept(filter_top_k(LOGITS, 99)) == [0, 1, 2, 3, 4]


def test_filters_keep_the_scores_of_what_they_keep():
    for filtered in (filter_top_k(LOGITS, 3), filter_top_p(LOGITS, 0.8)):
        assert filtered[[0, 1, 2]].tolist() == [2.0, 1.0, 0.5]
        assert filtered[[3, 4]].tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("temperature", [0.0, 1e-4, 1e-30, 1e-45])
def test_a_temperature_near_zero_is_greedy(temperature: float):
    rows = torch.randn(50, 9, generator=torch.Generator().manual_seed(1))
    assert sample(rows, temperature).equal(greedy(rows))


def test_a_high_temperature_is_uniform_and_one_changes_nothing():
    assert with_temperature(LOGITS, 1e9).softmax(0).allclose(torch.full((5,), 0.2))
    assert with_temperature(LOGITS, 1.0).softmax(0).allclose(LOGITS.softmax(0))


def test_a_generator_repeats_the_draws_and_shapes_follow_the_rows():
    rows = torch.randn(2, 3, 7)
    draws = [sample(rows, generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert draws[0].equal(draws[1])
    assert draws[0].shape == (2, 3)
    assert sample(rows[0, 0]).shape == ()
    assert greedy(torch.tensor([1.0, 3.0, 3.0])).item() == 1


def test_forbidden_tokens_are_never_drawn():
    rows = torch.tensor([[0.0, -math.inf, 0.0]]).expand(500, -1)
    for options in ({}, {"top_k": 2}, {"top_p": 0.9}, {"temperature": 5.0}):
        assert 1 not in sample(rows, **options).tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1.0}, "temperature must be 0"),
        ({"temperature": math.nan}, "temperature must be 0"),
        ({"temperature": math.inf}, "temperature must be 0"),
        ({"top_k": 0}, "1 or more, not 0"),
        ({"top_p": 0.0}, "above 0 and at most 1"),
        ({"top_p": 1.5}, "above 0 and at most 1"),
    ],
)
def test_options_out_of_range_are_one_sentence(options: dict, words: str):
    with pytest.raises(UserError, match=words):
        sample(LOGITS, **options)
