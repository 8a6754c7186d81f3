"""The map of the course shows the chapters that are here, and no others."""

import re
from pathlib import Path

from course.manifest import load_chapters
from course.roadmap import MAP, write

ROOT = Path(__file__).resolve().parents[2]


def shown(svg: Path) -> set[int]:
    return {int(n) for n in re.findall(r'id="chapter-(\d+)-here"', svg.read_text("utf-8"))}


def test_published_map_is_up_to_date():
    here = {chapter.number for chapter in load_chapters(ROOT)}
    assert shown(ROOT / MAP) == here, "mend with: python -m course sync"


def test_map_follows_the_folders(tmp_path):
    (tmp_path / "chapter_03_demo").mkdir()
    (tmp_path / "chapter_03_demo" / "chapter.toml").write_text("number = 3", encoding="utf-8")
    assert shown(write(tmp_path)) == {3}
