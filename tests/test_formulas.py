"""Formulas as GitHub shows them: it treats a text as Markdown first, and finds the maths after."""

import re
from pathlib import Path

import pytest

from course.manifest import ROOT
from course.reading import DISPLAY, FENCE, INLINE
from course.sync import documents

CODE = re.compile(r"(?<!`)(`+)(?!`)[^\n]+?(?<!`)\1(?!`)")
# Markdown takes the backslash of `\,` or `\{` away. It leaves a `\\` alone that ends its line, and
# a backslash before a space.
ESCAPED = re.compile(r"\\\\(?!\n)|\\[!-/:-@\[\]^-`{-~]")
MARKUP = re.compile(r"<[A-Za-z/!]|\]\(")  # a tag, a link


def blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])  # same length: positions and lines stay


def troubles(text: str) -> list[str]:
    """The formulas that GitHub would show as raw text or with letters missing, and why."""
    text = FENCE.sub(blank, text)
    displayed = [match[0] for match in DISPLAY.finditer(CODE.sub(blank, text))]
    text = DISPLAY.sub(blank, CODE.sub(lambda match: "x" * len(match[0]), text))
    found = []
    for formula in [*displayed, *INLINE.findall(text)]:
        found += [f"{m[0]!r} in {formula}" for m in ESCAPED.finditer(formula)]
        found += [f"Markdown in {formula}" for _ in MARKUP.findall(formula)]
    for match in INLINE.finditer(text):
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        if before and not before.isspace() and before not in "(*_":
            found.append(f"no space before {match[0]}, but {before!r}")
        if after.isalnum():
            found.append(f"no space behind {match[0]}, but {after!r}")
    alone = [line for line in INLINE.sub("", text).splitlines() if re.search(r"(?<!\\)\$", line)]
    return found + [f"a formula over two lines, or a lone $: {line}" for line in alone]


@pytest.mark.parametrize(
    "file", documents(ROOT), ids=lambda file: file.relative_to(ROOT).as_posix()
)
def test_github_shows_every_formula(file: Path):
    assert troubles(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("So, $x$ and ($y$), **$z$**: $`a`$ \\$5\n\n$$\na \\\\\n\\ b\n$$\n`$` a $b$\n", ""),
        ("则 $x$、 $y$。", ""),
        ("则 $x$、$y$。", "no space before $y$, but '、'"),
        ("the $i$th", "no space behind $i$, but 't'"),
        ("长 $x$米", "no space behind $x$, but '米'"),
        (r"$a \, b$", r"in $a \, b$"),
        ("$$\n\\{ a \\}\n$$", "'\\\\{' in "),
        ("$$\na \\\\ b\n$$", "'\\\\\\\\' in "),
        ("$a <b$", "Markdown in $a <b$"),
        ("$[a](b)$", "Markdown in $[a](b)$"),
        ("$a\n+ b$", "a formula over two lines"),
    ],
)
def test_troubles_are_seen(text, words):
    found = troubles(text)
    assert not found if not words else any(words in line for line in found)
