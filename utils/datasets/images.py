"""Labelled images in three fixed, disjoint splits.

                    images           where                      train / val / test
    digits           1,797 of 8x8    embedded in scikit-learn    1,197 /   250 /    350
    mnist           70,000 of 28x28  to be fetched              55,000 / 5,000 / 10,000 (official)
    fashion_mnist   70,000 of 28x28  to be fetched              55,000 / 5,000 / 10,000 (official)

A split never changes: it depends on the labels and a constant only, not on the run's seed, so that
numbers of different runs compare. Mean and deviation come from the training split alone.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.datasets.download import download as fetch_files
from utils.datasets.idx import read_idx
from utils.datasets.lookup import download_command, find_files, find_folder
from utils.datasets.registry import SOURCES, Source
from utils.errors import UserError

SPLIT_SEED = 20240229
DIGITS_VAL, DIGITS_TEST = 250, 350
STANDARD_VAL = 5_000


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
    """A data set. `mean` and `std` are those of all training pixels scaled to 0..1."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    mean: float
    std: float

    def standardise(self, images: np.ndarray) -> np.ndarray:
        """uint8 pixels -> float32 with the training split's mean 0 and deviation 1."""
        return (images.astype(np.float32) / 255 - np.float32(self.mean)) / np.float32(self.std)


@dataclass(frozen=True)
class Entry:
    """Where a data set is; `command` fetches it, empty if it is here."""

    name: str
    found: bool
    where: str
    command: str = ""


def names() -> list[str]:
    """The names that `load` knows, embedded sets first."""
    return [*EMBEDDED, *SOURCES]


def catalogue(data_dir: str | Path | None = None) -> list[Entry]:
    """What is on this machine and how to fetch the rest."""
    entries = [Entry(name, True, "embedded") for name in EMBEDDED]
    for name, source in SOURCES.items():
        folder = find_folder(source, data_dir)
        command = "" if folder else download_command(source, data_dir)
        entries.append(Entry(name, folder is not None, str(folder or "missing"), command))
    return entries


def load(name: str, data_dir: str | Path | None = None, download: bool = False) -> ImageData:
    """The data set `name`; `download=True` fetches it first if it is missing.

    UserError: unknown name, missing files (says how to get them) or damaged files. Another data
    set is never put in its place.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]()
    if name not in SOURCES:
        close = difflib.get_close_matches(str(name), names(), n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"there is no data set {name!r}{hint}; known are {', '.join(names())}.")
    source = SOURCES[name]
    if download and find_folder(source, data_dir) is None:
        fetch_files(source, data_dir)
    return _load_standard(source, data_dir)


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


EMBEDDED: dict[str, Callable[[], ImageData]] = {"digits": load_digits_split}


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


def _image_data(
    name: str, classes: tuple[str, ...], train: Split, val: Split, test: Split
) -> ImageData:
    mean, std = pixel_statistics(train.images)
    return ImageData(name, classes, train, val, test, mean, std)


def pixel_statistics(images: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of pixels / 255, from exact integer sums (no float copy)."""
    pixels = images.reshape(-1)
    mean = int(pixels.sum(dtype=np.int64)) / pixels.size
    squares = int(np.einsum("i,i->", pixels, pixels, dtype=np.int64)) / pixels.size
    return mean / 255, math.sqrt(squares - mean**2) / 255
