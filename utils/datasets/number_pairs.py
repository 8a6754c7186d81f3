"""Is the first number greater? Two numbers in words, and one of three classes: pairs without end.

    data = load_number_pairs()
    data.train.texts[0], data.train.seconds[0]    # "three hundred and twelve", "forty"
    data.classes[data.train.labels[0]]            # "greater"

Unequal pairs are as often greater as less; equal ones are fewer, as no pair stands twice in a part.
Half of the unequal ones are drawn *close*: both numbers begin with the same digits, and one behind
them decides. Their order is then not told by their length or first word, nor by any word alone.

**Held out.** As in `number_words`: of all numbers from 100 on a tenth belongs to the test part and
a tenth to the validation part. A test pair is of two numbers that training never showed.
"""

from __future__ import annotations

import numpy as np

from utils.datasets.number_words import ALWAYS_KNOWN, NumberWriter, draw_numbers, part_of
from utils.datasets.sentence_pairs import LabelledPairs
from utils.datasets.sentences import SentenceData
from utils.errors import UserError

CLASSES = ("greater", "less", "equal")


def close_to(rng: np.random.Generator, numbers: np.ndarray, part: int) -> np.ndarray:
    """For each of `numbers` (N,) another of the same part with the same first digits; -1: none."""
    digits = np.char.str_len(numbers.astype(str))  # (N,)
    found = np.full(len(numbers), -1)
    for _ in range(40):
        kept = rng.integers(np.minimum(1, digits - 1), digits)  # the first digits, which stay
        unit = 10 ** (digits - kept)
        other = numbers // unit * unit + rng.integers(0, unit)
        same_length = (other >= 10 ** (digits - 1)) | (digits == 1)
        right = same_length & (other != numbers) & (part_of(other) == part) & (found < 0)
        found[right] = other[right]
    return found


def draw_pairs(
    rng: np.random.Generator, count: int, below: int, part: int
) -> tuple[np.ndarray, np.ndarray]:
    """Different pairs (N, 2) of one part, N at most `count`, and their classes (N,)."""
    first, second = (draw_numbers(rng, count, below, part) for _ in range(2))  # (count,) each
    close = close_to(rng, first, part)
    second = np.where((rng.random(count) < 0.5) & (close >= 0), close, second)
    wanted = np.arange(count) % 3  # (count,)
    second = np.where(wanted == 2, first, second)
    swap = np.where(wanted == 0, first < second, first > second)
    pairs = np.stack(
        [np.where(swap, second, first), np.where(swap, first, second)], 1
    )  # (count, 2)
    kept = (wanted == 2) | (first != second)
    pairs, wanted = pairs[kept], wanted[kept]
    _, places = np.unique(pairs, axis=0, return_index=True)
    places = np.sort(places)
    return pairs[places], wanted[places]


def load_number_pairs(
    language: str = "en",
    below: int = 10_000,
    train: int = 100_000,
    held_out: int = 3_000,
    seed: int = 0,
) -> SentenceData:
    """Pairs of numbers below `below` in words; a few seconds. By default 45,661, 2,255 and 2,227.

    train, held_out: pairs drawn for the training part, and for each of the others; there are fewer,
    as no pair occurs twice. UserError: unknown language, or a limit that leaves too few numbers.
    """
    write = NumberWriter(language)
    if not 10 * ALWAYS_KNOWN <= below <= 1_000_000:
        raise UserError(
            f"number pairs need below from {10 * ALWAYS_KNOWN} to 1000000, not {below}."
        )
    parts = []
    for part, count in enumerate((train, held_out, held_out)):
        pairs, labels = draw_pairs(np.random.default_rng([seed, part]), count, below, part)
        texts, seconds = ([write(int(n)) for n in side] for side in pairs.T)
        parts.append(LabelledPairs(texts, labels.astype(np.int64), seconds))
    notes = {"language": language, "words": "num2words", "below": below, "split": "by number"}
    return SentenceData("pairs", *parts, classes=CLASSES, notes=notes)
