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
import io
import lzma
import math
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from utils.datasets.columns import comma_role, is_missing, number, read_column
from utils.errors import UserError

Lines = list[tuple[int, list[str]]]  # the number of a row in the file, and its cells
SEPARATORS = (";", "\t", "|", ",")
SNIFFED_ROWS = 50
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
    """A CSV file, nothing imputed: a missing number is NaN, a missing category None.

    `notes` say in words what was not taken as it stands in the file.
    """

    name: str
    numeric: np.ndarray  # (N, Dn) float64
    numeric_names: tuple[str, ...]
    categorical: np.ndarray  # (N, Dc) object: str or None
    categorical_names: tuple[str, ...]
    target: np.ndarray  # (N,) float64
    target_name: str
    notes: tuple[str, ...] = ()

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
    """Read a table of text (UTF-8, header row, `.gz` allowed) and set the target apart.

    Separated by commas, semicolons, tabs or "|". How cells become numbers, gaps and categories says
    `utils.datasets.columns`. UserError (one sentence) for everything that can be wrong in the file.
    """
    header, rows, separator = _read_rows(Path(path))
    if target not in header:
        raise UserError(_no_column(path, target, header))
    try:
        comma = comma_role((cell for row in rows for cell in row), separator)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    cells = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    y = _target_values(path, target, cells.pop(target), comma)
    columns = {name: read_column(name, texts, comma) for name, texts in cells.items()}
    numeric = {name: column.values for name, column in columns.items() if column.numeric}
    categorical = {name: column.values for name, column in columns.items() if not column.numeric}
    return RawTable(
        name=Path(path).name,
        numeric=_by_row(numeric, len(rows), np.float64),
        numeric_names=tuple(numeric),
        categorical=_by_row(categorical, len(rows), object),
        categorical_names=tuple(categorical),
        target=np.array(y),
        target_name=target,
        notes=tuple(_notes(separator, comma, [c.note for c in columns.values()])),
    )


def _notes(separator: str, comma: str, notes: list[str]) -> list[str]:
    shown = [f"the columns are separated by {separator!r}"] if separator != "," else []
    meanings = {
        "decimal": ["the comma is a decimal comma: 3,5 is 3.5, and 1.250 is 1250"],
        "thousands": ["the comma groups thousands: 1,250 is 1250"],
    }
    return shown + meanings.get(comma, []) + [note for note in notes if note]


def _by_row(columns: dict[str, list], rows: int, dtype: type) -> np.ndarray:
    table = np.empty((rows, len(columns)), dtype)  # (N, D), also for D = 0
    for i, values in enumerate(columns.values()):
        table[:, i] = values
    return table


OPENERS = {".gz": gzip.open, ".xz": lzma.open}


def read_lines(path: Path) -> tuple[Lines, str]:
    """The rows that are not blank, each with its line number, and what separates the cells.

    UserError: no such file, not UTF-8, not readable as CSV.
    """
    opener = OPENERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            text = file.read()
        separator = find_separator(text)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        # Blank lines are no rows; line_num counts them, so that an error names the right line.
        return [(reader.line_num, [c.strip() for c in row]) for row in reader if row], separator
    except FileNotFoundError:
        raise UserError(f"there is no file {path}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as CSV with UTF-8 encoding.") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error) as error:
        raise UserError(f"cannot read {path} as CSV ({error}).") from None


def _read_rows(path: Path) -> tuple[list[str], list[list[str]], str]:
    """The header, the rows, and what separates the cells."""
    lines, separator = read_lines(path)
    if len(lines) < 2:
        raise UserError(f"{path} needs a header row and at least one row of data.")
    header = lines[0][1]
    _check_shape(path, header, lines[1:])
    return header, [row for _, row in lines[1:]], separator


def find_separator(text: str) -> str:
    """The separator that cuts the first rows into equally many columns, and into most of them.

    A comma comes last: where a semicolon does as well, the comma is a decimal comma.
    """
    found = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            widths = [len(row) for row in islice(filter(None, reader), SNIFFED_ROWS)]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            found[separator] = (len(set(widths)) == 1, widths[0])
    return max(found, key=found.__getitem__, default=",")


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
    if len(header) == 1:
        known = "commas, semicolons, tabs or |"
        return f"{path} has one column, {header[0]!r}: is it separated by other signs than {known}?"
    by_lower = {name.lower(): name for name in header}
    close = difflib.get_close_matches(target.lower(), by_lower, n=1)
    if close:
        return f"{path} has no column {target!r}; did you mean {by_lower[close[0]]!r}?"
    shown = ", ".join(header[:8]) + (", ..." if len(header) > 8 else "")
    return f"{path} has no column {target!r}; its columns are {shown}."


def _target_values(path: str | Path, target: str, texts: list[str], comma: str) -> list[float]:
    values = [None if is_missing(text) else number(text, comma) for text in texts]
    for row, (text, value) in enumerate(zip(texts, values, strict=True), start=1):
        if value is None or not math.isfinite(value):
            wrong = "missing" if is_missing(text) else f"{text!r}, which is not a number"
            wrong = wrong if value is None else f"{text!r}, which is not a finite number"
            raise UserError(f"{path}: the target {target!r} in data row {row} is {wrong}.")
    return values
