"""The task has the floor it claims, each wrong mask leaks as described, the right one never."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from chapter_07_attention_mechanism.experiments.wrong_masks import measures
from chapter_07_attention_mechanism.experiments.wrong_masks.measures import (
    OneLayer,
    attend,
    claimed_bits,
    differences,
    influence,
    leak_share,
    measure,
    train,
    true_bits,
    where_it_looks,
)
from chapter_07_attention_mechanism.experiments.wrong_masks.tables import collect, key, tables
from chapter_07_attention_mechanism.experiments.wrong_masks.task import (
    FILL,
    IGNORE,
    LETTERS,
    LONGEST,
    PAD,
    START,
    Documents,
    best_bits,
    draw,
    marginal_bits,
    padded_left,
    prefixes,
    rows,
    topics,
)
from chapter_07_attention_mechanism.experiments.wrong_masks.variants import (
    CONTROL,
    PACKED,
    VARIANTS,
    right,
)
from chapter_07_attention_mechanism.figures import text_masks
from chapter_07_attention_mechanism.figures.masks import masks_figure
from utils.seed import generator

LEAKY = ("shifted by one", "no causal mask", "after the softmax", "inverted", "no blocks")


@pytest.fixture(scope="module")
def documents():
    return draw(96, generator(0))


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return OneLayer()


# --- The task ---


def two_documents():
    letters = torch.zeros(2, LONGEST, dtype=torch.long)
    letters[0, :4], letters[1, :5] = torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6, 7, 8, 9])
    return Documents(letters, torch.tensor([4, 5]))


def test_a_row_has_the_next_letter_as_target_and_padding_behind():
    part = rows(two_documents())
    assert part.tokens[0].tolist() == [START, 1, 2, 3, 4] + [FILL] * 12
    assert part.targets[0].tolist() == [1, 2, 3, 4] + [IGNORE] * 13
    assert part.places[1].tolist() == [0, 1, 2, 3, 4, 5] + [0] * 11
    assert part.documents[1].tolist() == [0] * 6 + [PAD] * 11


def test_packed_documents_follow_each_other():
    part = rows(two_documents(), per_row=2)
    assert part.tokens.shape == (1, 2 * (LONGEST + 1))
    assert part.tokens[0, :11].tolist() == [START, 1, 2, 3, 4, START, 5, 6, 7, 8, 9]
    assert part.documents[0, :12].tolist() == [0] * 5 + [1] * 6 + [PAD]
    assert part.places[0, :11].tolist() == [*range(5), *range(6)]  # they begin anew
    assert part.targets[0, 4] == part.targets[0, 10] == IGNORE  # nothing behind the end of each


def test_prefixes_end_before_the_letter_that_is_asked_for():
    part = prefixes(two_documents(), 4)  # only the second has a fifth letter
    assert part.tokens.tolist() == [[START, 5, 6, 7, 8]] and part.targets[0, -1] == 9
    left = padded_left(part)
    assert left.tokens[0].tolist() == [FILL] * 11 + part.tokens[0].tolist()
    assert (left.documents[0] == PAD).sum() == 11


def test_no_prediction_beats_bayes(documents):
    """By brute force: all documents of two letters, their probability and their best prediction."""
    p = topics()  # (K, V)
    joint = torch.einsum("ka,kb->ab", p, p) / len(p)  # p(x_1, x_2)
    entropy = -(joint * joint.log2()).sum() / 2  # of both letters, a letter
    pairs = torch.tensor(list(itertools.product(range(LETTERS), repeat=2)))
    total = 0.0
    for pair in pairs:
        letters = torch.cat([pair, torch.zeros(LONGEST - 2, dtype=torch.long)])[None]
        total += float(joint[pair[0], pair[1]]) * best_bits(Documents(letters, torch.tensor([2])))
    assert total == pytest.approx(float(entropy), rel=1e-9)
    assert best_bits(documents) < marginal_bits(documents) - 0.5 < math.log2(LETTERS) - 0.5


# --- The masks ---


def test_the_right_mask_is_what_it_says(documents):
    part = rows(documents, 3)
    mask = right(part)
    for row, t, s in [(0, 5, 3), (1, 3, 5), (2, 20, 2), (3, 50, 50), (4, 30, 29)]:
        same = part.documents[row, t] == part.documents[row, s] != PAD
        assert mask[row, t, s] == (bool(same) and s <= t)


@pytest.mark.parametrize("name", LEAKY)
def test_a_wrong_mask_shows_what_must_not_be_seen(name, documents, untrained):
    variant = VARIANTS[name]
    part = where_it_looks(variant, documents)
    assert leak_share(influence(untrained, variant, part), part) > 0.01


@pytest.mark.parametrize("name", [CONTROL, PACKED, "top left, cached", "finite: -1e9"])
def test_no_gradient_comes_from_where_one_must_not_look(name, documents, untrained):
    variant = VARIANTS[name]
    part = where_it_looks(variant, documents)
    found = influence(untrained, variant, part)
    assert leak_share(found, part) == 0.0 and found.sum() > 0


def test_shifted_by_one_sees_its_target_and_no_more(documents):
    part = rows(documents)
    mask = VARIANTS["shifted by one"].mask(part)
    inside = part.targets[0] != IGNORE
    assert mask[0].diagonal(1)[inside[:-1]].all() and not mask[0].triu(2).any()


def test_padding_behind_a_causal_model_does_nothing_and_in_front_it_does(documents, untrained):
    found = differences(untrained, documents)
    assert found == {"finite_difference": 0.0, "right_padding_difference": 0.0}
    part = padded_left(prefixes(documents, 7))
    x = untrained.embed(part)
    seen, hidden = (untrained(x, mask(part))[:, -1] for mask in (measures.with_padding, right))
    assert (seen - hidden).abs().max() > 1e-2
    alone = prefixes(documents, 7)
    expected = untrained(untrained.embed(alone), right(alone))[:, -1]
    assert_close(hidden, expected)  # masked, the padding might as well not be there


def test_behind_the_softmax_the_sum_tells_of_the_future():
    torch.manual_seed(0)
    query, key_, value = torch.randn(3, 1, 4, 2, dtype=torch.float64)
    mask = torch.ones(1, 4, 4, dtype=torch.bool).tril()
    ones = torch.ones_like(value)
    before = attend(query, key_, ones, mask, "before")
    after = attend(query, key_, ones, mask, "after")
    assert_close(before, ones)
    hidden = (query @ key_.mT / 2**0.5).softmax(-1)[0, 0, 1:].sum()
    assert_close(1 - after[0, 0, 0], hidden)  # what is missing is what the future took
    assert_close(after[0, -1], ones[0, -1])  # the last place has no future


# --- The measures ---


def test_under_the_right_mask_claim_and_truth_are_one(documents, untrained):
    for name in (CONTROL, PACKED):
        variant = VARIANTS[name]
        claimed, true = (f(untrained, variant, documents) for f in (claimed_bits, true_bits))
        assert claimed == pytest.approx(true, rel=1e-5)


def test_whoever_sees_the_target_is_soon_below_what_can_be_known(documents):
    model = train(VARIANTS["shifted by one"], 60, seed=0)
    claimed, true = (
        f(model, VARIANTS["shifted by one"], documents) for f in (claimed_bits, true_bits)
    )
    assert claimed < best_bits(documents) - 0.5 and true > claimed + 2
    model = train(VARIANTS[CONTROL], 60, seed=0)
    claimed = claimed_bits(model, VARIANTS[CONTROL], documents)
    assert best_bits(documents) < claimed < marginal_bits(documents)  # it learns, and does not leak


def test_result_and_figure_have_every_mask(monkeypatch):
    monkeypatch.setattr(measures, "BATCH", 12)
    found = [measure(1, 24, seed) for seed in range(2)]
    metrics = collect(found)
    assert [*metrics["variants"]] == [key(name) for name in VARIANTS]
    lines = tables(metrics)["main"]["rows"]
    assert [line[0]["en"] for line in lines] == [*VARIANTS, "best attainable", "no context"]
    for name in (CONTROL, PACKED):
        assert metrics["variants"][key(name)]["leak_percent"] == (0.0, 0.0)
    assert len(masks_figure(found, metrics).axes) == len(VARIANTS) + 1


# --- Traps of the libraries that page 4 names ---


def test_multihead_attention_reads_a_boolean_mask_the_other_way_round():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4)
    may_look = torch.ones(3, 3, dtype=torch.bool).tril()
    theirs = torch.nn.MultiheadAttention(4, 1, batch_first=True)
    for mask, seen in ((~may_look, may_look), (may_look, ~may_look)):
        weights = theirs(x, x, x, attn_mask=mask)[1][0]
        some = seen.any(1)
        assert ((weights > 0) == seen)[some].all()


def test_a_mask_of_b_and_s_falls_on_the_wrong_axis_where_b_is_t():
    query, key_, value = torch.randn(3, 4, 4, 2)  # B = T = S = 4
    lengths = torch.tensor([4, 1, 1, 1])
    real = torch.arange(4) < lengths[:, None]  # (B, S), without the axis of queries
    wrong = F.scaled_dot_product_attention(query, key_, value, real)  # no error
    good = F.scaled_dot_product_attention(query, key_, value, real[:, None])
    assert not torch.allclose(wrong, good)
    assert_close(wrong[:, 0], F.scaled_dot_product_attention(query, key_, value)[:, 0])
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(query[:3], key_[:3], value[:3], real[:3])


def test_minus_1e9_is_no_number_of_half_precision():
    with pytest.raises(RuntimeError, match="overflow"):
        torch.zeros(2, dtype=torch.float16).masked_fill(torch.tensor([True, False]), -1e9)
    hidden = torch.tensor([[-1e9, -1e9, -1e9]])
    assert_close(hidden.softmax(-1), torch.full((1, 3), 1 / 3))  # an empty row looks at padding
    assert (torch.tensor([-1e9, 3.0]).softmax(0) == torch.tensor([0.0, 1.0])).all()


def test_the_example_of_the_page():
    """Scores (0, 1, 3) and values of 1: the mask behind the softmax lets the future's score out."""
    mask, value = torch.tensor([[[True, True, False]]]), torch.ones(1, 3, 1)
    found = {}
    for future, how in [(3.0, "before"), (3.0, "after"), (0.0, "after")]:
        key_ = torch.tensor([[[0.0], [1.0], [future]]])  # with a query of 1 these are the scores
        found[future, how] = attend(torch.ones(1, 1, 1), key_, value, mask, how).item()
    assert found[3.0, "before"] == pytest.approx(1, abs=1e-6)
    assert found[3.0, "after"] == pytest.approx(0.156, abs=5e-4)
    assert found[0.0, "after"] == pytest.approx(0.788, abs=5e-4)


def test_the_drawing_shows_what_the_masks_allow():
    tables_ = list(text_masks.masks().values())
    padding, causal, both, prefix, blocks = (table.int().sum().item() for table in tables_)
    assert (padding, causal, both, prefix, blocks) == (24, 21, 18, 24, 6 + 3 + 1)
    assert len(text_masks.draw_masks().axes) == 5
