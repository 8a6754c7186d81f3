"""Number words of nine languages that look alike by threes: which language is it?

    data = load_languages()
    data.train.texts[0], data.classes[data.train.labels[0]]     # ("ottantatré", "it")

    no da sv    Norwegian, Danish, Swedish
    es pt it    Spanish, Portuguese, Italian
    cs sl sr    Czech, Slovenian, Serbian (in Latin letters)

The numbers 0 to 999, each in all nine languages. The *numbers* are split, so that no word of a
test number, in any language, was seen in training. Some words are the same in two languages
("tretten" is Norwegian and Danish): no classifier can be right about both, and `all_words` lets
count what is attainable. The words come from num2words (Savoir-faire Linux, LGPL).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from utils.datasets.number_words import number_word
from utils.datasets.sentences import Labelled, SentenceData
from utils.errors import UserError

FAMILIES = {
    "Scandinavian": ("no", "da", "sv"),
    "Romance": ("es", "pt", "it"),
    "Slavic": ("cs", "sl", "sr"),
}
LANGUAGES = tuple(code for family in FAMILIES.values() for code in family)
NUMBERS = 1000
TEST, VAL = 400, 100  # numbers held out; up to 500 are left to train on
SPLIT_SEED = 20240229


def words_of(numbers: Iterable[int]) -> Labelled:
    """Each number in each language; the label is the language's place in LANGUAGES."""
    pairs = [(number_word(n, code), c) for n in numbers for c, code in enumerate(LANGUAGES)]
    return Labelled([word for word, _ in pairs], np.array([c for _, c in pairs], dtype=np.int64))


def all_words() -> Labelled:
    """All 9,000 words, to count how often a beginning belongs to which language."""
    return words_of(range(NUMBERS))


def load_languages(train_numbers: int = 300) -> SentenceData:
    """The fixed split; `train_numbers` of the 500 numbers that are not held out are trained on."""
    most = NUMBERS - TEST - VAL
    if not 1 <= train_numbers <= most:
        raise UserError(f"there are 1 to {most} numbers to train on, not {train_numbers}.")
    order = np.random.default_rng(SPLIT_SEED).permutation(NUMBERS).tolist()
    test, val, train = order[:TEST], order[TEST : TEST + VAL], order[TEST + VAL :]
    parts = [words_of(numbers) for numbers in (train[:train_numbers], val, test)]
    notes = {"numbers": [train_numbers, VAL, TEST], "range": f"0 to {NUMBERS - 1}"}
    return SentenceData("languages", *parts, classes=LANGUAGES, notes=notes)
