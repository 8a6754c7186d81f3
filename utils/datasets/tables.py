"""Tables: three real ones that come with scikit-learn, and any CSV file.

    table = load_table("diabetes")                          # features (442, 10), target (442,)
    raw = read_csv("house_prices/train.csv.gz", "SalePrice")  # numbers and categories apart

`read_csv` only reads: it imputes, scales and encodes nothing, because these steps must be fitted on
the training rows alone.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import UserError

MISSING = frozenset({"", "NA", "nan", "NaN", "?"})
TABLES = ("diabetes", "breast_cancer", "wine")


@dataclass(frozen=True)
class TableData:
    """features (N, D) float64; target (N,) int64 class numbers, or float64 in a regression."""

    name: str
    features: np.ndarray
    target: np.ndarray
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]


@dataclass(frozen=True)
class RawTable:
    """A CSV file, nothing imputed: a missing number is NaN, a missing category None."""

    name: str
    numeric: np.ndarray  # (N, Dn) float64
    numeric_names: tuple[str, ...]
    categorical: np.ndarray  # (N, Dc) object: str or None
    categorical_names: tuple[str, ...]
    target: np.ndarray  # (N,) float64
    target_name: str

    def __len__(self) -> int:
        return len(self.target)


def load_table(name: str) -> TableData:
    """One of TABLES in its own units. diabetes: regression; breast_cancer and wine: classes."""
    from sklearn import datasets

    if name not in TABLES:
        raise UserError(f"there is no table {name!r}; known are {', '.join(TABLES)}.")
    if name == "diabetes":
        bunch = datasets.load_diabetes(scaled=False)
        target, target_names = bunch.target.astype(np.float64), ("disease progression",)
    else:
        bunch = getattr(datasets, f"load_{name}")()
        target, target_names = bunch.target.astype(np.int64), tuple(map(str, bunch.target_names))
    features = bunch.data.astype(np.float64)
    return TableData(name, features, target, tuple(map(str, bunch.feature_names)), target_names)


def read_csv(path: str | Path, target: str) -> RawTable:
    """Read a comma-separated file (UTF-8, header row, `.gz` allowed) and set the target apart.

    A column is numeric if each value that is not missing is a finite number, and at least one is
    there; else categorical. UserError (one sentence) for everything that can be wrong in the file.
    """
    header, rows = _read_rows(Path(path))
    if target not in header:
        raise UserError(_no_column(path, target, header))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    y = _target_values(path, target, columns.pop(target))
    numeric, categorical = {}, {}
    for name, texts in columns.items():
        numbers = [_number(text) for text in texts]
        known = [x for x, text in zip(numbers, texts, strict=True) if text not in MISSING]
        if known and None not in known:
            numeric[name] = [math.nan if x is None else x for x in numbers]
        else:
            categorical[name] = [None if text in MISSING else text for text in texts]
    return RawTable(
        name=Path(path).name,
        numeric=_by_row(numeric, len(rows), np.float64),
        numeric_names=tuple(numeric),
        categorical=_by_row(categorical, len(rows), object),
        categorical_names=tuple(categorical),
        target=np.array(y),
        target_name=target,
    )


def _by_row(columns: dict[str, list], rows: int, dtype: type) -> np.ndarray:
    table = np.empty((rows, len(columns)), dtype)  # (N, D), also for D = 0
    for i, values in enumerate(columns.values()):
        table[:, i] = values
    return table


def _number(text: str) -> float | None:
    """A finite number or None. float() alone would take "1_000" and "inf"."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def _read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            # Blank lines are no rows; line_num counts them, so that an error names the right line.
            lines = [(reader.line_num, [c.strip() for c in row]) for row in reader if row]
    except FileNotFoundError:
        raise UserError(f"there is no file {path}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as CSV with UTF-8 encoding.") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise UserError(f"cannot read {path} as CSV ({error}).") from None
    if len(lines) < 2:
        raise UserError(f"{path} needs a header row and at least one row of data.")
    header = lines[0][1]
    _check_shape(path, header, lines[1:])
    return header, [row for _, row in lines[1:]]


def _check_shape(path: Path, header: list[str], lines: list[tuple[int, list[str]]]) -> None:
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise UserError(f"{path} has two columns named {sorted(twice)[0]!r}.")
    for line, row in lines:
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line}: {len(row)} values, but the header has {len(header)} columns."
            )


def _no_column(path: str | Path, target: str, header: list[str]) -> str:
    by_lower = {name.lower(): name for name in header}
    close = difflib.get_close_matches(target.lower(), by_lower, n=1)
    if close:
        return f"{path} has no column {target!r}; did you mean {by_lower[close[0]]!r}?"
    shown = ", ".join(header[:8]) + (", ..." if len(header) > 8 else "")
    return f"{path} has no column {target!r}; its columns are {shown}."


def _target_values(path: str | Path, target: str, texts: list[str]) -> list[float]:
    values = [_number(text) for text in texts]
    if None in values:
        row = values.index(None)
        wrong = "missing" if texts[row] in MISSING else f"{texts[row]!r}, which is not a number"
        raise UserError(f"{path}: the target {target!r} in data row {row + 1} is {wrong}.")
    return values
