"""Image files sorted into folders by class, loose or packed, as two arrays in memory.

    train/<class>/*.jpg, test/<class>/*.jpg          below a folder, or inside one .tar.xz

Each image is decoded to upright RGB by `utils.pictures`, as pictures of users are; one of another
size is cut to its centre square and scaled to the set's size (Lanczos). The order is that of class
and file name, however the files were packed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from utils.datasets.cifar import read_cifar
from utils.datasets.lookup import Place
from utils.datasets.packed import members
from utils.datasets.photo_sets import PhotoSource
from utils.datasets.stl10 import read_stl10
from utils.errors import UserError
from utils.file_io_util import is_hidden

PARTS = ("train", "test")
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".webp", ".avif", ".bmp", ".gif"),
    *(".pbm", ".pgm", ".ppm", ".tif", ".tiff"),
}
BATCH = 256  # images a thread takes at a time


@dataclass(frozen=True)
class Photos:
    """Images (N, S, S, 3) uint8 and labels (N,) int64 of train and test; `origin` in words."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    origin: str


# An image file: part, class, file name, and its bytes or the path to read them from.
Item = tuple[str, str, str, "bytes | Path"]


def read_photos(place: Place, source: PhotoSource) -> Photos:
    """All images of `source` from where they were found. UserError names what is damaged.

    Official files keep their order, image files are sorted: the validation splits taken from the
    two are different images.
    """
    if place.layout == "official":
        read = read_stl10 if source.name == "stl10" else read_cifar
        train, test, origin = read(place.path, source)
        photos = Photos(tuple(train), tuple(test), origin)
    else:
        photos = (read_packed if place.layout == "packed" else read_folder)(place.path, source)
    return replace(photos, origin=photos.origin + _counts(photos, source))


def _counts(photos: Photos, source: PhotoSource) -> str:
    """Says so when the number of images is not the usual one."""
    found = len(photos.train[1]), len(photos.test[1])
    if found == source.counts:
        return ""
    return "; {:,} + {:,} images instead of {:,} + {:,}".format(*found, *source.counts)


def read_packed(archive: Path, source: PhotoSource) -> Photos:
    """Decode all images of a .tar.xz archive (leading folders before train/ and test/ allowed)."""
    return _assemble(_packed_items(archive), archive, source)


def read_folder(folder: Path, source: PhotoSource) -> Photos:
    """Decode all images below `folder`/train/<class> and `folder`/test/<class>."""
    return _assemble(_folder_items(folder), folder, source)


def _packed_items(archive: Path) -> Iterator[Item]:
    for name, content in members(archive):
        path = PurePosixPath(name)
        if len(path.parts) >= 3 and path.parts[-3] in PARTS and _is_image(path):
            yield (*path.parts[-3:], content)


def _folder_items(folder: Path) -> Iterator[Item]:
    for part in PARTS:
        for path in sorted((folder / part).glob("*/*")):
            if _is_image(path.relative_to(folder)):
                yield part, path.parent.name, path.name, path


def _is_image(path: PurePath) -> bool:
    """Neither the file nor a folder above it is one that a system or a notebook leaves behind."""
    return path.suffix.lower() in SUFFIXES and not any(map(is_hidden, path.parts))


def _assemble(items: Iterable[Item], where: Path, source: PhotoSource) -> Photos:
    keys, batches, resized = [], [], 0
    for batch_keys, images, other_size in _decoded(items, where, source.size):
        keys += batch_keys
        batches.append(images)
        resized += other_size
    _check_classes(keys, where, source)
    images = np.concatenate(batches)  # (N, S, S, 3)
    batches.clear()  # the set is held twice for a moment, not three times
    order = sorted(range(len(keys)), key=keys.__getitem__)
    number = {name: k for k, name in enumerate(source.classes)}
    arrays = []
    for part in PARTS:
        chosen = np.array([i for i in order if keys[i][0] == part])
        labels = np.array([number[keys[i][1]] for i in chosen], dtype=np.int64)
        arrays.append((images[chosen], labels))
    return Photos(*arrays, origin=_origin(keys, resized, source))


def _decoded(
    items: Iterable[Item], where: Path, size: int
) -> Iterator[tuple[list[tuple[str, str, str]], np.ndarray, int]]:
    """Batches in order: (part, class, name) of each, images (B, S, S, 3), how many were resized.

    Pillow lets go of the interpreter's lock while it decodes, so threads use all cores. At most
    twice as many batches as threads wait, so that the archive is not held in memory.
    """

    def work(batch: list[Item]):
        pairs = [decode(content, f"{where}: {'/'.join(key)}", size) for *key, content in batch]
        images = np.stack([image for image, _ in pairs])  # (B, S, S, 3)
        return [item[:3] for item in batch], images, sum(changed for _, changed in pairs)

    threads = min(8, os.cpu_count() or 1)
    iterator = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        while batch := list(islice(iterator, BATCH)):
            waiting.append(pool.submit(work, batch))
            if len(waiting) > 2 * threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def decode(content: bytes | Path, where: str, size: int) -> tuple[np.ndarray, bool]:
    """The image as (size, size, 3) uint8, and whether it had another size. UserError names it."""
    from utils.pictures import UnreadablePicture, read_picture

    try:
        data = content.read_bytes() if isinstance(content, Path) else content
        rgb = read_picture(Path(where), content=data).image
    except (OSError, UnreadablePicture) as error:
        raise UserError(f"cannot read the image {where} ({str(error).rstrip('.')}).") from None
    changed = rgb.size != (size, size)
    return np.asarray(square(rgb, size) if changed else rgb), changed


def square(image, size: int):
    """The centre square of a Pillow image, scaled to `size` (Lanczos, which smooths when it
    shrinks, so that fine patterns do not turn into false coarse ones)."""
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    # Not resize(box=box): that lets the pixels outside the box shine in at its edges.
    return image.crop(box).resize((size, size), Image.Resampling.LANCZOS)


def _check_classes(keys: list[tuple[str, str, str]], where: Path, source: PhotoSource) -> None:
    for part in PARTS:
        found = {key[1] for key in keys if key[0] == part}
        missing = [name for name in source.classes if name not in found]
        unknown = sorted(found - set(source.classes))
        if missing or unknown:
            raise UserError(
                f"{where} is not {source.name}: {part}/ has images of {len(found)} classes, "
                f"not {len(source.classes)}"
                + (f"; none of {_some(missing)}" if missing else "")
                + (f"; unknown: {_some(unknown)}" if unknown else "")
                + "."
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _origin(keys: list[tuple[str, str, str]], resized: int, source: PhotoSource) -> str:
    suffixes = Counter(PurePosixPath(key[2]).suffix.lower()[1:] for key in keys)
    kinds = ", ".join(sorted(suffixes))
    text = f"image files ({kinds})"
    if source.files and not set(suffixes) <= {"png", "bmp", "ppm"}:
        text += ", not the official pixels"
    if resized:
        text += f", {resized} of {len(keys)} scaled to {source.size}x{source.size}"
    return text
