"""Grading exercises: every way to fail is told in words."""

import os
import subprocess
import sys

import pytest

from course.__main__ import main
from course.check import check, report
from course.manifest import ROOT
from utils.errors import UserError


def grade(root, **options):
    return {g.name: g for g in check(1, root=root, **options)}


def test_stubs_are_unsolved(root):
    grades = grade(root)
    assert [g.state for g in grades.values()] == ["unsolved", "unsolved"]
    text = report(list(grades.values()), "exercises.py")
    assert "double  (difficulty 1/5, 5 minutes)" in text
    assert "not solved yet" in text and text.endswith("0 of 2 solved (exercises.py)")


def test_solutions_pass(root):
    grades = grade(root, solutions=True)
    assert {g.state for g in grades.values()} == {"solved"}
    assert "2 of 2 solved" in report(list(grades.values()), "solutions.py")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return x", "double(3) is 6: add x to itself"),
        ("return y", "NameError: name 'y' is not defined\nexercises.py line 6:  return y"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        (
            "__import__('time').sleep(3)",
            "after 0.3 s it is still running: a loop that never ends, or very slow; the shipped ",
        ),
    ],
)
def test_what_is_wrong(root, edit, body, message):
    edit("exercises/exercises.py", "raise NotImplementedError\n\ndef half", f"{body}\n\ndef half")
    grades = grade(root, seconds=0.3 if "sleep" in body else 60)
    assert grades["double"].state == "wrong"
    assert message in grades["double"].message
    assert grades["half"].state == "unsolved"  # the others are still graded


def test_check_without_a_message_shows_the_check(root, edit):
    edit("exercises/solutions.py", "x / 2", "x // 2")
    assert "isclose(ex.half(3), 1.5)" in grade(root, solutions=True)["half"].message


def test_own_file_and_missing_function(root, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def half(x):\n    return x / 2\n", encoding="utf-8")
    grades = grade(root, file=mine)
    assert grades["half"].state == "solved"
    assert grades["half"].effort == "difficulty 2/5, 10 minutes"  # known from the stub
    assert "no function or class 'double'" in grades["double"].message


def test_syntax_error_is_reported_once_with_its_line(root, edit):
    edit("exercises/exercises.py", "def half(x):", "def half(x:")
    text = report(check(1, root=root), "exercises.py")
    assert text.count("exercises.py line") == 1 and "line 8" in text and "0 of 2 solved" in text


def test_a_second_check_sees_the_edited_file(root, edit):
    assert grade(root)["half"].state == "unsolved"
    edit("exercises/exercises.py", "raise NotImplementedError", "return 2 * x")
    assert grade(root)["double"].state == "solved"


def test_missing_files_and_chapters(root, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        check(1, file=tmp_path / "absent.py", root=root)
    with pytest.raises(UserError, match="no chapter 9"):
        check(9, root=root)


def test_some_exercises_by_name(root, capsys):
    assert main(["check", "1", "--solutions", "half"], root) == 0
    shown = capsys.readouterr().out
    assert "half" in shown and "double" not in shown and "1 of 1 solved" in shown
    assert [g.name for g in check(1, root=root, names=["half", "double"])] == ["double", "half"]


def test_an_unknown_exercise_is_told_with_the_nearest_one(root, capsys):
    assert main(["check", "1", "half", "--lang", "zh"], root) == 1
    assert "check 1 NAME --text --lang zh" in capsys.readouterr().out
    assert main(["check", "1", "halve"], root) == 2
    assert "only: double, half. Did you mean 'half'?" in capsys.readouterr().err


def test_an_exercise_that_calls_a_broken_one_waits_for_it(root, edit):
    edit("exercises/exercises.py", "raise NotImplementedError\n\ndef half", "return x\n\ndef half")
    edit("exercises/exercises.py", "raise NotImplementedError", "return double(x) / 4")
    grades = grade(root)
    assert grades["double"].state == "wrong" and grades["half"].state == "waiting"
    assert "first solve double: half calls it" in grades["half"].message
    alone = check(1, root=root, names=["half"])  # the called one is looked at all the same
    assert [g.message for g in alone] == [grades["half"].message]


def test_a_broken_call_does_not_excuse_the_own_mistake(root, edit):
    edit("exercises/exercises.py", "raise NotImplementedError\n\ndef half", "return x\n\ndef half")
    edit("exercises/exercises.py", "raise NotImplementedError", "return double(x) / 5")
    message = grade(root)["half"].message
    assert "isclose(ex.half(3), 1.5)" in message and "It calls double" in message


def test_a_call_of_an_unsolved_exercise(root, edit):
    stub = 'Hint 1: divide."""\n    raise NotImplementedError'
    through = 'Hint 1: divide."""\n    return helper(x)\n\ndef helper(x):\n    return double(x) / 4'
    edit("exercises/exercises.py", stub, through)
    grades = grade(root)
    assert grades["double"].state == "unsolved" and grades["half"].state == "waiting"


def test_an_endless_loop_is_ended_and_told_with_its_line(root, edit):
    endless = "while True:\n        x += 1\n\ndef half"
    edit("exercises/exercises.py", "raise NotImplementedError\n\ndef half", endless)
    message = grade(root, seconds=0.3)["double"].message
    assert "exercises.py line " in message and "--seconds 3" in message


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none(root, seconds, capsys):
    assert main(["check", "1", "--seconds", seconds], root) == 2
    assert "is no time limit" in capsys.readouterr().err


@pytest.mark.process
@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_asserts_of_graders_their_modules_and_learners_stand_under_optimisation(root, edit, flag):
    (root / "chapter_01_tiny/exercises/words.py").write_text(
        "def same(a, b):\n    assert a == b, f'{a} is not {b}'\n", encoding="utf-8"
    )
    new = "from chapter_01_tiny.exercises.words import same\n    same(ex.half(3), 1.5)"
    edit("exercises/test_exercises.py", "assert isclose(ex.half(3), 1.5)", new)
    edit("exercises/solutions.py", "2 * x", "x")
    edit("exercises/solutions.py", "return x / 2", "assert x != 3, 'own assert'\n    return x")
    code = f"import sys; from course.__main__ import *; sys.exit(main(['check', '1', '--solutions'], Path({str(root)!r})))"  # noqa: E501
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(root)])}
    for own, words in (("assert x != 3, 'own assert'", "own assert"), ("pass", "3 is not 1.5")):
        path = root / "chapter_01_tiny/exercises/solutions.py"
        path.write_text(path.read_text().replace("assert x != 3, 'own assert'", own))
        command = [sys.executable, flag, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 1 and "0 of 2 solved" in done.stdout
        assert words in done.stdout and "double(3) is 6" in done.stdout


SOLVED = "def double(x):\n    # 两倍\n    return 2 * x\n\n\ndef half(x):\n    return x / 2\n"


@pytest.mark.parametrize(
    "content",
    [
        SOLVED.encode("utf-8-sig"),
        ("# -*- coding: gbk -*-\n" + SOLVED).encode("gbk"),
        ("\n# vim: set fileencoding=gb18030 :\n" + SOLVED).encode("gb18030"),
        SOLVED.replace("\n", "\r\n").encode(),
    ],
    ids=["byte order mark", "coding cookie", "cookie in line 2", "Windows lines"],
)
def test_a_file_may_say_its_encoding(root, tmp_path, content):
    mine = tmp_path / "mine.py"
    mine.write_bytes(content)
    assert {g.state for g in check(1, file=mine, root=root)} == {"solved"}


def test_a_byte_order_mark_keeps_the_difficulty(root):
    stubs = root / "chapter_01_tiny" / "exercises" / "exercises.py"
    stubs.write_bytes(b"\xef\xbb\xbf" + stubs.read_bytes())
    assert grade(root)["double"].effort == "difficulty 1/5, 5 minutes"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (SOLVED.encode("gbk"), 2),
        (SOLVED.replace("2 * x", "'两'").encode("gbk"), 2),
        (SOLVED.encode("utf-16"), 1),
        (b"# coding: nonsense\n" + SOLVED.encode(), 1),
    ],
    ids=["a comment in GBK", "a text in GBK", "UTF-16", "an unknown name"],
)
@pytest.mark.parametrize("name", ["mine.py", "exercises.py"])
def test_another_encoding_is_one_sentence(root, tmp_path, content, line, name):
    mine = tmp_path / "mine.py"
    if name == "exercises.py":
        mine = root / "chapter_01_tiny" / "exercises" / name
    mine.write_bytes(content)
    text = report(check(1, file=mine, root=root), name)
    assert text == (
        f"{name} line {line}: not UTF-8: save the file as UTF-8, or name its encoding in the first "
        f"line:  # -*- coding: gbk -*-\n\n0 of 2 solved ({name})"
    )
