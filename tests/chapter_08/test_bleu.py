"""BLEU's interval: the ten sums give sacreBLEU's BLEU, the draws its bootstrap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from chapter_08_transformer_vanilla.experiments.bleu import (
    bleu_of,
    bootstrap,
    middle,
    paired_bootstrap,
    resampled,
    statistics,
)

WORDS = ["a", "dog", ",", "cat", "man", "walks", "runs", "on", "the", "red", "street", "."]


def corpus(count=60, noise=0.3, seed=0):
    """Lines, and references that differ from them in some words."""
    rng = np.random.default_rng(seed)
    references = [list(rng.choice(WORDS, rng.integers(4, 15))) for _ in range(count)]
    lines = []
    for reference in references:
        line = [w if rng.random() > noise else str(rng.choice(WORDS)) for w in reference]
        lines.append(line[: len(line) - int(rng.integers(0, 2))])
    return [" ".join(line) for line in lines], [" ".join(line) for line in references]


line = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(line, line), min_size=1, max_size=4))
def test_ten_sums_give_sacrebleus_bleu(pairs):
    lines, references = zip(*pairs, strict=True)
    found = bleu_of(statistics(lines, references).sum(0))
    assert found == pytest.approx(BLEU().corpus_score(lines, [references]).score, rel=1e-9)


def test_nothing_right_and_short_lines_are_no_division_by_zero():
    assert bleu_of(statistics(["x y z u v"], ["a b c d e"]).sum(0)) == 0
    assert bleu_of(statistics(["a"], ["a"]).sum(0)) == BLEU().corpus_score(["a"], [["a"]]).score


def test_the_draws_are_those_of_sacrebleu(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    lines, references = corpus()
    theirs = BLEU().corpus_score(lines, [references], n_bootstrap=200)
    (values,) = resampled([statistics(lines, references)], 200, 12345)
    assert values.mean() == pytest.approx(theirs._mean, rel=1e-6)  # they add in float32
    low, high = bootstrap(lines, references, 200, 12345)
    assert (high - low) / 2 == pytest.approx(theirs._ci, rel=1e-6)
    assert low < theirs.score < high


def test_two_systems_are_compared_as_sacrebleu_does(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    lines, references = corpus()
    others, _ = corpus(noise=0.4)
    test = PairedTest(
        [("b", others), ("a", lines)], {"BLEU": BLEU()}, [references], "bs", n_samples=200
    )
    result = test()[1]["BLEU"][1]
    ours = paired_bootstrap(lines, others, references, 200, 12345)
    assert ours["p"] == pytest.approx(result.p_value)
    single = BLEU().corpus_score(others, [references]).score
    assert ours["difference"] == pytest.approx(result.score - single, rel=1e-6)


def test_the_same_draws_make_a_difference_surer():
    lines, references = corpus(count=80, noise=0.25)
    rng = np.random.default_rng(1)
    worse = [" ".join(w for w in s.split() if rng.random() > 0.05) for s in lines]
    found = paired_bootstrap(lines, worse, references, 300)
    low, high = found["interval"]
    alone = bootstrap(lines, references, 300)
    assert 0 < low < found["difference"] < high and found["wins"] > 0.99 and found["p"] < 0.05
    assert high - low < 0.8 * (alone[1] - alone[0])
    same = paired_bootstrap(lines, lines, references, 50)
    assert same["difference"] == 0 and same["interval"] == (0, 0) and same["p"] > 0.9


def test_more_lines_make_it_surer():
    """The width falls about with the square root of their number."""
    widths = []
    for count in (40, 640):
        low, high = bootstrap(*corpus(count), samples=200)
        widths.append(high - low)
    assert 2.5 < widths[0] / widths[1] < 6.5


def test_the_middle_leaves_a_fortieth_out_at_each_end():
    assert middle(np.arange(80.0)[::-1]) == (2, 77)
    assert middle(np.array([3.0])) == (3, 3)
