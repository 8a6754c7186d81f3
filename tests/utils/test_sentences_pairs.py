"""Labelled and translated sentences: fixed parts that share nothing, copies counted.

Most tests write small files in the published form; those at the end read the sets themselves.
"""

import gzip
import hashlib

import numpy as np
import pytest

from utils.datasets import pairs, sentences
from utils.datasets.pairs import load_pairs
from utils.datasets.sentences import TREC_CLASSES, Labelled, key, load_sentences, without_copies
from utils.errors import MissingDataError, UserError


@pytest.fixture
def written(tmp_path, monkeypatch):
    """written(folder, name, bytes): a file below tmp_path which passes for the published one."""
    original = pairs.read_text_file

    def md5_of_the_test(content):
        return sums.get(hashlib.md5(content).hexdigest(), "")

    sums = {}
    monkeypatch.setattr("utils.datasets.text_files.md5", md5_of_the_test)

    def write(source, name, content):
        file = next(file for file in source.files if file.name == name)
        sums[hashlib.md5(content).hexdigest()] = file.content_md5
        (tmp_path / source.folder).mkdir(exist_ok=True)
        (tmp_path / source.folder / f"{name}.gz").write_bytes(gzip.compress(content))

    assert original is sentences.read_text_file
    return write


def part(*texts):
    return Labelled(list(texts), np.zeros(len(texts), dtype=np.int64))


def test_training_loses_what_is_held_out_and_the_test_part_stays():
    train = part("Good film .", "bad film", "bad  film!", "mine", "mine", "val")
    data = without_copies("x", train, part("VAL", "bad film"), part("bad film ."), ("a",), "ours")
    assert data.train.texts == ["Good film .", "mine", "mine"] and len(data.train.labels) == 3
    assert data.val.texts == ["VAL"] and data.test.texts == ["bad film ."]
    assert data.notes == {
        "split": "ours",
        "copies_removed_from_train": 3,
        "copies_removed_from_val": 1,
        "repeated_within_train": 1,
    }


def test_rt_polarity_is_cut_in_proportion_and_always_the_same(tmp_path, written):
    source = sentences.RT_POLARITY
    for label, ending in enumerate(("neg", "pos")):
        lines = [f"sentence {i} of class {label} \x96 caf\xe9 \x85 " for i in range(100)]
        content = "\n".join(lines).encode("latin-1") + b"\n"
        written(source, f"rt-polarity.{ending}", content)
    data = load_sentences("rt_polarity", tmp_path)
    assert [len(p) for p in (data.train, data.val, data.test)] == [160, 20, 20]
    for p in (data.train, data.val, data.test):
        assert np.bincount(p.labels).tolist() == [len(p) // 2] * 2
        assert all(f"of class {y}" in text for text, y in zip(p.texts, p.labels, strict=True))
        assert all("– café …" in text and text == text.strip() for text in p.texts)
    again = load_sentences("rt_polarity", tmp_path)
    assert data.test.texts == again.test.texts and data.classes == ("negative", "positive")


def test_sst2_and_trec_are_read_as_published(tmp_path, written):
    for name in ("train", "dev", "test"):
        written(sentences.SST2, f"{name}.tsv", f"a fine {name}\t1\na bad {name}\t0\n".encode())
    data = load_sentences("sst2", tmp_path)
    assert data.val.texts == ["a fine dev", "a bad dev"] and data.val.labels.tolist() == [1, 0]
    lines = [f"{i % 6} Question {i} ?" for i in range(120)]
    written(sentences.TREC, "TREC.train.all", "\n".join(lines).encode() + b"\n")
    written(
        sentences.TREC, "TREC.test.all", "3 Who was Galil\xe9o ?\n0 question 6?\n".encode("latin-1")
    )
    data = load_sentences("trec", tmp_path)
    assert [len(data.val), len(data.test)] == [12, 2] and data.test.texts[0] == "Who was Galiléo ?"
    assert len(data.train) == 107 and data.notes["copies_removed_from_train"] == 1
    assert len(data.classes) == 6 and data.test.labels.tolist() == [3, 0]


def test_multi30k_pairs_the_lines_of_any_two_languages(tmp_path, written):
    texts = {
        ("train", "de"): "Ein Hund .\nZwei\u2028Hunde.\nEin Test.\n",
        ("train", "fr"): "Un chien.\nDeux chiens.\nUn essai.\n",
        ("val", "de"): "Ein Mann.\n",
        ("val", "fr"): "Un homme.\n",
        ("test_2016_flickr", "de"): "Ein Test.\n",
        ("test_2016_flickr", "fr"): "Une épreuve.\n",
    }
    for (name, language), text in texts.items():
        written(pairs.MULTI30K, f"{name}.{language}", text.encode())
    data = load_pairs("multi30k", "fr", "de", tmp_path)  # English is not there, nor asked for
    assert data.train == [("Un chien.", "Ein Hund ."), ("Deux chiens.", "Zwei\u2028Hunde.")]
    assert data.test == [("Une épreuve.", "Ein Test.")]
    assert data.notes["copies_removed_from_train"] == 1 and data.notes["languages"] == "fr-de"


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: load_sentences("imdb"), "known are rt_polarity, sst2, trec"),
        (lambda: load_pairs("wmt14"), "known is multi30k"),
        (lambda: load_pairs("multi30k", "en", "cs"), "no language 'cs'"),
        (lambda: load_pairs("multi30k", "en", "en"), "choose two languages"),
    ],
)
def test_a_wrong_name_is_one_sentence(call, words):
    with pytest.raises(UserError, match=words):
        call()


@pytest.mark.parametrize("name", ["rt_polarity", "sst2", "trec", "multi30k"])
def test_a_missing_set_names_the_command_and_the_embedded_one(tmp_path, name):
    load = load_pairs if name == "multi30k" else load_sentences
    with pytest.raises(MissingDataError) as caught:
        load(name, data_dir=tmp_path)
    assert f"download {name} --data_dir {tmp_path}" in str(caught.value)
    embedded = "numbers" if name == "multi30k" else "languages"
    assert f"--dataset {embedded}" in str(caught.value) and str(tmp_path / name) in str(
        caught.value
    )


# The standard sets themselves

SIZES = {
    "rt_polarity": [8528, 1066, 1066],
    "sst2": [6916, 872, 1821],
    "trec": [4884, 543, 500],
}


def load_or_skip(load, *args):
    try:
        return load(*args)
    except MissingDataError as error:
        pytest.skip(error.sentence[:80])


@pytest.mark.needs_data
@pytest.mark.parametrize("name", SIZES)
def test_no_sentence_is_in_two_parts(name):
    data = load_or_skip(load_sentences, name)
    parts = [data.train, data.val, data.test]
    assert [len(p) for p in parts] == SIZES[name] == [len(p.texts) for p in parts]
    train, val, test = ({key(text) for text in p.texts} for p in parts)
    assert not train & val and not train & test and not val & test
    assert all(p.labels.dtype == np.int64 and all(p.texts) for p in parts)
    assert {int(y) for y in data.train.labels} == set(range(len(data.classes)))


@pytest.mark.needs_data
def test_trec_labels_have_their_names():
    data = load_or_skip(load_sentences, "trec")
    label = dict(zip(data.test.texts, data.test.labels, strict=True))
    named = {text: TREC_CLASSES[y] for text, y in label.items()}
    assert named["Who was Galileo ?"] == "human" and named["What is an atom ?"] == "description"
    assert named["How far is it from Denver to Aspen ?"] == "number"


@pytest.mark.needs_data
def test_multi30k_has_the_official_held_out_pairs():
    data = load_or_skip(load_pairs, "multi30k", "en", "de")
    assert [len(p) for p in (data.train, data.val, data.test)] == [28_998, 1_014, 1_000]
    held_out = {side for pair in data.val + data.test for side in pair}
    assert not any(held_out & set(pair) for pair in data.train)
    assert data.notes["copies_removed_from_train"] == 2
