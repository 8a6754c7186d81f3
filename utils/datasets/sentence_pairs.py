"""Two sentences and what holds between them, in three fixed parts.

    sick    neutral, entailment, contradiction; relatedness from 1 to 5    7,470 / 494 / 1,437
    FILE    tab-separated: two sentences (or one) and a label              80 / 10 / 10 %

`texts` are the first sentences, `seconds` the others. A pair counts as repeated where both
sentences are the same, in either order; what stands in two parts is taken from the earlier one of
train, val, test. **A sentence alone may stand in several parts**: of SICK's test pairs 89 in 100
have a first sentence that training has in another pair. So a network that reads one of the two is
the mark to beat. Pairs without end are in `number_pairs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils.datasets.images import split_indices
from utils.datasets.sentences import HELD_OUT, Labelled, SentenceData, key, without_copies
from utils.datasets.text import decoded
from utils.datasets.text_files import SICK, read_text_file, unpacked
from utils.errors import UserError

SICK_CLASSES = ("neutral", "entailment", "contradiction")
SICK_COLUMNS = ["sentence_a", "sentence_b", "relatedness", "label"]
FIRST = ("sentence_a", "sentence1", "premise", "text_a", "first", "sentence", "text")
SECOND = ("sentence_b", "sentence2", "hypothesis", "text_b", "second")
LABEL = ("label", "gold_label", "class", "entailment_label")
LEAST_ROWS, LEAST_OF_A_CLASS, MOST_CLASSES = 50, 10, 50


@dataclass(frozen=True)
class LabelledPairs(Labelled):
    """`texts` and `seconds` (N each), labels (N,) int64; `scores` (N,), where there are any."""

    seconds: list[str] = field(default_factory=list)
    scores: np.ndarray | None = None

    def take(self, indices: np.ndarray) -> LabelledPairs:
        """The pairs at `indices`, in that order."""
        sides = ([side[i] for i in indices] for side in (self.texts, self.seconds))
        texts, seconds = sides
        scores = None if self.scores is None else self.scores[indices]
        return LabelledPairs(texts, self.labels[indices], seconds, scores)

    def keys(self) -> list[Hashable]:
        """Two sentences, whichever comes first."""
        both = zip(self.texts, self.seconds, strict=True)
        return [frozenset((key(a), key(b))) for a, b in both]


def load_sick(data_dir: str | Path | None = None) -> SentenceData:
    """SICK in the course's split; MissingDataError says what to put where."""
    parts = []
    for name in ("train", "val", "test"):
        lines = read_text_file(SICK, f"{name}.tsv", data_dir).decode().strip("\n").split("\n")
        rows = [line.split("\t") for line in lines[1:]]
        firsts, seconds, scores, labels = map(list, zip(*rows, strict=True))
        parts.append(
            LabelledPairs(
                firsts,
                np.array([SICK_CLASSES.index(label) for label in labels], dtype=np.int64),
                seconds,
                np.array(scores, dtype=np.float64),
            )
        )
    return without_copies(SICK.name, *parts, classes=SICK_CLASSES, split="of the course")


def load_tsv(path: str | Path) -> SentenceData:
    """A tab-separated file of two sentences and a label, or of one sentence and a label.

    With a header its names tell the columns, and more columns may stand between them; without one
    the label is the last column. Lines whose label is "-" or empty are left out (SNLI's way to say
    that nobody agreed). UserError, in one sentence: no label column, cells missing, too few lines.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r}; give tab-separated text.")
    lines = decoded(unpacked(path), str(path)).replace("\r\n", "\n").split("\n")
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise UserError(f"{path} is empty; a line is two sentences and a label, with tabs between.")
    columns, has_header = columns_of(rows[0][1], path)
    rows = rows[1:] if has_header else rows
    for number, row in rows:
        if len(row) <= max(columns):
            raise UserError(
                f"{path}, line {number}: {len(row)} tab-separated cells, where "
                f"{max(columns) + 1} are needed."
            )
    cells = [[row[c].strip() for c in columns] for _, row in rows]
    cells = [row for row in cells if row[-1] not in ("", "-")]
    return divided(path, cells)


def columns_of(first: Sequence[str], path: Path) -> tuple[list[int], bool]:
    """-> (places of the sentence, or of both, and of the label; whether `first` is a header)."""
    names = [cell.strip().lower() for cell in first]
    found = [next((names.index(n) for n in known if n in names), None)
             for known in (FIRST, SECOND, LABEL)]  # fmt: skip
    if any(place is not None for place in found):
        if found[2] is None or found[0] is None:
            missing = "label" if found[2] is None else "sentence"
            known = LABEL if found[2] is None else (*FIRST, *SECOND)
            raise UserError(
                f"{path} has no {missing} column: its header is {', '.join(first)}; one of the "
                f"columns must be called {', '.join(known)}."
            )
        return [place for place in found if place is not None], True
    if len(first) not in (2, 3):
        raise UserError(
            f"{path} has {len(first)} columns and no header; without one a line is two sentences "
            "and a label, or a sentence and a label, with tabs between."
        )
    return list(range(len(first))), False


def divided(path: Path, cells: list[list[str]]) -> SentenceData:
    """Rows of a sentence or two and a label, in three parts with the classes in proportion."""
    counts = Counter(row[-1] for row in cells)
    if len(counts) > min(MOST_CLASSES, max(2, len(cells) // LEAST_OF_A_CLASS)):
        raise UserError(
            f"{path} has no label column: the last one has {len(counts)} different values in "
            f"{len(cells)} lines; a label is one of {MOST_CLASSES} classes at most."
        )
    rare = [label for label, count in counts.items() if count < LEAST_OF_A_CLASS]
    if len(cells) < LEAST_ROWS or len(counts) < 2 or rare:
        raise UserError(
            f"{path} has {len(cells)} lines with {len(counts)} classes"
            f"{f', {rare[0]!r} only {counts[rare[0]]} times' if rare else ''}; needed are "
            f"{LEAST_ROWS} lines, and two classes or more with {LEAST_OF_A_CLASS} lines each."
        )
    classes = tuple(sorted(counts))
    texts = [row[0] for row in cells]
    labels = np.array([classes.index(row[-1]) for row in cells], dtype=np.int64)
    everything = Labelled(texts, labels)
    if len(cells[0]) == 3:
        everything = LabelledPairs(texts, labels, [row[1] for row in cells])
    held_out = round(HELD_OUT * len(cells))
    test, val, train = split_indices(labels, (held_out, held_out))
    parts = map(everything.take, (train, val, test))
    data = without_copies(path.stem, *parts, classes=classes, split="ours, 80/10/10 %")
    if not len(data.val) or len(set(data.train.labels.tolist())) < len(classes):
        raise UserError(
            f"{path} repeats itself: without copies {len(data.train)} lines are left to train on "
            f"and {len(data.val)} to validate; give more different lines of every class."
        )
    return data
