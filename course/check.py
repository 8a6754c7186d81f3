"""Grades the exercises of a chapter and says in words what is wrong.

    python -m course check 1                    your work, in chapter_01_*/exercises/exercises.py
    python -m course check 1 sum_to_shape       one exercise of it, or several
    python -m course check 1 --file my_copy.py  the same, from another file
    python -m course check 1 --solutions        the shipped solutions (all pass)

The grader, `test_exercises.py`, has one function `test_<exercise>(ex)` per exercise; `ex` is the
learner's module. pytest runs the same functions through the fixture in the top-level conftest.py.
Messages are English here; `report` can say them in Chinese.
"""

import ast
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from course.attempt import Attempt, attempt
from course.chinese import Chinese
from course.loading import load_module
from course.manifest import ROOT, load_chapters
from utils.errors import UserError

SECONDS = 60.0  # how long one exercise may run
MARKS = {"solved": "ok", "unsolved": "..", "wrong": "XX", "waiting": "->"}


@dataclass(frozen=True)
class Grade:
    """What became of one exercise."""

    name: str
    state: str  # "solved", "unsolved", "wrong", or "waiting" for another exercise that it calls
    message: str = ""
    effort: str = ""  # "difficulty 2/5, 15 minutes"


def check(
    number: int,
    file: Path | None = None,
    solutions: bool = False,
    root: Path = ROOT,
    seconds: float = SECONDS,
    names: Sequence[str] = (),
) -> list[Grade]:
    """Grade chapter `number`, or its exercises `names`: the stubs, `file`, or the solutions."""
    if not 0 < seconds <= 86_400:
        raise UserError(f"--seconds {seconds:g} is no time limit: 1 to 86400 are possible.")
    folder = load_chapters(root, [number])[0].folder / "exercises"
    learner = (file or folder / ("solutions.py" if solutions else "exercises.py")).resolve()
    for needed in (learner, folder / "test_exercises.py"):
        if not needed.is_file():
            raise UserError(f"{needed} does not exist; chapter {number} cannot be graded.")
    grader = load_module(folder / "test_exercises.py")
    tests = {name[5:]: test for name, test in vars(grader).items() if name.startswith("test_")}
    efforts = read_efforts(folder / "exercises.py")
    wanted = chosen(names, list(tests))
    loaded = attempt(lambda: load_module(learner), learner, seconds)
    if loaded.finished and loaded.error is None:
        grading = Grading(tests, loaded.result, learner, seconds, efforts, folder)
        return [grading.grade(name) for name in wanted]
    problem = in_words(loaded, learner, seconds)  # no exercise of it can be solved
    return [Grade(name, "wrong", problem, efforts.get(name, "")) for name in wanted]


def chosen(names: Sequence[str], exercises: list[str]) -> list[str]:
    """`names` in the order of the exercises; all of them if there are none."""
    for name in names:
        if name not in exercises:
            near = get_close_matches(name, exercises, n=1, cutoff=0.5)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            known = ", ".join(exercises)
            raise UserError(f"There is no exercise '{name}' here, only: {known}.{guess}")
    return [name for name in exercises if name in names or not names]


def report(grades: list[Grade], learner: str, chinese: Chinese | None = None) -> str:
    """The grades as text, a line an exercise and the messages below it."""
    say = chinese.say if chinese else str
    first = grades[0]
    if len(grades) > 1 and {(g.state, g.message) for g in grades} == {("wrong", first.message)}:
        lines = [*say(first.message).splitlines(), ""]  # the file itself cannot be loaded
    else:
        lines = []
        for grade in grades:
            effort = f"  ({say(grade.effort)})" if grade.effort else ""
            lines.append(f"[{MARKS[grade.state]}] {grade.name}{effort}")
            lines += [f"     {line}" for line in say(grade.message).splitlines()]
        lines.append("")
    solved = sum(grade.state == "solved" for grade in grades)
    return "\n".join([*lines, say(f"{solved} of {len(grades)} solved ({learner})")])


def where_to_read(number: int, chinese: Chinese | None = None) -> str:
    """The command that shows the task and the hints of an exercise."""
    words = f"task and hints of one: python -m course check {number} NAME --text"
    return f"{chinese.say(words)} --lang zh" if chinese else words


def read_efforts(path: Path) -> dict[str, str]:
    """Difficulty and minutes from the docstrings of the exercise file, without importing it."""
    efforts = {}
    for name, node in definitions(path).items():
        text = ast.get_docstring(node) or ""
        level = re.search(r"Difficulty:\s*(\d/5)", text)
        minutes = re.search(r"Minutes:\s*(\d+)", text)
        parts = [f"difficulty {level[1]}"] if level else []
        efforts[name] = ", ".join(parts + ([f"{minutes[1]} minutes"] if minutes else []))
    return efforts


def definitions(path: Path) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a file by name; none if it cannot be read."""
    try:
        tree = ast.parse(path.read_bytes())  # bytes: Python itself finds the encoding
    except (SyntaxError, ValueError, OSError):  # the learner's file may be broken: grading tells
        return {}
    return {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def callees(path: Path) -> dict[str, set[str]]:
    """For each function and class of a file, the others that it uses, also through a third one."""
    nodes = definitions(path)
    uses = {
        name: {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} & (set(nodes))
        for name, node in nodes.items()
    }
    for _ in nodes:
        uses = {name: near.union(*(uses[other] for other in near)) for name, near in uses.items()}
    return {name: reached - {name} for name, reached in uses.items()}


@dataclass
class Grading:
    """One run of a chapter's grader over a learner's module; each exercise is graded once."""

    tests: dict[str, Callable]
    module: ModuleType
    learner: Path
    seconds: float
    efforts: dict[str, str]
    folder: Path  # of the shipped solutions
    grades: dict[str, Grade] = field(default_factory=dict)

    def grade(self, name: str) -> Grade:
        if name not in self.grades:
            self.grades[name] = Grade(name, "wrong")  # if its callees call it in turn
            self.grades[name] = Grade(name, *self.judge(name), self.efforts.get(name, ""))
        return self.grades[name]

    def judge(self, name: str) -> tuple[str, str]:
        """(state, message) of one exercise."""
        if not hasattr(self.module, name):
            return "wrong", f"{self.learner.name} has no function or class '{name}'."
        run = self.run(name)
        if run.passed:
            return "solved", ""
        needs = callees(self.learner).get(name, set())
        broken = [n for n in self.tests if n in needs and self.grade(n).state != "solved"]
        if broken and (verdict := self.blame(name, broken)):
            return verdict
        return self.verdict(name, run)

    def run(self, name: str) -> Attempt:
        return attempt(lambda: self.tests[name](self.module), self.learner, self.seconds)

    def verdict(self, name: str, run: Attempt) -> tuple[str, str]:
        if isinstance(run.error, NotImplementedError):
            return "unsolved", "not solved yet"
        if run.finished:
            return "wrong", in_words(run, self.learner, self.seconds)
        return "wrong", in_words(run, self.learner, self.seconds, self.time_of_solution(name))

    def blame(self, name: str, broken: list[str]) -> tuple[str, str] | None:
        """Is it this exercise, or the broken ones that it calls? Try it with the solutions' own."""
        solutions = self.solutions()
        if solutions is None:
            return None
        kept = {other: getattr(self.module, other, None) for other in broken}
        for other in broken:
            setattr(self.module, other, getattr(solutions, other))
        run = self.run(name)
        for other, own in kept.items():
            setattr(self.module, other, own)
        both = " and ".join(broken)
        if run.passed:
            return "waiting", f"first solve {both}: {name} calls it, and is right but for that."
        state, message = self.verdict(name, run)
        if state == "wrong":
            message += f"\n(It calls {both}, which still fails too; first mend what it calls.)"
        return state, message

    def solutions(self) -> ModuleType | None:
        path = self.folder / "solutions.py"
        return load_module(path) if path.is_file() and path != self.learner else None

    def time_of_solution(self, name: str) -> float | None:
        """Seconds that the grader takes with the shipped solution."""
        solutions = self.solutions()
        if solutions is None:
            return None
        run = attempt(lambda: self.tests[name](solutions), self.learner, self.seconds)
        return run.seconds if run.passed else None


def in_words(run: Attempt, learner: Path, limit: float, usual: float | None = None) -> str:
    """What went wrong, and where in the learner's own file."""
    if not run.finished:
        than = f"; the shipped solution takes {max(usual, 0.1):.1f} s" if usual is not None else ""
        return (
            f"after {limit:g} s it is still running: a loop that never ends, or very slow{than} "
            f"(for more time: --seconds {10 * limit:.0f}){run.place}"
        )
    error = run.error
    if isinstance(error, SyntaxError) and error.filename == str(learner):
        return f"{learner.name} line {error.lineno}: {error.msg}:  {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) == learner]
    if isinstance(error, AssertionError) and (not own or frames[-1].filename != str(learner)):
        return str(error) or f"this check does not hold:  {frames[-1].line}"
    place = f"\n{learner.name} line {own[-1].lineno}:  {own[-1].line}" if own else ""
    return f"{type(error).__name__}: {error}{place}"
