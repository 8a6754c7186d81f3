"""Fills the marked blocks of READMEs and pages, so that no number in a text is typed by hand.

    <!-- results:activations -->      table "main" of results/activations.json (".other": another)
    <!-- /results -->                 (benchmarks/chapter_01 and chapter_NN_x/NAME: other folders)
    <!-- value:activations:metrics.relu.accuracy_mean:*100.1f -->97.1<!-- /value -->
    <!-- code:optimizers/classic.py:Adam.rule -->        lines of the chapter's code: course.excerpt
    <!-- pages -->          the list of pages on a front page; previous and next on a page
    <!-- thread:language_models -->   the rows of all chapters for the same work: course.threads
    <!-- scripts -->   <!-- checkpoints -->   <!-- glossary -->   <!-- notation -->    in chapters
    <!-- chapters -->  <!-- gallery -->                             in the top-level README

Each block ends with its own closing marker. In a page (chapter_NN_x/docs/*.md) names and files are
those of the chapter, links are relative to the page. Inside code (fences, backticks) markers are
left alone.
"""

import re
from pathlib import Path

from course.blocks import INLINE, RENDERERS
from course.cards import cards
from course.document import BlockError, Document
from course.manifest import ROOT, load_chapters
from course.markers import MARKER, PART
from course.reading import too_long
from utils.errors import UserError


def sync(root: Path = ROOT, check: bool = False) -> list[str]:
    """Rewrite what is stale (`check`: only name it); returns "README.md:12 results:NAME" lines.

    A document with a marker that cannot be filled stays as it is; UserError names all of them.
    """
    chapters = load_chapters(root)
    stale, wrong = [], []
    for file in documents(root):
        old = file.read_text(encoding="utf-8")
        try:
            new, changes = fill(old, Document(root, file, chapters))
        except UserError as error:
            wrong.append(str(error))
            continue
        stale += changes
        if changes and not check:
            file.write_text(new, encoding="utf-8", newline="\n")
    if wrong:
        raise UserError("\n".join(wrong))
    for chapter in chapters:
        if not chapter.checkpoints:
            continue
        file, new = chapter.folder / chapter.checkpoint_folder / "README.md", cards(chapter)
        if not file.is_file() or file.read_text(encoding="utf-8") != new:
            stale.append(f"{file.relative_to(root).as_posix()} model cards")
            if not check:
                file.write_text(new, encoding="utf-8", newline="\n")
    return stale


def long_pages(root: Path) -> list[str]:
    """The pages that do not fit into one sitting, as "docs/01_x.md: 380 lines, at most 350"."""
    pages = [file for file in documents(root) if file.parent.name == "docs"]
    return [
        f"{file.relative_to(root).as_posix()}: {'; '.join(excess)}"
        for file in pages
        if (excess := too_long(file.read_text(encoding="utf-8")))
    ]


def documents(root: Path) -> list[Path]:
    """The READMEs of the root, the chapters and the other packages, and the chapters' pages."""
    folders = [root]
    for chapter in sorted(root.glob("chapter_*")):
        folders += [chapter, chapter / "docs"]
    folders += [root / "utils", root / "benchmarks"]
    return [
        file
        for folder in folders
        for file in sorted(folder.glob("*.md" if folder.name == "docs" else "README*.md"))
    ]


def fill(text: str, document: Document) -> tuple[str, list[str]]:
    """The text with every block rendered again, and the places that changed; or UserError."""
    name = document.file.relative_to(document.root).as_posix()
    _reject_stray_markers(text, name)
    changes: list[str] = []
    wrong: list[str] = []

    def rendered(match: re.Match[str]) -> str:
        if match["kind"] is None:  # code
            return match[0]
        marker = f"{match['kind']}:{match['spec']}" if match["spec"] else match["kind"]
        place = f"{name}:{_line(text, match.start())}"
        try:
            new = _render(marker, document)
        except BlockError as error:
            wrong.append(f"{place}: {marker}: {error}")
            return match[0]
        if new != match[0]:
            changes.append(f"{place} {marker}")
        return new

    new_text = PART.sub(rendered, text)
    if wrong:
        raise UserError("\n".join(wrong))
    return new_text, changes


def _render(marker: str, document: Document) -> str:
    kind, _, spec = marker.partition(":")
    content = RENDERERS[kind](document, spec)
    gap = "" if kind in INLINE else "\n\n"  # a blank line, or GitHub shows no table
    return f"<!-- {marker} -->{gap}{content}{gap}<!-- /{kind} -->"


def _reject_stray_markers(text: str, name: str) -> None:
    """A marker without its partner would silently never be filled."""
    rest = PART.sub(lambda match: " " * len(match[0]), text)  # same length: positions stay
    for match in MARKER.finditer(rest):
        place = f"{name}:{_line(text, match.start())}"
        raise UserError(f"{place}: {match[0]} has no partner, or is written wrongly.")


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
