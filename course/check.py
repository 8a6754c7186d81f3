"""Grades the exercises of a chapter and says in words what is wrong.

    python -m course check 1                    your work, in chapter_01_*/exercises/exercises.py
    python -m course check 1 --file my_copy.py  the same, from another file
    python -m course check 1 --solutions        the shipped solutions (all pass)

The grader, `test_exercises.py`, has one function `test_<exercise>(ex)` per exercise; `ex` is the
learner's module. pytest runs the same functions through the fixture in the top-level conftest.py.
"""

import ast
import importlib.util
import linecache
import re
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from course.manifest import ROOT, load_chapters
from utils.errors import UserError

SECONDS = 60.0  # an exercise that runs longer is taken for an endless loop
MARKS = {"solved": "ok", "unsolved": "..", "wrong": "XX"}


@dataclass(frozen=True)
class Grade:
    """What became of one exercise."""

    name: str
    state: str  # "solved", "unsolved" or "wrong"
    message: str = ""
    effort: str = ""  # "difficulty 2/5, 15 minutes"


def check(
    number: int,
    file: Path | None = None,
    solutions: bool = False,
    root: Path = ROOT,
    seconds: float = SECONDS,
) -> list[Grade]:
    """Grade chapter `number`: the stub file, `file`, or the solutions."""
    folder = load_chapters(root, [number])[0].folder / "exercises"
    learner = (file or folder / ("solutions.py" if solutions else "exercises.py")).resolve()
    for needed in (learner, folder / "test_exercises.py"):
        if not needed.is_file():
            raise UserError(f"{needed} does not exist; chapter {number} cannot be graded.")
    efforts = read_efforts(folder / "exercises.py")
    grader = load_module(folder / "test_exercises.py")
    tests = {name[5:]: test for name, test in vars(grader).items() if name.startswith("test_")}
    problem, module = _attempt(lambda: load_module(learner), learner, seconds)
    if problem:  # the file itself cannot be imported: no exercise can be solved
        return [Grade(name, "wrong", problem, efforts.get(name, "")) for name in tests]
    return [
        _grade(name, test, module, learner, efforts.get(name, ""), seconds)
        for name, test in tests.items()
    ]


def report(grades: list[Grade], learner: str) -> str:
    """The grades as text, a line an exercise and the messages below it."""
    if len({grade.message for grade in grades}) == 1 and grades[0].state == "wrong":
        return f"{grades[0].message}\n\n0 of {len(grades)} solved ({learner})"
    lines = []
    for grade in grades:
        effort = f"  ({grade.effort})" if grade.effort else ""
        lines.append(f"[{MARKS[grade.state]}] {grade.name}{effort}")
        lines += [f"     {line}" for line in grade.message.splitlines()]
    solved = sum(grade.state == "solved" for grade in grades)
    return "\n".join([*lines, "", f"{solved} of {len(grades)} solved ({learner})"])


def load_module(path: Path) -> ModuleType:
    """Import a Python file by its path, afresh each time and under a name of its own."""
    name = f"{path.parent.parent.name}_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up here
    linecache.checkcache(str(path))
    spec.loader.exec_module(module)
    return module


def read_efforts(path: Path) -> dict[str, str]:
    """Difficulty and minutes from the docstrings of the exercise file, without importing it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, OSError):  # the learner's own file may be broken: grading reports that
        return {}
    efforts = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node) or ""
            level = re.search(r"Difficulty:\s*(\d/5)", text)
            minutes = re.search(r"Minutes:\s*(\d+)", text)
            parts = [f"difficulty {level[1]}"] if level else []
            efforts[node.name] = ", ".join(parts + ([f"{minutes[1]} minutes"] if minutes else []))
    return efforts


def _grade(
    name: str, test: Callable, module: ModuleType, learner: Path, effort: str, seconds: float
) -> Grade:
    if not hasattr(module, name):
        return Grade(name, "wrong", f"{learner.name} has no function or class '{name}'.", effort)
    problem, _ = _attempt(lambda: test(module), learner, seconds)
    if problem is None:
        return Grade(name, "solved", "", effort)
    return Grade(name, "unsolved" if problem == "not solved yet" else "wrong", problem, effort)


def _attempt(action: Callable[[], Any], learner: Path, seconds: float) -> tuple[str | None, Any]:
    """Run `action` in a thread that may be abandoned; (problem in words or None, its result)."""
    outcome: dict[str, Any] = {}

    def target() -> None:
        try:
            outcome["result"] = action()
        except BaseException as error:  # also SystemExit: a learner's file must not end the check
            outcome["problem"] = _in_words(error, learner)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return f"still running after {seconds:.0f} s: is there a loop that never ends?", None
    return outcome.get("problem"), outcome.get("result")


def _in_words(error: BaseException, learner: Path) -> str:
    """What went wrong, and where in the learner's own file."""
    if isinstance(error, NotImplementedError):
        return "not solved yet"
    if isinstance(error, SyntaxError) and error.filename == str(learner):
        return f"{learner.name} line {error.lineno}: {error.msg}:  {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AssertionError):
        return str(error) or f"this check does not hold:  {frames[-1].line}"
    own = [frame for frame in frames if Path(frame.filename) == learner]
    place = f"\n{learner.name} line {own[-1].lineno}:  {own[-1].line}" if own else ""
    return f"{type(error).__name__}: {error}{place}"
