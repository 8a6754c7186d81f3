"""Find the files of a data set on this machine; if they are not there, say exactly what is missing.

Looked for under `--data_dir`, else `$DL_COURSE_DATA`, else the repository's `data/`: in the layout
of torchvision (`MNIST/raw/`), in the same one folder down (`mnist/MNIST/raw/`), or flat (`mnist/`);
each file gzip or not. Photo sets also as image files, `train/<class>/` and `test/<class>/` in
`cifar10/`, or the same packed as `cifar10.tar.xz` or `cifar10_<anything>.tar.xz`.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from utils.datasets.photo_sets import PhotoSource
from utils.datasets.registry import Source
from utils.errors import MissingDataError

ENVIRONMENT = "DL_COURSE_DATA"
DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "data"
EMBEDDED = ("shapes", "digits")  # offered where the most similar embedded set is no choice


def data_root(data_dir: str | Path | None = None) -> Path:
    """The folder that holds the data sets: `data_dir`, else $DL_COURSE_DATA, else `data/`."""
    return Path(data_dir or os.environ.get(ENVIRONMENT) or DEFAULT_ROOT).expanduser()


def folders(source: Source | PhotoSource, data_dir: str | Path | None = None) -> list[Path]:
    """The folders in which the files are looked for, in this order."""
    root = data_root(data_dir)
    return [root / source.folder, root / source.name / source.folder, root / source.name]


def file_in(folder: Path, name: str) -> Path | None:
    """`name` (ending in .gz) in `folder`, packed or unpacked. Packed first: it has its own CRC."""
    for path in (folder / name, folder / name.removesuffix(".gz")):
        if path.is_file():
            return path
    return None


@dataclass(frozen=True)
class Place:
    """Photos on this machine: "official" files, image files in a "folder", or "packed" ones."""

    layout: str
    path: Path


def find_place(source: PhotoSource, data_dir: str | Path | None = None) -> Place | None:
    """Where `source` is, the official files first; None if it is not here."""
    for folder in folders(source, data_dir):
        if source.files and all((folder / name).is_file() for name, _ in source.files):
            return Place("official", folder)
    root = data_root(data_dir)
    if _is_image_folder(root / source.name):
        return Place("folder", root / source.name)
    for folder in (root / source.name, root):
        for archive in _archives(folder, source.name):
            return Place("packed", archive)
    # --data_dir may point into the set itself; its classes tell it from another one.
    if _is_image_folder(root) and all((root / "train" / k).is_dir() for k in source.classes):
        return Place("folder", root)
    return None


def _is_image_folder(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in ("train", "test"))


def _archives(folder: Path, name: str) -> list[Path]:
    found = [folder / f"{name}.tar.xz", *sorted(folder.glob(f"{name}_*.tar.xz"))]
    return [path for path in found if path.is_file()]


def find_photos(source: PhotoSource, data_dir: str | Path | None = None) -> Place:
    """Like `find_place`; MissingDataError says how to get what is missing."""
    place = find_place(source, data_dir)
    if place is None:
        raise missing(source, data_dir)
    return place


def find_folder(source: Source | PhotoSource, data_dir: str | Path | None = None) -> Path | None:
    """The first folder that holds all files of `source`; None if there is none."""
    if isinstance(source, PhotoSource):
        place = find_place(source, data_dir)
        return place.path if place else None
    for folder in folders(source, data_dir):
        if all(file_in(folder, file.name) for file in source.files):
            return folder
    return None


def find_files(source: Source, data_dir: str | Path | None = None) -> dict[str, Path]:
    """The path of each file of `source`, by published name; MissingDataError as above."""
    folder = find_folder(source, data_dir)
    if folder is None:
        raise missing(source, data_dir)
    return {file.name: file_in(folder, file.name) for file in source.files}


class Named(Protocol):
    """Any source: of images, photos or text."""

    name: str


def download_command(source: Named, data_dir: str | Path | None = None) -> str:
    """The command that fetches `source` into the folder where it was looked for."""
    where = f" --data_dir {shlex.quote(str(data_dir))}" if data_dir else ""
    return f"python -m utils.datasets download {source.name}{where}"


def missing(source: Source | PhotoSource, data_dir: str | Path | None = None) -> MissingDataError:
    """The error to raise: what was looked for, where, how to get it, what to use instead."""
    origin = "--data_dir" if data_dir else "the default folder"
    if not data_dir and os.environ.get(ENVIRONMENT):
        origin = f"${ENVIRONMENT}"
    command = f"fetch it with `{download_command(source, data_dir)}`"
    if isinstance(source, PhotoSource):
        looked_for = _photos_looked_for(source, data_root(data_dir))
        get = command if source.archive else how_to_place(source, data_dir)
    else:
        wanted = ", ".join(f"{file.name.removesuffix('.gz')}[.gz]" for file in source.files)
        looked_for = f"{wanted} in {', '.join(map(str, folders(source, data_dir)))}"
        get = command
    sentence = (
        f"the data set {source.name} is not here: looked for {looked_for} (from {origin}); {get}"
    )
    return MissingDataError(sentence, (source.embedded_alternative, *EMBEDDED))


def _photos_looked_for(source: PhotoSource, root: Path) -> str:
    own = root / source.name
    image_files = f"image files in {own / 'train'}/<class>/ and {own / 'test'}/<class>/"
    packed = f"the same packed as {source.name}.tar.xz or {source.name}_*.tar.xz in {own} or {root}"
    if not source.files:
        return f"{image_files}, and {packed}"
    names = ", ".join(name for name, _ in source.files)
    official = f"{names} in {', '.join(map(str, folders(source, root)))}"
    return f"{official}, {image_files}, and {packed}"


def how_to_place(source: PhotoSource, data_dir: str | Path | None = None) -> str:
    """What to do by hand where no address is known."""
    own = data_root(data_dir) / source.name
    return (
        f"it has no official address to fetch it from: put its images into {own} as "
        f"train/<class>/... and test/<class>/... ({len(source.classes)} classes: "
        f"{', '.join(source.classes[:3])}, ...)"
    )
