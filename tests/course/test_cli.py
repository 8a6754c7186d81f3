"""The commands and their exit codes."""

import subprocess
import sys

import pytest

from course.__main__ import main
from course.manifest import ROOT


def test_list(root, capsys):
    assert main(["list"], root) == 0
    out = capsys.readouterr().out
    assert "1. Tiny · 微型 (1.5 h)" in out
    assert "python chapter_01_tiny/draw.py --size 2  0.1 min  a dot | a line" in out


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["check", "1"], 1),
        (["check", "1", "--solutions"], 0),
        (["check", "9"], 2),
        (["check", "1", "--file", "absent.py"], 2),
        (["verify"], 0),
        (["verify", "1"], 0),
        (["verify", "9"], 2),
        (["tour", "--chapters", "9"], 2),
        (["tour", "--output_dir", "chapter_01_tiny/draw.py/x"], 2),
        (["sync", "--check"], 1),
        (["sync"], 0),
    ],
)
def test_exit_codes(root, capsys, monkeypatch, argv, code):
    monkeypatch.chdir(root)
    assert main(argv, root) == code
    captured = capsys.readouterr()
    assert bool(captured.err) == (code == 2)
    assert captured.err.count("\n") <= 1  # one sentence


@pytest.mark.process
def test_tour_says_where_the_report_is(root, tmp_path, capsys, edit):
    output = ["tour", "--output_dir", str(tmp_path / "out")]
    assert main(output, root) == 0
    assert f"Report: {tmp_path / 'out' / 'index.html'}" in capsys.readouterr().out
    edit("chapter.toml", "--size 2", "--size -2")
    assert main(output, root) == 1
    assert "failed: python chapter_01_tiny/draw.py" in capsys.readouterr().out


def test_broken_manifest_is_one_sentence(root, capsys, edit):
    edit("chapter.toml", "hours = 1.5", "")
    assert main(["list"], root) == 2
    assert capsys.readouterr().err == (
        "error: chapter_01_tiny/chapter.toml: key 'hours' is missing.\n"
    )


def test_verify_reports_a_damaged_file(root, capsys):
    (root / "chapter_01_tiny/checkpoints/tiny.npz").write_bytes(b"not a checkpoint")
    assert main(["verify"], root) == 1
    assert "broken" in capsys.readouterr().out


def test_unknown_command_exits_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["dance"])
    assert caught.value.code == 2


@pytest.mark.process
def test_as_a_module():
    command = [sys.executable, "-m", "course", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0 and "doctor" in done.stdout
