"""A CSV file as a time series: numbers in every cell, rows in the order of time.

A table may have gaps (utils.datasets.tables); a series may not, because the row before a gap is no
longer the row before. So here a gap, a word or a date that goes back is an error that names the
line and the column. Separators, decimal commas and the words for a gap are those of the tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from utils.datasets.columns import comma_role, is_missing, number
from utils.datasets.tables import Lines, read_lines
from utils.errors import UserError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# How far two rows are apart -> after how many rows the season returns.
PERIODS = ((HOUR, HOUR, 24), (DAY, DAY, 7), (28 * DAY, 31 * DAY, 12))


@dataclass(frozen=True)
class SeriesTable:
    """values (T, C) float64; period: guessed from the dates, None without them."""

    values: np.ndarray
    columns: tuple[str, ...]
    period: int | None
    notes: tuple[str, ...]


def read_series(path: str | Path) -> SeriesTable:
    """The numbers of a CSV file with a header row; the first column may hold dates."""
    path = Path(path)
    header, lines, separator = _read(path)
    dates = _dates(path, header, lines)
    first = 0 if dates is None else 1
    if first == len(header):
        raise UserError(f"{path} has dates and no column of numbers beside them.")
    try:
        comma = comma_role((cell for _, row in lines for cell in row[first:]), separator)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    values = [
        [_number(path, line, header[c], row[c], comma) for c in range(first, len(header))]
        for line, row in lines
    ]
    period, notes = (None, ()) if dates is None else _rhythm(dates, lines)
    return SeriesTable(np.array(values), tuple(header[first:]), period, notes)


def _read(path: Path) -> tuple[list[str], Lines, str]:
    """The header, the numbered rows, and what separates the cells."""
    lines, separator = read_lines(path)
    if len(lines) < 2:
        raise UserError(f"{path} needs a header row and rows of numbers below it.")
    header = lines[0][1]
    for line, row in lines[1:]:
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line}: {len(row)} cells, but the header has {len(header)} columns."
            )
    return header, lines[1:], separator


def _number(path: Path, line: int, column: str, text: str, comma: str) -> float:
    """One cell; UserError names its place. Nothing is filled in: that is the user's decision."""
    place = f"{path}, line {line}, column {column!r}"
    if is_missing(text):
        raise UserError(
            f"{place}: the value is missing ({text!r}); a series needs a number in every row, so "
            "fill the gap or cut the file there."
        )
    value = number(text, comma)
    if value is None or not math.isfinite(value):
        raise UserError(f"{place}: {text!r} is not a finite number; mend the cell or the column.")
    return value


def parse_date(text: str) -> datetime | None:
    """2016-07-01 02:00, 1981-01-01 or 1949-01; None for anything else, a plain number too."""
    for form in (text, f"{text}-01"):
        try:
            return None if text.isdigit() else datetime.fromisoformat(form).replace(tzinfo=None)
        except ValueError:
            continue
    return None


def _dates(path: Path, header: Sequence[str], lines: Lines) -> list[datetime] | None:
    """The dates of the first column, which must rise; None if it holds numbers."""
    if parse_date(lines[0][1][0]) is None:
        return None
    dates: list[datetime] = []
    for line, row in lines:
        date = parse_date(row[0])
        if date is None:
            raise UserError(f"{path}, line {line}, column {header[0]!r}: {row[0]!r} is no date.")
        if dates and date <= dates[-1]:
            raise UserError(
                f"{path}, line {line}, column {header[0]!r}: {row[0]} does not come after the date "
                "of the row above; sort the rows by time."
            )
        dates.append(date)
    return dates


def _rhythm(dates: list[datetime], lines: Lines) -> tuple[int | None, tuple[str, ...]]:
    """The period that the usual distance of two rows suggests, and a note on longer distances."""
    steps = [(later - date).total_seconds() for date, later in pairwise(dates)]
    usual = median(steps) if steps else 0.0
    longer = [lines[i + 1][0] for i, step in enumerate(steps) if step > 1.5 * usual]
    notes = (f"rows seem to be missing before line {line}" for line in longer[:1])
    for low, high, period in PERIODS:
        if low.total_seconds() <= usual <= high.total_seconds():
            return period, tuple(notes)
    return None, tuple(notes)
