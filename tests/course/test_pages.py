"""The pages of a chapter: [[pages]] in its manifest, the list, the way, markers in docs/."""

import pytest

from course.manifest import ManifestError, load_chapters
from course.sync import documents, sync
from utils.errors import UserError

PAGES = """
[[pages]]
file = "docs/01_dots.md"
title = "Dots"
title_zh = "点"
minutes = 20
needs = "chapter 0"
needs_zh = "第 0 章"
first = true

[[pages]]
file = "docs/02_lines.md"
title = "Lines"
title_zh = "线"
minutes = 12.5
needs = "page 1"
needs_zh = "第 1 页"

[[pages]]
file = "docs/03_end.md"
title = "The end"
title_zh = "结尾"
minutes = 5
needs = "nothing"
needs_zh = "无"
first = true
"""
SHORTER = 'first_minutes = 8\nleave_out = "the proof"\nleave_out_zh = "证明"'
BLOCK = "<!-- pages --><!-- /pages -->\n"


@pytest.fixture(autouse=True)
def paged(root, edit):
    """The tiny chapter has three pages in two languages."""
    edit("chapter.toml", "[[checkpoints]]", f"{PAGES}\n[[checkpoints]]")
    docs = root / "chapter_01_tiny" / "docs"
    docs.mkdir()
    for name in ("01_dots", "02_lines", "03_end"):
        for end in (".md", ".zh-CN.md"):
            (docs / f"{name}{end}").write_text(f"# {name}\n", encoding="utf-8")


def fill(root, text, name="docs/02_lines.md"):
    """The document of the chapter after one sync."""
    file = root / "chapter_01_tiny" / name
    file.write_text(text, encoding="utf-8")
    sync(root)
    return file.read_text(encoding="utf-8")


def test_pages_are_read(root):
    (chapter,) = load_chapters(root)
    assert [page.first for page in chapter.pages] == [True, False, True]
    assert chapter.pages[1].minutes == 12.5 and chapter.minutes == 0.1  # that is of the scripts
    assert chapter.pages[1].file_in("en") == "docs/02_lines.md"
    assert chapter.pages[1].file_in("zh") == "docs/02_lines.zh-CN.md"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("docs/02_lines.md", "docs/02_lnes.md", "docs/02_lnes.md does not exist"),
        ("docs/02_lines.md", "02_lines.md", "must be like docs/01_idea.md"),
        ("docs/02_lines.md", "docs/02_lines.zh-CN.md", "must be like docs/01_idea.md"),
        ("docs/02_lines.md", "docs/03_end.md", "docs/03_end.md stands after docs/03_end.md"),
        ("docs/01_dots.md", "docs/03_end.md", "number 2: docs/02_lines.md stands after docs/03_e"),
        ("minutes = 12.5", "minutes = 0", "key 'minutes' must be above 0"),
        ("minutes = 12.5", 'minutes = "12"', "key 'minutes' must be a number"),
        ("minutes = 12.5", "", "key 'minutes' is missing"),
        ('title_zh = "线"', "", "key 'title_zh' is missing"),
        ('"page 1"', '"[page 1](01_dots.md)"', "key 'needs' must be plain words"),
        ('"第 1 页"', '" "', "key 'needs_zh' must be plain words"),
        ('"page 1"', '"page 1"\nfirst = "yes"', "key 'first' must be true or false"),
        ('"page 1"', '"page 1"\nfirts = true', "unknown key 'firts'"),
        ('"page 1"', '"page 1"\nleave_out = "a proof"', "has all of first = true, first_minutes"),
        ('"page 1"', '"page 1"\nfirst = true\nfirst_minutes = 5', "leave_out and leave_out_zh"),
        ('"chapter 0"', f'"chapter 0"\n{SHORTER}'.replace("8", "20"), "must be below 'minutes'"),
        ('"chapter 0"', f'"chapter 0"\n{SHORTER}'.replace("proof", "](", 1), "'leave_out' must"),
        ("[[pages]]", "[pages]", "chapter.toml"),
    ],
)
def test_mistakes_are_named(root, edit, old, new, message):
    edit("chapter.toml", old, new)
    with pytest.raises(ManifestError) as caught:
        load_chapters(root)
    assert "chapter_01_tiny/chapter.toml" in str(caught.value) and message in str(caught.value)


def test_the_front_page_lists_the_pages(root):
    assert fill(root, BLOCK, "README.md") == (
        "<!-- pages -->\n\n"
        "| Page | Minutes | First reading | What you need |\n| --- | ---: | --- | --- |\n"
        "| 1. [Dots](docs/01_dots.md) | 20 | ● | chapter 0 |\n"
        "| 2. [Lines](docs/02_lines.md) | 12.5 |  | page 1 |\n"
        "| 3. [The end](docs/03_end.md) | 5 | ● | nothing |\n\n"
        "First reading (●): 2 pages, 25 minutes; all 3 pages: 37.5 minutes.\n\n"
        "<!-- /pages -->\n"
    )
    chinese = fill(root, BLOCK, "README.zh-CN.md")
    assert "| 2. [线](docs/02_lines.zh-CN.md) | 12.5 |  | 第 1 页 |" in chinese
    assert "初读路线（●）：2 页，25 分钟；全部 3 页：37.5 分钟。" in chinese


def test_a_first_reading_may_leave_something_out(root, edit):
    edit("chapter.toml", '"chapter 0"', f'"chapter 0"\n{SHORTER}')
    front, page = fill(root, BLOCK, "README.md"), fill(root, BLOCK, "docs/01_dots.md")
    assert "(docs/01_dots.md) | 20 | ● 8 minutes, without the proof | chapter 0 |" in front
    assert "First reading (●): 2 pages, 13 minutes; all 3 pages: 37.5 minutes." in front
    assert "Page 1 of 3 · 20 minutes · first reading: 8 minutes, without the proof · you" in page
    front, page = fill(root, BLOCK, "README.zh-CN.md"), fill(root, BLOCK, "docs/01_dots.zh-CN.md")
    assert "● 8 分钟，略去证明 |" in front and "2 页，13 分钟；全部 3 页" in front
    assert "20 分钟 · 初读：8 分钟，略去证明 · 需要" in page


def test_a_chapter_without_a_first_reading_path(root, edit):
    edit("chapter.toml", "first = true", "first = false")
    assert "\n\nAll pages: 37.5 minutes.\n" in fill(root, BLOCK, "README.md")


def test_a_page_shows_the_way(root):
    assert fill(root, BLOCK) == (
        "<!-- pages -->\n\n"
        "Page 2 of 3 · 12.5 minutes · you need: page 1 · previous: 1. [Dots](01_dots.md) · "
        "next: 3. [The end](03_end.md) · [front page](../README.md) · [中文](02_lines.zh-CN.md)"
        "\n\n<!-- /pages -->\n"
    )
    chinese = fill(root, BLOCK, "docs/02_lines.zh-CN.md")
    assert "第 2 页，共 3 页 · 12.5 分钟 · 需要的基础：第 1 页" in chinese
    assert "上一页：1. [点](01_dots.zh-CN.md)" in chinese and "(../README.zh-CN.md)" in chinese
    assert chinese.count("[English](02_lines.md)") == 1
    assert "previous" not in fill(root, BLOCK, "docs/01_dots.md")
    assert "next" not in fill(root, BLOCK, "docs/03_end.md")


def test_the_way_may_stand_twice(root):
    text = fill(root, f"# Lines\n\n{BLOCK}\nText.\n\n{BLOCK}")
    assert text.count("Page 2 of 3") == 2
    assert sync(root) == [] and sync(root, check=True) == []


def test_markers_in_a_page_are_those_of_the_chapter(root):
    names = [file.relative_to(root).as_posix() for file in documents(root)]
    assert "chapter_01_tiny/docs/02_lines.zh-CN.md" in names
    assert "| first | 0.50 ± 0.12 |" in fill(root, "<!-- results:errors --><!-- /results -->")
    value = "It is <!-- value:errors:metrics.a.0.1:.2f -->?<!-- /value -->."
    assert ">0.46<" in fill(root, value) and ">0.46<" in fill(root, value, "docs/03_end.zh-CN.md")
    assert "draw.py --size 2" in fill(root, "<!-- scripts --><!-- /scripts -->")
    text = fill(root, "<!-- checkpoints --><!-- /checkpoints -->")
    assert "[`tiny.npz`](../checkpoints/tiny.npz)" in text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("docs/04_more.md", BLOCK, "04_more.md:1: pages: chapter_01_tiny/chapter.toml has no "),
        ("docs/04_more.md", BLOCK, "it has: docs/01_dots.md, docs/02_lines.md"),
        ("../README.md", BLOCK, "'pages' belongs into the README of a chapter, or into its docs/"),
        (
            "docs/02_lines.md",
            "\n<!-- results:no --><!-- /results -->",
            "docs/02_lines.md:2: results:no: looked for chapter_01_tiny/results/no.json",
        ),
    ],
)
def test_wrong_markers(root, name, text, message):
    with pytest.raises(UserError) as caught:
        fill(root, text, name)
    assert message in str(caught.value)


def test_pages_of_a_chapter_that_has_none(root, edit):
    edit("chapter.toml", PAGES, "")
    with pytest.raises(UserError, match=r"README.md:1: pages: .* has no \[\[pages\]\]"):
        fill(root, BLOCK, "README.md")
