"""Fills the marked blocks of the READMEs, so that no number in a text is typed by hand.

    <!-- results:activations -->      table "main" of results/activations.json (".other": another)
    <!-- /results -->                 (benchmarks/chapter_01 and chapter_NN_x/NAME: other folders)
    <!-- value:activations:metrics.relu.accuracy_mean:*100.1f -->97.1<!-- /value -->
    <!-- scripts -->   <!-- checkpoints -->   <!-- glossary -->   <!-- notation -->    in chapters
    <!-- chapters -->  <!-- gallery -->                             in the top-level README

Each block ends with its own closing marker. Inside code (fences, backticks) markers are left alone.
"""

import re
from pathlib import Path

from course.blocks import INLINE, RENDERERS, BlockError, Page
from course.cards import cards
from course.manifest import ROOT, load_chapters
from utils.errors import UserError

KINDS = "|".join(RENDERERS)
BLOCK = re.compile(rf"<!-- ({KINDS})(?::(\S+))? -->(.*?)<!-- /\1 -->", re.DOTALL)
MARKER = re.compile(rf"<!--\s*/?({KINDS})\b.*?-->")
CODE = re.compile(
    r"^(```+|~~~+).*?^\1[ \t]*$|(?<!`)(`+)(?!`)[^\n]+?(?<!`)\2(?!`)", re.DOTALL | re.M
)


def sync(root: Path = ROOT, check: bool = False) -> list[str]:
    """Rewrite what is stale (`check`: only name it); returns "README.md:12 results:NAME" lines."""
    chapters = load_chapters(root)
    stale = []
    for file in readmes(root):
        old = file.read_text(encoding="utf-8")
        new, changes = fill(old, Page(root, file, chapters))
        stale += changes
        if changes and not check:
            file.write_text(new, encoding="utf-8", newline="\n")
    for chapter in chapters:
        if not chapter.checkpoints:
            continue
        file, new = chapter.folder / chapter.checkpoint_folder / "README.md", cards(chapter)
        if not file.is_file() or file.read_text(encoding="utf-8") != new:
            stale.append(f"{file.relative_to(root).as_posix()} model cards")
            if not check:
                file.write_text(new, encoding="utf-8", newline="\n")
    return stale


def readmes(root: Path) -> list[Path]:
    """The READMEs of the root, the chapters and the other packages."""
    folders = [root, *sorted(root.glob("chapter_*")), root / "utils", root / "benchmarks"]
    return [file for folder in folders for file in sorted(folder.glob("README*.md"))]


def fill(text: str, page: Page) -> tuple[str, list[str]]:
    """The text with every block rendered again, and the places that changed."""
    name = page.file.relative_to(page.root).as_posix()
    masked = CODE.sub(lambda match: "`" * len(match[0]), text)  # same length: spans stay valid
    _reject_stray_markers(masked, text, name)
    changes: list[str] = []
    pieces, position = [], 0
    for match in BLOCK.finditer(masked):
        old, place = text[slice(*match.span())], f"{name}:{_line(text, match.start())}"
        new = _render(match[1], match[2] or "", place, page)
        if new != old:
            changes.append(f"{place} {match[1]}{':' + match[2] if match[2] else ''}")
        pieces += [text[position : match.start()], new]
        position = match.end()
    return "".join([*pieces, text[position:]]), changes


def _render(kind: str, spec: str, place: str, page: Page) -> str:
    marker = f"{kind}:{spec}" if spec else kind
    try:
        content = RENDERERS[kind](page, spec)
    except BlockError as error:
        raise UserError(f"{place}: {marker}: {error}") from None
    gap = "" if kind in INLINE else "\n\n"  # a blank line, or GitHub shows no table
    return f"<!-- {marker} -->{gap}{content}{gap}<!-- /{kind} -->"


def _reject_stray_markers(masked: str, text: str, name: str) -> None:
    """A marker without its partner would silently never be filled."""
    for match in MARKER.finditer(BLOCK.sub(lambda match: " " * len(match[0]), masked)):
        place = f"{name}:{_line(text, match.start())}"
        raise UserError(f"{place}: {match[0]} has no partner, or is written wrongly.")


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
