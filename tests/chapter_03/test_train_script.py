"""train.py stopped and resumed with other options: each takes effect or is refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chapter_03_optimization_regularization import train
from utils.checkpoint import load_checkpoint
from utils.file_io_util import read_json, read_jsonl

CHAPTER = "chapter_03_optimization_regularization"
WORDS = ["--model", "mlp", "--seeds", "1", "--batch_size", "256", "--lr", "0.01"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Finished runs of two epochs, by schedule."""
    folder = tmp_path_factory.mktemp("runs")
    folders = {}
    for schedule in ("one_cycle", "constant"):
        words = [*WORDS, "--epochs", "2", "--schedule", schedule, "--run_name", schedule]
        assert train.main([*words, "--output_dir", str(folder)]) == 0
        folders[schedule] = folder / CHAPTER / f"train-{schedule}"
    return folders


@pytest.fixture
def copied(runs, tmp_path):
    """copied(schedule): a run's folder that may be changed."""
    return lambda schedule: Path(shutil.copytree(runs[schedule], tmp_path / schedule))


def test_a_schedule_over_two_epochs_is_not_lengthened(copied, capsys):
    folder = copied("one_cycle")
    before = (folder / "run.json").read_bytes(), (folder / "last.pth").read_bytes()
    assert train.main(["--resume", str(folder), "--epochs", "4"]) == 2
    message = capsys.readouterr().err
    assert "epochs = 2, not 4" in message and len(message.splitlines()) == 1
    assert before == ((folder / "run.json").read_bytes(), (folder / "last.pth").read_bytes())
    assert train.main(["--resume", str(folder)]) == 0


@pytest.mark.parametrize(
    "option",
    [
        ["--lr", "0.02"], ["--ema_decay", "0.9"], ["--batch_size", "32"], ["--seed", "7"],
        ["--dataset", "mnist"], ["--model", "cnn"], ["--optimizer", "sgd"], ["--clip_norm", "1"],
        ["--schedule", "cosine"], ["--accumulate", "2"], ["--label_smoothing", "0.1"],
    ],
    ids=lambda option: option[0],
)  # fmt: skip
def test_what_cannot_take_effect_is_refused_by_name(runs, capsys, option):
    folder = runs["constant"]
    before = (folder / "run.json").read_bytes()
    assert train.main(["--resume", str(folder), "--epochs", "4", *option]) == 2
    message = capsys.readouterr().err
    assert f"{option[0]} was" in message and len(message.splitlines()) == 1
    assert (folder / "run.json").read_bytes() == before


def test_more_epochs_of_a_constant_rate_are_trained_and_recorded(copied, tmp_path):
    folder = copied("constant")
    assert train.main(["--resume", str(folder), "--epochs", "4"]) == 0
    assert read_json(folder / "run.json")["options"]["epochs"] == 4
    assert [row["epoch"] for row in read_jsonl(folder / "metrics.jsonl")] == [1, 2, 3, 4]
    words = [*WORDS, "--epochs", "4", "--schedule", "constant", "--run_name", "whole"]
    assert train.main([*words, "--output_dir", str(tmp_path)]) == 0
    folders = (folder, tmp_path / CHAPTER / "train-whole")
    first, second = (load_checkpoint(folder / "last.pth") for folder in folders)
    assert all((first["state"][name] == value).all() for name, value in second["state"].items())


def test_more_patience_and_more_seeds_take_effect(copied):
    folder = copied("constant")
    words = ["--resume", str(folder), "--patience", "50", "--seeds", "2"]
    assert train.main(words) == 0
    options = read_json(folder / "run.json")["options"]
    assert (options["patience"], options["seeds"]) == (50, 2)
    assert load_checkpoint(folder / "last.pth")["training"]["early_stopping"] is None  # was done
    assert load_checkpoint(folder / "seed_43" / "last.pth")["training"]["epoch"] == 2


def test_fewer_epochs_than_are_done_are_refused(runs, capsys):
    assert train.main(["--resume", str(runs["constant"]), "--epochs", "1"]) == 2
    assert "has come to epoch 2, further than epochs = 1" in capsys.readouterr().err
