"""The block `pages`: the list of a chapter's pages on its front page, the way on each page.

Both come from the [[pages]] of chapter.toml; every link leads to the language of the text it is in.
"""

from collections.abc import Sequence

from course.document import BlockError, Document
from course.manifest import Chapter, Page
from course.tables import markdown_table


def pages(document: Document, spec: str) -> str:
    """On the front page the table of pages; on a page one line: needs, minutes, neighbours."""
    chapter = document.own_chapter("pages")
    if not chapter.pages:
        raise BlockError(f"{chapter.name}/chapter.toml has no [[pages]].")
    return (_way if document.is_page else _table)(document, chapter)


def _table(document: Document, chapter: Chapter) -> str:
    header = document.choose(
        "Page|Minutes|First reading|What you need", "页面|分钟|初读|需要的基础"
    )
    rows = [
        [
            _link(document, chapter, page),
            f"{page.minutes:g}",
            _first(document, page),
            document.choose(page.needs, page.needs_zh),
        ]
        for page in chapter.pages
    ]
    return f"{markdown_table(header.split('|'), rows, 'lrll')}\n\n{_totals(document, chapter)}"


def _first(document: Document, page: Page) -> str:
    """Whether the page is on the first-reading path, and what that leaves out."""
    if not page.leave_out:
        return "●" if page.first else ""
    return document.choose(
        f"● {page.first_minutes:g} minutes, without {page.leave_out}",
        f"● {page.first_minutes:g} 分钟，略去{page.leave_out_zh}",
    )


def _totals(document: Document, chapter: Chapter) -> str:
    every = _minutes(chapter.pages)
    first = [page for page in chapter.pages if page.first]
    if not first:
        return document.choose(f"All pages: {every} minutes.", f"全部页面：{every} 分钟。")
    return document.choose(
        f"First reading (●): {len(first)} pages, {_first_minutes(first)} minutes; "
        f"all {len(chapter.pages)} pages: {every} minutes.",
        f"初读路线（●）：{len(first)} 页，{_first_minutes(first)} 分钟；"
        f"全部 {len(chapter.pages)} 页：{every} 分钟。",
    )


def _way(document: Document, chapter: Chapter) -> str:
    page = document.page(chapter)
    index, count = chapter.pages.index(page), len(chapter.pages)
    parts = [
        document.choose(f"Page {index + 1} of {count}", f"第 {index + 1} 页，共 {count} 页"),
        document.choose(f"{page.minutes:g} minutes", f"{page.minutes:g} 分钟"),
        *_shorter(document, page),
        document.choose(f"you need: {page.needs}", f"需要的基础：{page.needs_zh}"),
    ]
    for other, word in ((index - 1, ("previous", "上一页")), (index + 1, ("next", "下一页"))):
        if 0 <= other < count:
            mark = document.choose(f"{word[0]}: ", f"{word[1]}：")
            parts.append(mark + _link(document, chapter, chapter.pages[other]))
    front = document.link(chapter.folder / document.choose("README.md", "README.zh-CN.md"))
    parts.append(f"[{document.choose('front page', '章首页')}]({front})")
    twin = page.file_in(document.choose("zh", "en"))
    parts.append(f"[{document.choose('中文', 'English')}]({document.link(chapter.folder / twin)})")
    return " · ".join(parts)


def _shorter(document: Document, page: Page) -> list[str]:
    """What a first reading leaves out of the page, if anything."""
    words = _first(document, page).removeprefix("● ")
    return [document.choose(f"first reading: {words}", f"初读：{words}")] if page.leave_out else []


def _link(document: Document, chapter: Chapter, page: Page) -> str:
    """The number of the page, and its title as a link."""
    target = document.link(chapter.folder / page.file_in(document.language))
    title = document.choose(page.title, page.title_zh)
    return f"{chapter.pages.index(page) + 1}. [{title}]({target})"


def _minutes(pages: Sequence[Page]) -> str:
    return f"{sum(page.minutes for page in pages):g}"


def _first_minutes(pages: Sequence[Page]) -> str:
    return f"{sum(page.first_minutes or page.minutes for page in pages):g}"
