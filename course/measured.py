"""Blocks that show what was measured: tables and numbers out of published results."""

import json
import re
from typing import Any

from course.document import BlockError, Document
from course.tables import markdown_table, show

NUMBER_SPEC = re.compile(r"(?:\*(\d+))?(.*)")


def results(document: Document, spec: str) -> str:
    """`results:NAME` or `results:NAME.TABLE`: a table out of a published result."""
    name, _, table_name = spec.partition(".")
    path, content = _read_result(document, name)
    tables = content.get("tables", {})
    table = tables.get(table_name or "main")
    if table is None:
        known = ", ".join(tables) or "none"
        raise BlockError(f"{path} has no table '{table_name or 'main'}'; its tables: {known}.")
    columns = table["columns"]
    rows = [
        [show(cell, c["format"], document.language) for cell, c in zip(row, columns, strict=True)]
        for row in table["rows"]
    ]
    sides = ["l" if column["format"] in ("", "s") else "r" for column in columns]
    if all(isinstance(row[0], str | dict) for row in table["rows"]):
        sides[0] = "l"  # names, whatever the format
    align = "".join(sides)
    return markdown_table([column[document.language] for column in columns], rows, align)


def value(document: Document, spec: str) -> str:
    """`value:NAME:dotted.path[:format]`: one number; the format `*100.1f` multiplies by 100."""
    name, dotted, number_spec = (*spec.split(":", 2), "", "")[:3]
    path, content = _read_result(document, name)
    found = _walk(content, dotted.split("."), f"{path}: '{dotted}'")
    match = NUMBER_SPEC.fullmatch(number_spec)
    if match[1]:
        found = _scaled(found, int(match[1]), f"{path}: '{dotted}'")
    return show(found, match[2], document.language)


def _read_result(document: Document, name: str) -> tuple[str, dict[str, Any]]:
    """A published result: NAME of this chapter, chapter_NN_x/NAME or benchmarks/NAME."""
    folder, _, stem = name.rpartition("/")
    parent = document.root / folder if folder else document.folder
    path = parent / "results" / f"{stem}.json"
    shown = path.relative_to(document.root).as_posix()
    try:
        return shown, json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BlockError(f"looked for {shown}, which does not exist.") from None
    except ValueError as error:
        raise BlockError(f"{shown} is not valid JSON: {error}.") from None


def _walk(content: Any, parts: list[str], where: str) -> Any:
    """Follow a dotted path; a key may itself contain dots ("0.1"), so longer keys are tried too."""
    if not parts:
        return content
    if isinstance(content, list) and parts[0].isdigit() and int(parts[0]) < len(content):
        return _walk(content[int(parts[0])], parts[1:], where)
    if isinstance(content, dict):
        for length in range(1, len(parts) + 1):
            key = ".".join(parts[:length])
            if key in content:
                return _walk(content[key], parts[length:], where)
        raise BlockError(f"{where}: there is no '{parts[0]}'; there is: {', '.join(content)}.")
    raise BlockError(f"{where} does not exist ('{parts[0]}' is looked for in {content!r}).")


def _scaled(found: Any, factor: int, where: str) -> Any:
    if isinstance(found, list):  # [mean, spread]
        return [_scaled(part, factor, where) for part in found]
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise BlockError(f"{where} is no number: {found!r}.")
    return found * factor
