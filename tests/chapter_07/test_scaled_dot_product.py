"""Our attention is torch's, forward and backward; and the properties that any attention has."""

from __future__ import annotations

import inspect
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from chapter_07_attention_mechanism.masks import as_float, causal_mask, padding_mask, prefix_mask
from chapter_07_attention_mechanism.scaled_dot_product import (
    attention_weights,
    scaled_dot_product_attention,
)

SIZES = [(1, 1, 1, 1), (3, 5, 4, 4), (5, 3, 8, 6), (6, 6, 16, 16)]  # T, S, d, v
KINDS = ["none", "causal", "padding", "random", "empty rows", "bias", "float"]
CLOSE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 3e-2, "atol": 3e-2},
}


def vectors(sizes, dtype=torch.float64, lead=(2, 3), seed=0):
    """query, key, value that ask for gradients, and the gradient of the output."""
    t, s, d, v = sizes
    rng = torch.Generator().manual_seed(seed)
    shapes = (t, d), (s, d), (s, v), (t, v)
    made = [torch.randn(*lead, *shape, generator=rng, dtype=torch.float64) for shape in shapes]
    return [x.to(dtype).requires_grad_(i < 3) for i, x in enumerate(made)]


def options(kind, sizes, dtype):
    t, s = sizes[:2]
    rng = torch.Generator().manual_seed(1)
    random = torch.rand(2, 1, t, s, generator=rng) < 0.6
    random[..., 0] = True
    empty = random.clone()
    empty[:, :, 0] = False
    bias = torch.randn(3, t, s, generator=rng).to(dtype)
    return {
        "none": {},
        "causal": {"is_causal": True},
        "padding": {"attn_mask": padding_mask(torch.tensor([1, s]), s).unsqueeze(1)},
        "random": {"attn_mask": random},
        "empty rows": {"attn_mask": empty},
        "bias": {"attn_mask": bias},
        "float": {"attn_mask": as_float(empty, dtype)},
    }[kind]


def both(given, **chosen):
    """Output and gradients of q, k and v: ours, and torch's."""
    *inputs, above = given
    found = []
    for function in (scaled_dot_product_attention, F.scaled_dot_product_attention):
        out = function(*inputs, **chosen)
        found.append([out, *torch.autograd.grad(out, inputs, above)])
    return found


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_torch(kind, dtype):
    for sizes, scale in itertools.product(SIZES, [None, 0.3]):
        chosen = options(kind, sizes, dtype) | {"scale": scale}
        found = both(vectors(sizes, dtype), **chosen)
        if any(part.isnan().any() for part in found[1]):
            pytest.skip("this PyTorch gives NaN where a query may see nothing")
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, **CLOSE[dtype])


@pytest.mark.parametrize("lead", [(), (4,), (2, 1, 3)])
def test_any_number_of_leading_axes(lead):
    for ours, theirs in zip(*both(vectors(SIZES[1], lead=lead)), strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE[torch.float64])


def test_the_signature_is_torchs():
    ours = inspect.signature(scaled_dot_product_attention).parameters
    defaults = {name: p.default for name, p in ours.items() if p.default is not p.empty}
    assert list(ours)[:3] == ["query", "key", "value"]
    assert defaults == {
        "attn_mask": None, "dropout_p": 0.0, "is_causal": False, "scale": None, "enable_gqa": False
    }  # fmt: skip


@pytest.mark.skipif("enable_gqa" not in F.scaled_dot_product_attention.__doc__, reason="too old")
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_grouped_heads_are_torchs(groups):
    query, *_, above = vectors((4, 5, 8, 7), lead=(2, 6))
    _, key, value, _ = vectors((4, 5, 8, 7), lead=(2, groups), seed=1)
    found = both([query, key, value, above], enable_gqa=True, is_causal=True)
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE[torch.float64])


def test_grouped_heads_must_divide():
    query, key, value = (torch.randn(1, heads, 3, 4) for heads in (4, 3, 3))
    with pytest.raises(ValueError, match=r"4 heads .* share 3"):
        scaled_dot_product_attention(query, key, value, enable_gqa=True)


def test_a_query_that_sees_nothing_gets_nought_and_gives_no_gradient():
    query, key, value, above = vectors((3, 4, 4, 4))
    mask = torch.tensor([[True], [False], [True]]).expand(3, 4)
    out = scaled_dot_product_attention(query, key, value, mask)
    slopes = torch.autograd.grad(out, [query, key, value], above)
    assert not out[:, :, 1].any() and not slopes[0][:, :, 1].any()
    assert all(slope.isfinite().all() and slope.any() for slope in slopes)


def test_dropout_drops_weights_and_keeps_the_mean():
    query, key = torch.randn(1, 1, 50, 4), torch.randn(1, 1, 400, 4)
    torch.manual_seed(0)
    value = torch.eye(400)[None, None]  # the output is the weights themselves
    dropped = scaled_dot_product_attention(query, key, value, dropout_p=0.25)
    weights = attention_weights(query, key)
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], weights[kept] / 0.75)
    torch.manual_seed(0)
    assert torch.equal(dropped, scaled_dot_product_attention(query, key, value, dropout_p=0.25))


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5), (2, 2, 3, 5)])
def test_a_mask_of_the_wrong_shape_is_refused_with_both_shapes(shape):
    query, key, value, _ = vectors((3, 5, 4, 4))
    for mask in (torch.ones(shape, dtype=torch.bool), torch.zeros(shape)):
        with pytest.raises(ValueError) as found:
            scaled_dot_product_attention(query, key, value, mask)
        assert str(shape) in str(found.value) and "(2, 3, 3, 5)" in str(found.value)


def test_other_misuse_is_refused():
    query, key, value, _ = vectors((3, 5, 4, 4))
    with pytest.raises(ValueError, match=r"\(2, 3, 3, 4\) and \(2, 3, 5, 3\)"):
        scaled_dot_product_attention(query, key[..., :3], value)
    with pytest.raises(ValueError, match="is_causal"):
        scaled_dot_product_attention(query, key, value, causal_mask(3, 5), is_causal=True)


# --- Properties ---

SEEDS = st.integers(0, 9999)
SIZE = st.integers(1, 6)
few = settings(max_examples=25, deadline=None)


@few
@given(seed=SEEDS, queries=SIZE, keys=SIZE)
def test_attention_takes_a_set_of_keys_and_keeps_the_order_of_queries(seed, queries, keys):
    """Permuted queries permute the output; permuted keys, with their values, change nothing."""
    query, key, value, _ = vectors((queries, keys, 4, 3), seed=seed)
    rng = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(n, generator=rng) for n in (queries, keys))
    out = scaled_dot_product_attention(query, key, value)
    moved = scaled_dot_product_attention(
        query[..., rows, :], key[..., columns, :], value[..., columns, :]
    )
    torch.testing.assert_close(moved, out[..., rows, :])


@few
@given(seed=SEEDS, queries=SIZE, keys=SIZE)
def test_a_masked_key_is_a_key_that_is_not_there(seed, queries, keys):
    query, key, value, _ = vectors((queries, keys, 4, 3), seed=seed)
    seen = torch.rand(keys, generator=torch.Generator().manual_seed(seed)) < 0.6
    masked = scaled_dot_product_attention(query, key, value, seen.expand(queries, keys))
    without = scaled_dot_product_attention(query, key[..., seen, :], value[..., seen, :])
    torch.testing.assert_close(masked, without)  # also with no key left: both are nought
    wild = value.detach().clone()
    wild[..., ~seen, :] = 1e6
    torch.testing.assert_close(
        scaled_dot_product_attention(query, key, wild, seen.expand(queries, keys)), masked
    )


@few
@given(seed=SEEDS, size=st.integers(2, 7), place=st.integers(1, 6))
def test_causality_a_changed_token_changes_no_output_before_it(seed, size, place):
    place = min(place, size - 1)
    x, *_ = vectors((size, size, 4, 4), seed=seed)
    changed = x.detach().clone()
    changed[..., place, :] += 1
    out, after = (scaled_dot_product_attention(y, y, y, is_causal=True) for y in (x, changed))
    assert torch.equal(out[..., :place, :], after[..., :place, :])
    assert not torch.allclose(out[..., place, :], after[..., place, :])


@pytest.mark.parametrize("new", [1, 3])
def test_decoding_with_a_cache_needs_the_other_alignment(new):
    """The last rows of a causal attention, from the last queries and all keys (pytorch#144858)."""
    x = torch.randn(1, 2, 7, 4, dtype=torch.float64)
    whole = scaled_dot_product_attention(x, x, x, is_causal=True)[..., -new:, :]
    last = x[..., -new:, :]
    right = causal_mask(new, 7, "bottom_right")
    torch.testing.assert_close(scaled_dot_product_attention(last, x, x, right), whole)
    for function in (scaled_dot_product_attention, F.scaled_dot_product_attention):
        wrong = function(last, x, x, is_causal=True)
        torch.testing.assert_close(wrong[..., 0, :], x[..., 0, :])  # it saw the first key alone
        assert not torch.allclose(wrong, whole)


def test_weights_are_shares_and_the_output_is_a_mean():
    query, key, value, _ = vectors((4, 6, 8, 3))
    weights = attention_weights(query, key, prefix_mask(6, 2)[:4])
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 4, dtype=torch.float64))
    out = scaled_dot_product_attention(query, key, value, prefix_mask(6, 2)[:4])
    torch.testing.assert_close(out, weights @ value)
    assert (out <= value.amax(-2, keepdim=True)).all()  # inside the values' range
    assert torch.autograd.gradcheck(
        lambda q, k: attention_weights(q, k, is_causal=True),
        [part[0, 0].detach().requires_grad_() for part in (query, key)],
    )
