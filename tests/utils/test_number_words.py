"""Lists of number words: right words, disjoint parts, clear errors."""

import re

import numpy as np
import pytest

from utils.datasets import number_words
from utils.datasets.number_words import (
    ALWAYS_KNOWN,
    NumberWriter,
    load_number_lists,
    number_word,
    part_of,
)
from utils.errors import UserError


@pytest.fixture(scope="module")
def lists():
    return load_number_lists(train=3_000, held_out=300)


def test_words_of_known_numbers():
    assert number_word(1985, "en") == "one thousand nine hundred and eighty-five"
    assert number_word(321_985, "de") == "dreihunderteinundzwanzigtausendneunhundertfünfundachtzig"
    assert number_word(71, "fr") == "soixante et onze"


@pytest.mark.parametrize("language", ["en", "fr", "de", "es", "it", "ru", "pl", "tr", "da", "ja"])
def test_joined_words_are_those_of_num2words(language):
    from num2words import num2words

    writer = NumberWriter(language)
    for n in np.random.default_rng(1).integers(0, 1_000_000, 25).tolist():
        assert writer(n) == num2words(n, lang=language).replace(",", "")


def test_a_language_that_joins_otherwise_is_written_one_by_one():
    writer = NumberWriter("ko")
    assert not writer.joins and writer(21_985) == number_word(21_985, "ko")


def test_lines_are_lists_of_the_stated_length(lists):
    for part in ("train", "val", "test", "combinations"):
        pairs, counts = getattr(lists, part), getattr(lists.counts, part)
        assert len(pairs) == len(counts) > 0.8 * (3_000 if part == "train" else 300)
        for (source, target), count in zip(pairs, counts, strict=True):
            assert len(source.split(", ")) == len(target.split(", ")) == count
    assert set(lists.counts.train) == {1, 2, 3, 4, 5, 6}
    assert min(lists.counts.combinations) == 2


def test_numbers_of_a_part_are_in_no_other(lists):
    """Held-out numbers occur in no line of another part, whatever its length."""
    words = {
        part: {word for source, _ in getattr(lists, part) for word in source.split(", ")}
        for part in ("train", "val", "test", "combinations")
    }
    assert all(len(found) > 100 for found in words.values())
    assert not words["test"] & (words["train"] | words["val"] | words["combinations"])
    assert not words["val"] & (words["train"] | words["combinations"])
    small = {number_word(n, "en") for n in range(ALWAYS_KNOWN)}
    assert not small & (words["test"] | words["val"]) and small & words["train"]


def test_combinations_are_no_training_line_but_of_training_numbers(lists):
    assert not set(lists.combinations) & set(lists.train)
    everything = [pair for part in (lists.train, lists.val, lists.test) for pair in part]
    assert len(set(everything)) == len(everything)


def test_the_parts_are_the_same_at_every_call(lists):
    again = load_number_lists(train=3_000, held_out=300)
    assert again.test == lists.test and again.train == lists.train
    shares = np.bincount(part_of(np.arange(1_000_000))) / 1_000_000
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.001)
    assert not part_of(np.arange(ALWAYS_KNOWN)).any()


def test_no_word_of_a_held_out_number_is_new(lists):
    """English and French write numbers with few words: what is new is how they stand together."""
    known = {w for source, target in lists.train for w in re.findall(r"\w+", f"{source} {target}")}
    held_out = [*lists.val, *lists.test]
    assert {w for pair in held_out for w in re.findall(r"\w+", " ".join(pair))} <= known


def test_other_languages_and_limits():
    data = load_number_lists("en", "da", below=1000, most=2, train=60, held_out=20)
    assert data.name == "numbers_en_da" and set(data.counts.train) == {1, 2}
    assert all(" thousand" not in source for source, _ in data.train)
    only_one = load_number_lists("de", "es", most=1, train=30, held_out=10)
    assert set(only_one.counts.combinations) <= {1}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"source": "tlh"}, "'tlh' has no number words here; known are am, ar, az, "),
        ({"target": ""}, "known are"),
        ({"source": "am", "train": 50}, "cannot write"),
        ({"below": 50}, "below from 200 to 1000000"),
        ({"most": 0}, "most of 1 or more"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(options, words):
    with pytest.raises(UserError, match=words) as caught:
        load_number_lists(**options)
    assert "\n" not in str(caught.value)


def test_every_language_has_words_or_says_that_it_has_none():
    assert {"en", "de", "fr", "ja"} <= set(number_words.languages())
    for language in number_words.languages():
        try:
            assert number_word(42, language)
        except UserError as error:
            assert language in str(error)
