"""The loop's reliability with real processes: killed, interrupted, out of disk, two at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.checkpoint import load_checkpoint
from utils.file_io_util import read_json, read_jsonl

pytest.importorskip("resource", reason="signals and limits of Unix are tested here")
pytestmark = pytest.mark.process

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DRIVER = HERE / "training_process.py"
TRAIN = ROOT / "chapter_03_optimization_regularization" / "train.py"
BATCHES = 3 * 25  # epochs x batches of the driver
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """drive(folder, *options): the driver in a process of its own; its exit code and errors.

    With ranks=2 in two, as torchrun starts them (test_torchrun_runs_the_script_as_it_is does).
    """
    errors = tmp_path_factory.mktemp("drive") / "errors.txt"
    command = [sys.executable, str(DRIVER), "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, **pipes) as server:
        assert server.stdout.readline() == "ready\n"

        def order(folder: Path, *options: str, largest_file: int = 0, ranks: int = 1):
            errors.write_text("", encoding="utf-8")
            facts = {"argv": [str(folder), *options], "errors": str(errors), "ranks": ranks}
            server.stdin.write(json.dumps(facts | {"largest_file": largest_file}) + "\n")
            code = int(server.stdout.readline())
            text = errors.read_text(encoding="utf-8")
            return subprocess.CompletedProcess(facts["argv"], code, stderr=text)

        yield order
        server.stdin.close()  # the server ends with its input


@pytest.fixture(scope="module")
def whole(tmp_path_factory, drive) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    done = drive(folder)
    assert done.returncode == 0, done.stderr
    return folder


def assert_equal_runs(folder: Path, whole: Path) -> None:
    """Weights, optimiser, averaged weights, schedule and random state equal to the bit."""
    mine, theirs = (load_checkpoint(f / "last.pth") for f in (folder, whole))
    mine["training"].pop("seconds"), theirs["training"].pop("seconds")
    assert_same(mine["state"], theirs["state"])
    for key in ("optimizer", "scheduler", "ema", "random", "step", "epoch", "step_losses"):
        assert_same(mine["training"][key], theirs["training"][key])


def assert_same(a, b) -> None:
    if torch.is_tensor(a):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_sigkill_at_random_steps_then_resume_gives_the_same_bits(tmp_path, whole, drive):
    """Killed twice, at moments that differ each time the test runs (printed if it fails)."""
    moments = [random.SystemRandom().randint(10, BATCHES - 1), random.SystemRandom().randint(1, 20)]
    print("killed at batches", moments)
    for index, moment in enumerate(moments):
        options = ["--resume"] if index else []
        killed = drive(tmp_path, *options, "--kill_at", str(moment))
        assert killed.returncode in (-signal.SIGKILL, 0 if index else None), killed.stderr
    done = drive(tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(tmp_path, whole)


def test_sigkill_while_a_checkpoint_is_written(tmp_path, whole, drive):
    killed = drive(tmp_path, "--kill_in_save", "6")
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".*.tmp")), "the process died before it wrote"
    done = drive(tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(tmp_path, whole)


def test_ctrl_c_leaves_a_checkpoint_and_exits_130(tmp_path, whole, drive):
    """In mid-epoch and in the middle of a group: the step under way ends first."""
    stopped = drive(tmp_path, "--signal_at", "32")
    assert stopped.returncode == 130, stopped.stderr
    saved = load_checkpoint(tmp_path / "last.pth")["training"]
    assert (saved["epoch"], saved["batch"]) == (1, 9)
    done = drive(tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert_equal_runs(tmp_path, whole)


def test_a_disk_without_room_is_reported(tmp_path, drive):
    """A limit on the size of files stands for a full disk: the write itself fails."""
    first = drive(tmp_path, "--signal_at", "30")
    assert first.returncode == 130, first.stderr
    kept = (tmp_path / "last.pth").read_bytes()

    failed = drive(tmp_path, "--resume", largest_file=len(kept) // 2)
    assert failed.returncode != 0
    assert "TrainingError: cannot write" in failed.stderr
    assert f"The last good checkpoint is {tmp_path / 'last.pth'}" in failed.stderr
    assert (tmp_path / "last.pth").read_bytes() == kept
    assert not list(tmp_path.glob(".*.tmp"))


def test_two_processes_give_the_result_of_one(tmp_path, drive):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    alone = drive(tmp_path / "one", "--plain")
    assert alone.returncode == 0, alone.stderr
    both = drive(tmp_path / "two", "--plain", ranks=2)
    assert both.returncode == 0, both.stderr
    one = read_json(tmp_path / "one" / "rank_0.json")
    ranks = [read_json(tmp_path / "two" / f"rank_{r}.json") for r in (0, 1)]
    assert [(r["rank"], r["world"], r["backend"]) for r in ranks] == [
        (0, 2, "gloo"),
        (1, 2, "gloo"),
    ]
    assert ranks[0]["pid"] != ranks[1]["pid"]
    for index, rows in enumerate(one["rows"]):  # each took half of the very same batch
        halves = [rank["rows"][index] for rank in ranks]
        assert len(halves[0]) == len(halves[1]) == len(rows) // 2
        assert sorted(halves[0] + halves[1]) == sorted(rows)
    weights = [np.array(r["weight"]) for r in (one, *ranks)]
    np.testing.assert_array_equal(weights[1], weights[2])
    np.testing.assert_allclose(weights[1], weights[0], atol=2e-5)
    assert ranks[0]["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)


def test_two_processes_resume_together(tmp_path, drive):
    """A run of two processes goes on from its checkpoint with two processes."""
    (tmp_path / "two").mkdir()
    stopped = drive(tmp_path / "two", "--plain", "--signal_at", "32")
    assert stopped.returncode == 130
    both = drive(tmp_path / "two", "--plain", "--resume", ranks=2)
    assert both.returncode == 0, both.stderr
    weights = [read_json(tmp_path / "two" / f"rank_{r}.json")["weight"] for r in (0, 1)]
    assert weights[0] == weights[1]


# --- the script ---


def test_train_py_killed_from_outside_resumes(tmp_path, warm_python):
    """What a user sees: kill -9 at any moment, then --resume with the folder's name."""
    always = [str(TRAIN), "--threads", "1", "--seeds", "1", "--model", "mlp"]
    common = ["--epochs", "30", "--output_dir", str(tmp_path), "--ema_decay", "0.9"]
    command = [sys.executable, *always, *common, "--run_name", "killed"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, **quiet)
    folder = tmp_path / TRAIN.parent.name / "train-killed"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        metrics = folder / "metrics.jsonl"
        if metrics.is_file() and len(read_jsonl(metrics)) >= 3:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    for words in (["--resume", str(folder)], [*common, "--run_name", "whole"]):
        done = warm_python.run(*always, *words)
        assert done.returncode == 0, done.stderr
    whole = folder.with_name("train-whole")
    assert_same(*(load_checkpoint(f / "last.pth")["state"] for f in (folder, whole)))
    assert read_json(folder / "run.json")["options"]["epochs"] == 30
    rows = [read_jsonl(f / "metrics.jsonl") for f in (folder, whole)]
    assert [r["val_loss"] for r in rows[0]] == [r["val_loss"] for r in rows[1]]


def test_torchrun_runs_the_script_as_it_is(tmp_path):
    options = ["--epochs", "2", "--seeds", "1", "--output_dir", str(tmp_path), "--run_name", "two"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(TRAIN), "--threads", "1", *options]
    done = subprocess.run(
        command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("written to") == 1
    folder = tmp_path / TRAIN.parent.name / "train-two"
    assert read_json(folder / "run.json")["metrics"]["test accuracy (%)"] > 60


def test_resume_of_a_folder_that_is_no_run(tmp_path, capsys):
    from chapter_03_optimization_regularization import train

    assert train.main(["--resume", str(tmp_path)]) == 2
    assert "it is no run folder" in capsys.readouterr().err
    (tmp_path / "run.json").write_text('{"script": "other.py", "argv": []}', encoding="utf-8")
    assert train.main(["--resume", str(tmp_path)]) == 2
    assert "was not made by train.py" in capsys.readouterr().err
