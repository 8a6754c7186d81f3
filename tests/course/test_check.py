"""Grading exercises: every way to fail is told in words."""

import pytest

from course.check import check, report
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
        ("__import__('time').sleep(3)", "still running after 0 s"),
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
