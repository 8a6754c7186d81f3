"""Checkpoints survive a round trip, refuse damage in one sentence, and never run code."""

import enum
import json
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from utils.checkpoint import (
    CheckpointError,
    evaluator,
    load_checkpoint,
    load_state,
    save_checkpoint,
)

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


def test_a_file_of_version_1_says_per_cent_where_it_holds_per_cent(tmp_path):
    metrics = {"test_accuracy": 97.5, "val_accuracy": 0.975, "loss": 3.0}
    old = {"state": {}, "format_version": 1, "metrics": metrics}
    torch.save(old, tmp_path / "old.pth")
    read = load_checkpoint(tmp_path / "old.pth")["metrics"]
    assert read == {"test_accuracy_percent": 97.5, "val_accuracy": 0.975, "loss": 3.0}


def test_missing_file_foreign_file_and_other_version(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.pth")
    torch.save({"weights": torch.ones(1)}, tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of this course"):
        load_checkpoint(tmp_path / "foreign.pth")
    torch.save({"state": [torch.ones(1)], "format_version": 1}, tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of this course"):
        load_checkpoint(tmp_path / "list.pth")
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
    with pytest.raises(CheckpointError, match=r"cannot hold state\.w, a function"):
        save_checkpoint(path, {"w": lambda: None}, **FACTS)
    assert load_checkpoint(path)["state"]["w"].item() == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_load_state_names_the_mismatch(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.pth does not fit.*size mismatch for weight"):
        load_state(nn.Linear(2, 3), nn.Linear(4, 3).state_dict(), "a.pth")


# --- what is written can be read ---


def through_a_file(folder: Path, training: object) -> object:
    save_checkpoint(folder / "t.pth", {}, training={"part": training}, **FACTS)
    return load_checkpoint(folder / "t.pth")["training"]["part"]


def test_plain_values_and_tensors_come_back_as_they_were(tmp_path):
    value = {
        "numbers": [1, -2.5, True, None, 10**40, 1j, float("inf")],
        "text": ("a", b"b", bytearray(b"c"), {"d"}),
        "kinds": [torch.float16, torch.device("cpu"), torch.Size([2, 3])],
        "counted": Counter("aab"),
        "ordered": OrderedDict(a=1),
        0: {(1, 2): "keys need not be text"},
    }
    assert through_a_file(tmp_path, value) == value
    assert np.isnan(through_a_file(tmp_path, float("nan")))
    parameter = nn.Parameter(torch.ones(2))
    assert torch.equal(through_a_file(tmp_path, parameter), parameter)


class Color(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.float64(3), r"training\.part, a numpy\.float64"),
        ({"state": {0: {"step": np.int64(3)}}}, r"part\.state\.0\.step, a numpy\.int64"),
        ([1, np.arange(3.0)], r"training\.part\.1, a numpy\.ndarray"),
        ({"best": np.bool_(True)}, r"training\.part\.best, a numpy\.bool"),
        ({np.int64(1): 2}, r"the key training\.part\.1, a numpy\.int64"),
        (Path("a"), r"training\.part, a pathlib\."),
        (range(3), r"training\.part, a range"),
        (Color.RED, r"training\.part, a .*Color"),
        (frozenset({1}), r"training\.part, a frozenset"),
    ],
)
def test_what_cannot_be_read_back_is_refused_when_saving(tmp_path, value, words):
    save_checkpoint(tmp_path / "t.pth", {"w": torch.ones(1)}, **FACTS)
    with pytest.raises(CheckpointError, match=words):
        through_a_file(tmp_path, value)
    assert load_checkpoint(tmp_path / "t.pth")["state"]["w"] == 1, "the old file stays"


def test_an_array_of_numpy_is_refused_in_a_pth_and_objects_in_an_npz(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.pth cannot hold state\.w, a numpy\.ndarray"):
        save_checkpoint(tmp_path / "a.pth", {"w": np.arange(3.0)}, **FACTS)
    with pytest.raises(CheckpointError, match=r"a\.npz cannot hold w"):
        save_checkpoint(tmp_path / "a.npz", {"w": np.array([None, {}])}, **FACTS)
    with pytest.raises(CheckpointError, match="set"):
        save_checkpoint(tmp_path / "a.npz", {"w": np.ones(1)}, **FACTS, seeds={1})
    with pytest.raises(CheckpointError, match=r"save it as \.pth"):
        save_checkpoint(tmp_path / "a.npz", {"w": np.ones(1)}, **FACTS, training={"step": 1})
    assert list(tmp_path.iterdir()) == []


def test_facts_of_numpy_become_plain_ones(tmp_path):
    facts = FACTS | {"metrics": {"accuracy": np.float32(0.5)}, "mean": np.ones(2)}
    for name in ("a.pth", "a.npz"):
        save_checkpoint(tmp_path / name, {}, **facts)
        loaded = load_checkpoint(tmp_path / name)
        assert loaded["metrics"] == {"accuracy": 0.5} and loaded["mean"] == [1.0, 1.0]


@pytest.mark.parametrize("name", ["UP.NPZ", "Up.Npz", "UP.PTH", "none"])
def test_the_case_of_a_suffix_does_not_matter(tmp_path, name):
    value = np.arange(3.0) if name.lower().endswith("npz") else torch.arange(3.0)
    save_checkpoint(tmp_path / name, {"w": value}, **FACTS)
    assert load_checkpoint(tmp_path / name)["state"]["w"].tolist() == [0, 1, 2]


def test_an_array_may_have_any_name(tmp_path):
    """np.savez takes arrays as keywords: `file` clashes, `allow_pickle` is lost."""
    names = ["file", "args", "allow_pickle", "a.b", "weight"]
    save_checkpoint(tmp_path / "a.npz", {name: np.ones(2) for name in names}, **FACTS)
    assert sorted(load_checkpoint(tmp_path / "a.npz")["state"]) == sorted(names)


def test_a_readable_file_of_other_things_is_not_called_damaged(tmp_path):
    torch.save({"state": {"w": np.float64(1)}, "format_version": 1}, tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", w=np.array([{}]), __metadata__=np.array(json.dumps({})))
    np.savez(tmp_path / "b.npz", w=np.ones(2))
    for name, words in (
        ("a.pth", r"holds numpy\._core\.multiarray\.scalar|holds numpy\.core"),
        ("a.npz", "holds Python objects"),
        ("b.npz", "not a checkpoint of this course"),
    ):
        with pytest.raises(CheckpointError, match=words) as caught:
            load_checkpoint(tmp_path / name)
        assert "damaged" not in str(caught.value)


# --- a changed bit ---


def alike(first: dict, second: dict) -> bool:
    """Equal metadata, names and numbers."""
    if {k: v for k, v in first.items() if k != "state"} != {
        k: v for k, v in second.items() if k != "state"
    }:
        return False
    a, b = first["state"], second["state"]
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["a.pth", "a.npz"])
def test_a_changed_bit_is_noticed_or_changes_nothing(tmp_path, name):
    arrays = {"w": np.linspace(-3, 3, 60).reshape(6, 10), "b": np.zeros(3)}
    state = arrays if name == "a.npz" else {k: torch.from_numpy(v) for k, v in arrays.items()}
    path = tmp_path / name
    save_checkpoint(path, state, **FACTS)
    content, original = path.read_bytes(), load_checkpoint(path)
    refused = 0
    for bit in range(0, 8 * len(content), 53):  # 53: every byte's place, all eight bits in turn
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert alike(load_checkpoint(path), original), f"bit {bit % 8} of byte {bit // 8}"
        except CheckpointError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
    assert refused > 50


def test_every_bit_of_the_numbers_is_guarded(tmp_path):
    path = tmp_path / "a.pth"
    weights = torch.linspace(-1, 1, 8)
    save_checkpoint(path, {"w": weights}, **FACTS)
    content = path.read_bytes()
    start = content.index(weights.numpy().tobytes())
    for bit in range(8 * start, 8 * (start + 32), 5):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"a\.pth is damaged.*checksum"):
            load_checkpoint(path)


def test_an_entry_that_does_not_decompress_is_damage(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'   \n")  # a sound zip
        archive.writestr("__metadata__.npy", b"")
    with pytest.raises(CheckpointError, match=r"a\.npz is damaged"):
        load_checkpoint(tmp_path / "a.npz")


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "a.pth"
    save_checkpoint(path, {"w": torch.ones(1)}, **FACTS)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("zipfile.is_zipfile", refuse)
    with pytest.raises(CheckpointError, match="cannot be read: Permission denied") as caught:
        load_checkpoint(path)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("metrics", "found"),
    [
        ({"test_accuracy": 0.5, "val_accuracy": 0.5}, {"test_accuracy": 0.75}),
        ({"test_accuracy_percent": 50.0}, {"test_accuracy_percent": 75.0}),
        ({"rmse": 0.1}, {}),  # `course verify` says that there was no number
    ],
)
def test_a_checkpoint_is_evaluated_in_the_unit_of_its_own_metrics(metrics, found):
    asked = []
    evaluate = evaluator(
        lambda path: (f"the network of {path}", {"dataset": "digits", "metrics": metrics}),
        lambda name, data_dir: (name, data_dir),
        lambda model, data: asked.append((model, data)) or 0.75,
    )
    assert evaluate("a.pth", "data") == found
    assert asked == [("the network of a.pth", ("digits", "data"))]
