"""Pairs of sentences with a label: SICK, any file of tabs, number pairs in words."""

import gzip
import hashlib

import numpy as np
import pytest

from utils.datasets import number_pairs, sentence_pairs
from utils.datasets.__main__ import main
from utils.datasets.number_pairs import close_to, load_number_pairs
from utils.datasets.number_words import ALWAYS_KNOWN, number_word, part_of
from utils.datasets.sentence_pairs import LabelledPairs, load_sick, load_tsv
from utils.errors import MissingDataError, UserError

# SICK


def sick_text(rows):
    return "\n".join(["\t".join(sentence_pairs.SICK_COLUMNS), *("\t".join(r) for r in rows)]) + "\n"


def test_sick_is_read_with_its_scores_and_copies_leave_the_training_part(tmp_path, monkeypatch):
    parts = {
        "train": [("A dog .", "A cat .", "2.5", "neutral"), ("b", "a", "1", "contradiction"),
                  ("Who", "what", "5.0", "entailment")],
        "val": [("c", "d", "3", "neutral")],
        "test": [("a", "b", "4.5", "entailment")],
    }  # fmt: skip
    sums = {}
    monkeypatch.setattr(
        "utils.datasets.text_files.md5", lambda content: sums[hashlib.md5(content).hexdigest()]
    )
    (tmp_path / "sick").mkdir()
    for file in sentence_pairs.SICK.files:
        content = sick_text(parts[file.name.removesuffix(".tsv")]).encode()
        sums[hashlib.md5(content).hexdigest()] = file.content_md5
        (tmp_path / "sick" / f"{file.name}.gz").write_bytes(gzip.compress(content))
    data = load_sick(tmp_path)
    assert data.train.texts == ["A dog .", "Who"] and data.train.seconds == ["A cat .", "what"]
    assert data.train.labels.tolist() == [0, 1] and data.train.scores.tolist() == [2.5, 5.0]
    assert data.notes["copies_removed_from_train"] == 1  # the test pair, turned round
    assert data.test.scores.tolist() == [4.5] and data.classes[0] == "neutral"


def test_missing_sick_names_the_files_and_the_embedded_set(tmp_path, capsys):
    with pytest.raises(MissingDataError) as caught:
        load_sick(tmp_path)
    said = str(caught.value)
    assert "no official address" in said and "train.tsv" in said and "--dataset pairs" in said
    assert caught.value.advice(["pairs"], "--task").endswith("`--task pairs`.")
    assert main(["download", "sick", "--data_dir", str(tmp_path)]) == 2
    assert "put the course's train.tsv" in capsys.readouterr().err


@pytest.mark.needs_data
def test_no_pair_of_sick_is_in_two_parts():
    try:
        data = load_sick()
    except MissingDataError as error:
        pytest.skip(error.sentence[:80])
    parts = [data.train, data.val, data.test]
    assert [len(part) for part in parts] == [7_436, 494, 1_437]
    train, val, test = (set(part.keys()) for part in parts)
    assert not train & val and not train & test and not val & test
    shares = np.bincount(data.test.labels) / len(data.test)
    assert shares.round(3).tolist() == [0.57, 0.295, 0.135]
    assert all(1 <= part.scores.min() <= part.scores.max() <= 5 for part in parts)


# A file of tabs


def written(tmp_path, lines, name="mine.tsv"):
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / name


def rows(count=60, columns=3):
    return ["\t".join([f"first {i}", f"second {i}", ["yes", "no"][i % 2]][-columns:])
            for i in range(count)]  # fmt: skip


@pytest.mark.parametrize("header", ["", "premise\thypothesis\tgold_label", "Sentence1\tb\tLABEL"])
def test_a_file_with_and_without_a_header(tmp_path, header):
    lines = rows()
    data = load_tsv(written(tmp_path, [header, *lines] if header else lines))
    parts = [data.train, data.val, data.test]
    assert [len(part) for part in parts] == [48, 6, 6] and data.classes == ("no", "yes")
    assert data.name == "mine"
    for part in parts:
        for text, label in zip(part.texts, part.labels, strict=True):
            assert label == (int(text.split()[1]) % 2 == 0)
    assert isinstance(data.train, LabelledPairs) == ("sentence1" not in header.lower())


def test_columns_between_and_lines_nobody_agreed_on(tmp_path):
    lines = [f"{i}\ta {i}\t4.2\tb {i}\t{'-' if i < 10 else 'xy'[i % 2]}" for i in range(80)]
    path = written(tmp_path, ["id\tsentence_a\trelatedness\tsentence_b\tlabel", *lines])
    data = load_tsv(path)
    assert len(data.train) + len(data.val) + len(data.test) == 70
    assert data.train.texts[0].startswith("a ") and data.train.seconds[0].startswith("b ")


def test_one_sentence_and_a_label(tmp_path):
    data = load_tsv(written(tmp_path, rows(columns=2)))
    assert not isinstance(data.train, LabelledPairs) and data.train.texts[0].startswith("second")


@pytest.mark.parametrize(
    "lines, words",
    [
        (["premise\thypothesis", *rows()], "has no label column: its header is premise"),
        (["label\tid", *rows()], "has no sentence column"),
        ([f"first {i}\tsecond {i}" for i in range(60)], "no label column: the last one has 60"),
        ([f"a {i}" for i in range(60)], "has 1 columns and no header"),
        (rows(20), "needed are 50 lines"),
        ([*rows(), "a\tb\trare"], "'rare' only 1 times"),
        ([*rows(), "a\tb"], "line 61: 2 tab-separated cells, where 3"),
        ([f"a {i}\tb\tyes" for i in range(60)], "with 1 classes"),
        ([f"a {i % 6}\tb\t{i % 2}" for i in range(120)], "repeats itself: without copies"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, lines, words):
    with pytest.raises(UserError, match=words) as caught:
        load_tsv(written(tmp_path, lines))
    assert "\n" not in str(caught.value)


def test_no_file_and_an_empty_one(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        load_tsv(tmp_path / "none.tsv")
    with pytest.raises(UserError, match="is empty"):
        load_tsv(written(tmp_path, [""]))


# Numbers


@pytest.fixture(scope="module")
def numbers():
    return load_number_pairs(train=6_000, held_out=600)


@pytest.fixture(scope="module")
def value():
    """The number that words of a number below 10,000 mean."""
    return {number_word(n, "en"): n for n in range(10_000)}


def test_the_labels_are_right(numbers, value):
    assert numbers.classes == ("greater", "less", "equal")
    for part in (numbers.train, numbers.val, numbers.test):
        for a, b, label in zip(part.texts, part.seconds, part.labels, strict=True):
            x, y = value[a], value[b]
            assert numbers.classes[label] == ("greater" if x > y else "less" if x < y else "equal")
        assert np.bincount(part.labels).min() > 0.2 * len(part)


def test_numbers_of_a_part_are_in_no_other(numbers, value):
    for number, part in enumerate((numbers.train, numbers.val, numbers.test)):
        found = np.array([value[text] for text in [*part.texts, *part.seconds]])
        assert set(part_of(found)) == {number}
        assert (found.min() < ALWAYS_KNOWN) == (number == 0)
        pairs = list(zip(part.texts, part.seconds, strict=True))
        assert len(set(pairs)) == len(pairs)


def test_half_of_the_unequal_pairs_are_close(numbers, value):
    part = numbers.train
    unequal = [(str(value[a]), str(value[b])) for a, b in zip(part.texts, part.seconds, strict=True)
               if a != b]  # fmt: skip
    close = [a[0] == b[0] and len(a) == len(b) for a, b in unequal]
    assert 0.4 < np.mean(close) < 0.7


def test_close_numbers_are_of_the_same_part_and_length():
    rng = np.random.default_rng(0)
    numbers = np.arange(100, 2_000)
    numbers = numbers[part_of(numbers) == 2]
    other = close_to(rng, numbers, 2)
    found = other[other >= 0]
    assert len(found) > 0.9 * len(numbers) and set(part_of(found)) == {2}
    assert (other != numbers).all() and (np.char.str_len(found.astype(str)) >= 3).all()


def test_the_same_at_every_call_and_clear_limits(numbers):
    again = load_number_pairs(train=6_000, held_out=600)
    assert again.test.texts == numbers.test.texts and again.train.seconds == numbers.train.seconds
    with pytest.raises(UserError, match="below from 1000 to 1000000"):
        load_number_pairs(below=500)
    with pytest.raises(UserError, match="no number words"):
        load_number_pairs("tlh")
    assert number_pairs.CLASSES == ("greater", "less", "equal")
