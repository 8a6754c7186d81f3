"""The quick run beside the published one, as HTML: tables and pictures in pairs.

A pair stands side by side, and one below the other on a narrow window. What is equal in both runs
is shown once.
"""

import base64
import re
from html import escape
from pathlib import Path
from typing import Any

from course.stop import Stop
from course.tables import show
from utils.file_io_util import read_json

MIME = {".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml"}
MOST_ROWS = 20  # of a table; longer ones stay in the chapter
QUICK = 'quick run · <span lang="zh">快速运行</span>'
PUBLISHED = 'published run · <span lang="zh">已发布的结果</span>'
BOTH = 'quick run, equal to the published one · <span lang="zh">快速运行，与已发布的结果相同</span>'

OTHER_DATA = (
    '<p class="soft">The quick run takes other data, named in its pictures. '
    '<span lang="zh">快速运行使用其他数据，图中注明。</span></p>'
)


def comparison(stop: Stop) -> str:
    """What the stop's runs were, their tables, and their pictures."""
    tables = "".join(_tables(stop, path) for path in stop.results)
    pictures = "".join(_pictures(path, stop.published(path)) for path in stop.pictures)
    other_data = OTHER_DATA if stop.script.quick_writes else ""
    return f"{_origin(stop)}{other_data}{tables}{pictures}"


def _origin(stop: Stop) -> str:
    """The command behind the published numbers."""
    published = next(filter(None, map(stop.published, stop.results)), None)
    if published is None:
        return ""
    facts = read_json(published)
    seeds = len(facts.get("seeds", []))
    several = f", {seeds} seeds" if seeds > 1 else ""
    return f'<p class="soft">{PUBLISHED}: <code>{escape(facts["command"])}</code>{several}</p>'


def _tables(stop: Stop, path: Path) -> str:
    """The first table that both results have."""
    other = stop.published(path)
    if other is None:
        return ""
    ours, theirs = (read_json(file).get("tables", {}) for file in (path, other))
    for name in ours:
        if name in theirs and max(len(t["rows"]) for t in (ours[name], theirs[name])) <= MOST_ROWS:
            return _pair(_table(ours[name]), _table(theirs[name]))
    return ""


def _pictures(path: Path, other: Path | None) -> str:
    return _pair(_picture(path, path.stem), _picture(other, path.stem) if other else "")


def _pair(quick: str, published: str) -> str:
    """Both side by side, or one of them if they are equal or nothing is published."""
    if quick == published:
        return f'<div class="pair">{_captioned(quick, BOTH)}</div>\n'
    beside = _captioned(published, PUBLISHED) if published else ""
    return f'<div class="pair">{_captioned(quick, QUICK)}{beside}</div>\n'


def _captioned(content: str, caption: str) -> str:
    kind = ' class="table"' if "<table>" in content else ""
    return f"<figure{kind}>{content}<figcaption>{caption}</figcaption></figure>"


def _picture(path: Path, name: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{escape(name)}" src="data:{MIME[path.suffix]};base64,{data}">'


def _table(table: dict[str, Any]) -> str:
    """A results table in English."""
    columns = table["columns"]
    head = "".join(f"<th>{_text(column['en'])}</th>" for column in columns)
    rows = "".join(
        "<tr>" + "".join(map(_cell, row, [c["format"] for c in columns])) + "</tr>"
        for row in table["rows"]
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _cell(value: Any, spec: str) -> str:
    kind = "" if spec in ("", "s") else " class=number"
    return f"<td{kind}>{_text(show(value, spec, 'en'))}</td>"


def _text(words: str) -> str:
    """Markdown's `code` as HTML; everything else as it is."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words, quote=False))
