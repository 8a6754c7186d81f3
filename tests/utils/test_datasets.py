"""Splits are fixed, disjoint, stratified; missing and damaged files are named, not replaced."""

import gzip
import hashlib
import struct
import subprocess
import sys

import numpy as np
import pytest

from utils import datasets
from utils.datasets import lookup
from utils.datasets.__main__ import main
from utils.datasets.idx import read_idx
from utils.datasets.images import SOURCES, pixel_statistics, split_indices
from utils.errors import UserError

GREY = ("mnist", "fashion_mnist")  # the colour sets: test_image_sets.py
SIZES = {"digits": (1197, 250, 350)} | dict.fromkeys(GREY, (55000, 5000, 10000))
STANDARD = [pytest.param(name, marks=pytest.mark.needs_data) for name in GREY]


@pytest.fixture(scope="module")
def loaded():
    """load(name), each set once; skips where a standard set is not on this machine."""
    cache = {}

    def load(name):
        if not {entry.name: entry.found for entry in datasets.catalogue()}[name]:
            pytest.skip(f"{name} is not on this machine")
        if name not in cache:
            cache[name] = datasets.load(name)
        return cache[name]

    return load


def hashes(split):
    return {image.tobytes() for image in split.images}


@pytest.mark.parametrize("name", ["digits", *STANDARD])
def test_splits_have_no_image_in_common(loaded, name):
    data = loaded(name)
    parts = (data.train, data.val, data.test)
    assert tuple(map(len, parts)) == SIZES[name]
    different = [hashes(part) for part in parts]
    assert [len(part) for part in different] == list(SIZES[name])  # no duplicates within one
    assert len(set.union(*different)) == sum(SIZES[name])  # and none across


@pytest.mark.parametrize("name", ["digits", *STANDARD])
def test_types_and_balance(loaded, name):
    data = loaded(name)
    for split in (data.train, data.val, data.test):
        assert split.images.dtype == np.uint8 and split.images.ndim == 3
        assert split.labels.dtype == np.int64 and split.images.flags.writeable
    train = np.bincount(data.train.labels) / len(data.train)
    val = np.bincount(data.val.labels) / len(data.val)
    assert len(train) == len(data.classes)
    np.testing.assert_allclose(train, val, atol=2 / len(data.val) + 1e-9)


@pytest.mark.parametrize("name", ["digits", *STANDARD])
def test_statistics_are_of_the_training_split_alone(loaded, name):
    data = loaded(name)
    blocks = np.array_split(data.train.images, 20)
    histogram = sum(np.bincount(block.ravel(), minlength=256) for block in blocks)
    grey = np.arange(256) / 255
    mean = np.average(grey, weights=histogram)
    std = np.average((grey - mean) ** 2, weights=histogram) ** 0.5
    assert (data.mean, data.std) == pytest.approx((mean, std), rel=1e-9)
    everything = np.concatenate([data.train.images, data.val.images, data.test.images])
    assert data.mean != pixel_statistics(everything)[0]
    z = data.standardise(data.train.images[:1000])
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, (data.train.images[:1000] / 255 - mean) / std, atol=1e-5)


def test_the_digits_split_is_the_same_for_ever(loaded):
    """A changed split would make every published number incomparable."""
    labels = loaded("digits").test.labels.astype(np.uint8).tobytes()
    images = loaded("digits").test.images.tobytes()
    assert hashlib.md5(labels + images).hexdigest() == "f01ca2bf4ba25108f573b0b602fe1096"


def test_digits_keep_their_17_levels(loaded):
    levels = np.unique(loaded("digits").train.images)
    np.testing.assert_array_equal(levels, np.rint(np.arange(17) * 255 / 16))


def test_split_indices_use_each_item_once_and_keep_proportions():
    labels = np.random.default_rng(0).choice(4, 1000, p=[0.7, 0.2, 0.08, 0.02])
    parts = split_indices(labels, (100, 300))
    assert list(map(len, parts)) == [100, 300, 600]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    for part in parts:
        expected = np.bincount(labels) * len(part) / 1000
        assert np.abs(np.bincount(labels[part], minlength=4) - expected).max() <= 2


def test_unknown_name_suggests_the_closest():
    with pytest.raises(UserError, match=r"did you mean fashion_mnist\?"):
        datasets.load("fashionmnist")


def test_missing_files_say_where_and_what_to_do(tmp_path):
    with pytest.raises(UserError) as caught:
        datasets.load("mnist", data_dir=tmp_path)
    message = str(caught.value)
    for part in ("train-images-idx3-ubyte[.gz]", str(tmp_path / "MNIST" / "raw"), "--data_dir"):
        assert part in message
    assert f"python -m utils.datasets download mnist --data_dir {tmp_path}" in message
    assert "--dataset digits" in message and "\n" not in message


def test_root_is_argument_then_environment_then_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("DL_COURSE_DATA", str(tmp_path))
    assert datasets.data_root("here").name == "here"
    assert datasets.data_root() == tmp_path
    monkeypatch.setenv("DL_COURSE_DATA", "")
    assert datasets.data_root() == lookup.DEFAULT_ROOT


def idx_bytes(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("layout", ["MNIST/raw", "mnist/MNIST/raw", "mnist"])
@pytest.mark.parametrize("packed", [True, False])
def test_layouts(tmp_path, layout, packed):
    source = SOURCES["mnist"]
    (tmp_path / layout).mkdir(parents=True)
    for file in source.files:
        name = file.name if packed else file.name.removesuffix(".gz")
        (tmp_path / layout / name).touch()
    assert lookup.find_folder(source, tmp_path) == tmp_path / layout
    next((tmp_path / layout).iterdir()).unlink()  # three of four files are not the data set
    assert lookup.find_folder(source, tmp_path) is None


def test_files_of_another_set_are_refused(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file in SOURCES["mnist"].files:
        (folder / file.name).write_bytes(gzip.compress(idx_bytes(np.zeros((3, 2), np.uint8))))
    with pytest.raises(UserError, match=r"not the published file.*download mnist"):
        datasets.load("mnist", tmp_path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx(tmp_path, pack):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "a"
    path.write_bytes(pack(idx_bytes(array)))
    np.testing.assert_array_equal(read_idx(path), array)


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an idx file"),
        (b"<html>404</html>", "not an idx file"),
        (GOOD[:9], "cut off inside its header"),
        (GOOD[:-1], "cut off: its header promises 40 bytes, it has 39"),
        (GOOD + b"x", "too long"),
        (gzip.compress(GOOD, mtime=0)[:-5], "damaged gzip"),
        (gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, "damaged gzip"),
        (gzip.compress(GOOD, mtime=0)[:15] + b"\xff" * 20, "damaged gzip"),
    ],
)
def test_damaged_idx_files(tmp_path, content, says):
    path = tmp_path / "bad-idx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["list", "--data_dir", "empty"]) == 0
    assert "python -m utils.datasets download mnist --data_dir empty" in capsys.readouterr().out
    assert main(["show", "mnist", "--data_dir", "empty"]) == 2
    assert capsys.readouterr().err.startswith("error: the data set mnist is not here")
    assert main(["show", "digits"]) == 0
    assert (tmp_path / "outputs/datasets/digits.png").stat().st_size < 200_000


@pytest.mark.process
def test_import_is_light():
    """Chapter 1's engine runs without torch; asking for data must not load it."""
    heavy = {"torch", "sklearn", "matplotlib", "PIL"}
    code = f"import sys, utils.datasets; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
