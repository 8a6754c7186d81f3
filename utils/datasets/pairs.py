"""Sentences in two languages, line by line: for translation.

    multi30k    descriptions of photos in en, de and fr    29,000 / 1,014 / 1,000 (test_2016_flickr)

The official test and validation pairs stay whole; a training pair that shares a sentence with one
of them is removed, and `notes` counts these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.datasets.text_files import MULTI30K, read_text_file
from utils.errors import UserError

LANGUAGES = ("en", "de", "fr")
PARTS = ("train", "val", "test_2016_flickr")

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairData:
    """Pairs (source, target) in three parts; `notes` are plain facts for a result."""

    name: str
    train: list[Pair]
    val: list[Pair]
    test: list[Pair]
    notes: dict[str, Any] = field(default_factory=dict)


def load_pairs(
    name: str, source: str = "en", target: str = "de", data_dir: str | Path | None = None
) -> PairData:
    """ "multi30k" from `source` to `target`, two of en, de, fr.

    MissingDataError: it is not under `data_dir`. UserError: another name or language.
    """
    if name != MULTI30K.name:
        raise UserError(f"there is no set of sentence pairs {name!r}; known is {MULTI30K.name}.")
    for language in (source, target):
        if language not in LANGUAGES:
            raise UserError(
                f"multi30k has no language {language!r}; it has {', '.join(LANGUAGES)}."
            )
    if source == target:
        raise UserError(f"source and target are both {source!r}; choose two languages.")
    train, val, test = (pairs_of(part, source, target, data_dir) for part in PARTS)
    held_out = {side for pair in val + test for side in pair}
    kept = [pair for pair in train if not held_out & set(pair)]
    notes = {
        "languages": f"{source}-{target}",
        "test": PARTS[2],
        "copies_removed_from_train": len(train) - len(kept),
    }
    return PairData(name, kept, val, test, notes)


def pairs_of(part: str, source: str, target: str, data_dir: str | Path | None) -> list[Pair]:
    """The pairs of one part; only "\\n" ends a line."""
    sides = []
    for language in (source, target):
        text = read_text_file(MULTI30K, f"{part}.{language}", data_dir).decode()
        sides.append([line.strip() for line in text.strip("\n").split("\n")])
    return list(zip(*sides, strict=True))
