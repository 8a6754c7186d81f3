"""Graders speak Chinese as well: every message has its line, and finished messages find it."""

import ast
import re
from pathlib import Path

import pytest

from course.chinese import PLACE, Chinese, as_patterns, chinese_of
from course.manifest import ROOT, load_chapters
from utils.file_io_util import read_toml

OWN = ROOT / "course" / "messages.zh.toml"
OUR_FILES = [
    ROOT / "utils" / "grading.py",
    *(ROOT / "course" / f"{n}.py" for n in ("check", "texts")),
]
TABLES = {OWN: OUR_FILES} | {
    chapter.folder / "exercises" / "messages.zh.toml": [
        chapter.folder / "exercises" / "test_exercises.py",
        *sorted((chapter.folder / "exercises").glob("grading*.py")),
    ]
    for chapter in load_chapters()
    if chapter.has_exercises
}


def messages(path: Path) -> list[str]:
    """The texts of more than one word that a file holds, f-strings with {0}, {1} for values."""
    tree = ast.parse(path.read_bytes())
    bodies = [n.body for n in ast.walk(tree) if hasattr(n, "body") and isinstance(n.body, list)]
    docstrings = {id(b[0].value) for b in bodies if b and isinstance(b[0], ast.Expr)}
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.JoinedStr):
            values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
            places = iter(range(len(values)))
            found.append(
                "".join(
                    part.value if isinstance(part, ast.Constant) else f"{{{next(places)}}}"
                    for part in node.values
                )
            )
            for value in values:
                visit(value.value)
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.extend([node.value] if id(node) not in docstrings else [])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    texts = [bare(text) for text in found]
    words = [re.search(r"[A-Za-z]{3,}", PLACE.sub(" ", text)) for text in texts]
    return [t for t, word in zip(texts, words, strict=True) if word and " " in t]


def bare(text: str) -> str:
    """Without what only joins it to its neighbours: spaces, ": ", "; ", ", " and outer brackets."""
    text = text.strip().removeprefix(": ").removeprefix("; ").removeprefix(", ").strip()
    inside = re.fullmatch(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text)
    return inside[1] if inside else text


@pytest.mark.parametrize("table", TABLES, ids=lambda path: f"{path.parent.parent.name}")
def test_every_message_has_its_chinese(table):
    earlier = [t for t in TABLES if t <= table or t == OWN]
    lines = {bare(en) for t in earlier for en in read_toml(t)["messages"]} | {
        text for t in earlier for text in read_toml(t)["same"]
    }
    patterns = [as_patterns(en)[0] for en in lines if PLACE.search(en)]
    missing = [
        text
        for path in TABLES[table]
        for text in messages(path)
        if text not in lines and not any(p.fullmatch(text) for p in patterns if len(p.pattern) > 30)
    ]
    assert missing == []


@pytest.mark.parametrize("table", TABLES, ids=lambda path: f"{path.parent.parent.name}")
def test_both_sides_have_the_same_places(table):
    for english, chinese in read_toml(table)["messages"].items():
        places = PLACE.findall(english)
        assert places == [str(i) for i in range(len(places))], english
        assert set(PLACE.findall(chinese)) == set(places), english
        assert (
            re.search(r"[\u4e00-\u9fff]", chinese)
            or english.startswith(("{0}: ", "f = ", "H = "))
            or places
        ), english


def test_values_inside_a_message_are_said_too(tmp_path):
    table = tmp_path / "messages.toml"
    table.write_text(
        'same = []\n[messages]\n"{0}: expected {1}, got {2}{3}" = "{0}：应为 {1}，得到 {2}{3}"\n'
        '"step {0}" = "第 {0} 步"\n"the sign is wrong" = "符号错了"\n"a, b" = "甲"\n',
        encoding="utf-8",
    )
    say = Chinese([table]).say
    assert (
        say("step 3: expected 1, got -1 (the sign is wrong)")
        == "第 3 步：应为 1，得到 -1（符号错了）"
    )
    assert say("step 3; the sign is wrong") == "第 3 步；符号错了"
    assert say("x = {'a': 1}, y (2, 3)") == "x = {'a': 1}, y (2, 3)"  # no message: left alone


def test_a_long_exception_is_left_alone_and_costs_little():
    chinese = chinese_of(5)
    listed = "RuntimeError: Missing keys: " + ", ".join(f"layer {i}; weight" for i in range(60))
    message = f"{listed}\nmine.py line 3:  f(x)\n{'word, ' * 2000}"
    said = chinese.say(message)
    assert said.startswith(f"{listed}\nmine.py 第 3 行：  f(x)\n") and said.endswith("word, ")
    assert chinese.say.cache_info().currsize < 200


def test_every_chapter_can_be_said():
    for chapter in filter(lambda c: c.has_exercises, load_chapters()):
        assert chinese_of(chapter.number).say("not solved yet") == "尚未完成"
