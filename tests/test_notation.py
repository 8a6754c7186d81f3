"""One letter, one meaning: in the texts, and in the words of the figures."""

import ast
import re
from pathlib import Path

import pytest

from course.manifest import ROOT, load_chapters
from course.markers import without_tables
from course.reading import chapter_files

CHAPTERS = {chapter.number: chapter for chapter in load_chapters()}
TEXTS = [f for c in CHAPTERS.values() for lang in ("en", "zh") for f in chapter_files(c, lang)]
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$", re.DOTALL)
WORDS = ("label", "title", "xlabel", "ylabel", "set_title", "set_xlabel", "set_ylabel", "suptitle")
RAW = re.compile(
    r"\b(?:sqrt|exp|log)\(|\b(?:eta|eps|beta|theta|lambda|phi)[_^(']|[A-Za-z)]\^[\d(a-z]"
)


def formulas(path: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return MATHS.findall(text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_the_expectation_has_one_symbol(path):
    """A plain E in front of a bracket is an expectation in a second dress."""
    plain = re.compile(r"(?<![A-Za-z\\{])E(?:_D)? *(?:\\[bB]igg? *)?(?:\[|\\lVert)")
    assert [formula for formula in formulas(path) if plain.search(formula)] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_chapter_3_keeps_its_letters(language):
    """h are eigenvalues, lambda is a strength, N counts samples; P is named before it is used."""
    front, *pages = chapter_files(CHAPTERS[3], language)
    wrong = re.compile(r"\\lambda_(?:i\b|\{?max)|\bE_\{min\}")
    assert not [f for path in (front, *pages) for f in formulas(path) if wrong.search(f)]
    # The theory: the pages, or what the README has of it while there are none.
    text = "\n".join(without_tables(path.read_text("utf-8")) for path in pages)
    text = text or front.read_text("utf-8").partition("### 1. ")[2]
    first = text.index("preconditione" if language == "en" else "预条件")
    assert "P^{-1} g_t$" in text[first - 120 : first]  # the sentence that defines it


def drawn_words() -> list[tuple[str, str]]:
    """(file, text) of every literal label, title and axis text of the chapters' figures."""
    found = []
    for path in sorted(ROOT.glob("chapter_0*/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            values = [k.value for k in node.keywords if k.arg in WORDS]
            values += node.args[:1] if name in WORDS else []
            for value in values:
                parts = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant)]
                texts = "".join(part for part in parts if isinstance(part, str))
                found.append((f"{path.parent.name}/{path.name}", texts))
    return found


def test_figures_write_formulas_as_formulas():
    """Not "eta_max", "sqrt(n)" or "R^n" in raw letters; what stands between $ is set as maths."""
    words = [(where, re.sub(r"\$[^$]*\$", "", text)) for where, text in drawn_words()]
    assert len(words) > 150
    assert [(where, text) for where, text in words if RAW.search(text)] == []
