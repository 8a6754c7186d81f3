"""Running text in a training and a validation part, for language models.

    topics             CPython's help texts (`pydoc_data.topics`)   embedded; differs by version
    tiny_shakespeare   40,000 lines of plays                        the public split
    english_novels     34 novels to train on, 2 to validate         its own split
    names              29,494 first names, one a line               lines in a fixed order
    FILE               any UTF-8 text, plain or packed (.gz, .xz)

A text is cut once, after the first 90 % of its characters. A split that shuffles pieces of the
text would put neighbours of the validation text, and with overlapping windows even copies of it,
into the training part (chapter 6, exp_leak.py). Whole paragraphs that stand in both parts are
copies too: the training part loses them, the validation part stays whole, and `notes` says how many
characters they were. Only tiny_shakespeare stays as it is published, so that numbers compare.
"""

from __future__ import annotations

import difflib
import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets.packed import members
from utils.datasets.text_files import (
    NAMES,
    NOVELS,
    SHAKESPEARE,
    find_text,
    missing_text,
    read_text_file,
    unpacked,
)
from utils.errors import UserError

TRAIN_SHARE = 0.9
LEAST_CHARACTERS = 1_000  # with fewer the validation part says nothing
LEAST_PARAGRAPH = 60  # shorter ones ("See also:") are common words of both parts, no copies
ORDER_SEED = 20240229


@dataclass(frozen=True)
class TextData:
    """A text: `train` and `val` are strings, `notes` plain facts for a result or a checkpoint."""

    name: str
    train: str
    val: str
    notes: dict[str, Any] = field(default_factory=dict)

    def inner(self) -> TextData:
        """The training part cut in the same way: to choose sizes without the validation part."""
        return split_text(f"{self.name} (training part)", self.train)


def load_text(name_or_path: str | Path, data_dir: str | Path | None = None) -> TextData:
    """The text `name_or_path`: one of `TEXTS`, else the path of a file of UTF-8 text.

    MissingDataError: a standard text is not under `data_dir`. UserError: no such name or file, a
    folder, not UTF-8, fewer than 1,000 characters.
    """
    if name_or_path in TEXTS:
        return TEXTS[name_or_path](data_dir)
    return load_file(Path(name_or_path))


def load_topics(data_dir: str | Path | None = None) -> TextData:
    """All help topics of the running Python, in the order of their names. Needs no file."""
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some systems pack Python's documentation apart
        raise UserError(
            "this Python comes without pydoc_data.topics, the embedded text; install the full "
            "Python, or give the path of a UTF-8 text."
        ) from None
    text = "\n\n".join(topics[name].strip("\n") for name in sorted(topics)) + "\n"
    return split_text("topics", text, python=platform.python_version())


def load_shakespeare(data_dir: str | Path | None = None) -> TextData:
    """The public split, as it is."""
    text = read_text_file(SHAKESPEARE, "input.txt", data_dir).decode()
    return split_text(SHAKESPEARE.name, text, remove=False)


def load_names(data_dir: str | Path | None = None) -> TextData:
    """Each name once, in a fixed random order: the file is sorted by how often a name is given.

    A name is an item of its own, so no split of them leaks; one of the sorted file would train on
    common names and validate on rare ones.
    """
    lines = read_text_file(NAMES, "names.txt", data_dir).decode().split()
    unique = list(dict.fromkeys(lines))
    order = np.random.RandomState(ORDER_SEED).permutation(len(unique))
    cut = int(TRAIN_SHARE * len(unique))
    train, val = ("".join(f"{unique[i]}\n" for i in part) for part in np.split(order, [cut]))
    removed = len(lines) - len(unique)
    return TextData("names", train, val, facts(train + val) | {"repeated_names_removed": removed})


def load_novels(data_dir: str | Path | None = None) -> TextData:
    """The novels of `train/` and of `val/`, each in the order of their names."""
    place = find_text(NOVELS, data_dir)
    if place is None:
        raise missing_text(NOVELS, data_dir)
    if place.is_file():
        contents = dict(members(place))
    else:
        contents = {f"{p.parent.name}/{p.name}": p.read_bytes() for p in place.glob("*/*.txt")}
    parts = []
    for part in ("train", "val"):
        names = sorted(name for name in contents if name.split("/")[-2:-1] == [part])
        parts.append("\n\n".join(decoded(contents[name], name) for name in names))
    return two_parts(NOVELS.name, *parts)


TEXTS: dict[str, Callable[[str | Path | None], TextData]] = {
    "topics": load_topics,
    "tiny_shakespeare": load_shakespeare,
    "english_novels": load_novels,
    "names": load_names,
}


def load_file(path: Path) -> TextData:
    """A file of UTF-8 text, plain, .gz or .xz; line ends become "\\n"."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the path of one file of UTF-8 text.")
    if not path.exists():
        close = difflib.get_close_matches(str(path), TEXTS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(
            f"there is no text set and no file {str(path)!r}{hint}; known are {', '.join(TEXTS)}, "
            "or the path of a UTF-8 text."
        )
    text = decoded(unpacked(path), str(path)).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty; a text needs at least {LEAST_CHARACTERS:,} characters.")
    if len(text) < LEAST_CHARACTERS:
        raise UserError(
            f"{path} has {len(text)} characters; a text needs at least {LEAST_CHARACTERS:,}, of "
            "which the last tenth is kept for validation."
        )
    return split_text(path.name, text)


def decoded(content: bytes, name: str) -> str:
    """UTF-8 bytes as text, without a byte-order mark; UserError tells the place of a wrong byte."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} is not UTF-8 text (byte {content[error.start]:#04x} at place "
            f"{error.start:,}); save it as UTF-8."
        ) from None


def split_text(name: str, text: str, remove: bool = True, **notes: Any) -> TextData:
    """`text` cut after its first 90 %; see `two_parts` for the rest."""
    cut = int(TRAIN_SHARE * len(text))
    return two_parts(name, text[:cut], text[cut:], remove, **notes)


def two_parts(name: str, train: str, val: str, remove: bool = True, **notes: Any) -> TextData:
    """The two parts; paragraphs of `val` that also stand in `train` are counted, and taken from it.

    Copies are told by their words, whatever white space stands between them.
    """
    copies = set(map(key, long_paragraphs(val)))
    kept, found = [], 0
    for paragraph in train.split("\n\n"):
        if len(paragraph) >= LEAST_PARAGRAPH and key(paragraph) in copies:
            found += len(paragraph) + 2  # with the blank line
        else:
            kept.append(paragraph)
    counted = {"repeated_characters": found, "removed_from": "train" if remove and found else ""}
    notes = facts(train + val) | notes | counted
    return TextData(name, "\n\n".join(kept) if remove else train, val, notes)


def long_paragraphs(text: str) -> list[str]:
    return [p for p in text.split("\n\n") if len(p) >= LEAST_PARAGRAPH]


def key(paragraph: str) -> str:
    return " ".join(paragraph.split())


def facts(text: str) -> dict[str, Any]:
    """What tells one version of a text from another."""
    return {"characters": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
