"""Running text: fixed contiguous splits, copies removed, every mistake in one sentence."""

import gzip
import lzma
import platform
import tarfile

import pytest

from utils.datasets.__main__ import main
from utils.datasets.text import LEAST_CHARACTERS, TEXTS, load_text, split_text
from utils.datasets.text_files import (
    NOVELS,
    SHAKESPEARE,
    TEXT_SOURCES,
    find_text,
    packed_or_plain,
    read_text_file,
)
from utils.errors import MissingDataError, UserError

LINE = "A line of a text that a learner brings along, number {}.\n"


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture
def lines():
    return "".join(LINE.format(i) for i in range(100))


# Embedded text and files


def test_topics_are_the_help_texts_of_this_python():
    from pydoc_data.topics import topics

    data = load_text("topics")
    assert data.val in "\n\n".join(topics[k].strip("\n") for k in sorted(topics)) + "\n"
    assert data.notes["python"] == platform.python_version()
    assert len(data.notes["sha256"]) == 64
    assert 0.89 < len(data.train) / (len(data.train) + len(data.val)) < 0.91
    assert load_text("topics") == data


def test_no_paragraph_of_topics_is_in_both_parts():
    data = load_text("topics")
    for part in (data, data.inner()):
        train = {" ".join(p.split()) for p in part.train.split("\n\n")}
        copies = [
            p for p in part.val.split("\n\n") if len(p) >= 60 and " ".join(p.split()) in train
        ]
        assert copies == []
    assert data.notes["repeated_characters"] > 0 and data.notes["removed_from"] == "train"


def test_a_copied_paragraph_is_counted_and_taken_from_the_training_part():
    copy = "This paragraph stands at the beginning, and once more at the end of it."
    text = f"{copy}\n\n" + "other words here\n\n" * 60 + copy.replace(" ", "\n  ", 3)
    data = split_text("x", text)
    assert copy not in data.train and data.train.startswith("other words")
    assert data.notes["repeated_characters"] == len(copy) + 2
    assert copy in split_text("x", text, remove=False).train


def test_inner_cuts_the_training_part_alone(tmp_path, lines):
    data = load_text(write(tmp_path / "a.txt", lines))
    inner = data.inner()
    assert inner.train + inner.val == data.train and inner.name == "a.txt (training part)"


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_file_is_cut_after_ninety_percent(tmp_path, lines, pack):
    text = lines.replace("\n", "\r\n")
    data = load_text(write(tmp_path / "a.txt", pack(b"\xef\xbb\xbf" + text.encode())))
    assert data.train + data.val == lines and data.name == "a.txt"
    assert len(data.train) == int(0.9 * len(lines))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"x" * (LEAST_CHARACTERS - 1), "has 999 characters"),
        ("äöü".encode("latin-1") * 500, "is not UTF-8 text (byte 0xe4 at place 0)"),
        ("text".encode("utf-16") * 500, "is not UTF-8 text (byte 0xff at place 0)"),
        (gzip.compress(b"x" * 5000)[:-9], "is a damaged packed file"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, content, words):
    with pytest.raises(UserError) as caught:
        load_text(write(tmp_path / "a.txt", content))
    assert words in str(caught.value) and str(caught.value).endswith(".")


def test_a_folder_and_an_unknown_name_are_told(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        load_text(tmp_path)
    with pytest.raises(UserError, match=r"did you mean tiny_shakespeare\?"):
        load_text("tiny_shakespear")
    with pytest.raises(UserError, match="known are topics"):
        load_text("no/such/file.txt")


# Standard sets: where they are looked for


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "topics"])
def test_a_missing_set_says_what_where_how_and_what_else(tmp_path, name):
    with pytest.raises(MissingDataError) as caught:
        load_text(name, tmp_path)
    message = str(caught.value)
    assert str(tmp_path / name) in message and "--dataset topics" in message
    assert ".gz" in message or ".tar.xz" in message
    assert f"download {name}" in message or "put UTF-8 text into" in message


@pytest.mark.parametrize("end, pack", [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_each_file_may_be_packed(tmp_path, end, pack):
    folder = tmp_path / SHAKESPEARE.folder
    folder.mkdir()
    path = write(folder / f"input.txt{end}", pack(b"not the plays"))
    assert find_text(SHAKESPEARE, tmp_path) == folder
    assert find_text(SHAKESPEARE, folder) == folder  # the set's own folder
    assert packed_or_plain(folder, "input.txt") == path
    with pytest.raises(UserError, match="not the published file"):
        read_text_file(SHAKESPEARE, "input.txt", tmp_path)


def test_novels_plain_and_packed_are_the_same(tmp_path, lines):
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for part, name in (("train", "b"), ("train", "a"), ("val", "c")):
        (plain / "english_novels" / part).mkdir(parents=True, exist_ok=True)
        write(plain / "english_novels" / part / f"{name}.txt", f"{name}\n{lines}")
    packed.mkdir()
    with tarfile.open(packed / "english_novels.tar.xz", "w:xz") as archive:
        archive.add(plain / "english_novels" / "val", "val")
        archive.add(plain / "english_novels" / "train", "train")
    data = load_text("english_novels", plain)
    assert data.train.startswith("a\n") and "\n\nb\n" in data.train
    assert data == load_text("english_novels", packed)
    assert find_text(NOVELS, packed).name == "english_novels.tar.xz"


# The list and the download


def test_list_names_every_text_set(tmp_path, capsys):
    assert main(["list", "--data_dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for name, source in TEXT_SOURCES.items():
        assert f"\n{name} " in printed and source.licence in printed
        assert not source.fetchable or f"download {name} --data_dir {tmp_path}" in printed
    assert "topics" in printed and "put UTF-8 text into" in printed


def test_each_file_has_its_own_address_and_sum():
    files = [file for source in TEXT_SOURCES.values() for file in source.files]
    addresses = [file.url for file in files if file.url]
    assert len(set(addresses)) == len(addresses) == len(files) - 3  # SICK's split is the course's
    assert len({file.content_md5 for file in files}) == len(files)
    assert all(url.startswith("https://") for url in addresses)
    assert all(len(file.content_md5) == 32 for file in files)


@pytest.fixture
def fetched(monkeypatch):
    """The (addresses, target, sum) of each file that `download` would have fetched."""
    calls = []
    monkeypatch.setattr("utils.datasets.download.fetch", lambda *call: calls.append(call))
    return calls


def test_download_fetches_what_is_missing_or_damaged(tmp_path, fetched):
    assert main(["download", "multi30k", "--data_dir", str(tmp_path)]) == 0
    assert len(fetched) == 9
    urls, target, md5 = fetched[0]
    assert urls[0].endswith("/train.en.gz") and target == tmp_path / "multi30k" / "train.en.gz"
    assert md5 == "0065d13af80720a55ca8153d126e6627"
    folder = tmp_path / "tiny_shakespeare"
    folder.mkdir()
    damaged = write(folder / "input.txt.gz", b"damaged")
    assert main(["download", "tiny_shakespeare", "--data_dir", str(tmp_path)]) == 0
    assert fetched[-1][1] == folder / "input.txt" and not damaged.exists()


def test_what_has_no_address_says_where_to_put_it(tmp_path, capsys, fetched):
    assert main(["download", "english_novels", "--data_dir", str(tmp_path)]) == 2
    assert "put UTF-8 text into" in capsys.readouterr().err and fetched == []
    assert main(["download", "topics"]) == 0
    assert "embedded" in capsys.readouterr().out


# The standard sets themselves


def load_or_skip(name):
    try:
        return load_text(name)
    except MissingDataError as error:
        pytest.skip(f"{name} is not here: {error.sentence[:80]} ...")


@pytest.mark.needs_data
def test_tiny_shakespeare_is_the_public_split():
    data = load_or_skip("tiny_shakespeare")
    assert (len(data.train), len(data.val)) == (1_003_854, 111_540)
    assert data.train.startswith("First Citizen:\n") and len(set(data.train + data.val)) == 65
    assert data.notes["repeated_characters"] == 0


@pytest.mark.needs_data
def test_no_name_is_in_both_parts():
    data = load_or_skip("names")
    train, val = data.train.split(), data.val.split()
    assert (len(train), len(val), data.notes["repeated_names_removed"]) == (26_544, 2_950, 2_539)
    assert not set(train) & set(val)


@pytest.mark.needs_data
def test_the_novels_keep_their_own_split():
    data = load_or_skip("english_novels")
    assert len(data.train) > 20e6 and 0.9e6 < len(data.val) < 1e6
    assert "WHERE ANGELS FEAR TO TREAD" in data.val
