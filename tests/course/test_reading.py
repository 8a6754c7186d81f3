"""Reading documents: a chapter's whole text, what a page may hold, which part of it counts."""

import pytest

from course.__main__ import main
from course.manifest import load_chapters
from course.markers import markers, without_tables
from course.reading import chapter_files, chapter_text, formulas, page_size, too_long

TABLE = "<!-- results:a -->\n\n" + "| $x$ |\n" * 400 + "\n<!-- /results -->\n"


@pytest.mark.parametrize(
    ("text", "excess"),
    [
        ("a\n" * 350, []),
        ("a\n" * 351, ["351 lines, at most 350"]),
        ("a" * 25 * 1024, []),
        ("a" * 26 * 1024, ["26 KB, at most 25"]),
        ("化" * 9 * 1024, ["27 KB, at most 25"]),  # bytes: three a letter
        ("$x$ " * 120, []),
        ("$x$ " * 119 + "\n\n$$x\n=1$$\n\n$y$", ["121 formulas, at most 120"]),
        ("$x$ $y$\n" * 400, ["400 lines, at most 350", "800 formulas, at most 120"]),
        ("a\n" * 340 + TABLE, []),
        ("`$x$` " * 200 + "\n```\n" + "$x$ $y$\n" * 90 + "```\n", []),
    ],
)
def test_what_is_too_long(text, excess):
    assert too_long(text) == excess


def test_included_code_counts_and_generated_tables_do_not():
    code = "<!-- code:a.py:f -->\n\n```python\nx = 1\n```\n\n<!-- /code -->\n"
    text = f"# T\n\n{code}{TABLE}It is <!-- value:a:b -->3<!-- /value -->.\n"
    assert page_size(text)["lines"] == 2 + 7 + 1 + 1
    assert "x = 1" in without_tables(text) and ">3<" in without_tables(text)
    assert markers(text) == ["code:a.py:f", "results:a", "value:a:b"]
    assert markers(f"```\n{code}\n```\n`<!-- scripts --><!-- /scripts -->`") == []


def test_formulas_are_told_from_prices_and_code():
    assert formulas(r"It costs \$5 and \$6; $a$, `$b$` and $$c$$") == ["$$c$$", "$a$"]


def test_the_text_of_a_chapter_is_its_front_page_and_its_pages(root, edit):
    pages = "".join(
        f'[[pages]]\nfile = "docs/{name}.md"\ntitle = "T"\ntitle_zh = "T"\nminutes = 1\n'
        'needs = "nothing"\nneeds_zh = "无"\n\n'
        for name in ("01_a", "02_b")
    )
    edit("chapter.toml", "[[checkpoints]]", f"{pages}[[checkpoints]]")
    folder = root / "chapter_01_tiny"
    (folder / "docs").mkdir()
    for name in ("README", "docs/01_a", "docs/02_b"):
        for end in (".md", ".zh-CN.md"):
            (folder / f"{name}{end}").write_text(f"{name}{end}", encoding="utf-8")
    (chapter,) = load_chapters(root)
    assert chapter_text(chapter, "en") == "README.md\ndocs/01_a.md\ndocs/02_b.md"
    assert [file.name for file in chapter_files(chapter, "zh")][1:] == [
        "01_a.zh-CN.md",
        "02_b.zh-CN.md",
    ]


def test_sync_names_a_page_that_is_too_long(root, capsys):
    folder = root / "chapter_01_tiny" / "docs"
    folder.mkdir()
    (folder / "01_long.md").write_text("# Long\n" + "line\n" * 379, encoding="utf-8")
    main(["sync", "--check"], root)
    assert "docs/01_long.md: 380 lines, at most 350 (generated" in capsys.readouterr().out
