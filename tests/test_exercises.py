"""The exercises of each chapter: graders fail on the stubs and pass on the solutions."""

import ast
import re
from pathlib import Path

import pytest

from course.check import check
from course.manifest import Chapter, load_chapters

CHAPTERS = [chapter for chapter in load_chapters() if chapter.has_exercises]
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


@each_chapter
def test_no_stub_passes(chapter: Chapter):
    grades = check(chapter.number)
    assert len(grades) >= 6
    assert {grade.name: grade.state for grade in grades} == dict.fromkeys(
        [grade.name for grade in grades], "unsolved"
    )


@each_chapter
def test_every_solution_passes(chapter: Chapter):
    wrong = {
        g.name: g.message for g in check(chapter.number, solutions=True) if g.state != "solved"
    }
    assert not wrong


@each_chapter
def test_stubs_tell_difficulty_minutes_and_a_hint(chapter: Chapter):
    stubs = definitions(chapter.folder / "exercises" / "exercises.py")
    for grade in check(chapter.number):
        text = ast.get_docstring(stubs[grade.name]) or ""
        for wanted in (r"Difficulty: [1-5]/5", r"Minutes: \d+", r"Hint 1:"):
            assert re.search(wanted, text), f"{grade.name}: no '{wanted}' in the docstring"


@each_chapter
def test_solutions_have_the_signatures_of_the_stubs(chapter: Chapter):
    folder = chapter.folder / "exercises"
    stubs, solutions = definitions(folder / "exercises.py"), definitions(folder / "solutions.py")
    for grade in check(chapter.number):
        assert signature(stubs[grade.name]) == signature(solutions[grade.name]), grade.name


@each_chapter
def test_exercises_use_no_later_chapter_and_graders_no_solutions(chapter: Chapter):
    for path in (chapter.folder / "exercises").glob("*.py"):
        modules = imported(path)
        numbers = [int(m[1]) for name in modules if (m := re.match(r"chapter_(\d\d)_", name))]
        assert all(number <= chapter.number for number in numbers), path
        if path.name != "solutions.py":
            assert not any("solutions" in name for name in modules), path


def definitions(path: Path) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a file, by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """The arguments, without annotations, of a function or of each method of a class."""
    if isinstance(node, ast.ClassDef):
        methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
        return "; ".join(f"{n.name}({signature(n)})" for n in methods if n.name == "__init__")
    names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
    return ", ".join([*names, *(argument.arg for argument in node.args.kwonlyargs)])


def imported(path: Path) -> list[str]:
    """The modules a file imports anywhere."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names
