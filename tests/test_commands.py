"""Every command in every chapter.toml runs with --quick and writes what the manifest promises."""

import sys

import pytest

from course.manifest import Chapter, Script, load_chapters
from course.needs import lack_of
from utils.file_io_util import read_json

CHAPTERS = load_chapters()
SCRIPTS = [script for chapter in CHAPTERS for script in chapter.scripts]
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: f"{s.path} {s.args}".strip())
def test_quick_run(script: Script, quick_run):
    if lack_of(script.needs):
        pytest.skip(lack_of(script.needs))
    done = quick_run(script.path, script.args)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.cpu_seconds > 0 or sys.platform == "win32"
    promised = ("run.json", *script.quick_files)
    missing = [name for name in promised if not (done.folder / name).is_file()]
    assert not missing, (
        f"in {done.folder.name} there are only {sorted(p.name for p in done.folder.iterdir())}"
    )
    assert done.touched == [], "a run must not change the files of its chapter"
    kinds = ["result" if name.endswith((".json", ".pth", ".npz")) else "figure"
             for name in read_json(done.folder / "run.json")["files"]]  # fmt: skip
    assert kinds == sorted(kinds, reverse=True), "a figure that fails must not cost the results"


@each_chapter
def test_scripts_run_as_modules_with_help(chapter: Chapter, help_of_scripts):
    answers = help_of_scripts(chapter)
    assert set(answers) == {script.path for script in chapter.scripts}
    for path, (code, out, err) in answers.items():
        assert code == 0, f"{path} --help: {err[-3000:]}"
        assert "--quick" in out and "examples:" in out, f"{path} --help: {out}"
        if "--resume" in out:
            assert "new ones only for" in " ".join(out.split()), f"{path}: --resume of what?"


@each_chapter
def test_chapter_has_a_tour_and_a_default_without_downloads(chapter: Chapter):
    tour = [script for script in chapter.scripts if script.tour]
    assert tour, "the tour would not show this chapter"
    assert all(script.needs == "embedded" for script in tour), "the tour works without a network"
