"""The tasks of train.py: number lists, sentences, letters to sort or to turn round.

    task = load_data("numbers", most=6)       pairs, tokenizers; of lists the counts of each line
    task = load_data("sort")                  "d b e b" -> "b b d e"

Number lists and sentences are chapters 6's and 7's, with one vocabulary for both languages. Test
lines of lists and letters are also longer than any training line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from chapter_06_rnn_lstm_seq import tokenizer as tokenizers
from chapter_06_rnn_lstm_seq.experiments.translation import Task, load_task
from chapter_06_rnn_lstm_seq.tokenizer import SPECIALS
from chapter_07_attention_mechanism.experiments.translation.task import (
    lists,
    with_longer_lists,
)
from utils.datasets.number_words import Counts
from utils.datasets.pairs import PairData
from utils.seed import generator

TASKS = ("numbers", "sort", "reverse", "multi30k")
LETTERS = "abcdefghijklmnopqrst"
SHORTEST = 4  # letters in a line: shorter lines would nearly all be in the training part
LONGER = 6  # letters more in a tested line than in any line of the training


NO_COUNTS = Counts((), (), (), ())


@dataclass(frozen=True)
class Letters(PairData):
    """Lines of letters; counts: letters in each line."""

    counts: Counts = NO_COUNTS


def load_data(
    name: str,
    source: str = "en",
    target: str = "de",
    most: int | None = None,
    lines: int | None = None,
    data_dir: str | None = None,
    quick: bool = False,
) -> Task:
    """One of TASKS. most: numbers (6) or letters (12) in a training line. lines: of the training.

    UserError or MissingDataError as in the loaders of chapters 6 and 7.
    """
    if name in ("sort", "reverse"):
        return load_letters(name, most or 12, lines or 40_000, 50 if quick else 200)
    if name == "multi30k":
        return load_task(name, source, target, "bpe", data_dir, limit=300 if quick else None)
    most = most or 6
    options: dict[str, Any] = {"most": most, "train": lines or 60_000, **lists(quick)}
    task = load_task(name, source, target, "bpe", **options)
    return with_longer_lists(task, most, quick)


def load_letters(name: str, most: int, lines: int, tested: int = 200) -> Task:
    """Random letters and what is to be written of them; no test line is in the training part.

    tested: test lines of each length.
    """
    known: set[str] = set()
    parts, counts = [], []
    for seed, (longest, rows) in enumerate(
        [(most, lines), (most, 500), (most + LONGER, tested * (most + LONGER - SHORTEST + 1))]
    ):
        pairs = drawn(name, longest, rows, known, seed)
        known |= {line for line, _ in pairs}
        parts.append(pairs)
        counts.append(tuple(len(line.split()) for line, _ in pairs))
    data = Letters(
        f"letters to {name}", *parts, {"languages": f"letters-{name}"}, Counts(*counts, ())
    )
    words = tokenizers.WordTokenizer.train([" ".join(LETTERS)], specials=SPECIALS)
    return Task(words, words, data)


def drawn(name: str, longest: int, rows: int, known: set[str], seed: int) -> list[tuple[str, str]]:
    """New lines of SHORTEST to `longest` letters, all lengths equally often."""
    random = generator(seed)
    pairs: dict[str, str] = {}
    length = SHORTEST
    while len(pairs) < rows:
        picked = torch.randint(len(LETTERS), (length,), generator=random).tolist()
        letters = [LETTERS[i] for i in picked]
        line = " ".join(letters)
        if line not in known and line not in pairs:
            pairs[line] = " ".join(sorted(letters) if name == "sort" else reversed(letters))
            length = SHORTEST + (length + 1 - SHORTEST) % (longest + 1 - SHORTEST)
    return list(pairs.items())


def short(task: Task, longest: int) -> Task:
    """The same task with test lines of at most `longest` numbers or letters."""
    kept = [i for i, count in enumerate(task.data.counts.test) if count <= longest]
    test = [task.data.test[i] for i in kept]
    counts = replace(task.data.counts, test=tuple(task.data.counts.test[i] for i in kept))
    return replace(task, data=replace(task.data, test=test, counts=counts))
