"""What stands in a document of the course: headings, code, formulas, links, commands; its length.

The tests compare the two languages with these functions and follow the links; `course sync` names
the pages that are too long for one sitting.
"""

import re
import shlex
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

from course.manifest import Chapter
from course.markers import without_tables

# What one page holds at most, generated tables not counted: a sitting of 20 to 40 minutes.
PAGE_LIMITS = {"lines": 350, "KB": 25, "formulas": 120}
FRONT_PAGE_LINES = 250

FENCE = re.compile(r"^(```+)[ ]*(\w*)[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"(?<![`$])(`+)(?!`)[^\n]+?(?<!`)\1(?![`$])")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"")
DISPLAY = re.compile(r"\$\$.+?\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$])\$[^$\n]+?\$")
COMMAND = re.compile(r"\bpython (?:-m )?(chapter_\d\d_\w+|course|benchmarks|utils)\b[^`\n|&;#]*")


def chapter_files(chapter: Chapter, language: str) -> list[Path]:
    """The whole text of a chapter in "en" or "zh": its front page, then its pages in order."""
    front = "README.zh-CN.md" if language == "zh" else "README.md"
    return [
        chapter.folder / name for name in (front, *(p.file_in(language) for p in chapter.pages))
    ]


def chapter_text(chapter: Chapter, language: str) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in chapter_files(chapter, language))


def without_code(text: str) -> str:
    return INLINE_CODE.sub("", FENCE.sub("", text))


def headings(text: str) -> list[str]:
    """The levels: ["#", "##", ...]."""
    return re.findall(r"^(#{1,6}) ", FENCE.sub("", text), re.MULTILINE)


def code_blocks(text: str) -> list[tuple[str, str]]:
    """(language, code without comments); the labels of a diagram may be translated."""
    blocks = []
    for _, language, code in FENCE.findall(text):
        lines = [re.sub(r"(^|\s+)(#|//) .*$", "", line).rstrip() for line in code.splitlines()]
        kept = "" if language in ("mermaid", "text") else "\n".join(line for line in lines if line)
        blocks.append((language, kept))
    return blocks


def links(text: str) -> list[str]:
    """The targets of links and pictures, in order."""
    return [unquote(a or b) for a, b in LINK.findall(without_code(text))]


def images(text: str) -> list[str]:
    return [a or b for a, b in IMAGE.findall(without_code(text))]


def formulas(text: str) -> list[str]:
    """The formulas `$$...$$`, then the formulas `$...$`."""
    text = without_code(text)
    return DISPLAY.findall(text) + INLINE.findall(DISPLAY.sub("", text))


def anchors(text: str) -> set[str]:
    """The link targets GitHub makes from the headings, and explicit ones."""
    titles = re.findall(r"^#{1,6} (.+?)\s*$", FENCE.sub("", text), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", title).lower() for title in titles]
    slugs = [re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain]
    again = {f"{s}-{n}" for s, count in Counter(slugs).items() for n in range(1, count)}
    return {*slugs, *again, *re.findall(r"(?:id|name)=\"([^\"]+)\"", text)}


def commands(text: str) -> list[list[str]]:
    """Every `python ...` command of the course, in a code block or in backticks, as words."""
    code = [block for _, _, block in FENCE.findall(text)]
    code += [match[0] for match in INLINE_CODE.finditer(FENCE.sub("", text))]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(code))  # a line that goes on with a backslash
    return [shlex.split(match[0]) for match in COMMAND.finditer(joined)]


def page_size(text: str) -> dict[str, float]:
    """What is counted against PAGE_LIMITS, without generated tables."""
    text = without_tables(text)
    size = len(text.encode("utf-8")) / 1024
    return {"lines": len(text.splitlines()), "KB": size, "formulas": len(formulas(text))}


def too_long(text: str) -> list[str]:
    """What exceeds the limits of a page, as "380 lines, at most 350"."""
    size = page_size(text)
    return [
        f"{size[kind]:.4g} {kind}, at most {limit}"
        for kind, limit in PAGE_LIMITS.items()
        if size[kind] > limit
    ]
