"""Values and tables as Markdown shows them."""

import re
from collections.abc import Sequence
from typing import Any

from course.document import BlockError


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A GitHub table; `align` has an "l" or "r" for each column."""
    rules = ["---:" if side == "r" else "---" for side in align.ljust(len(header), "l")]
    lines = [header, rules, *rows]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)


def show(value: Any, spec: str, language: str) -> str:
    """A cell: number, text, {"en": ..., "zh": ...}, or [mean, spread]; None is a dash."""
    if value in (None, [None, None]):  # also a mean and spread of something undefined
        return "–"
    if isinstance(value, dict):
        return str(value[language])
    if isinstance(value, list) and len(value) == 2:
        mean, spread = value
        return f"{show(mean, spec, language)} ± {show(spread, spec.lstrip('+'), language)}"
    if isinstance(value, int | float) and not isinstance(value, bool) and spec not in ("", "s"):
        try:
            return format(value, spec)
        except ValueError as error:
            raise BlockError(f"{value} cannot be shown as '{spec}': {error}.") from None
    return str(value)


def _escape(cell: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", cell).replace("\n", " ")
