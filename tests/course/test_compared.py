"""The quick run beside the published one: pairs, what is equal shown once, what is alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from course.compared import BOTH, MOST_ROWS, OTHER_DATA, PUBLISHED, QUICK, comparison
from course.manifest import load_chapters
from course.stop import Stop
from utils.file_io_util import write_json
from utils.results import table

COLUMNS = [("Network", "网络", ""), ("Test accuracy of `a|b` (%)", "测试准确率（%）", ".1f")]


@pytest.fixture
def stop(root, tmp_path) -> Stop:
    """A script that writes dot_shapes.* and, with --quick, dot_digits.*."""
    (chapter,) = load_chapters(root)
    writes, quick = (
        tuple(f"dot_{name}{kind}" for kind in (".png", ".json")) for name in ("shapes", "digits")
    )
    script = replace(chapter.scripts[0], writes=writes, quick_writes=quick)
    return Stop(chapter, script, files=[tmp_path / name for name in quick])


def write(folder: Path, name: str, picture: bytes, rows: list, command: str = "python x") -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.png").write_bytes(picture)
    result = {"command": command, "seeds": [1, 2], "tables": {"main": table(COLUMNS, rows)}}
    write_json(folder / f"{name}.json", result)


def test_the_small_form_stands_beside_the_published_one(stop, tmp_path):
    write(tmp_path, "dot_digits", b"small", [["plain", 10.25]])
    write(stop.chapter.folder / "results", "dot_shapes", b"large", [["plain", (93.0, 0.5)]])
    page = comparison(stop)
    assert page.count('<div class="pair">') == 2 and page.count("<figure") == 4
    assert OTHER_DATA in page
    assert page.index("10.2") < page.index("93.0 ± 0.5")
    assert page.count(f"<figcaption>{QUICK}</figcaption>") == 2
    assert page.count(f"<figcaption>{PUBLISHED}</figcaption>") == 2
    assert "<code>python x</code>, 2 seeds" in page and "<code>a|b</code>" in page


def test_what_is_equal_is_shown_once(stop, tmp_path):
    write(tmp_path, "dot_digits", b"same", [["plain", 93.0]])
    write(stop.chapter.folder / "results", "dot_shapes", b"same", [["plain", 93.0]])
    page = comparison(stop)
    assert page.count(BOTH) == page.count('<div class="pair">') == 2
    assert page.count("<figure") == 2


def test_what_has_nothing_published_stands_alone(stop, tmp_path):
    write(tmp_path, "dot_digits", b"small", [["plain", 10.25]])
    page = comparison(replace(stop, script=replace(stop.script, quick_writes=())))
    assert OTHER_DATA not in page
    assert PUBLISHED not in page and BOTH not in page and page.count("<figure") == 1


def test_long_tables_stay_in_the_chapter(stop, tmp_path):
    rows = [["plain", float(i)] for i in range(MOST_ROWS + 1)]
    write(tmp_path, "dot_digits", b"small", rows[:1])
    write(stop.chapter.folder / "results", "dot_shapes", b"large", rows)
    assert comparison(stop).count("<table>") == 0
