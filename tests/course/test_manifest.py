"""chapter.toml: what is read, and that each mistake names the file and the key."""

import sys

import pytest

from course.manifest import ManifestError, load_chapters
from utils.errors import UserError


def test_reads_the_facts(root):
    (chapter,) = load_chapters(root)
    assert (chapter.number, chapter.title_zh, chapter.hours) == (1, "微型", 1.5)
    assert chapter.checkpoint_folder == "checkpoints"
    (script,) = chapter.scripts
    assert script.command == "python chapter_01_tiny/draw.py --size 2"
    assert script.argv("--quick")[1:] == ["chapter_01_tiny/draw.py", "--size", "2", "--quick"]
    assert script.argv()[0] == sys.executable
    assert script.writes == ("dot.png",) and script.needs == "embedded"
    assert chapter.checkpoints[0].tolerance == 0.01


def test_folders_without_a_manifest_are_not_chapters(root, tmp_path):
    (root / "chapter_02_later").mkdir()
    assert [chapter.number for chapter in load_chapters(root)] == [1]
    assert load_chapters(tmp_path / "nothing") == []


def test_unknown_number(root):
    with pytest.raises(UserError, match=r"no chapter 3 here; the chapters present: 1"):
        load_chapters(root, [1, 3])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("number = 1", "number = 2", "key 'number' is 2"),
        ("number = 1", 'number = "1"', "key 'number' must be a whole number"),
        ("hours = 1.5", "hours = -1", "key 'hours' must not be negative"),
        ("hours = 1.5", "", "key 'hours' is missing"),
        ("hours = 1.5", "hours = 1.5\nhuors = 2", "unknown key 'huors'"),
        ("hours = 1.5", "hours = ", "not valid TOML"),
        ('args = "--size 2"', "args = 2", "number 1: key 'args' must be a string"),
        ("tour = true", "tour = 1", "key 'tour' must be true or false"),
        ('["dot.png"]', '"dot.png"', "key 'writes' must be a list of strings"),
        ('"draw.py"', '"drwa.py"', "drwa.py does not exist"),
        ("[[scripts]]", "[scripts]", "must be written as [[scripts]]"),
        ("tolerance = 0.01", "tolerance = true", "key 'tolerance' must be a number"),
    ],
)
def test_mistakes_are_named(root, edit, old, new, message):
    edit("chapter.toml", old, new)
    with pytest.raises(ManifestError) as caught:
        load_chapters(root)
    assert "chapter_01_tiny/chapter.toml" in str(caught.value)
    assert message in str(caught.value)
