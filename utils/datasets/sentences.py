"""Sentences with a class, in three fixed parts.

                 classes                          train /   val /  test
    rt_polarity  negative, positive               8,528 / 1,066 / 1,066    our split, 80/10/10 %
    sst2         negative, positive               6,916 /   872 / 1,821    the official one
    trec         description, entity, ..., number 4,884 /   543 /   500    val cut from train

Tokens are separated by spaces, as the files have them. A sentence counts as repeated where its
letters and digits are the same. What stands in two parts is taken from the training part: official
test sentences stay whole. `notes` counts it, and what is repeated inside the training part (there
it is a matter of weight, no leak, and stays).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets.images import split_indices
from utils.datasets.text_files import RT_POLARITY, SST2, TREC, TextSource, read_text_file
from utils.errors import UserError

HELD_OUT = 0.1  # of the sentences, for each part that is not published
POLARITY = ("negative", "positive")
TREC_CLASSES = ("description", "entity", "abbreviation", "human", "location", "number")


@dataclass(frozen=True)
class Labelled:
    """Texts with their labels (N,) int64, positions in the tuple of classes."""

    texts: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: np.ndarray) -> Labelled:
        """The items at `indices`, in that order."""
        return Labelled([self.texts[i] for i in indices], self.labels[indices])

    def keys(self) -> list[Hashable]:
        """What tells each item from another, (N,)."""
        return [key(text) for text in self.texts]


@dataclass(frozen=True)
class SentenceData:
    """Three parts; `notes` are plain facts for a result or a checkpoint."""

    name: str
    train: Labelled
    val: Labelled
    test: Labelled
    classes: tuple[str, ...]
    notes: dict[str, Any] = field(default_factory=dict)


def load_sentences(name: str, data_dir: str | Path | None = None) -> SentenceData:
    """One of "rt_polarity", "sst2", "trec"; MissingDataError says how to get what is missing."""
    if name not in SENTENCES:
        known = ", ".join(SENTENCES)
        raise UserError(f"there is no set of sentences {name!r}; known are {known}.")
    return SENTENCES[name](data_dir)


def load_rt_polarity(data_dir: str | Path | None = None) -> SentenceData:
    """No split is published: 80, 10 and 10 %, decided by a constant, classes in proportion."""
    lines, labels = [], []
    for label, ending in enumerate(("neg", "pos")):
        found = lines_of(RT_POLARITY, f"rt-polarity.{ending}", data_dir, "cp1252")
        lines += found
        labels += [label] * len(found)
    everything = Labelled(lines, np.array(labels, dtype=np.int64))
    held_out = round(HELD_OUT * len(everything))
    test, val, train = split_indices(everything.labels, (held_out, held_out))
    parts = map(everything.take, (train, val, test))
    return without_copies(RT_POLARITY.name, *parts, classes=POLARITY, split="ours, 80/10/10 %")


def load_sst2(data_dir: str | Path | None = None) -> SentenceData:
    """Whole sentences only, neutral ones left out, as published for two classes."""
    parts = []
    for part in ("train", "dev", "test"):
        rows = [line.rpartition("\t") for line in lines_of(SST2, f"{part}.tsv", data_dir)]
        labels = np.array([int(label) for _, _, label in rows], dtype=np.int64)
        parts.append(Labelled([text.strip() for text, _, _ in rows], labels))
    return without_copies(SST2.name, *parts, classes=POLARITY, split="official")


def load_trec(data_dir: str | Path | None = None) -> SentenceData:
    """The official test questions; a constant decides which tenth of the others validates."""
    parts = []
    for part in ("train", "test"):
        rows = [line.partition(" ") for line in lines_of(TREC, f"TREC.{part}.all", data_dir)]
        labels = np.array([int(label) for label, _, _ in rows], dtype=np.int64)
        parts.append(Labelled([text.strip() for _, _, text in rows], labels))
    official, test = parts
    val, train = split_indices(official.labels, (round(HELD_OUT * len(official)),))
    split = "official test, validation cut from train"
    parts = official.take(train), official.take(val), test
    return without_copies(TREC.name, *parts, classes=TREC_CLASSES, split=split)


SENTENCES: dict[str, Callable[[str | Path | None], SentenceData]] = {
    "rt_polarity": load_rt_polarity,
    "sst2": load_sst2,
    "trec": load_trec,
}


def lines_of(
    source: TextSource, name: str, data_dir: str | Path | None, encoding: str = "latin-1"
) -> list[str]:
    """The lines of a file without the space around them; only "\\n" ends a line."""
    text = read_text_file(source, name, data_dir).decode(encoding)
    return [line.strip() for line in text.strip("\n").split("\n")]


def without_copies(
    name: str, train: Labelled, val: Labelled, test: Labelled, classes: tuple[str, ...], split: str
) -> SentenceData:
    """Take from `train` what is in `val` or `test`, from `val` what is in `test`; count it."""
    in_test = set(test.keys())
    val, of_val = dropped(val, in_test)
    train, of_train = dropped(train, in_test | set(val.keys()))
    notes = {
        "split": split,
        "copies_removed_from_train": of_train,
        "copies_removed_from_val": of_val,
        "repeated_within_train": len(train) - len(set(train.keys())),
    }
    return SentenceData(name, train, val, test, classes, notes)


def dropped(part: Labelled, keys: set[Hashable]) -> tuple[Labelled, int]:
    """`part` without the items whose key is in `keys`, and how many these were."""
    kept = np.array([i for i, own in enumerate(part.keys()) if own not in keys], dtype=int)
    return part.take(kept), len(part) - len(kept)


def key(text: str) -> str:
    """What tells a sentence from another: its letters and digits."""
    return re.sub(r"\W+", " ", text.lower()).strip()
