"""Scores: equal to their formulas pair by pair; the work on the keys may be done before."""

import math

import pytest
import torch

from chapter_07_attention_mechanism.scores import (
    AdditiveScore,
    ConcatScore,
    DotScore,
    GeneralScore,
)

B, T, S, Q, K, A = 2, 3, 5, 4, 6, 7


def data(key=K):
    torch.manual_seed(0)
    return torch.randn(B, T, Q).double(), torch.randn(B, S, key).double()


def by_pairs(formula, query, keys):
    """The scores as a loop over every query and key: formula(q (Q,), k (K,)) -> a number."""
    rows = [
        [[float(formula(q, k).detach()) for k in keys[b]] for q in query[b]]
        for b in range(len(query))
    ]
    return torch.tensor(rows, dtype=torch.float64)


def made(kind):
    torch.manual_seed(1)
    score = {"general": lambda: GeneralScore(Q, K), "concat": lambda: ConcatScore(Q, K, A),
             "additive": lambda: AdditiveScore(Q, K, A)}[kind]().double()  # fmt: skip
    return score


FORMULAS = {
    "general": lambda s: lambda q, k: q @ (s.map.weight @ k),
    "concat": lambda s: (
        lambda q, k: (
            s.value.weight[0] @ torch.tanh(s.layer.weight @ torch.cat([q, k]) + s.layer.bias)
        )
    ),
    "additive": lambda s: (
        lambda q, k: (
            s.value.weight[0] @ torch.tanh(s.query.weight @ q + s.key.weight @ k + s.key.bias)
        )
    ),
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_a_score_is_its_formula_at_every_pair(kind):
    score, (query, keys) = made(kind), data()
    expected = by_pairs(FORMULAS[kind](score), query, keys)
    torch.testing.assert_close(score(query, keys), expected, rtol=1e-7, atol=1e-10)
    assert torch.equal(score(query, keys), score.compare(query, score.prepare(keys)))


@pytest.mark.parametrize("kind", FORMULAS)
def test_gradients_are_those_of_finite_differences(kind):
    score = made(kind)
    query, keys = (x.requires_grad_() for x in data())
    assert torch.autograd.gradcheck(score, (query, keys))
    score(query, keys).sum().backward()
    assert all(parameter.grad.any() for parameter in score.parameters())


@pytest.mark.parametrize("scaled", [False, True])
def test_a_dot_product_and_its_scale(scaled):
    query, keys = data(key=Q)
    expected = by_pairs(lambda q, k: sum(q * k) / (math.sqrt(Q) if scaled else 1), query, keys)
    torch.testing.assert_close(DotScore(scaled)(query, keys), expected, rtol=1e-7, atol=1e-10)


def test_concat_is_additive_with_one_matrix_in_two_parts():
    concat, additive, (query, keys) = made("concat"), made("additive"), data()
    with torch.no_grad():
        additive.query.weight.copy_(concat.layer.weight[:, :Q])
        additive.key.weight.copy_(concat.layer.weight[:, Q:])
        additive.key.bias.copy_(concat.layer.bias)
        additive.value.weight.copy_(concat.value.weight)
    torch.testing.assert_close(additive(query, keys), concat(query, keys))


def test_wrong_shapes_are_named():
    query, keys = data()
    with pytest.raises(ValueError, match="not 4 and 6"):
        DotScore()(query, keys)
    with pytest.raises(ValueError, match=r"not \(1, 3, 4\) and \(2, 5, 6\)"):
        GeneralScore(Q, K)(query[:1], keys)
    with pytest.raises(ValueError, match=r"\(B, S, K\)"):
        AdditiveScore(Q, K, A)(query, keys[0])


def test_the_page_worked_by_hand():
    """q = (1, 2), three keys: scores, weights and contexts as printed on the page."""
    query, keys = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 0], [0, 1], [1, 1]]])
    additive = AdditiveScore(2, 2, 2)
    with torch.no_grad():
        additive.query.weight.copy_(torch.eye(2))
        additive.key.weight.copy_(torch.eye(2))
        additive.key.bias.zero_()
        additive.value.weight.fill_(1)
    expected = {
        DotScore(): ([1, 2, 3], [0.090, 0.245, 0.665], [0.755, 0.910]),
        additive: ([1.928, 1.757, 1.959], [0.348, 0.293, 0.359], [0.707, 0.652]),
    }
    for score, (fits, shares, context) in expected.items():
        scores = score(query, keys)
        weights = scores.softmax(-1)
        for value, printed in ((scores, fits), (weights, shares), (weights @ keys, context)):
            torch.testing.assert_close(value[0, 0], torch.tensor(printed), rtol=0, atol=6e-4,
                                       check_dtype=False)  # fmt: skip
