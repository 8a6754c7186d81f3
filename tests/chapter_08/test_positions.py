"""Positions: the sinusoids' rotation, the papers' slopes and buckets, and what the network sees."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from chapter_08_transformer_vanilla.kv_cache import CachedSteps, FullSteps
from chapter_08_transformer_vanilla.positions import (
    KINDS,
    ALiBi,
    Learned,
    Positions,
    T5Bias,
    alibi_slopes,
    distances,
    make_positions,
    sinusoids,
    t5_buckets,
)
from chapter_08_transformer_vanilla.transformer import TranslationTransformer

EXACT = {"rtol": 1e-7, "atol": 1e-10}
TELLS_ORDER = [kind for kind in KINDS if kind != "none"]
PAD, WORDS = 0, 20
each_kind = pytest.mark.parametrize("kind", TELLS_ORDER)
widths = st.integers(1, 20).map(lambda pairs: 2 * pairs)
places_of_text = st.integers(0, 3000)


def numbers(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- Sinusoids ---


@pytest.mark.parametrize(("length", "width"), [(1, 2), (7, 6), (40, 16)])
def test_sinusoids_are_the_formula(length, width):
    found = sinusoids(torch.arange(length), width)
    expected = torch.zeros(length, width, dtype=torch.float64)
    for t in range(length):
        for i in range(width // 2):
            angle = t / 10_000 ** (2 * i / width)
            expected[t, 2 * i], expected[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    exact = sinusoids(torch.arange(length, dtype=torch.float64), width)
    torch.testing.assert_close(exact, expected, **EXACT)


def rotation(steps: int, width: int) -> Tensor:
    """Turns pair i by w_i * steps: (D, D), blocks of 2 x 2 on the diagonal."""
    blocks = []
    for i in range(width // 2):
        angle = steps / 10_000 ** (2 * i / width)
        blocks.append([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return torch.block_diag(*torch.tensor(blocks, dtype=torch.float64))


@settings(max_examples=50, deadline=None)
@given(places_of_text, st.integers(-3000, 3000), widths)
def test_a_shift_is_one_rotation_whatever_the_place(place, steps, width):
    shift = rotation(steps, width)
    here, there = sinusoids(numbers(place, place + steps), width)
    torch.testing.assert_close(shift @ here, there, **EXACT)
    eye = torch.eye(width, dtype=torch.float64)
    torch.testing.assert_close(shift @ shift.T, eye, **EXACT)  # no length changes


@settings(max_examples=50, deadline=None)
@given(places_of_text, places_of_text, st.integers(0, 3000), widths)
def test_the_dot_product_knows_the_distance_only(first, second, moved, width):
    a, b, c, d = sinusoids(numbers(first, second, first + moved, second + moved), width)
    waves = [10_000 ** (-2 * i / width) for i in range(width // 2)]
    expected = numbers(0) + sum(math.cos(w * (first - second)) for w in waves)
    torch.testing.assert_close(a @ b, expected[0], **EXACT)
    torch.testing.assert_close(c @ d, a @ b, **EXACT)
    torch.testing.assert_close(a @ a, numbers(width / 2)[0], **EXACT)


def test_an_odd_width_has_no_pairs():
    with pytest.raises(ValueError, match="7 must be even"):
        sinusoids(torch.arange(3), 7)


# --- ALiBi ---


def test_slopes_are_those_of_the_paper():
    assert alibi_slopes(8).tolist() == [2.0**-n for n in range(1, 9)]
    assert alibi_slopes(16).tolist() == pytest.approx([2 ** (-n / 2) for n in range(1, 17)])
    assert alibi_slopes(1).tolist() == [2.0**-8]


@pytest.mark.parametrize("heads", [3, 5, 6, 7, 12, 20])
def test_other_numbers_of_heads_borrow_every_second_slope_of_twice_as_many(heads):
    power = max(p for p in (2, 4, 8, 16) if p < heads)
    found = alibi_slopes(heads).tolist()
    assert found[:power] == alibi_slopes(power).tolist()
    assert found[power:] == alibi_slopes(2 * power)[::2][: heads - power].tolist()
    assert len(set(found)) == heads


@pytest.mark.parametrize(("bidirectional", "ahead"), [(False, 1.0), (True, 0.5)])
def test_alibi_by_a_plain_loop(bidirectional, ahead):
    queries, keys = torch.tensor([0, 3, 4]), torch.tensor([0, 1, 2, 6])
    found = ALiBi(2, bidirectional).bias(queries, keys)
    assert found.shape == (2, 3, 4)
    for head, slope in enumerate([2**-4, 2**-8]):
        for row, t in enumerate(queries.tolist()):
            for column, s in enumerate(keys.tolist()):
                cost = ahead * (s - t) if s > t else t - s
                assert found[head, row, column] == -slope * cost


# --- T5 ---


def bucket(distance: int, bidirectional: bool, buckets: int, max_distance: int) -> int:
    """In whole numbers: wide bucket j begins where (step / exact) >= (max / exact)^(j / wide)."""
    first = 0
    if bidirectional:
        buckets //= 2
        first, step = buckets * (distance > 0), abs(distance)
    else:
        step = max(-distance, 0)
    exact = buckets // 2
    wide = buckets - exact
    if step < exact:
        return first + step
    passed = [
        step**wide * exact**j >= exact**wide * max_distance**j  # both sides to the power of wide
        for j in range(1, wide)
    ]
    return first + exact + sum(passed)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "far"), [(32, 128), (8, 16), (6, 20), (16, 64), (64, 256)])
def test_buckets_by_whole_numbers(bidirectional, buckets, far):
    grid = torch.arange(-3 * far, 3 * far + 1)
    expected = [bucket(d, bidirectional, buckets, far) for d in grid.tolist()]
    found = t5_buckets(grid, bidirectional, buckets, far)
    assert found.tolist() == expected
    assert found.min() >= 0 and found.max() == buckets - 1


def test_buckets_are_those_of_the_transformers_library():
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    grid = torch.arange(-1000, 1001)
    for buckets, far in ((32, 128), (32, 20), (8, 16), (64, 256), (320, 800)):
        for bidirectional in (True, False):
            options = (bidirectional, buckets, far)
            expected = t5.T5Attention._relative_position_bucket(grid, *options)
            assert torch.equal(t5_buckets(grid, *options), expected), options


def test_the_table_worked_by_hand():
    """Of the page: 8 buckets up to 16, one direction; and for two directions 4 a side."""
    behind = t5_buckets(-torch.arange(14), bidirectional=False, buckets=8, max_distance=16)
    assert behind.tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7]
    both = t5_buckets(torch.arange(-6, 7), bidirectional=True, buckets=8, max_distance=16)
    assert both.tolist() == [3, 2, 2, 2, 2, 1, 0, 5, 6, 6, 6, 6, 7]


def test_t5_looks_its_number_up():
    bias = T5Bias(3, bidirectional=True, buckets=8, max_distance=16)
    found = bias.bias(torch.tensor([5, 0]), torch.arange(4))
    assert found.shape == (3, 2, 4)
    for row, t in enumerate([5, 0]):
        for s in range(4):
            number = bias.table.weight[bucket(s - t, True, 8, 16)]
            torch.testing.assert_close(found[:, row, s], number)


# --- All kinds ---


@each_kind
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(1, 4), st.booleans())
def test_places_of_each_row_give_what_each_row_gives_alone(kind, starts, steps, bidirectional):
    position = make_positions(kind, 6, 4, 40, bidirectional)
    places = torch.tensor(starts)[:, None] + torch.arange(steps)  # (B, T)
    keys = torch.arange(7).expand(3, -1)  # (B, S)
    added, bias = position.added(places), position.bias(places, keys)
    assert (added is None) != (bias is None)
    for row in range(3):
        if added is not None:
            assert added.shape == (3, steps, 6)
            torch.testing.assert_close(added[row], position.added(places[row]))
        if bias is not None:
            assert bias.shape == (3, 4, steps, 7)
            torch.testing.assert_close(bias[row], position.bias(places[row], keys[row]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 500), st.booleans(), st.sampled_from(["alibi", "t5"]))
def test_a_bias_knows_the_distance_only(moved, bidirectional, kind):
    position = make_positions(kind, 6, 4, 40, bidirectional)
    places = torch.arange(9)
    torch.testing.assert_close(
        position.bias(places + moved, places + moved), position.bias(places, places)
    )
    away = distances(places, places)
    assert away[2, 5] == 3 and away[5, 2] == -3


def test_a_learned_table_ends():
    table = Learned(6, longest=10)
    assert torch.equal(table.added(torch.tensor([9, 0])), table.table.weight[[9, 0]])
    with pytest.raises(ValueError, match="place 10: the table ends at 9"):
        table.added(torch.tensor([[0, 1], [9, 10]]))


def test_only_known_kinds_are_made():
    made = {kind: type(make_positions(kind, 6, 4, 40, True)).__name__ for kind in KINDS}
    assert made == {
        "sinusoidal": "Sinusoidal",
        "learned": "Learned",
        "alibi": "ALiBi",
        "t5": "T5Bias",
        "none": "Positions",
    }
    with pytest.raises(ValueError, match="rotary"):
        make_positions("rotary", 6, 4, 40, True)


@pytest.mark.parametrize(
    ("kind", "weights"), [("sinusoidal", 0), ("learned", 240), ("alibi", 0), ("t5", 128)]
)
def test_what_is_learnt(kind, weights):
    position = make_positions(kind, 6, 4, 40, True)
    assert sum(weight.numel() for weight in position.parameters()) == weights
    assert position.state_dict().keys() == dict(position.named_parameters()).keys()


# --- In the network ---


def translator(kind: str, seed: int = 0) -> TranslationTransformer:
    torch.manual_seed(seed)
    return TranslationTransformer(
        WORDS, width=16, heads=2, layers=2, ffn=32, positions=kind, longest=40, pad=PAD
    ).double().eval()  # fmt: skip


def ids(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(1, WORDS, shape, generator=rng)


@torch.no_grad()
@settings(max_examples=10, deadline=None)
@given(st.permutations(range(6)))
def test_without_positions_the_encoder_is_equivariant(order):
    model, source = translator("none"), ids(2, 6)
    memory, _ = model.encode(source)
    torch.testing.assert_close(model.encode(source[:, order])[0], memory[:, order], **EXACT)


@each_kind
@torch.no_grad()
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(6)))
def test_with_positions_it_is_not(kind, order):
    """Every other order is seen; reversal too, which one slope for both sides would not."""
    assume(order != list(range(6)))
    model, source = translator(kind), torch.arange(1, 7)[None]
    memory, _ = model.encode(source)
    assert (model.encode(source[:, order])[0] - memory[:, order]).abs().max() > 1e-4


@torch.no_grad()
def test_alibi_with_one_slope_for_both_sides_takes_a_source_for_its_mirror_image():
    model, source, target = translator("alibi"), torch.arange(1, 7)[None], ids(1, 3)
    logits, mirrored = model(source, target), model(source.flip(1), target)
    assert (logits - mirrored).abs().max() > 1e-4
    model.source_positions = ALiBi(2).double()
    torch.testing.assert_close(model(source.flip(1), target), model(source, target), **EXACT)


@torch.no_grad()
def test_without_positions_the_decoder_still_tells_some_orders_apart():
    """The causal mask: each place sees another set. One layer sees sets only, two see more."""
    model = translator("none")
    memory, hidden = model.encode(ids(1, 4))
    written = torch.tensor([[1, 2, 3, 4]])
    swapped = torch.tensor([[2, 1, 3, 4]])
    found, other = model.decode(written, memory, hidden), model.decode(swapped, memory, hidden)
    assert (found - other)[:, -1].abs().max() > 1e-6
    one = model.transformer.decoder
    one.layers = one.layers[:1]
    torch.testing.assert_close(
        model.decode(written, memory, hidden)[:, 2:],
        model.decode(swapped, memory, hidden)[:, 2:],
        **EXACT,
    )


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_rows_of_different_length_go_on_in_one_cache(kind):
    """Row 0 goes on behind 2 tokens, row 1 behind 4: each at its own places."""
    model, source, target = translator(kind), ids(2, 5), ids(2, 6, seed=1)
    cached = CachedSteps(model, source)
    for token in target[:, :2].T:
        cached.step(token)
    short = [cache.keys[0].clone() for cache in cached.caches]
    for token in target[:, 2:4].T:
        cached.step(token)
    cached.lengths[0] = 2  # row 0 forgets two tokens
    for cache, keys in zip(cached.caches, short, strict=True):
        assert torch.equal(cache.keys[0, :, :2], keys[:, :2])
        cache.keys[0, :, 2:] = 7.0  # whatever stands there is not read
    found = cached.step(torch.stack([target[0, 2], target[1, 4]]))  # (B, V)
    for row, steps in ((0, 3), (1, 5)):
        alone = FullSteps(model, source[row : row + 1])
        for token in target[row, :steps]:
            expected = alone.step(token[None])
        torch.testing.assert_close(found[row], expected[0], **EXACT)


def test_gradients_reach_what_is_learnt():
    for kind in ("learned", "t5"):
        model = translator(kind)
        model(ids(2, 5), ids(2, 4, seed=1)).sum().backward()
        for position in (model.source_positions, model.target_positions):
            assert isinstance(position, Positions)
            assert position.table.weight.grad.abs().max() > 0
