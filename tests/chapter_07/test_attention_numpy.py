"""Attention by hand in NumPy equals autograd, forward and backward, with masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chapter_07_attention_mechanism import attention_numpy as by_hand
from chapter_07_attention_mechanism.scaled_dot_product import scaled_dot_product_attention

MASKS = {
    "none": None,
    "causal": np.tri(4, 6, dtype=bool),
    "empty row": np.array([[1] * 6, [0] * 6, [1, 0] * 3, [0, 1] * 3], dtype=bool),
}


def case(lead=(2, 3), seed=0):
    """q (4, 5), k (6, 5), v (6, 7) and the gradient of the output, with leading axes."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(*lead, *shape)) for shape in ((4, 5), (6, 5), (6, 7), (4, 7))]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scale", [None, 1.0, 3.0])
@pytest.mark.parametrize("lead", [(), (2, 3)])
def test_by_hand_equals_autograd(mask, scale, lead):
    q, k, v, above = case(lead)
    out, p = by_hand.forward(q, k, v, MASKS[mask], scale)
    found = [out, *by_hand.backward(above, q, k, v, p, scale)]
    given = [torch.tensor(part, requires_grad=True) for part in (q, k, v)]
    allowed = None if MASKS[mask] is None else torch.tensor(MASKS[mask])
    wanted = scaled_dot_product_attention(*given, attn_mask=allowed, scale=scale)
    slopes = torch.autograd.grad(wanted, given, torch.tensor(above))
    for mine, theirs in zip(found, [wanted, *slopes], strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_the_softmax_backward_is_the_jacobians_product():
    rng = np.random.default_rng(1)
    p, dp = by_hand.softmax(rng.normal(size=(3, 5))), rng.normal(size=(3, 5))
    for row, above, found in zip(p, dp, by_hand.softmax_backward(p, dp), strict=True):
        jacobian = by_hand.softmax_jacobian(row)
        np.testing.assert_allclose(jacobian @ above, found, rtol=1e-12)
        np.testing.assert_allclose(jacobian.sum(axis=0), 0, atol=1e-15)  # p goes on summing to 1
        automatic = torch.autograd.functional.jacobian(
            lambda a: a.softmax(-1), torch.tensor(np.log(row))
        )
        np.testing.assert_allclose(jacobian, automatic.numpy(), rtol=1e-10, atol=1e-14)


def test_large_scores_do_not_overflow_and_a_sure_row_passes_nothing_on():
    p = by_hand.softmax(np.array([[1000.0, 0, -1000], [-np.inf, -np.inf, -np.inf]]))
    assert np.array_equal(p, [[1, 0, 0], [0, 0, 0]])
    assert not by_hand.softmax_backward(p, np.array([[5.0, -3, 2]] * 2)).any()


def test_the_pages_example():
    """docs/03_scaled_dot_product.md, "By hand": and the same scores eight times as large."""
    q, v = np.ones((1, 4)), np.array([[1.0], [0], [0]])
    k = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    out, p = by_hand.forward(q, k, v)
    np.testing.assert_allclose(out, [[0.665]], atol=5e-4)
    np.testing.assert_allclose(p, [[0.665, 0.245, 0.090]], atol=5e-4)
    above = np.ones((1, 1))
    da = by_hand.softmax_backward(p, above @ v.T)
    np.testing.assert_allclose(da, [[0.223, -0.163, -0.060]], atol=5e-4)
    np.testing.assert_allclose(
        by_hand.backward(above, q, k, v, p)[0], [[0.030, 0.030, 0.111, 0.111]], atol=5e-4
    )
    _, sure = by_hand.forward(q, k, v, scale=4)
    np.testing.assert_allclose(sure, [[0.9997, 0.0003, 0]], atol=5e-5)
    smaller = by_hand.softmax_backward(sure, above @ v.T)
    assert abs(da).max() / abs(smaller).max() == pytest.approx(660, rel=0.01)


def test_the_largest_of_64_leads_by_0_38_deviations():
    scores = np.sort(np.random.default_rng(0).normal(size=(20_000, 64)))
    assert (scores[:, -1] - scores[:, -2]).mean() == pytest.approx(0.38, abs=0.01)
