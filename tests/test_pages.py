"""A chapter's front page and pages: each listed, short enough for a sitting, nothing left out."""

import re
from pathlib import Path

import pytest

from course.manifest import ROOT, Chapter, load_chapters
from course.markers import markers, without_tables
from course.reading import (
    FRONT_PAGE_LINES,
    chapter_files,
    chapter_text,
    links,
    too_long,
    without_code,
)

CHAPTERS = load_chapters()
IN_ONE_README = {1, 2, 4, 5}  # chapters whose text is not yet divided
KEEPS_MORE_RESULTS = {1, 2, 4, 5}  # than they show, as runs on other data sets
PAGED = [chapter for chapter in CHAPTERS if chapter.number not in IN_ONE_README]
PAGES = [file for chapter in CHAPTERS for file in sorted((chapter.folder / "docs").glob("*.md"))]
LINKED = re.compile(
    r"\[[^\]]*(?:\b[Pp]age (?P<en>\d+)\b|第 ?(?P<zh>\d+) ?页)[^\]]*\]\((?P<target>[^)]+)\)"
)
MENTIONED = re.compile(r"\b[Pp]age \d+|第 ?\d+ ?页")
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
each_language = pytest.mark.parametrize("language", ["en", "zh"])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def number_of_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_one_sitting(page: Path):
    excess = too_long(page.read_text(encoding="utf-8"))
    assert not excess, f"{name_of(page)}: {'; '.join(excess)} (generated tables not counted)"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_shows_the_way_at_its_top_and_its_end(page: Path):
    text = page.read_text(encoding="utf-8")
    assert markers(text).count("pages") == 2, "<!-- pages --> under the title and at the bottom"
    before, after = text.split("<!-- pages -->")[0], text.split("<!-- /pages -->")[-1]
    assert len(before.split("\n## ")) == 1, "the first <!-- pages --> stands under the title"
    assert not after.strip(), "the second <!-- pages --> ends the page"


def wrong_mentions(text: str) -> list[str]:
    """Mentions of another page that are no link, or a link to another page than they say."""
    text = without_code(without_tables(text))
    found = []
    for match in LINKED.finditer(text):
        number = match["en"] or match["zh"]
        leads_there = Path(match["target"]).name.startswith(f"{int(number):02d}_")
        found += [] if leads_there and number[0] != "0" else [match[0]]
    return found + MENTIONED.findall(LINKED.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_that_is_mentioned_is_linked(page: Path):
    assert wrong_mentions(page.read_text(encoding="utf-8")) == []


def test_wrong_mentions_are_seen():
    good = "See [measured on page 2](02_b.md), [第 10 页](10_c.zh-CN.md) and `page 3`.\n"
    nav = "<!-- pages -->\n\nPage 1 of 3\n\n<!-- /pages -->\n"
    assert wrong_mentions(good + nav) == []
    text = "[page 2](03_c.md), page 4, 第 5 页, [page 06](06_d.md)"
    assert wrong_mentions(text) == ["[page 2](03_c.md)", "[page 06](06_d.md)", "page 4", "第 5 页"]


@each_chapter
def test_the_pages_are_those_of_the_manifest(chapter: Chapter):
    listed = {f for lang in ("en", "zh") for f in chapter_files(chapter, lang)[1:]}
    found = {file for file in PAGES if file.parent.parent == chapter.folder}
    assert found == listed, "each docs/*.md has its [[pages]] in chapter.toml, in both languages"
    assert bool(listed) or chapter.number in IN_ONE_README


@pytest.mark.parametrize("chapter", PAGED, ids=lambda chapter: chapter.name)
def test_pages_are_numbered_and_their_minutes_fit_into_the_hours(chapter: Chapter):
    """A text may say "page 3", so the file's number is the place in the list."""
    numbers = [int(Path(page.file).name.split("_")[0]) for page in chapter.pages]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sum(page.minutes for page in chapter.pages) <= 60 * chapter.hours


@each_chapter
@each_language
def test_a_page_is_called_what_the_list_calls_it(chapter: Chapter, language: str):
    for page, file in zip(chapter.pages, chapter_files(chapter, language)[1:], strict=True):
        title = page.title_zh if language == "zh" else page.title
        assert file.read_text(encoding="utf-8").partition("\n")[0] == f"# {title}", name_of(file)


@pytest.mark.parametrize("chapter", PAGED, ids=lambda chapter: chapter.name)
@each_language
def test_the_front_page_is_short_and_lists_the_pages(chapter: Chapter, language: str):
    front = chapter_files(chapter, language)[0]
    count = number_of_lines(front)
    assert count <= FRONT_PAGE_LINES, f"{name_of(front)}: {count} lines, at most {FRONT_PAGE_LINES}"
    assert markers(front.read_text(encoding="utf-8")).count("pages") == 1
    assert any(page.first for page in chapter.pages), "no page has first = true: where to start?"


@pytest.mark.parametrize(
    "chapter",
    [chapter for chapter in CHAPTERS if chapter.number not in KEEPS_MORE_RESULTS],
    ids=lambda chapter: chapter.name,
)
@each_language
def test_front_page_and_pages_show_all_that_the_chapter_publishes(chapter: Chapter, language: str):
    """A result that no text shows was lost on the way from one arrangement to the next."""
    shown, results = set(), chapter.folder / "results"
    for file in chapter_files(chapter, language):
        text = file.read_text(encoding="utf-8")
        shown |= {(file.parent / link.partition("#")[0]).resolve() for link in links(text)}
        names = {spec.split(":")[1].split(".")[0] for spec in markers(text) if ":" in spec}
        shown |= {(results / f"{name}.json").resolve() for name in names}
        shown |= {row.resolve() for name in names for row in results.glob(f"thread_{name}_*.json")}
    published = {path.resolve() for path in results.iterdir()}
    assert published and sorted(map(name_of, published - shown)) == []


@each_chapter
@each_language
def test_front_page_and_pages_have_the_generated_lists(chapter: Chapter, language: str):
    assert {"scripts", "glossary"} - set(markers(chapter_text(chapter, language))) == set()
