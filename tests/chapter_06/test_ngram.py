"""Kneser-Ney: against its definition in dictionaries, by hand, and in what users may do wrong."""

import os
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chapter_06_rnn_lstm_seq import train_language_model
from chapter_06_rnn_lstm_seq.experiments.ngram import (
    best_order,
    ngram_rows,
    strongest_row,
    thread_row,
)
from chapter_06_rnn_lstm_seq.ngram import KneserNey, estimate_discounts, fit_orders
from chapter_06_rnn_lstm_seq.tokenizer import BPETokenizer, CharTokenizer
from utils.datasets.text import TextData, load_text
from utils.errors import MissingDataError, UserError
from utils.file_io_util import read_json

V = 3
texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=40)
LETTERS = CharTokenizer.train("abracadabra")


def by_definition(ids: list[int], order: int, modified: bool, context: tuple, w: int) -> float:
    """P(w | context), one n-gram at a time; `order` is len(context) + 1, or more."""
    top = min(order, len(ids))
    p = 1 / V
    for k in range(1, top + 1):
        if k - 1 > len(context):
            break
        counts = Counter(ngrams(ids, k))
        if k < top:  # how many different tokens stood before it
            counts = Counter(ngram[1:] for ngram in set(ngrams(ids, k + 1)))
        seen = np.array([counts[ngram] for ngram in sorted(set(ngrams(ids, k)))])
        d = estimate_discounts(seen, modified)
        c = context[len(context) - k + 1 :]
        followers = {v: counts[(*c, v)] for v in range(V)}
        total = sum(followers.values())
        if total == 0:
            break
        freed = sum(d[min(n, 3)] for n in followers.values())
        p = (followers[w] - d[min(followers[w], 3)]) / total + freed / total * p
    return p


def ngrams(ids: list[int], k: int) -> list[tuple[int, ...]]:
    return [tuple(ids[i : i + k]) for i in range(len(ids) - k + 1)]


@settings(max_examples=40, deadline=None)
@example([2, 0, 1, 0, 0, 0, 0, 0], [2, 0, 1, 0], 4, False)  # 2 0 stands at the beginning alone
@given(texts, texts, st.integers(1, 4), st.booleans())
def test_probabilities_are_those_of_the_definition(train, val, order, modified):
    model = KneserNey(order, V, modified).fit(train)
    expected = [
        by_definition(train, order, modified, tuple(val[max(0, i - order + 1) : i]), val[i])
        for i in range(len(val))
    ]
    np.testing.assert_allclose(model.probabilities(val), expected, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(texts, st.integers(1, 4), st.booleans())
def test_probabilities_sum_to_one_in_every_context(train, order, modified):
    model = KneserNey(order, V, modified).fit(train)
    for context in product(range(V), repeat=order - 1):
        p = model.distribution(context)
        assert p.min() > 0
        assert p.sum() == pytest.approx(1, abs=1e-12)
        by_text = [model.probabilities([*context, w])[-1] for w in range(V)]
        np.testing.assert_allclose(p, by_text, rtol=1e-12)


def test_the_bigrams_of_abracadabra_by_hand():
    """The example of page 5: D = 4 / (4 + 2 * 3) = 0.4; after a: ab 2, ac 1, ad 1.

    Below it the letters count by how many letters stood before them: a 3, all others 1, of 7.
    With D = 1 / (no count of 2) = 1 the 5 freed of 7 are shared by 5 letters: 3/7 and 1/7 again.
    """
    model = KneserNey(2, 5).fit(LETTERS.encode("abracadabra"))
    assert model.levels[1].discounts[1] == pytest.approx(0.4)
    np.testing.assert_allclose(model.distribution([]), np.array([3, 1, 1, 1, 1]) / 7)
    after_a = {"b": 1.6 / 4 + 0.3 / 7, "c": 0.6 / 4 + 0.3 / 7, "a": 0.3 * 3 / 7, "r": 0.3 / 7}
    for letter, p in after_a.items():
        assert model.distribution(LETTERS.encode("a"))[LETTERS.encode(letter)[0]] == pytest.approx(
            p
        )
    bits = -np.log2(model.probabilities(LETTERS.encode("ab")))
    np.testing.assert_allclose(bits, [np.log2(7 / 3), -np.log2(0.4 + 0.3 / 7)])


def test_discounts_by_hand():
    """n1 = 4, n2 = 3, n3 = 2, n4 = 1: D = 0.4; modified 1 - 0.6, 2 - 0.8, 3 - 0.8."""
    counts = np.array([1] * 4 + [2] * 3 + [3] * 2 + [4])
    np.testing.assert_allclose(estimate_discounts(counts, False), [0, 0.4, 0.4, 0.4])
    np.testing.assert_allclose(estimate_discounts(counts, True), [0, 0.4, 1.2, 2.2])
    np.testing.assert_allclose(estimate_discounts(np.array([2, 5]), True), [0, 0.5, 0.5, 0.5])
    strange = estimate_discounts(np.array([1] * 4 + [2] + [3] * 9), True)  # 2 - 27 * 2/3 < 0
    np.testing.assert_allclose(strange, [0, 2 / 3, 2 / 3, 3])


def test_a_frequent_token_after_one_context_only_is_rare_elsewhere():
    """Kneser and Ney's point: in "San Francisco" the second word is frequent, but never alone."""
    text = "sfsfsfsfsfsfatbtctdtetasbsctd"
    letters = CharTokenizer.train(text)
    p = KneserNey(2, letters.vocab_size).fit(letters.encode(text)).distribution([])
    f, t = letters.encode("ft")
    assert text.count("f") == text.count("t")
    assert p[f] < p[t] / 2


def test_higher_orders_learn_more_and_memorise_the_training_text():
    ids = LETTERS.encode("abracadabra" * 30)
    bits = [KneserNey(order, 5).fit(ids).bits_per_token(ids) for order in (1, 2, 3, 5)]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] < np.log2(5)
    assert bits[-1] < 0.3


def test_the_unigram_model_has_the_frequencies_almost():
    ids = LETTERS.encode("abracadabra" * 30)
    p = KneserNey(1, 5).fit(ids).distribution([0, 1, 2])
    np.testing.assert_allclose(p, np.array([5, 2, 1, 1, 2]) / 11, atol=0.01)


def test_generation_repeats_with_a_generator_and_greedy_follows_the_text():
    ids = LETTERS.encode("abracadabra" * 30)
    model = KneserNey(5, 5).fit(ids)
    assert LETTERS.decode(model.generate(7, LETTERS.encode("abra"), temperature=0)) == "cadabra"
    runs = [model.generate(20, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 20
    assert model.generate(0) == []


def test_size_counts_the_different_ngrams():
    assert KneserNey(2, 5).fit(LETTERS.encode("abracadabra")).size == 5 + 7


@settings(max_examples=20, deadline=None)
@given(texts, texts)
def test_models_of_one_count_are_those_counted_alone(train, val):
    for model in fit_orders(train, [3, 1, 2], V, modified=True):
        alone = KneserNey(model.order, V, modified=True).fit(train)
        assert model.bits_per_token(val) == alone.bits_per_token(val)
        assert model.size == alone.size


def test_mistakes_are_told():
    with pytest.raises(UserError, match="text is empty"):
        KneserNey(3, 5).fit([])
    with pytest.raises(UserError, match="1 or more, not 0"):
        KneserNey(0, 5)
    with pytest.raises(ValueError, match="0 to 4"):
        KneserNey(2, 5).fit([5])


# --- The rows beside the network's ---

WORDS = "the cat sat on the mat and the dog sat on the log. "
SMALL = TextData("small", "".join(WORDS[i:] for i in range(40)), WORDS * 2)


def test_rows_have_bits_of_the_whole_validation_part():
    rows = ngram_rows(SMALL, sample_length=30)
    assert [row["order"] for row in rows] == [1, 2, 5]
    assert [row["name"]["en"] for row in rows] == ["unigram", "bigram", "5-gram, Kneser-Ney"]
    tokenizer = CharTokenizer.train([SMALL.train, SMALL.val])
    train, val = tokenizer.encode(SMALL.train), tokenizer.encode(SMALL.val)
    for row in rows:
        model = KneserNey(row["order"], tokenizer.vocab_size).fit(train)
        assert row["bits_per_character"] == model.bits_per_token(val)
        assert len(row["sample"]) == 30
    assert rows[2]["bits_per_character"] < rows[1]["bits_per_character"] < 4


def test_bits_per_character_count_characters_whatever_the_tokens_are():
    bpe = BPETokenizer.train(SMALL.train, merges=20)
    (row,) = ngram_rows(SMALL, [2], bpe)
    in_all = row["bits_per_token"] * len(bpe.encode(SMALL.val))
    assert row["bits_per_character"] == pytest.approx(in_all / len(SMALL.val))


def test_the_order_is_chosen_inside_the_training_part():
    assert best_order(SMALL, range(1, 5)) in (3, 4)
    same_training = TextData("other", SMALL.train, "e" * 50)
    assert best_order(same_training, range(1, 5)) == best_order(SMALL, range(1, 5))


def test_the_strongest_row_is_modified_and_of_the_best_order():
    row = strongest_row(SMALL)
    assert row["order"] == best_order(SMALL, modified=True)
    assert row["name"]["en"] == f"{row['order']}-gram, modified Kneser-Ney"
    assert row["bits_per_character"] < ngram_rows(SMALL, [2])[0]["bits_per_character"]


@pytest.mark.needs_data
def test_five_characters_on_tiny_shakespeare():
    """The row of Table L: 2.278 bits per character, of the modified form 2.252."""
    try:
        data = load_text("tiny_shakespeare", os.environ.get("DL_COURSE_DATA"))
    except MissingDataError as error:
        pytest.skip(str(error))
    (row,) = ngram_rows(data, [5])
    assert row["bits_per_character"] == pytest.approx(2.278, abs=0.001)
    row = thread_row(row)
    assert row["dataset"] == data.name
    assert row["nats"][0] == pytest.approx(1.579, abs=0.001)


def test_the_script_counts_without_training(tmp_path):
    (tmp_path / "text.txt").write_text(WORDS * 40)
    options = ["--cell", "ngram", "--dataset", str(tmp_path / "text.txt"), "--run_name", "n"]
    assert train_language_model.main([*options, "--output_dir", str(tmp_path)]) == 0
    (file,) = tmp_path.rglob("language_model_text.txt_ngram.json")
    result = read_json(file)
    assert result["metrics"]["bits_5gram"] < result["metrics"]["bits_1gram"]
    assert len(result["tables"]["main"]["rows"]) == 4
    assert not [*tmp_path.rglob("thread_*.json")], "only of tiny_shakespeare"
