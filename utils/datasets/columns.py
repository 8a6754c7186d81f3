"""The columns of a CSV file, from text to numbers or categories.

People and programs write numbers in many ways, and one cell that is misread turns a whole column of
numbers into words. The rules, for the whole file:

    missing     the words that pandas takes for a gap, in any case, and "?", "-", ".", "--"
    1,250       the comma groups thousands, or is a decimal comma: the other numbers of the file
                decide ("1,250,000" and "0.5" against "3,5"); a file that allows both is refused
    1 250       a space groups thousands
    inf, 1e999  numbers that no model can take: missing
    a column    is numeric if 9 of 10 cells that are not missing are numbers; the others are then
                missing, too. What was not taken as it stands is named in a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from utils.errors import UserError

MISSING = {
    *("", "?", "-", ".", "--", "na", "n/a", "#na", "#n/a", "#n/a n/a", "<na>", "null", "none"),
    *("nan", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
}
NUMERIC_SHARE = 0.9  # of the cells that are not missing, for a column of numbers
MIXED_SHARE = 0.5  # numbers above this share deserve a note where a column is taken as words

GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")  # 1,250  1,250.5
DECIMAL = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?")  # 3,5  1.250,5
POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")  # 1.250: grouped where the comma is decimal
SPACES = re.compile(r"[+-]?\d{1,3}([ \u00a0\u2009\u202f]\d{3})+([.,]\d*)?")  # 1 250


@dataclass(frozen=True)
class Column:
    """Values of one column: floats with NaN, or words with None; `note` names what is odd."""

    values: list[float] | list[str | None]
    numeric: bool
    note: str = ""


def is_missing(text: str) -> bool:
    """Whether a cell of a column of numbers stands for a gap."""
    return text.casefold() in MISSING


def comma_role(cells: Iterable[str], separator: str) -> str:
    """What a comma inside a number of this file means: "thousands", "decimal" or "" (none there).

    UserError names a cell that may be either, such as "1,250" in a file that separates with ";".
    """
    cells = list(cells)
    grouped = [cell for cell in cells if GROUPED.fullmatch(cell)]
    decimal = [cell for cell in cells if DECIMAL.fullmatch(cell)]
    only_grouped = set(grouped) - set(decimal)
    only_decimal = set(decimal) - set(grouped)
    point = any(re.fullmatch(r"[+-]?\d*\.\d+", c) and not POINTS.fullmatch(c) for c in cells)
    if only_decimal and not only_grouped and not point:
        return "decimal"
    if grouped and not (only_grouped or point or separator == ","):
        cell = grouped[0]
        raise UserError(
            f"the cell {cell!r} may mean {cell.replace(',', '')} or {cell.replace(',', '.')}, and "
            "no other number of the file tells which: write it without the comma, or with a point."
        )
    return "thousands" if grouped else ""


def number(text: str, comma: str) -> float | None:
    """The number a cell shows (it may be infinite); None if it is none, such as "1_000"."""
    text = text.replace("\u2212", "-")  # the minus sign of word processors
    if SPACES.fullmatch(text):
        text = re.sub(r"[ \u00a0\u2009\u202f]", "", text)
    if comma == "decimal":
        if DECIMAL.fullmatch(text) or POINTS.fullmatch(text):
            text = text.replace(".", "").replace(",", ".")
    elif GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def read_column(name: str, cells: Sequence[str], comma: str) -> Column:
    """One column by the rules above."""
    numbers = [math.nan if is_missing(cell) else number(cell, comma) for cell in cells]
    known = sum(not is_missing(cell) for cell in cells)
    words = sum(value is None for value in numbers)
    odd = {row for row, value in enumerate(numbers) if value is None or math.isinf(value)}
    share = 1 - words / known if known else 0.0
    first = f", such as {cells[min(odd)]!r} in data row {min(odd) + 1}" if odd else ""
    if share >= NUMERIC_SHARE:
        values = [math.nan if row in odd else value for row, value in enumerate(numbers)]
        note = f"column {name!r}, not finite numbers: {len(odd)}{first}; taken as missing"
        return Column(values, True, note * bool(odd))
    # "None" is a gap among numbers; among words it may be an answer ("no veneer").
    texts = [None if is_missing(cell) and cell.casefold() != "none" else cell for cell in cells]
    note = f"column {name!r} holds numbers and {words} words{first}; taken as categories"
    return Column(texts, False, note * (share >= MIXED_SHARE))
