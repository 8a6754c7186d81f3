"""Tasks and hints of exercises, in both languages."""

import re

import pytest

from course.__main__ import main
from course.check import check
from course.manifest import load_chapters
from course.texts import chinese_texts, english_texts, texts
from utils.errors import UserError

CHAPTERS = [chapter for chapter in load_chapters() if chapter.has_exercises]
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@each_chapter
def test_every_exercise_has_its_text_in_both_languages(chapter):
    folder = chapter.folder / "exercises"
    english, chinese = english_texts(folder), chinese_texts(folder)
    names = [grade.name for grade in check(chapter.number)]
    assert list(english) == list(chinese) == names
    for name, text in chinese.items():
        level, minutes = (
            re.search(rf"{word}:\s*(\S+?)\.", english[name])[1]
            for word in ("Difficulty", "Minutes")
        )
        assert f"难度：{level}。时间：{minutes} 分钟。" in text, name
        assert re.findall(r"^提示 (\d)：", text, re.MULTILINE) == ["1", "2", "3"], name
        assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 100, name


@each_chapter
def test_both_texts_have_the_same_numbers(chapter):
    """A size, an example or a limit that changes in one language has to change in the other."""
    folder = chapter.folder / "exercises"
    for name, english in english_texts(folder).items():
        chinese = chinese_texts(folder)[name]
        ours, theirs = (sorted(set(NUMBER.findall(text))) for text in (english, chinese))
        assert ours == theirs, f"{name}: {set(ours) ^ set(theirs)}"


def test_the_command_shows_a_text_and_grades_nothing(capsys):
    assert main(["check", "1", "sum_to_shape", "--text", "--lang", "zh"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("## sum_to_shape\n\n广播的反向计算") and "提示 3" in shown
    assert "numerical_gradient" not in shown and "尚未完成" not in shown
    assert texts(1, [], "en").count("Hint 3:") == len(
        english_texts(CHAPTERS[0].folder / "exercises")
    )


def test_unknown_names_and_missing_files(root, capsys):
    assert main(["check", "1", "halve", "--text"], root) == 2
    assert "Did you mean 'half'?" in capsys.readouterr().err
    with pytest.raises(UserError, match="leave --lang out"):
        texts(1, [], "zh", root)
