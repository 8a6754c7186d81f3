"""What stands between the markers of a document: tables, numbers and code made from data.

Each renderer is a function of the document and of what follows the marker's colon, and returns
Markdown in the document's language. `course.sync` finds the markers and writes the blocks.

    results value       course.measured: tables and numbers out of results/*.json
    code                course.excerpt: lines of a function, class, method or constant
    pages               course.page_list: the table of pages, or a page's way to its neighbours
    checkpoints         course.cards
    thread              course.threads: the rows of all chapters for one and the same work
    scripts glossary notation chapters gallery      here: from chapter.toml and course/*.toml
"""

from collections.abc import Callable
from dataclasses import dataclass

from course.cards import card_table
from course.document import BlockError, Document
from course.excerpt import code
from course.manifest import read_entries
from course.measured import results, value
from course.page_list import pages
from course.tables import markdown_table
from course.threads import thread


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


def scripts(document: Document, spec: str) -> str:
    """The commands of a chapter."""
    header = document.choose(
        "Command|What it shows|Data|Minutes|Files in the run folder",
        "命令|内容|数据|分钟|运行文件夹中的文件",
    )
    rows = [
        [
            f"`{script.command}`",
            document.choose(script.shows, script.shows_zh),
            document.choose(script.data, script.data_zh),
            f"{script.minutes:g}",
            ", ".join(f"`{name}`" for name in script.writes),
        ]
        for script in document.own_chapter("scripts").scripts
    ]
    return markdown_table(header.split("|"), rows, "lllrl")


def checkpoints(document: Document, spec: str) -> str:
    """The trained weights of a chapter, from the metadata inside the files."""
    return card_table(document.own_chapter("checkpoints"), document.language, document.file.parent)


def chapters(document: Document, spec: str) -> str:
    """The chapter map of the top-level README."""
    header = document.choose(
        "#|Chapter|What you build|Hours|Scripts", "#|章节|你将构建什么|学时|脚本数"
    )
    readme = document.choose("README.md", "README.zh-CN.md")
    rows = [
        [
            str(c.number),
            f"[{document.choose(c.title, c.title_zh)}]({c.name}/{readme})",
            document.choose(c.summary, c.summary_zh),
            f"{c.hours:g}",
            str(len({script.file for script in c.scripts})),
        ]
        for c in document.chapters
    ]
    return markdown_table(header.split("|"), rows, "rllrr")


def gallery(document: Document, spec: str) -> str:
    """The pictures that chapters offer for the top-level README."""
    blocks = []
    for chapter in document.chapters:
        for picture in chapter.gallery:
            caption = document.choose(picture.caption, picture.caption_zh)
            blocks.append(f"![{caption}]({chapter.name}/{picture.image})\n\n*{caption}*")
    return "\n\n".join(blocks)


def glossary(document: Document, spec: str) -> str:
    """The terms a chapter introduces (in the top-level README: those of all chapters present)."""
    terms = read_entries(document.root / "course" / "terms.toml", "term", Term)
    names = [term.en.lower() for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise BlockError(f"course/terms.toml defines '{name}' more than once.")
    present = {c.number for c in ([document.chapter] if document.chapter else document.chapters)}
    chosen = sorted((t for t in terms if t.chapter in present), key=lambda term: term.en.lower())
    header = document.choose("Term|Chinese|Meaning", "术语|英文|含义")
    rows = [
        [
            document.choose(t.en, t.zh),
            document.choose(t.zh, t.en),
            document.choose(t.definition, t.definition_zh),
        ]
        for t in chosen
    ]
    return markdown_table(header.split("|"), rows)


def notation(document: Document, spec: str) -> str:
    """The symbols used up to this chapter (top-level README: up to the last one present)."""
    symbols = read_entries(document.root / "course" / "notation.toml", "symbol", Symbol)
    shown = [document.chapter] if document.chapter else document.chapters
    last = max((chapter.number for chapter in shown), default=0)
    header = document.choose("Symbol|Meaning|Where it stands", "符号|含义|出现位置")
    rows = [
        [f"`{s.symbol}`", document.choose(s.en, s.zh), f"`{s.shape}`" if s.shape else ""]
        for s in symbols
        if s.chapter <= last
    ]
    return markdown_table(header.split("|"), rows)


INLINE = {"value"}
RENDERERS: dict[str, Callable[[Document, str], str]] = {
    render.__name__: render
    for render in (
        results, value, code, pages, scripts, checkpoints, chapters, gallery, glossary, notation,
        thread,
    )
}  # fmt: skip
