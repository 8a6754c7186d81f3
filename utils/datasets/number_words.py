"""Lists of numbers written out in two languages: translation with an exact truth, and no end of it.

    data = load_number_lists("en", "fr")
    data.train[0]        ("forty-two, three hundred and six", "quarante-deux, trois cent six")
    data.counts.test[0]  2: numbers in the line

A line has 1 to `most` numbers below `below`, separated by commas (those that num2words writes
inside a number are left out). The words come from num2words (Savoir-faire Linux, LGPL).

**Held out.** Of all numbers from 100 on, a tenth belongs to the test part and a tenth to the
validation part: they occur in no training line (below 100 are the words that all are made of).
`test` and `val` consist of their own numbers alone: *new numbers*. `combinations` has lines of the
training numbers in lists that the training part does not have: *new combinations*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from utils.datasets.pairs import PairData
from utils.errors import UserError

ALWAYS_KNOWN = 100  # the numbers below it are in the training part: others are made of their words
SLOW_NUMBERS = 4_000  # different numbers of a part, in languages that are written one by one


@dataclass(frozen=True)
class Counts:
    """Numbers in each line of each part."""

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    combinations: tuple[int, ...]


@dataclass(frozen=True)
class NumberLists(PairData):
    """PairData with the held-out combinations, and how many numbers each line has."""

    combinations: list[tuple[str, str]] = field(default_factory=list)
    counts: Counts = Counts((), (), (), ())


def languages() -> tuple[str, ...]:
    """The languages that num2words knows, by their codes."""
    from num2words import CONVERTER_CLASSES

    return tuple(sorted(CONVERTER_CLASSES))


def check_language(language: str) -> None:
    """UserError, with the known ones, for a language that num2words does not have."""
    if language not in languages():
        raise UserError(
            f"the language {language!r} has no number words here; "
            f"known are {', '.join(languages())}."
        )


@cache
def _spoken(n: int, language: str) -> str:
    from num2words import num2words

    try:
        return num2words(n, lang=language).replace(",", "").strip()
    except Exception as error:  # a few of its languages lack words; each fails in its own way
        raise UserError(
            f"num2words cannot write {n} in {language!r} ({type(error).__name__}: {error}); "
            "choose another language."
        ) from None


def number_word(n: int, language: str) -> str:
    """The whole number n in words, without commas: number_word(1985, "en") is "one thousand nine
    hundred and eighty-five". UserError for a language that num2words does not have.
    """
    check_language(language)
    return _spoken(int(n), language)


class NumberWriter:
    """Words of many numbers below a million, a hundred times as fast as num2words one by one.

    words(321,985) = words(321,000) + what words(1,985) has behind words(1,000): two calls for each
    of a thousand beginnings and endings, kept. Where a language does not join them so, the check
    finds it and every number is asked for.
    """

    def __init__(self, language: str) -> None:
        check_language(language)
        self.language = language
        rng = np.random.default_rng(0)
        probe = [int(n) for n in rng.integers(1_000, 1_000_000, 12)]
        self.joins = all(self._joined(n) == _spoken(n, language) for n in probe)

    def _joined(self, n: int) -> str:
        thousand, ending = _spoken(1000, self.language), _spoken(1000 + n % 1000, self.language)
        return _spoken(n - n % 1000, self.language) + ending.removeprefix(thousand)

    def __call__(self, n: int) -> str:
        joined = self.joins and 1000 <= n < 1_000_000
        return self._joined(n) if joined else _spoken(n, self.language)


def part_of(numbers: np.ndarray) -> np.ndarray:
    """0, 1 or 2 for each number (N,): training, validation or test part. The same at every call."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    tenth = (mixed >> np.uint64(40)) % np.uint64(10)  # (N,), a hash: no table of a million
    part = np.select([tenth == 0, tenth == 1], [2, 1], 0)
    return np.where(numbers < ALWAYS_KNOWN, 0, part)


def draw_numbers(
    rng: np.random.Generator, count: int, below: int, part: int, most: int | None = None
) -> np.ndarray:
    """`count` numbers of one part, (count,): first the number of digits is drawn, then the number.

    Uniform draws would have six digits nine times out of ten, and "seven" once in a million.
    most: different numbers there may be, where writing one takes long.
    """
    digits = len(str(below - 1))
    found: list[np.ndarray] = []
    while sum(map(len, found)) < count:
        lengths = rng.integers(1, digits + 1, 4 * count)  # (4 count,)
        low, high = 10 ** (lengths - 1), np.minimum(10**lengths, below)
        low = np.where(lengths == 1, 0, low)
        numbers = rng.integers(low, high)
        found.append(numbers[part_of(numbers) == part])
    drawn = np.concatenate(found)[:count]
    return drawn if most is None else rng.choice(drawn[:most], count)


def draw_lists(
    rng: np.random.Generator, lengths: np.ndarray, below: int, part: int, different: int | None
) -> list[tuple[int, ...]]:
    """Lists of as many numbers as `lengths` (N,) says, all of one part; none twice."""
    numbers = draw_numbers(rng, int(lengths.sum()), below, part, different)
    rows = np.split(numbers, np.cumsum(lengths)[:-1])
    return list(dict.fromkeys(tuple(row.tolist()) for row in rows))


def training_lengths(rng: np.random.Generator, lines: int, most: int) -> np.ndarray:
    """Numbers in each training line, (lines,): lines of each length hold as many numbers in all.

    A list of six is as long as six lists of one: every length then gets the same share of the work.
    """
    weights = 1 / np.arange(1, most + 1)
    return rng.choice(np.arange(1, most + 1), lines, p=weights / weights.sum())


def load_number_lists(
    source: str = "en",
    target: str = "fr",
    below: int = 1_000_000,
    most: int = 6,
    train: int = 60_000,
    held_out: int = 1_200,
    seed: int = 0,
) -> NumberLists:
    """Lists of 1 to `most` numbers below `below` in two languages; about a second.

    train, held_out: lines drawn for the training part, and for each of the three others; there are
    fewer, as no list occurs twice. UserError: unknown language, or limits that leave nothing to
    hold out.
    """
    writers = NumberWriter(source), NumberWriter(target)
    if not ALWAYS_KNOWN * 2 <= below <= 1_000_000 or most < 1:
        raise UserError(
            f"number lists need below from {2 * ALWAYS_KNOWN} to 1000000 and most of 1 or more, "
            f"not {below} and {most}."
        )
    different = None if all(writer.joins for writer in writers) else SLOW_NUMBERS
    even = 1 + np.arange(held_out) % most  # (held_out,)
    rngs = [np.random.default_rng([seed, part]) for part in range(4)]
    plan = {
        "train": (training_lengths(rngs[0], train, most), 0),
        "val": (even, 1),
        "test": (even, 2),
        "combinations": (np.maximum(even, min(2, most)), 0),
    }
    lists: dict[str, list[tuple[int, ...]]] = {}
    for rng, (name, (lengths, part)) in zip(rngs, plan.items(), strict=True):
        seen = set(lists.get("train", ()))
        drawn = draw_lists(rng, lengths, below, part, different)
        lists[name] = [row for row in drawn if row not in seen]

    def written(rows: list[tuple[int, ...]]) -> list[tuple[str, str]]:
        return [tuple(", ".join(map(writer, row)) for writer in writers) for row in rows]

    return NumberLists(
        name=f"numbers_{source}_{target}",
        **{name: written(rows) for name, rows in lists.items()},
        counts=Counts(**{name: tuple(map(len, rows)) for name, rows in lists.items()}),
        notes={"languages": f"{source}-{target}", "words": "num2words", "below": below},
    )
