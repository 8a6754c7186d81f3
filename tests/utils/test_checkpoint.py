"""Checkpoints survive a round trip, refuse damage in one sentence, and never run code."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from utils.checkpoint import CheckpointError, load_checkpoint, load_state, save_checkpoint

FACTS = {"architecture": {"width": 3}, "dataset": "digits", "metrics": {"accuracy": 0.5}}


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_round_trip_keeps_tensors_and_facts(tmp_path, suffix):
    weights = {"w": torch.randn(3, 2), "b": torch.zeros(0)}
    state = {k: v.numpy() for k, v in weights.items()} if suffix == ".npz" else weights
    save_checkpoint(tmp_path / f"a{suffix}", state, task="t", seeds=(1, 2), **FACTS)
    loaded = load_checkpoint(tmp_path / f"a{suffix}")
    for name in state:
        np.testing.assert_array_equal(np.asarray(loaded["state"][name]), np.asarray(state[name]))
    assert loaded["architecture"] == {"width": 3} and loaded["seeds"] == [1, 2]


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.95])
def test_truncated_file_is_named_in_one_sentence(tmp_path, suffix, keep):
    path = tmp_path / f"a{suffix}"
    state = {"w": np.ones(500)} if suffix == ".npz" else {"w": torch.ones(500)}
    save_checkpoint(path, state, **FACTS)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(CheckpointError, match=rf"a\{suffix} is damaged"):
        load_checkpoint(path)


def test_missing_file_foreign_file_and_other_version(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.pth")
    torch.save({"weights": torch.ones(1)}, tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of this course"):
        load_checkpoint(tmp_path / "foreign.pth")
    torch.save({"state": {}, "format_version": 99}, tmp_path / "new.pth")
    with pytest.raises(CheckpointError, match="format version 99"):
        load_checkpoint(tmp_path / "new.pth")


class Evil:
    """Pickles as a call; unpickling it would run the call."""

    def __reduce__(self):
        return (print, ("code from a checkpoint was run",))


@pytest.mark.parametrize("suffix", [".pth", ".npz"])
def test_code_inside_a_file_is_not_run(tmp_path, capsys, suffix):
    path = tmp_path / f"evil{suffix}"
    if suffix == ".pth":
        torch.save({"state": Evil()}, path)
    else:
        path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert "was run" not in capsys.readouterr().out


def test_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.pth"
    save_checkpoint(path, {"w": torch.ones(1)}, **FACTS)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_checkpoint(path, {"w": lambda: None}, **FACTS)
    assert load_checkpoint(path)["state"]["w"].item() == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_load_state_names_the_mismatch(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.pth does not fit.*size mismatch for weight"):
        load_state(nn.Linear(2, 3), nn.Linear(4, 3).state_dict(), "a.pth")
