"""From a table to numbers: what to do with columns before a model sees them.

What you learn: a model wants a matrix of numbers of similar size, and a table has gaps, words and
dollars. Each repair has parameters (a median, a mean, a list of categories), and they are *fitted*:
on the training rows alone, or the test rows leak into training.

    numbers      missing -> training median, plus a column "was missing"; then (x - mean) / std
    categories   one-hot; missing is a category of its own; a category that is new, or rarer than
                 5 training rows, is all zeros
    target       log(y) if y > 0 has a long right tail: then errors are relative, as with prices

    preparer = TablePreparer().fit(raw, train_rows)
    x, x_test = preparer.transform(raw, train_rows), preparer.transform(raw, test_rows)

Used by house_prices.py.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from utils.datasets.tables import RawTable
from utils.errors import UserError

Array = np.ndarray

MIN_ROWS = 5  # a category with fewer training rows has no reliable coefficient


def is_constant(x: Array) -> Array:
    """Which columns of (N, ...) hold one value only, up to rounding: (...,).

    The mean of N numbers 14.3 is itself rounded, so their deviation is 1e-15 and not 0. It counts
    only where it is more than such rounding, N eps |mean|, as in scikit-learn.
    """
    rounding = len(x) * np.finfo(np.float64).eps
    return x.std(axis=0, dtype=np.float64) <= rounding * np.abs(x.mean(axis=0, dtype=np.float64))


def deviation(x: Array) -> Array:
    """Standard deviation of each column, 1 where it is constant: (N, ...) -> (...,)."""
    return np.where(is_constant(x), 1.0, x.std(axis=0))


class TablePreparer:
    """Turns rows of a RawTable into numbers (N, D), with statistics of the rows it is fitted on."""

    def fit(self, raw: RawTable, rows: Array) -> TablePreparer:
        numeric = raw.numeric[rows]  # (n, Dn)
        missing = np.isnan(numeric)
        # A column that is empty in these rows carries nothing: 0 stands for its median.
        known = np.where(missing.all(axis=0), 0.0, numeric)
        self.median = np.nanmedian(known, axis=0) if known.size else np.zeros(raw.numeric.shape[1])
        self.flagged = missing.any(axis=0)  # (Dn,): gets a column "was missing"
        filled = np.where(missing, self.median, numeric)
        self.mean, self.std = filled.mean(axis=0), deviation(filled)
        self.categories = []
        for column in raw.categorical[rows].T:  # None, a missing category, is one of its own
            counts = Counter(column)
            frequent = [value for value, count in counts.items() if count >= MIN_ROWS]
            self.categories.append(sorted(frequent, key=str))
        return self

    def transform(self, raw: RawTable, rows: Array) -> Array:
        """(n, D): standardised numbers, missing flags, one-hot categories."""
        numeric = raw.numeric[rows]
        missing = np.isnan(numeric)
        scaled = (np.where(missing, self.median, numeric) - self.mean) / self.std
        parts = [scaled, missing[:, self.flagged].astype(float)]
        for column, known in zip(raw.categorical[rows].T, self.categories, strict=True):
            one_hot = [[value == category for category in known] for value in column]
            parts.append(np.array(one_hot, dtype=float).reshape(len(rows), len(known)))
        return np.hstack(parts)


def drop_columns(raw: RawTable, names: Sequence[str]) -> RawTable:
    unknown = [n for n in names if n not in raw.numeric_names + raw.categorical_names]
    if unknown:
        raise UserError(f"--drop: {raw.name} has no feature column {unknown[0]!r}.")
    number = [i for i, name in enumerate(raw.numeric_names) if name not in names]
    category = [i for i, name in enumerate(raw.categorical_names) if name not in names]
    return dataclasses.replace(
        raw,
        numeric=raw.numeric[:, number],
        numeric_names=tuple(raw.numeric_names[i] for i in number),
        categorical=raw.categorical[:, category],
        categorical_names=tuple(raw.categorical_names[i] for i in category),
    )


def use_log(y: Array, choice: str) -> bool:
    """auto: log(y) where y is positive and its distribution has a long right tail."""
    if choice == "yes" and y.min() <= 0:
        raise UserError(f"--log_target yes needs a positive target; its minimum is {y.min():g}.")
    if choice != "auto":
        return choice == "yes"
    skewness = ((y - y.mean()) ** 3).mean() / deviation(y) ** 3
    return bool(y.min() > 0 and skewness > 1)
