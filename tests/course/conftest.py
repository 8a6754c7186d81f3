"""A tiny course in a temporary folder: one chapter with a script, exercises and a checkpoint."""

import sys
from pathlib import Path

import pytest

from utils.checkpoint import save_checkpoint
from utils.file_io_util import write_json
from utils.results import table

MANIFEST = """
number = 1
title = "Tiny"
title_zh = "微型"
summary = "One of everything."
summary_zh = "样样都有。"
hours = 1.5

[[scripts]]
file = "draw.py"
args = "--size 2"
shows = "a dot | a line"
shows_zh = "一个点"
data = "embedded: none"
data_zh = "内置：无"
minutes = 0.1
tour = true
writes = ["dot.png"]

[[checkpoints]]
file = "checkpoints/tiny.npz"
evaluate = "chapter_01_tiny.weights:evaluate"
command = "python chapter_01_tiny/draw.py --publish"
tolerance = 0.01
"""

DRAW = '''
"""Draws a dot."""
import sys
from utils import cli

def build_parser():
    parser = cli.make_parser(__doc__, examples=["python draw.py"])
    parser.add_argument("--size", type=cli.positive_int, default=1, help="pixels")
    return parser

def experiment(args, run):
    from matplotlib.figure import Figure
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([0, args.size], "o-")
    run.save_figure(figure, "dot")
    run.finish(metrics={"size": args.size, "nested": {"loss": 0.25}})

if __name__ == "__main__":
    sys.exit(cli.run(build_parser(), experiment, script=__file__, uses_torch=False))
'''

STUBS = '''
"""Exercises."""

def double(x):
    """Twice x. Difficulty: 1/5. Minutes: 5. Hint 1: add."""
    raise NotImplementedError

def half(x):
    """Half of x. Difficulty: 2/5. Minutes: 10. Hint 1: divide."""
    raise NotImplementedError
'''

SOLUTIONS = """
def double(x):
    return 2 * x

def half(x):
    return x / 2
"""

GRADER = """
from math import isclose

def test_double(ex):
    assert ex.double(3) == 6, "double(3) is 6: add x to itself"

def test_half(ex):
    assert isclose(ex.half(3), 1.5)
"""

WEIGHTS = """
from utils.checkpoint import load_checkpoint

def evaluate(path, data_dir):
    return {"mean": float(load_checkpoint(path)["state"]["w"].mean())}
"""

FILES = {
    "chapter.toml": MANIFEST,
    "draw.py": DRAW,
    "weights.py": WEIGHTS,
    "exercises/exercises.py": STUBS,
    "exercises/solutions.py": SOLUTIONS,
    "exercises/test_exercises.py": GRADER,
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of the tiny course; its modules can be imported."""
    import numpy as np

    chapter = tmp_path / "chapter_01_tiny"
    for name, text in FILES.items():
        path = chapter / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    columns = [("Case", "情形", "s"), ("Error", "误差", ".2f")]
    rows = [[{"en": "first", "zh": "第一"}, (0.5, 0.125)], ["x|y", None]]
    result = {"metrics": {"a": {"0.1": 0.4567}}, "tables": {"main": table(columns, rows)}}
    write_json(chapter / "results" / "errors.json", result)
    save_checkpoint(
        chapter / "checkpoints" / "tiny.npz",
        {"w": np.full((3, 4), 0.5)},
        architecture={"width": 4},
        dataset="none",
        metrics={"mean": 0.5},
        task={"en": "a mean", "zh": "均值"},
        seconds=90.0,  # of the whole training
        wall_seconds=2.0,  # of its last part
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in [name for name in sys.modules if name.startswith("chapter_01_tiny")]:
        del sys.modules[module]  # it is the one of an earlier test
    return tmp_path


@pytest.fixture
def edit(root: Path):
    """edit("draw.py", old, new) changes a file of the chapter."""

    def change(name: str, old: str, new: str) -> Path:
        path = root / "chapter_01_tiny" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return change
