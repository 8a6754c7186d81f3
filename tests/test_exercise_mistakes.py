"""Typical mistakes in every exercise: the grader calls them wrong and its words name them.

`exercise_mistakes/chapter_NN.toml` holds them: a piece of a solution, what a learner might write in
its place, and words that the message must have.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chapter_01_tensor_autograd.exercises.grading import within
from course.check import check
from course.chinese import chinese_of
from course.manifest import ROOT, load_chapters
from utils.file_io_util import read_toml

TABLES = {
    chapter: read_toml(Path(__file__).parent / "exercise_mistakes" / f"{chapter.name[:10]}.toml")
    for chapter in load_chapters()
    if chapter.has_exercises
}
CASES = [
    pytest.param(chapter, name, mistakes, id=f"{chapter.number}-{name}")
    for chapter, table in TABLES.items()
    for name, mistakes in table.items()
]
# Under -O, too, installed packages come from the usual .pyc files: compiling PyTorch takes seconds.
LIBRARIES = """
import importlib._bootstrap_external as machinery
usual = machinery.cache_from_source
def place(path, debug_override=None, *, optimization=None):
    return usual(path, optimization="" if "site-packages" in path else optimization)
machinery.cache_from_source = place
"""
CHINESE = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile(r"\b(?:the|this|is|are|has|missing|expected|got|to|not|all|of|it)\b")
QUOTED = re.compile("solutions.py line|do not fit|engine said")  # Python's own words follow
each_chapter = pytest.mark.parametrize("chapter", TABLES, ids=lambda chapter: chapter.name)


def with_mistake(source: str, name: str, old: str, new: str) -> str:
    """The solutions with `old` replaced in the exercise `name`."""
    tree = ast.parse(source)
    node = next(n for n in tree.body if getattr(n, "name", "") == name)
    lines = source.splitlines(keepends=True)
    part = "".join(lines[node.lineno - 1 : node.end_lineno])
    assert old in part, f"{name}: '{old}' is not in the solution"
    return "".join([*lines[: node.lineno - 1], part.replace(old, new), *lines[node.end_lineno :]])


@pytest.mark.parametrize(("chapter", "name", "mistakes"), CASES)
def test_the_message_names_the_mistake(chapter, name, mistakes, tmp_path):
    source = (chapter.folder / "exercises" / "solutions.py").read_text(encoding="utf-8")
    file, chinese = tmp_path / "solutions.py", chinese_of(chapter.number)
    for old, new, words in mistakes:
        file.write_text(with_mistake(source, name, old, new), encoding="utf-8")
        (grade,) = check(chapter.number, file, names=[name], seconds=20)
        assert grade.state == "wrong", f"{new!r} is called {grade.state}"
        assert words in grade.message, f"{new!r}: {grade.message}"
        said = chinese.say(grade.message)
        if not QUOTED.search(grade.message):
            assert CHINESE.search(said) and not ENGLISH.search(said), said


@each_chapter
def test_every_exercise_has_mistakes(chapter):
    assert list(TABLES[chapter]) == [grade.name for grade in check(chapter.number)]
    assert all(len(mistakes) >= 4 for mistakes in TABLES[chapter].values())


@pytest.mark.process
def test_wrong_solutions_are_called_wrong_under_optimisation(tmp_path):
    """`python -O` compiles asserts away; the graders keep theirs. One process for all chapters."""
    commands, expected = [], []
    for chapter, table in TABLES.items():
        source = (chapter.folder / "exercises" / "solutions.py").read_text(encoding="utf-8")
        for name, mistakes in table.items():
            source = with_mistake(source, name, *mistakes[0][:2])
        file = tmp_path / f"wrong_{chapter.number}.py"
        file.write_text(source, encoding="utf-8")
        commands.append(["check", str(chapter.number), "--file", str(file)])
        expected.append(f"0 of {len(table)} solved")
    code = LIBRARIES + f"from course.__main__ import main; print([main(c) for c in {commands}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONOPTIMIZE": "2", "PYTHONPATH": str(ROOT)},
    )
    assert str([1] * len(commands)) in done.stdout, done.stderr
    assert re.findall(r"\d+ of \d+ solved", done.stdout) == expected


@pytest.mark.parametrize(("layers", "words"), [(3, "a loop that never ends"), (40, "very slow")])
def test_slow_plans_are_not_called_endless(layers, words):
    def slow(sizes, stop=[]):  # noqa: B006
        while not stop:
            pass

    with pytest.raises(AssertionError, match=words):
        within(0.1, slow, [1] * layers)
    slow.__defaults__[0].append(1)  # let the thread end


@pytest.mark.parametrize(
    ("number", "broken", "old", "new", "waiting"),
    [
        (1, "sum_to_shape", "return gradient.sum", "return gradient.mean", ["matmul_vjp"]),
        (4, "output_size", "// stride + 1", "// stride", ["count_cost", "conv2d"]),
    ],
)
def test_an_exercise_waits_for_the_one_it_calls(number, broken, old, new, waiting, tmp_path):
    (chapter,) = [c for c in TABLES if c.number == number]
    source = (chapter.folder / "exercises" / "solutions.py").read_text(encoding="utf-8")
    file = tmp_path / "mine.py"
    file.write_text(with_mistake(source, broken, old, new), encoding="utf-8")
    for name in waiting:
        (grade,) = check(number, file, names=[name])
        assert grade.state == "waiting" and f"first solve {broken}: {name} calls" in grade.message
