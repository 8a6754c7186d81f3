"""Every command in every chapter.toml runs with --quick and writes what the manifest promises."""

import subprocess
import sys
from pathlib import Path

import pytest

from course.manifest import ROOT, Script, load_chapters
from course.needs import lack_of

CHAPTERS = load_chapters()
SCRIPTS = [script for chapter in CHAPTERS for script in chapter.scripts]
PATHS = sorted({script.path for script in SCRIPTS})
SECONDS = 600  # only to stop a hanging script; no speed is asserted


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: f"{s.path} {s.args}".strip())
def test_quick_run(script: Script, tmp_path: Path, calm_environment, untouched):
    if lack_of(script.needs):
        pytest.skip(lack_of(script.needs))
    chapter = ROOT / script.chapter
    before = untouched(chapter)
    command = script.argv("--quick", "--output_dir", str(tmp_path), "--run_name", "test")
    done = run(command, calm_environment)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / script.chapter / f"{Path(script.file).stem}-test"
    missing = [name for name in ("run.json", *script.writes) if not (folder / name).is_file()]
    assert not missing, (
        f"in {folder.name} there are only {sorted(p.name for p in folder.iterdir())}"
    )
    assert untouched(chapter) == before, "a run must not change the files of its chapter"


@pytest.mark.parametrize("path", PATHS)
def test_runs_as_a_module_with_help(path: str, calm_environment):
    module = path.removesuffix(".py").replace("/", ".")
    done = run([sys.executable, "-m", module, "--help"], calm_environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "--quick" in done.stdout and "examples:" in done.stdout


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_chapter_has_a_tour_and_a_default_without_downloads(chapter):
    tour = [script for script in chapter.scripts if script.tour]
    assert tour, "the tour would not show this chapter"
    assert all(script.needs == "embedded" for script in tour), "the tour works without a network"


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
    )
