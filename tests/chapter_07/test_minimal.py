"""The versions of minimal.py: each equals the one before where both apply, the last one torch's."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from chapter_07_attention_mechanism import minimal
from chapter_07_attention_mechanism.masks import causal_mask
from chapter_07_attention_mechanism.multi_head import MultiheadAttention

T, S, WIDTH = 3, 4, 6
KEYS = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]
VALUES = [(10.0,), (20.0,), (30.0,)]


def tensors(width: int = WIDTH) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(rows, width, dtype=torch.float64) for rows in (T, S, S)]


def test_the_lookup_of_the_first_page_by_hand():
    """Query (2, 1): scores 2, 1, -2; weights 0.721, 0.265, 0.013; the answer 12.92."""
    exps = [math.exp(score) for score in (2, 1, -2)]
    assert [round(e, 3) for e in exps] == [7.389, 2.718, 0.135]
    assert [round(e / sum(exps), 3) for e in exps] == [0.721, 0.265, 0.013]
    assert minimal.soft_lookup((2.0, 1.0), KEYS, VALUES)[0] == pytest.approx(12.92, abs=0.005)


def test_what_a_gradient_says_to_a_score():
    """The last column of the page's table: alpha_s (v_s - o), by autograd; its sum is 0."""
    scores = torch.tensor([2.0, 1.0, -2.0], dtype=torch.float64, requires_grad=True)
    values = torch.tensor(VALUES, dtype=torch.float64)[:, 0]
    weights = scores.softmax(0)
    out = weights @ values
    (found,) = torch.autograd.grad(out, scores)
    torch.testing.assert_close(found, (weights * (values - out)).detach())
    assert [f"{slope:.2f}" for slope in found.tolist()] == ["-2.11", "1.88", "0.23"]
    assert [f"{part:.2f}" for part in (weights * values).tolist()] == ["7.21", "5.31", "0.40"]
    assert abs(float(found.sum())) < 1e-12


def test_a_sharp_soft_lookup_is_the_dictionary():
    """The query times 30: the key in it gets all the weight. Times 0: the mean of all values."""
    for key in KEYS:
        exact = minimal.exact_lookup(key, KEYS, VALUES)
        sharp = minimal.soft_lookup([30 * x for x in key], KEYS, VALUES)
        assert sharp == pytest.approx(exact)
    assert minimal.soft_lookup((0.0, 0.0), KEYS, VALUES) == pytest.approx([20.0])
    with pytest.raises(KeyError):
        minimal.exact_lookup((2.0, 1.0), KEYS, VALUES)


def test_sharpness_by_hand():
    """The table of the first page: the same query times 0, 1, 3 and 10."""
    answers = [minimal.soft_lookup([c * 2, c * 1], KEYS, VALUES)[0] for c in (0, 1, 3, 10)]
    assert [f"{answer:.2f}" for answer in answers] == ["20.00", "12.92", "10.47", "10.00"]


def test_version_2_is_the_lookup_of_every_query():
    query, keys, values = tensors()
    found = minimal.attention_v2(query, keys, values)
    expected = [minimal.soft_lookup(row, keys.tolist(), values.tolist()) for row in query.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_each_version_equals_the_one_before():
    query, keys, values = tensors()
    v2, v3, v4 = minimal.attention_v2, minimal.attention_v3, minimal.attention_v4
    v5, v6 = minimal.attention_v5, minimal.attention_v6
    torch.testing.assert_close(v3(query, keys, values), v2(query, keys, values))
    torch.testing.assert_close(v4(query, keys, values, minimal.dot), v3(query, keys, values))
    torch.testing.assert_close(v4(query * WIDTH**0.5, keys, values), v3(query, keys, values))
    assert not torch.allclose(v4(query, keys, values), v3(query, keys, values))
    torch.testing.assert_close(v5(query, keys, values), v4(query, keys, values))
    everything = torch.ones(T, S, dtype=torch.bool)
    torch.testing.assert_close(v5(query, keys, values, everything), v4(query, keys, values))
    for mask in (None, causal_mask(T, S)):
        torch.testing.assert_close(v6(query, keys, values, mask), v5(query, keys, values, mask))


def test_version_3_takes_any_score():
    """With the negative distance the nearest key counts most, however long the others are."""
    query, keys, values = tensors()
    keys[0] = query[0] + 0.01
    keys[1] = 100 * query[0]  # its dot product with the query is the largest
    near = minimal.attention_v3(query, keys, values, lambda q, k: -20 * torch.cdist(q, k))
    torch.testing.assert_close(near[0], values[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(minimal.attention_v3(query, keys, values)[0], values[1])


@pytest.mark.parametrize(("masked", "heads"), list(itertools.product((False, True), (1, 2, 3))))
def test_the_last_version_equals_torch_and_multi_head(masked, heads):
    query, keys, values = tensors()
    mask = causal_mask(T, S) if masked else None
    found = minimal.attention_v6(query, keys, values, mask, heads)
    parts = [x.chunk(heads, dim=-1) for x in (query, keys, values)]
    expected = [F.scaled_dot_product_attention(*part, mask) for part in zip(*parts, strict=True)]
    torch.testing.assert_close(found, torch.cat(expected, dim=-1))
    module = MultiheadAttention(WIDTH, heads, bias=False, dtype=torch.float64)
    module.in_proj_weight.data = torch.eye(WIDTH, dtype=torch.float64).repeat(3, 1)
    module.out_proj.weight.data = torch.eye(WIDTH, dtype=torch.float64)
    hidden = None if mask is None else ~mask
    torch.testing.assert_close(module(query, keys, values, attn_mask=hidden)[0], found)


def test_two_heads_follow_two_things_where_one_can_not():
    """Each head takes another key; one head over the same numbers blends the two."""
    query = torch.tensor([[20.0, 0.0, 20.0, 0.0]])
    keys = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    two = minimal.attention_v6(query, keys, values, heads=2)
    torch.testing.assert_close(two, torch.tensor([[1.0, 1.0, 2.0, 2.0]]))
    one = minimal.attention_v6(query, keys, values, heads=1)
    torch.testing.assert_close(one, torch.full((1, 4), 1.5))
