"""The tour: a report even if scripts fail."""

import re

import pytest

from course.tour import run, tour


@pytest.mark.process
def test_report_holds_pictures_and_numbers(root, tmp_path):
    report, stops = tour(root, output=tmp_path / "out")
    assert [stop.error for stop in stops] == [""]
    page = report.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert "nested.loss" in page and "0.25" in page
    assert "python chapter_01_tiny/draw.py --size 2 --quick" in page
    assert "Tiny" in page and "微型" in page
    assert not re.search(r"""(src|href)=["']?(https?:|/|\.)""", page)  # nothing from outside
    assert (tmp_path / "out/runs/chapter_01_tiny/draw-tour-1/run.json").is_file()


@pytest.mark.process
def test_failure_is_shown_and_does_not_stop_the_rest(root, tmp_path, edit):
    good = 'args = "--size 2"\nshows = "a dot | a line"'
    script = edit("chapter.toml", good, 'args = "--size 0"\nshows = "x"')
    text = script.read_text(encoding="utf-8")
    second = text[text.index("[[scripts]]") : text.index("[[checkpoints]]")]
    script.write_text(text + second.replace("--size 0", "--size 3"), encoding="utf-8")
    report, stops = tour(root, output=tmp_path / "out")
    assert "'0' is not a whole number above 0" in stops[0].error
    assert "exit code 2" in stops[0].error
    assert stops[1].error == "" and stops[1].metrics["size"] == 3
    page = report.read_text(encoding="utf-8")
    assert "class=failed" in page and "is not a whole number above 0" in page


@pytest.mark.process
def test_old_results_do_not_pass_for_new_ones(root, tmp_path, edit):
    tour(root, output=tmp_path / "out")
    edit("draw.py", "sys.exit(cli.run", "sys.exit(0 and cli.run")
    _, (stop,) = tour(root, output=tmp_path / "out")
    assert "without writing" in stop.error and stop.metrics == {}


def test_missing_data_is_skipped(root, tmp_path, edit):
    edit("chapter.toml", "minutes = 0.1", 'minutes = 0.1\nneeds = "mnist"')
    _, (stop,) = tour(root, output=tmp_path / "out", data_dir=str(tmp_path))
    assert "python -m utils.datasets download mnist" in stop.skipped and not stop.error


@pytest.mark.process
def test_endless_script_is_stopped(root):
    import sys

    assert "Stopped after" in run([sys.executable, "-c", "while True: pass"], root, seconds=0.5)
