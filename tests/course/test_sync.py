"""The marked blocks of the READMEs."""

import pytest

from course.sync import sync
from utils.errors import UserError
from utils.file_io_util import read_json, write_json

TERMS = """
[[term]]
en = "Zero"
zh = "零"
definition = "nothing"
definition_zh = "没有"
chapter = 1
[[term]]
en = "axis"
zh = "轴"
definition = "a direction"
definition_zh = "方向"
chapter = 1
[[term]]
en = "later"
zh = "以后"
definition = "x"
definition_zh = "x"
chapter = 2
"""
NOTATION = """
[[symbol]]
symbol = "B"
en = "batch"
zh = "批次"
shape = "(B, D)"
chapter = 1
[[symbol]]
symbol = "T"
en = "time"
zh = "时间"
chapter = 6
"""


def fill(root, text, name="chapter_01_tiny/README.md"):
    """The README after one sync."""
    readme = root / name
    readme.write_text(text, encoding="utf-8")
    sync(root)
    return readme.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def lists(root):
    (root / "course").mkdir()
    (root / "course/terms.toml").write_text(TERMS, encoding="utf-8")
    (root / "course/notation.toml").write_text(NOTATION, encoding="utf-8")


def test_results_table_in_both_languages(root):
    block = "<!-- results:errors -->\nstale\n<!-- /results -->\n"
    assert fill(root, block) == (
        "<!-- results:errors -->\n\n"
        "| Case | Error |\n| --- | ---: |\n| first | 0.50 ± 0.12 |\n| x\\|y | – |\n\n"
        "<!-- /results -->\n"
    )
    assert "| 情形 | 误差 |" in fill(root, block, "chapter_01_tiny/README.zh-CN.md")


def test_a_column_of_names_stands_at_the_left_whatever_its_format(root):
    path = root / "chapter_01_tiny/results/errors.json"
    result = read_json(path)
    result["tables"]["main"]["columns"][0]["format"] = None
    write_json(path, result)
    block = "<!-- results:errors --><!-- /results -->"
    assert "| Case | Error |\n| --- | ---: |\n| first" in fill(root, block)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("errors:metrics.a.0.1:.2f", "0.46"),
        ("errors:metrics.a.0.1:*100.1f", "45.7"),
        ("errors:metrics.a.0.1", "0.4567"),
        ("errors:tables.main.rows.0.1:.3f", "0.500 ± 0.125"),
        ("errors:tables.main.rows.0.0", "first"),
        ("errors:tables.main.rows.0.1:*2.1f", "1.0 ± 0.2"),
        ("errors:tables.main.rows.0.1:+.1f", "+0.5 ± 0.1"),
        ("chapter_01_tiny/errors:metrics.a.0.1:.0%", "46%"),
    ],
)
def test_value_in_a_sentence(root, spec, shown):
    text = fill(root, f"It is <!-- value:{spec} -->?<!-- /value -->, says the run.\n")
    assert text == f"It is <!-- value:{spec} -->{shown}<!-- /value -->, says the run.\n"


def test_other_folders_from_the_top_level(root):
    write_json(root / "benchmarks/results/chapter_01.json", {"metrics": {"ratio": 2.5}})
    block = "<!-- value:benchmarks/chapter_01:metrics.ratio:.1f --><!-- /value -->"
    assert ">2.5<" in fill(root, block, "README.md")


def test_facts_of_the_chapter(root):
    text = fill(root, "<!-- scripts --><!-- /scripts -->\n")
    row = "| `python chapter_01_tiny/draw.py --size 2` | a dot \\| a line | embedded: none | 0.1 |"
    assert row in text and "`dot.png`" in text
    text = fill(root, "<!-- chapters --><!-- /chapters -->", "README.zh-CN.md")
    assert "| 1 | [微型](chapter_01_tiny/README.zh-CN.md) | 样样都有。 | 1.5 | 1 |" in text


def test_glossary_and_notation_stop_at_the_chapter(root):
    text = fill(root, "<!-- glossary --><!-- /glossary -->\n<!-- notation --><!-- /notation -->")
    assert text.index("| axis | 轴 | a direction |") < text.index("| Zero | 零 | nothing |")
    assert "| `B` | batch | `(B, D)` |" in text
    assert "later" not in text and "`T`" not in text


def test_term_defined_twice(root):
    path = root / "course/terms.toml"
    path.write_text(TERMS.replace('"Zero"', '"Axis"'), encoding="utf-8")
    with pytest.raises(UserError, match="defines 'axis' more than once"):
        fill(root, "<!-- glossary --><!-- /glossary -->")


def test_model_cards(root):
    text = fill(root, "<!-- checkpoints --><!-- /checkpoints -->")
    assert "[`tiny.npz`](checkpoints/tiny.npz) | a mean | none | 12 |" in text
    cards = (root / "chapter_01_tiny/checkpoints/README.md").read_text(encoding="utf-8")
    assert "[`tiny.npz`](tiny.npz)" in cards and "mean 0.5" in cards and "均值" in cards
    assert "- Architecture: width = 4" in cards and "- Made in: 90 s" in cards
    assert "`python chapter_01_tiny/draw.py --publish`" in cards


def test_gallery(root, edit):
    picture = '[[gallery]]\nimage = "results/a.png"\ncaption = "A"\ncaption_zh = "甲"\n'
    edit("chapter.toml", "[[checkpoints]]", f"{picture}\n[[checkpoints]]")
    text = fill(root, "<!-- gallery --><!-- /gallery -->", "README.zh-CN.md")
    assert "![甲](chapter_01_tiny/results/a.png)" in text


def test_check_names_what_is_stale_and_writes_nothing(root):
    text = "# T\n\n<!-- scripts -->\n<!-- /scripts -->\n"
    readme = root / "chapter_01_tiny/README.md"
    readme.write_text(text, encoding="utf-8")
    stale = [
        "chapter_01_tiny/README.md:3 scripts",
        "chapter_01_tiny/checkpoints/README.md model cards",
    ]
    assert sync(root, check=True) == stale
    assert readme.read_text(encoding="utf-8") == text
    assert sync(root) == stale
    assert sync(root) == [] and sync(root, check=True) == []


def test_markers_in_code_are_left_alone(root):
    text = "Write `<!-- scripts -->`:\n\n```md\n<!-- results:x -->\n```\n<!-- a comment -->\n"
    assert fill(root, text) == text
    assert "draw.py" in fill(root, text + "<!-- scripts --><!-- /scripts -->\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\n<!-- results:no --><!-- /results -->",
            "README.md:2: .*chapter_01_tiny/results/no.json",
        ),
        ("<!-- results:errors.x --><!-- /results -->", "no table 'x'; its tables: main"),
        ("<!-- value:errors:metrics.b --><!-- /value -->", "there is no 'b'; there is: a"),
        ("<!-- value:errors:metrics.a.0.1:%% --><!-- /value -->", "cannot be shown as '%%'"),
        ("<!-- value:errors:tables.main.rows.0.0:*2.1f --><!-- /value -->", "is no number"),
        ("<!-- scripts -->", "README.md:1: <!-- scripts --> has no partner"),
        ("<!-- scripts --><!-- /results -->", "has no partner"),
        ("<!-- results: errors --><!-- /results -->", "has no partner, or is written wrongly"),
    ],
)
def test_wrong_markers(root, text, message):
    with pytest.raises(UserError, match=message):
        fill(root, text)


def test_chapter_block_outside_a_chapter(root):
    with pytest.raises(UserError, match="belongs into the README of a chapter"):
        fill(root, "<!-- scripts --><!-- /scripts -->", "README.md")


def test_all_wrong_markers_are_named_at_once_and_the_rest_is_filled(root):
    folder = root / "chapter_01_tiny"
    (folder / "docs").mkdir()
    bad = "<!-- results:no --><!-- /results -->\n\n<!-- value:errors:x --><!-- /value -->\n"
    (folder / "docs" / "01_a.md").write_text(bad, encoding="utf-8")
    (folder / "README.md").write_text(bad, encoding="utf-8")
    (root / "README.md").write_text("<!-- chapters --><!-- /chapters -->", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        sync(root)
    places = [line.split(" ")[0] for line in str(caught.value).splitlines()]
    names = ["chapter_01_tiny/README.md", "chapter_01_tiny/docs/01_a.md"]
    assert places == [f"{name}:{line}:" for name in names for line in (1, 3)]
    assert (folder / "README.md").read_text(encoding="utf-8") == bad
    assert "[Tiny](chapter_01_tiny/README.md)" in (root / "README.md").read_text(encoding="utf-8")
