"""Photo sets: official files, image folders and archives give the same arrays; faults are named.

The archives and pickles are written here, a few images each; one test at the end reads CIFAR-10.
"""

import dataclasses
import hashlib
import io
import lzma
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from utils import datasets
from utils.datasets import download as download_module
from utils.datasets import images as images_module
from utils.datasets.__main__ import main
from utils.datasets.archive import safe_extract
from utils.datasets.cifar import safe_unpickle
from utils.datasets.contact_sheet import contact_sheet
from utils.datasets.download import download
from utils.datasets.images import ImageData, Split, pixel_statistics, split_indices
from utils.datasets.lookup import find_place
from utils.datasets.packed import members
from utils.datasets.photo_sets import CALTECH101, CIFAR10, CIFAR100, INTEL_SCENES, STL10
from utils.errors import UserError

COUNT = {"train": 4, "test": 2}  # images of each class in the small sets below
RNG = np.random.default_rng(0)


def encode(image, kind="png", mode=None):
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(buffer, kind)
    return buffer.getvalue()


def small_set(source, kind="png"):
    """{"train/cat/0.png": (file, pixels)} of noise images in the size of `source`."""
    files = {}
    for part, count in COUNT.items():
        for name in source.classes:
            for i in range(count):
                pixels = RNG.integers(0, 256, (source.size, source.size, 3), dtype=np.uint8)
                files[f"{part}/{name}/{i}.{kind}"] = encode(pixels, kind), pixels
    return files


def write_folder(root, files):
    for name, (content, _) in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def write_tar(path, contents, tar_format=tarfile.GNU_FORMAT, mode="w:xz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=tar_format) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents_of(files):
    return {name: content for name, (content, _) in files.items()}


@pytest.fixture(scope="module")
def cifar_files():
    return small_set(CIFAR10)


@pytest.fixture(scope="module")
def packed(cifar_files, tmp_path_factory):
    """A data folder with cifar10/cifar10_png.tar.xz."""
    root = tmp_path_factory.mktemp("packed")
    write_tar(root / "cifar10" / "cifar10_png.tar.xz", contents_of(cifar_files))
    return root


def assert_same(a, b):
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(a, part).images, getattr(b, part).images)
        np.testing.assert_array_equal(getattr(a, part).labels, getattr(b, part).labels)


# Layouts


def test_packed_and_loose_files_are_the_same_set(cifar_files, packed, tmp_path):
    write_folder(tmp_path / "cifar10", cifar_files)
    (tmp_path / "cifar10" / "train" / "cat" / ".DS_Store").write_bytes(b"no image")
    (tmp_path / "cifar10" / "train" / "cat" / "notes.txt").write_bytes(b"no image")
    loose, archive = datasets.load("cifar10", tmp_path), datasets.load("cifar10", packed)
    assert_same(loose, archive)
    assert archive.origin == "image files (png); 40 + 20 images instead of 50,000 + 10,000"
    assert [len(part) for part in (loose.train, loose.val, loose.test)] == [36, 4, 20]
    assert loose.train.images.shape == (36, 32, 32, 3) and loose.train.images.dtype == np.uint8
    assert loose.train.labels.dtype == np.int64 and loose.classes == CIFAR10.classes


def test_each_image_has_its_label(cifar_files, packed):
    data = datasets.load("cifar10", packed)
    label = {pixels.tobytes(): name.split("/")[1] for name, (_, pixels) in cifar_files.items()}
    for part in (data.train, data.val, data.test):
        for image, k in zip(part.images, part.labels, strict=True):
            assert label[image.tobytes()] == data.classes[k]


def test_the_order_in_the_archive_does_not_matter(cifar_files, packed, tmp_path):
    names = RNG.permutation(list(cifar_files))
    contents = {f"./some/folder/{name}": cifar_files[name][0] for name in names}
    write_tar(tmp_path / "cifar10.tar.xz", contents)
    assert_same(datasets.load("cifar10", tmp_path), datasets.load("cifar10", packed))


@pytest.mark.parametrize("where", ["cifar10.tar.xz", "cifar10/cifar10.tar.xz", "cifar10_a.tar.xz"])
def test_places_of_an_archive(where, tmp_path):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar100.tar.xz").touch()  # another set
    assert find_place(CIFAR10, tmp_path) is None
    (tmp_path / where).touch()
    assert find_place(CIFAR10, tmp_path).path == tmp_path / where


def test_official_files_come_before_copies(tmp_path, packed):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, _ in CIFAR10.files:
        (folder / name).touch()
    (tmp_path / "cifar10.tar.xz").touch()
    assert find_place(CIFAR10, tmp_path).layout == "official"
    (folder / "test_batch").unlink()
    assert find_place(CIFAR10, tmp_path).layout == "packed"


def test_the_data_folder_may_be_the_set_itself(cifar_files, tmp_path):
    write_folder(tmp_path, cifar_files)
    assert find_place(CIFAR10, tmp_path).path == tmp_path
    assert find_place(STL10, tmp_path) is None  # other classes


@pytest.mark.parametrize(
    "tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
@pytest.mark.parametrize("length", [10, 99, 100, 101, 150, 250])
def test_members_are_those_of_tarfile(tar_format, length, tmp_path):
    names = ["a", "f/" * 40 + "x" * (length - 80) if length > 80 else "x" * length, "é" * 30, "b"]
    contents = {
        name: RNG.bytes(size) for name, size in zip(names, (0, 511, 512, 1500), strict=True)
    }
    try:
        path = write_tar(tmp_path / "a.tar.xz", contents, tar_format)
    except ValueError:
        pytest.skip("this format has no such long names")
    assert dict(members(path)) == contents


# Images of other kinds


def test_other_sizes_and_kinds_of_images(cifar_files, tmp_path):
    write_folder(tmp_path / "cifar10", cifar_files)
    folder = tmp_path / "cifar10" / "train" / "airplane"
    halves = np.zeros((64, 128, 3), np.uint8)
    halves[:, 32:96] = 200  # the centre square
    (folder / "0.png").write_bytes(encode(halves))
    (folder / "1.png").write_bytes(encode(np.full((32, 32), 77, np.uint8)))
    (folder / "2.png").write_bytes(encode(np.full((32, 32, 4), (10, 20, 30, 0), np.uint8)))
    (folder / "3.png").unlink()
    (folder / "3.jpg").write_bytes(encode(np.full((1, 1, 3), 128, np.uint8), "jpeg"))
    data = datasets.load("cifar10", tmp_path)
    assert data.origin.startswith(
        "image files (jpg, png), not the official pixels, 2 of 60 scaled to 32x32"
    )
    everything = np.concatenate([data.train.images, data.val.images])
    # The third is transparent all over: white paper.
    flat = {tuple(image[0, 0]) for image in everything if np.ptp(image, axis=(0, 1)).max() == 0}
    assert flat == {(200, 200, 200), (77, 77, 77), (255, 255, 255), (128, 128, 128)}


def test_shrinking_smooths():
    """A checkerboard of single pixels becomes grey, not black or white."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    from utils.datasets.photos import decode

    pixels, changed = decode(encode(board), "board", 32)
    assert changed and abs(pixels.astype(int) - 127).max() < 12


# Splits and statistics


@pytest.mark.parametrize("sizes", [(450, 50), (30, 3)])
def test_validation_is_a_tenth_and_disjoint(sizes, monkeypatch, tmp_path):
    count, expected = sum(sizes), sizes[1]
    images = np.arange(count * 3, dtype=np.uint32).view(np.uint8).reshape(count, 2, 2, 3)
    part = images, np.arange(count) % 10
    photos = images_module.read_photos.__globals__["Photos"](part, part, "")
    monkeypatch.setattr(images_module, "find_photos", lambda *_: None)
    monkeypatch.setattr(images_module, "read_photos", lambda *_: photos)
    data = datasets.load("cifar10")
    assert len(data.val) == expected and len(data.train) == count - expected
    seen = [{image.tobytes() for image in part.images} for part in (data.train, data.val)]
    assert not seen[0] & seen[1] and len(seen[0] | seen[1]) == count


def test_the_split_of_cifar10_is_the_same_for_ever():
    val, train = split_indices(np.repeat(np.arange(10), 5000), (5000,))
    assert (
        hashlib.md5(val.astype("<i8").tobytes()).hexdigest() == "a33daec1f7eae537b8b8001635ee7321"
    )
    assert len(np.intersect1d(val, train)) == 0


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_statistics_of_colour_images(count):
    images = RNG.integers(0, 256, (count, 5, 4, 3), dtype=np.uint8)
    mean, std = pixel_statistics(images)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, scaled.std(axis=(0, 1, 2)), rtol=1e-6)
    assert mean.dtype == std.dtype == np.float32 and mean.shape == std.shape == (3,)


def test_white_images_have_exact_statistics():
    mean, std = pixel_statistics(np.full((300, 96, 96, 3), 255, np.uint8))
    assert mean.tolist() == [1, 1, 1] and std.tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", range(0, 256, 17))
@pytest.mark.parametrize("shape", [(7, 5, 9), (301, 3, 3, 3)])
def test_channels_of_one_value_are_not_divided_by_zero(value, shape):
    images = np.full(shape, value, np.uint8)
    assert np.all(pixel_statistics(images)[1] == 0), "neither nan nor the rounding of 255^2"
    split = Split(images, np.zeros(len(images), np.int64))
    data = images_module._image_data("plain", ("a",), split, split, split)
    np.testing.assert_allclose(data.standardise(images), 0, atol=1e-6)
    assert np.all(data.std == 1)


def test_standardise_and_statistics_use_the_training_split(packed):
    data = datasets.load("cifar10", packed)
    z = data.standardise(data.train.images)
    assert z.dtype == np.float32 and z.shape == data.train.images.shape
    np.testing.assert_allclose(z.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=(0, 1, 2)), 1, atol=1e-4)
    assert abs(data.standardise(data.test.images).mean()) > 1e-5


# Faults of archives and folders


def load_cifar10(root, content):
    (root / "cifar10.tar.xz").write_bytes(content)
    return datasets.load("cifar10", root)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_archive(share, packed, tmp_path):
    whole = (packed / "cifar10" / "cifar10_png.tar.xz").read_bytes()
    with pytest.raises(UserError, match=r"cifar10\.tar\.xz is damaged or cut off"):
        load_cifar10(tmp_path, whole[: int(len(whole) * share)])


def test_archive_cut_between_two_members(cifar_files, tmp_path):
    """tarfile's own stream mode takes the rest of such a file for a complete archive."""
    write_tar(tmp_path / "a.tar", contents_of(cifar_files), mode="w")
    tar = (tmp_path / "a.tar").read_bytes()
    compressor = lzma.LZMACompressor()
    first_members = tar[: tar.index(b"train/cat/0.png")]
    content = compressor.compress(first_members) + compressor.flush()
    with pytest.raises(UserError, match="none of cat, deer, dog, frog, horse and 2 more"):
        load_cifar10(tmp_path, content)
    with pytest.raises(UserError, match="damaged or cut off"):
        load_cifar10(tmp_path, content[:-12])


@pytest.mark.parametrize(
    "content", [b"<html>404</html>", lzma.compress(b"no tar " * 200), lzma.compress(b"x")]
)
def test_no_archive(content, tmp_path):
    with pytest.raises(UserError, match="damaged or cut off"):
        load_cifar10(tmp_path, content)


def test_flipped_bytes_in_an_archive(packed, tmp_path):
    whole = bytearray((packed / "cifar10" / "cifar10_png.tar.xz").read_bytes())
    for place in RNG.integers(0, len(whole), 5):
        damaged = whole.copy()
        damaged[place] ^= 0x55
        with pytest.raises(UserError, match="damaged or cut off"):
            load_cifar10(tmp_path, bytes(damaged))


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"text"])
@pytest.mark.parametrize("loose", [True, False])
def test_a_corrupt_image_is_named(damage, loose, cifar_files, tmp_path):
    contents = contents_of(cifar_files)
    contents["test/frog/1.png"] = damage(contents["test/frog/1.png"])
    if loose:
        write_folder(tmp_path / "cifar10", {name: (c, None) for name, c in contents.items()})
    else:
        write_tar(tmp_path / "cifar10.tar.xz", contents)
    with pytest.raises(UserError, match=r"cannot read the image .*test/frog/1\.png") as caught:
        datasets.load("cifar10", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train/cat": None}, r"train/ has images of 9 classes, not 10; none of cat\.$"),
        (
            {"test/cat": "test/kitten"},
            r"test/ has .* 10 classes, not 10; none of cat; unknown: kit",
        ),
        ({"test": None}, "test/ has images of 0 classes"),
    ],
)
def test_wrong_classes(change, says, cifar_files, tmp_path):
    (old, new), *_ = change.items()
    contents = {
        name.replace(old + "/", f"{new}/") if new else name: content
        for name, content in contents_of(cifar_files).items()
        if new or not name.startswith(old + "/")
    }
    write_tar(tmp_path / "cifar10.tar.xz", contents)
    with pytest.raises(UserError, match=says):
        datasets.load("cifar10", tmp_path)


def test_empty_class_folder(cifar_files, tmp_path):
    write_folder(tmp_path / "cifar10", cifar_files)
    for path in (tmp_path / "cifar10" / "train" / "ship").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"train/ has images of 9 classes.*none of ship"):
        datasets.load("cifar10", tmp_path)


# Official files of CIFAR


def cifar_batch(count, key="labels", first=0):
    rows = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
    return {"data": rows, key: [(first + i) % 10 for i in range(count)], "filenames": ["x"] * count}


def write_cifar10(root, protocol=2, count=20):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    batches = {name: cifar_batch(count) for name, _ in CIFAR10.files}
    for name, batch in batches.items():
        (folder / name).write_bytes(pickle.dumps(batch, protocol))
    return batches


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_official_cifar10(protocol, tmp_path, caplog):
    batches = write_cifar10(tmp_path, protocol)
    data = datasets.load("cifar10", tmp_path)
    assert (len(data.train), len(data.val), len(data.test)) == (90, 10, 20)
    row = batches["test_batch"]["data"][3]  # red plane, green plane, blue plane
    expected = np.stack([row[c * 1024 :][:1024].reshape(32, 32) for c in range(3)], axis=-1)
    np.testing.assert_array_equal(data.test.images[3], expected)
    np.testing.assert_array_equal(data.test.labels, np.arange(20) % 10)
    assert data.train.images.flags.writeable and data.test.images.flags.c_contiguous
    assert data.origin.startswith("files in the official format, not the published ones")
    assert "not the published file" in caplog.text


def test_published_files_are_called_official(monkeypatch, tmp_path):
    write_cifar10(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    sums = [hashlib.md5((folder / name).read_bytes()).hexdigest() for name, _ in CIFAR10.files]
    files = tuple((name, md5) for (name, _), md5 in zip(CIFAR10.files, sums, strict=True))
    source = dataclasses.replace(CIFAR10, files=files, counts=(100, 20))
    monkeypatch.setitem(images_module.SOURCES, "cifar10", source)
    assert datasets.load("cifar10", tmp_path).origin == "official binary"


def test_official_cifar100_has_fine_labels(tmp_path):
    (tmp_path / "cifar-100-python").mkdir()
    for name, count in (("train", 200), ("test", 100)):
        batch = cifar_batch(count) | {"fine_labels": list(range(100)) * (count // 100)}
        del batch["labels"]
        batch = {key.encode(): value for key, value in batch.items()}  # as encoding="bytes" reads
        (tmp_path / "cifar-100-python" / name).write_bytes(pickle.dumps(batch))
    data = datasets.load("cifar100", tmp_path)
    np.testing.assert_array_equal(data.test.labels, np.arange(100))
    assert data.classes[51] == "mushroom" and len(set(data.classes)) == 100
    assert data.classes == tuple(sorted(data.classes))


def python2_pickle(rows, labels):
    """The opcodes that Python 2's cPickle wrote: the form of the published files."""
    minus_one = b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + minus_one * 2 + b"K\x00tb"
    shape = b"(M" + struct.pack("<H", len(rows)) + b"M\x00\x0ct"
    content = b"T" + struct.pack("<I", rows.size) + rows.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([k]) for k in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + numbers + b"u."


def test_a_pickle_of_python_2():
    batch = cifar_batch(7)
    content = python2_pickle(batch["data"], batch["labels"])
    loaded = safe_unpickle(content, "f")
    np.testing.assert_array_equal(loaded["data"], batch["data"])
    assert loaded["labels"] == batch["labels"]


class Evil:
    """Its pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil_pickles(mark):
    command = f"echo x > {mark}"
    yield from (pickle.dumps(Evil(os.system, command), p) for p in range(6))
    yield pickle.dumps({"data": Evil(eval, f"open({str(mark)!r}, 'w')"), "labels": [0]})
    yield pickle.dumps({"data": np.array([Evil(os.system, command)]), "labels": [0]})
    yield pickle.dumps({"data": Evil(np.save, str(mark), 1), "labels": [0]})
    yield b"cos\nsystem\n(S'" + command.encode() + b"'\ntR."
    yield b"cutils.datasets.cifar\npickle.loads\n(B\x01\x00\x00\x00.tR."
    yield b"\x80\x04\x8c\x05numpy\x8c\x16ndarray.__subclasses__\x93)R."


def test_pickles_that_want_to_run_something(tmp_path):
    mark = tmp_path / "mark"
    for content in evil_pickles(mark):
        with pytest.raises(UserError, match=r"f is not a CIFAR file.*refused") as caught:
            safe_unpickle(content, "f")
        assert "\n" not in str(caught.value) and not mark.exists()


def test_a_malicious_batch_stops_the_loading(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(pickle.dumps(Evil(os.system, f"touch {tmp_path / 'mark'}")))
    with pytest.raises(UserError, match=r"data_batch_3 .*system: refused.*; fetch it again with `"):
        datasets.load("cifar10", tmp_path)
    assert not (tmp_path / "mark").exists()
    assert main(["show", "cifar10", "--data_dir", str(tmp_path)]) == 2


def test_damaged_pickles_never_give_a_traceback():
    whole = bytearray(pickle.dumps(cifar_batch(2), 2))
    for trial in range(400):
        content = whole.copy()
        if trial % 2:
            content = content[: RNG.integers(len(content))]
        else:
            content[RNG.integers(300 if trial % 4 else len(content))] = RNG.integers(256)
        try:
            assert isinstance(safe_unpickle(bytes(content), "f"), dict)
        except UserError as error:
            assert str(error).startswith("f is not a CIFAR file")


@pytest.mark.parametrize(
    "batch",
    [
        [],
        {},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [0, "cat"]},
        {"data": np.zeros((2, 3000), np.uint8), "labels": [0, 1]},
        {"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]},
        {"data": "pixels", "labels": [0, 1]},
    ],
)
def test_batches_that_do_not_fit(batch, tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(pickle.dumps(batch))
    with pytest.raises(UserError, match=r"test_batch is (damaged|not a CIFAR file)"):
        datasets.load("cifar10", tmp_path)


# STL-10


@pytest.fixture
def stl10(tmp_path):
    """Writes stl10_binary/ with 20 training and 10 test images; returns them as (N, H, W, 3)."""
    folder = tmp_path / "stl10" / "stl10_binary"
    folder.mkdir(parents=True)
    images = {}
    for part, count in (("train", 20), ("test", 10)):
        images[part] = RNG.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        with (folder / f"{part}_X.bin").open("wb") as file:
            for image in images[part]:
                for channel in range(3):
                    for column in range(96):  # column by column
                        file.write(image[:, column, channel].tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(1 + i % 10 for i in range(count)))
    return folder, images


def test_stl10(stl10, tmp_path):
    _, images = stl10
    data = datasets.load("stl10", tmp_path)
    np.testing.assert_array_equal(data.test.images, images["test"])
    np.testing.assert_array_equal(data.test.labels, np.arange(10))
    assert (len(data.train), len(data.val)) == (18, 2) and data.classes[7] == "monkey"


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("train_X.bin", lambda c: c[:-1], "cut off or damaged"),
        ("train_X.bin", lambda c: c[: -96 * 96 * 3], "cut off or damaged"),
        ("test_X.bin", lambda c: b"", "cut off or damaged"),
        ("test_y.bin", lambda c: c[:-1], "cut off or damaged"),
        ("test_y.bin", lambda c: b"\0" * len(c), "labels that are not in 1 to 10"),
        ("test_y.bin", lambda c: b"\x0b" * len(c), "labels that are not in 1 to 10"),
    ],
)
def test_damaged_stl10(name, change, says, stl10, tmp_path):
    path = stl10[0] / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=says):
        datasets.load("stl10", tmp_path)


# Missing sets and downloads


@pytest.mark.parametrize("source", [CIFAR10, CIFAR100, STL10])
def test_missing_official_set(source, tmp_path, capsys):
    assert main(["show", source.name, "--data_dir", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: the data set {source.name} is not here: looked for ")
    assert source.files[0][0] in message and str(tmp_path / source.folder) in message
    assert f"python -m utils.datasets download {source.name} --data_dir {tmp_path}" in message
    assert message.endswith("or use the embedded set with `--dataset shapes`.\n")
    assert message.count("\n") == 1


@pytest.mark.parametrize("name", ["intel_scenes96", "natural_images96", "caltech101_96"])
def test_missing_course_set_names_no_download(name, tmp_path, capsys):
    for command in ("show", "download"):
        assert main([command, name, "--data_dir", str(tmp_path)]) == 2
        message = capsys.readouterr().err
        assert "train/<class>/... and test/<class>/..." in message
        assert "no official address" in message and "download" not in message
    assert main(["list", "--data_dir", str(tmp_path)]) == 0
    assert f"put its images into {tmp_path / name}" in capsys.readouterr().out


def test_catalogue_has_sizes_and_classes(packed):
    entries = {entry.name: entry for entry in datasets.catalogue(packed)}
    assert list(entries) == datasets.names()
    assert entries["cifar10"].summary == "32x32 colour, 10 classes" and entries["cifar10"].found
    assert entries["mnist"].summary == "28x28 grey, 10 classes"
    assert not entries["stl10"].found and entries["stl10"].command
    assert not entries["intel_scenes96"].found and not entries["intel_scenes96"].command


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A small CIFAR-10 as .tar.gz at a file:// address; returns the source and a data folder."""
    write_cifar10(tmp_path / "there")
    folder = tmp_path / "there" / "cifar-10-batches-py"
    names = [name for name, _ in CIFAR10.files]
    contents = {f"{CIFAR10.folder}/{name}": (folder / name).read_bytes() for name in names}
    archive = tmp_path / "there" / "cifar-10-python.tar.gz"
    write_tar(archive, contents | {f"{CIFAR10.folder}/readme.html": b"not needed"}, mode="w:gz")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    sums = [hashlib.md5(content).hexdigest() for content in contents.values()]
    source = dataclasses.replace(
        CIFAR10, files=tuple(zip(names, sums, strict=True)), archive=(archive.as_uri(), md5)
    )
    monkeypatch.setitem(images_module.SOURCES, "cifar10", source)
    return source, tmp_path / "here"


def test_download_unpacks_what_is_needed(remote):
    source, root = remote
    data = datasets.load("cifar10", root, download=True)
    assert data.origin.startswith("official binary") and len(data.test) == 20
    folder = root / source.folder
    assert sorted(p.name for p in folder.iterdir()) == sorted(name for name, _ in source.files)
    assert [p.name for p in root.iterdir()] == [source.folder]  # the archive is gone


def test_download_mends_a_damaged_file_and_else_does_nothing(remote, monkeypatch):
    source, root = remote
    download(source, root)
    (root / source.folder / "data_batch_2").write_bytes(b"damaged")
    assert download(source, root) == root / source.folder
    assert datasets.load("cifar10", root).origin.startswith("official binary")
    monkeypatch.setattr(download_module, "fetch", lambda *_: pytest.fail("fetched again"))
    assert download(source, root) == root / source.folder


def test_an_archive_brought_by_hand_is_taken_and_stays(remote, tmp_path, monkeypatch):
    source, root = remote
    root.mkdir()
    archive = root / "cifar-10-python.tar.gz"
    archive.write_bytes((tmp_path / "there" / archive.name).read_bytes())
    monkeypatch.setattr(download_module, "fetch", lambda *_: pytest.fail("fetched"))
    download(source, root)
    assert archive.is_file() and len(datasets.load("cifar10", root).test) == 20


def test_an_archive_without_the_files_is_refused(remote):
    source, root = remote
    files = (("data_batch_1", "0" * 32), *source.files[1:])
    with pytest.raises(UserError, match="does not hold the published data_batch_1"):
        download(dataclasses.replace(source, files=files), root)


def test_safe_extract_of_some_members(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", {"a": b"1", "b/c": b"2"}, mode="w:gz")
    assert safe_extract(path, tmp_path / "out", only=["b/c"]) == [tmp_path / "out" / "b" / "c"]
    assert not (tmp_path / "out" / "a").exists()
    write_tar(path, {"a": b"1", "../evil": b"2"}, mode="w:gz")
    with pytest.raises(UserError, match="outside its folder"):  # also if it is not wanted
        safe_extract(path, tmp_path / "out2", only=["a"])


# Embedded sets, sheets, the real CIFAR-10


def test_shapes_are_embedded(monkeypatch):
    from utils.datasets import shapes

    monkeypatch.setitem(shapes.SPLIT_SIZES, 64, (40, 20, 30))
    data = datasets.load("shapes64")
    assert data.train.images.shape == (40, 64, 64, 3) and len(data.val) == 20
    assert data.classes == shapes.CLASSES and data.mean.shape == (3,) and data.origin


def test_sample_photos():
    photos = datasets.sample_photos()
    assert list(photos) == ["china", "flower"]
    for photo in photos.values():
        assert photo.shape == (427, 640, 3) and photo.dtype == np.uint8 and photo.flags.writeable


@pytest.mark.parametrize("source", [CALTECH101, CIFAR100, INTEL_SCENES])
def test_contact_sheet(source, tmp_path):
    """Every name on the sheet is one of the set's; a class with few images leaves a gap."""
    from utils.plotting import save_figure

    labels = np.arange(len(source.classes)).repeat(2)
    pixels = RNG.integers(0, 256, (len(labels), source.size, source.size, 3), dtype=np.uint8)
    split = Split(pixels, labels)
    data = ImageData(source.name, source.classes, split, split, split, *pixel_statistics(pixels))
    figure = contact_sheet(data)
    axes = figure.axes[0]
    names = [text.get_text() for text in [*axes.texts, *axes.get_yticklabels()]]
    assert len(names) == min(len(source.classes), 35) and set(names) <= set(source.classes)
    assert ("35 of the" in axes.get_title()) == (len(source.classes) > 35)
    save_figure(figure, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size < 200_000


@pytest.mark.needs_data
def test_the_real_cifar10():
    """About 10 s: everything that needs the whole set, in one test."""
    if not {entry.name: entry.found for entry in datasets.catalogue()}["cifar10"]:
        pytest.skip("cifar10 is not on this machine")
    data = datasets.load("cifar10")
    parts = (data.train, data.val, data.test)
    assert [part.images.shape for part in parts] == [
        (count, 32, 32, 3) for count in (45_000, 5_000, 10_000)
    ]
    for part, share in zip(parts, (4500, 500, 1000), strict=True):
        assert np.bincount(part.labels).tolist() == [share] * 10
    different = [{hash(image.tobytes()) for image in part.images} for part in parts]
    assert [len(seen) for seen in different] == [45_000, 5_000, 10_000]
    assert len(set.union(*different)) == 60_000
    # Of all 50,000 official training images; copies as JPEG differ in the third place.
    np.testing.assert_allclose(data.mean, [0.4914, 0.4822, 0.4465], atol=2e-3)
    np.testing.assert_allclose(data.std, [0.2470, 0.2435, 0.2616], atol=3e-3)


@pytest.mark.parametrize("name", ["shapes", "shapes96"])
def test_limit_draws_the_first_images(name):
    few = datasets.load(name, limit=5)
    assert [len(part) for part in (few.train, few.val, few.test)] == [5, 5, 5]
    more = datasets.load(name, limit=7)
    assert np.array_equal(few.train.images, more.train.images[:5])
    assert np.array_equal(few.test.labels, more.test.labels[:5])


def test_limit_takes_every_kth_image_of_a_stored_set():
    whole, few = datasets.load("digits"), datasets.load("digits", limit=5)
    assert [len(part) for part in (few.train, few.val, few.test)] == [5, 5, 5]
    places = [0, 239, 478, 718, 957]  # multiples of 1197 / 5
    assert np.array_equal(few.train.images, whole.train.images[places])
    assert len(datasets.load("digits", limit=10_000).train) == len(whole.train)


def test_a_limited_set_sorted_by_class_keeps_all_classes():
    labels = np.repeat(np.arange(10), 450)
    assert np.bincount(labels[images_module.spread(len(labels), 600)]).tolist() == [60] * 10
