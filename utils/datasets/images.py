"""Labelled images in three fixed, disjoint splits.

                        images              where                      train / val / test
    digits               1,797 of 8x8       embedded in scikit-learn    1,197 /   250 /    350
    shapes              13,000 of 32x32 c   embedded, drawn            10,000 / 1,000 /  2,000
    shapes64, shapes96   7,800 c            embedded, drawn             6,000 /   600 /  1,200
    mnist               70,000 of 28x28     to be fetched              55,000 / 5,000 / 10,000 (o)
    fashion_mnist       70,000 of 28x28     to be fetched              55,000 / 5,000 / 10,000 (o)
    cifar10, cifar100   60,000 of 32x32 c   to be fetched              45,000 / 5,000 / 10,000 (o)
    stl10               13,000 of 96x96 c   to be fetched               4,500 /   500 /  8,000 (o)
    intel_scenes96      11,698 of 96x96 c   course set                  8,100 /   900 /  2,698 (o)
    natural_images96     6,554 of 96x96 c   course set                  4,968 /   552 /  1,034
    caltech101_96        8,388 of 96x96 c   course set                  5,206 /   578 /  2,604

c: colour; (o): the test images are the official ones, or a part of them. Where no validation split
is published, it is 5,000 of the training images (photos: a tenth of them, at most 5,000), every
class in proportion. A split never changes: it depends on the labels and a constant only, not on the
run's seed, so that numbers of different runs compare. Mean and deviation come from the training
split alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from utils.datasets.download import download as fetch_files
from utils.datasets.idx import read_idx
from utils.datasets.lookup import download_command, find_files, find_folder, find_photos
from utils.datasets.photo_sets import PhotoSource
from utils.datasets.photos import read_photos
from utils.datasets.registry import COURSE_SETS, SOURCES, Source
from utils.errors import UserError

DRAWN = "drawn by the course"  # the origin of procedural scenes
SPLIT_SEED = 20240229
DIGITS_VAL, DIGITS_TEST = 250, 350
STANDARD_VAL = 5_000
PHOTO_VAL_SHARE = 0.1  # of the official training images, at most STANDARD_VAL


@dataclass(frozen=True)
class Split:
    """Images (N, H, W) uint8 (colour: (N, H, W, 3)) with their labels (N,) int64."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Split:
        """The items at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class ImageData:
    """A data set. `mean` and `std` are those of all training pixels scaled to 0..1.

    Of grey images they are floats, of colour images float32 arrays (3,). `origin` says what kind of
    copy was read, where there are several.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    mean: float | np.ndarray
    std: float | np.ndarray
    origin: str = ""

    def standardise(self, images: np.ndarray) -> np.ndarray:
        """uint8 pixels -> float32 with the training split's mean 0 and deviation 1."""
        return (images.astype(np.float32) / 255 - np.float32(self.mean)) / np.float32(self.std)


@dataclass(frozen=True)
class Entry:
    """Where a data set is. `command` fetches it: empty if it is here, or has no official address.

    `summary` gives size and classes, such as "32x32 colour, 10 classes".
    """

    name: str
    found: bool
    where: str
    command: str = ""
    summary: str = ""


def names() -> list[str]:
    """The names that `load` knows, embedded sets first."""
    return [*EMBEDDED, *SOURCES, *COURSE_SETS]


def catalogue(data_dir: str | Path | None = None) -> list[Entry]:
    """What is on this machine and how to fetch the rest."""
    entries = [
        Entry(name, True, "embedded", summary=_summary(size, name != "digits", 10))
        for name, size in EMBEDDED_SIZES.items()
    ]
    for name, source in (SOURCES | COURSE_SETS).items():
        folder = find_folder(source, data_dir)
        fetchable = not isinstance(source, PhotoSource) or source.archive
        command = download_command(source, data_dir) if fetchable and not folder else ""
        entries.append(
            Entry(name, folder is not None, str(folder or "missing"), command, summary_of(source))
        )
    return entries


def summary_of(source: Source | PhotoSource) -> str:
    """Size, channels and classes in words."""
    colour = isinstance(source, PhotoSource)
    return _summary(source.size if colour else 28, colour, len(source.classes))


def _summary(size: int, colour: bool, classes: int) -> str:
    return f"{size}x{size} {'colour' if colour else 'grey'}, {classes} classes"


def load(
    name: str,
    data_dir: str | Path | None = None,
    download: bool = False,
    limit: int | None = None,
) -> ImageData:
    """The data set `name`; `download=True` fetches it first if it is missing.

    `limit`: that many images of each split, for a quick look: every k-th, as files may lie sorted
    by class; drawn sets draw only these. Mean and deviation are those of the images that are left.

    UserError: unknown name, missing files (says how to get them) or damaged files. Another data
    set is never put in its place.
    """
    if limit is not None:
        return _some(name, data_dir, download, limit)
    if name in EMBEDDED:
        return EMBEDDED[name]()
    sources = SOURCES | COURSE_SETS
    if name not in sources:
        close = difflib.get_close_matches(str(name), names(), n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"there is no data set {name!r}{hint}; known are {', '.join(names())}.")
    source = sources[name]
    if download and find_folder(source, data_dir) is None:
        fetch_files(source, data_dir)
    if isinstance(source, PhotoSource):
        return _load_photos(source, data_dir)
    return _load_standard(source, data_dir)


def _some(name: str, data_dir: str | Path | None, download: bool, limit: int) -> ImageData:
    """`load` with a limit."""
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    if name in EMBEDDED and name != "digits":
        return load_shapes(name, limit)
    data = load(name, data_dir, download)
    parts = [part.take(spread(len(part), limit)) for part in (data.train, data.val, data.test)]
    return _image_data(name, data.classes, *parts, origin=data.origin)


def spread(count: int, wanted: int) -> np.ndarray:
    """`wanted` of the places 0 .. count - 1 (all, if there are fewer) at equal distances."""
    return np.arange(min(wanted, count)) * count // max(1, min(wanted, count))


def load_digits_split() -> ImageData:
    """Scikit-learn's handwritten digits, 8x8, cut into 1,197 train, 250 val and 350 test images.

    The pixels 0..16 (ink counts of 4x4 blocks) become round(p * 255 / 16): 17 grey levels, so that
    all image sets share one scale. The split is by image, not by writer (the writers are not
    recorded): accuracy on an unknown writer would be lower.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    everything = Split(pixels, digits.target.astype(np.int64))
    test, val, train = split_indices(everything.labels, (DIGITS_TEST, DIGITS_VAL))
    return _image_data("digits", tuple("0123456789"), *map(everything.take, (train, val, test)))


def load_shapes(name: str, limit: int | None = None) -> ImageData:
    """Drawn scenes of one shape each, 32, 64 or 96 pixels (see `utils.datasets.shapes`)."""
    from utils.datasets import shapes

    scenes = shapes.make_splits(EMBEDDED_SIZES[name], limit)
    parts = [Split(part.images, np.ascontiguousarray(part.labels)) for part in scenes]
    return _image_data(name, tuple(shapes.CLASSES), *parts, origin=DRAWN)


EMBEDDED_SIZES = {"digits": 8, "shapes": 32, "shapes64": 64, "shapes96": 96}  # pixels
EMBEDDED: dict[str, Callable[[], ImageData]] = {
    "digits": load_digits_split,
    **{name: partial(load_shapes, name) for name in ("shapes", "shapes64", "shapes96")},
}


def split_indices(labels: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Cut 0..N-1 into parts of the given sizes and the rest, each with the classes in proportion.

    Shuffle; give the i-th of the n items of its class the place (i + 0.5) / n; sort by place. Any
    run of items in this order then holds every class in proportion, to within one or two items.
    """
    # RandomState, not default_rng: its stream, and with it the split, is the same in every NumPy.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))  # (N,)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)  # (n,)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = order[np.argsort(place, kind="stable")]
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes))]


def _load_standard(source: Source, data_dir: str | Path | None) -> ImageData:
    paths = find_files(source, data_dir)
    try:
        arrays = [read_idx(paths[file.name], file.content_md5) for file in source.files]
    except UserError as error:
        command = download_command(source, data_dir)
        raise UserError(f"{str(error)[:-1]}; fetch it again with `{command}`.") from None
    train_images, train_labels, test_images, test_labels = arrays
    official = Split(train_images, train_labels.astype(np.int64))
    val, train = split_indices(official.labels, (STANDARD_VAL,))
    test = Split(test_images, test_labels.astype(np.int64))
    return _image_data(source.name, source.classes, official.take(train), official.take(val), test)


def _load_photos(source: PhotoSource, data_dir: str | Path | None) -> ImageData:
    place = find_photos(source, data_dir)
    try:
        photos = read_photos(place, source)
    except UserError as error:
        if place.layout != "official":
            raise
        command = download_command(source, data_dir)
        raise UserError(f"{str(error)[:-1]}; fetch it again with `{command}`.") from None
    official, test = Split(*photos.train), Split(*photos.test)
    size = min(STANDARD_VAL, max(1, round(len(official) * PHOTO_VAL_SHARE)))
    val, train = split_indices(official.labels, (size,))
    parts = official.take(train), official.take(val), test
    return _image_data(source.name, source.classes, *parts, origin=photos.origin)


def _image_data(
    name: str, classes: tuple[str, ...], train: Split, val: Split, test: Split, origin: str = ""
) -> ImageData:
    mean, std = pixel_statistics(train.images)
    std = std + (std == 0)  # a channel of one value, such as no blue at all, is divided by 1
    return ImageData(name, classes, train, val, test, mean, std, origin)


def pixel_statistics(images: np.ndarray) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Mean and standard deviation of pixels / 255: floats of grey (N, H, W), else float32 (3,).

    The sums are exact: 256 squares of at most 255 stay below 2^24, the integers of float32.
    """
    channels = images.shape[3] if images.ndim == 4 else 1
    total, squares = np.zeros((2, channels))
    for block in np.split(images, range(256, len(images), 256)):
        values = block.reshape(len(block), -1).astype(np.float32)  # (B, H W C)
        sums = values.sum(axis=0), np.einsum("nd,nd->d", values, values)  # (H W C,) each
        total += sums[0].reshape(-1, channels).sum(axis=0, dtype=np.float64)  # (C,)
        squares += sums[1].reshape(-1, channels).sum(axis=0, dtype=np.float64)
    pixels = images.size // channels
    mean = total / pixels
    variance = squares / pixels - mean**2
    # Rounding of 255^2 leaves 1e-11 of a channel of one value; a pixel in 10^9 that differs, 1e-9.
    std = np.sqrt(np.where(variance > 1e-10, variance, 0))
    if images.ndim == 3:
        return float(mean[0]) / 255, float(std[0]) / 255
    return (mean / 255).astype(np.float32), (std / 255).astype(np.float32)
