"""What stands between the markers of a README: tables and numbers made from data.

Each function below renders one kind of block as Markdown, in English ("en") or Chinese ("zh").
`course.sync` finds the markers and writes the blocks.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.manifest import Chapter, read_entries
from utils.errors import UserError

NUMBER_SPEC = re.compile(r"(?:\*(\d+))?(.*)")


class BlockError(UserError):
    """A marker that cannot be filled; `sync` adds the README and the line."""


@dataclass(frozen=True)
class Term:
    """An entry of course/terms.toml."""

    en: str
    zh: str
    definition: str
    definition_zh: str
    chapter: int  # that introduces it


@dataclass(frozen=True)
class Symbol:
    """An entry of course/notation.toml."""

    symbol: str
    en: str
    zh: str
    chapter: int  # that uses it first
    shape: str = ""  # where it stands, as "(B, C, H, W)"


@dataclass(frozen=True)
class Page:
    """The README that is being filled."""

    root: Path
    file: Path
    chapters: Sequence[Chapter]

    @property
    def language(self) -> str:
        return "zh" if self.file.name.endswith(".zh-CN.md") else "en"

    @property
    def chapter(self) -> Chapter | None:
        return next((c for c in self.chapters if c.folder == self.file.parent), None)

    def own_chapter(self, kind: str) -> Chapter:
        if self.chapter is None:
            raise BlockError(f"'{kind}' belongs into the README of a chapter.")
        return self.chapter

    def choose(self, en: str, zh: str) -> str:
        return zh if self.language == "zh" else en


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


def results(page: Page, spec: str) -> str:
    """`results:NAME` or `results:NAME.TABLE`: a table out of a published result."""
    name, _, table_name = spec.partition(".")
    path, content = _read_result(page, name)
    tables = content.get("tables", {})
    table = tables.get(table_name or "main")
    if table is None:
        known = ", ".join(tables) or "none"
        raise BlockError(f"{path} has no table '{table_name or 'main'}'; its tables: {known}.")
    columns = table["columns"]
    rows = [
        [show(cell, c["format"], page.language) for cell, c in zip(row, columns, strict=True)]
        for row in table["rows"]
    ]
    align = "".join("l" if column["format"] in ("", "s") else "r" for column in columns)
    return markdown_table([column[page.language] for column in columns], rows, align)


def value(page: Page, spec: str) -> str:
    """`value:NAME:dotted.path[:format]`: one number; the format `*100.1f` multiplies by 100."""
    name, dotted, number_spec = (*spec.split(":", 2), "", "")[:3]
    path, content = _read_result(page, name)
    found = _walk(content, dotted.split("."), f"{path}: '{dotted}'")
    match = NUMBER_SPEC.fullmatch(number_spec)
    if match[1]:
        found = _scaled(found, int(match[1]), f"{path}: '{dotted}'")
    return show(found, match[2], page.language)


def scripts(page: Page, spec: str) -> str:
    """The commands of a chapter."""
    header = page.choose(
        "Command|What it shows|Data|Minutes|Files in the run folder",
        "命令|内容|数据|分钟|运行文件夹中的文件",
    )
    rows = [
        [
            f"`{script.command}`",
            page.choose(script.shows, script.shows_zh),
            page.choose(script.data, script.data_zh),
            f"{script.minutes:g}",
            ", ".join(f"`{name}`" for name in script.writes),
        ]
        for script in page.own_chapter("scripts").scripts
    ]
    return markdown_table(header.split("|"), rows, "lllrl")


def checkpoints(page: Page, spec: str) -> str:
    """The trained weights of a chapter, from the metadata inside the files."""
    from course.cards import card_table  # reads checkpoints: only where a page asks for it

    return card_table(page.own_chapter("checkpoints"), page.language, page.file.parent)


def chapters(page: Page, spec: str) -> str:
    """The chapter map of the top-level README."""
    header = page.choose(
        "#|Chapter|What you build|Hours|Scripts", "#|章节|你将构建什么|学时|脚本数"
    )
    readme = page.choose("README.md", "README.zh-CN.md")
    rows = [
        [
            str(c.number),
            f"[{page.choose(c.title, c.title_zh)}]({c.name}/{readme})",
            page.choose(c.summary, c.summary_zh),
            f"{c.hours:g}",
            str(len({script.file for script in c.scripts})),
        ]
        for c in page.chapters
    ]
    return markdown_table(header.split("|"), rows, "rllrr")


def gallery(page: Page, spec: str) -> str:
    """The pictures that chapters offer for the top-level README."""
    blocks = []
    for chapter in page.chapters:
        for picture in chapter.gallery:
            caption = page.choose(picture.caption, picture.caption_zh)
            blocks.append(f"![{caption}]({chapter.name}/{picture.image})\n\n*{caption}*")
    return "\n\n".join(blocks)


def glossary(page: Page, spec: str) -> str:
    """The terms a chapter introduces (in the top-level README: those of all chapters present)."""
    terms = read_entries(page.root / "course" / "terms.toml", "term", Term)
    names = [term.en.lower() for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise BlockError(f"course/terms.toml defines '{name}' more than once.")
    present = {c.number for c in ([page.chapter] if page.chapter else page.chapters)}
    chosen = sorted((t for t in terms if t.chapter in present), key=lambda term: term.en.lower())
    header = page.choose("Term|Chinese|Meaning", "术语|英文|含义")
    rows = [
        [
            page.choose(t.en, t.zh),
            page.choose(t.zh, t.en),
            page.choose(t.definition, t.definition_zh),
        ]
        for t in chosen
    ]
    return markdown_table(header.split("|"), rows)


def notation(page: Page, spec: str) -> str:
    """The symbols used up to this chapter (top-level README: up to the last one present)."""
    symbols = read_entries(page.root / "course" / "notation.toml", "symbol", Symbol)
    last = (
        page.chapter.number if page.chapter else max((c.number for c in page.chapters), default=0)
    )
    header = page.choose("Symbol|Meaning|Where it stands", "符号|含义|出现位置")
    rows = [
        [f"`{s.symbol}`", page.choose(s.en, s.zh), f"`{s.shape}`" if s.shape else ""]
        for s in symbols
        if s.chapter <= last
    ]
    return markdown_table(header.split("|"), rows)


INLINE = {"value"}
RENDERERS: dict[str, Callable[[Page, str], str]] = {
    render.__name__: render
    for render in (
        results, value, scripts, checkpoints, chapters, gallery, glossary, notation,
    )
}  # fmt: skip


def _read_result(page: Page, name: str) -> tuple[str, dict[str, Any]]:
    """A published result: NAME of this chapter, chapter_NN_x/NAME or benchmarks/NAME."""
    folder, _, stem = name.rpartition("/")
    path = (page.root / folder if folder else page.file.parent) / "results" / f"{stem}.json"
    shown = path.relative_to(page.root).as_posix()
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


def _escape(cell: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", cell).replace("\n", " ")
