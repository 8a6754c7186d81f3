"""What a resume restores is in the loop's `state_dict`, and nothing below knows the loop."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import chapter_03_optimization_regularization.training as package
from chapter_03_optimization_regularization.optimizers import AdamW
from chapter_03_optimization_regularization.regularization import EMA, EarlyStopping
from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import (
    Batches,
    History,
    classification_loss,
    fit,
    loop,
)
from utils.checkpoint import load_checkpoint

FOLDER = Path(package.__file__).parent
# The "training" part of last.pth. A file of an earlier day must resume: names may come, none go.
FORMAT = {
    "fingerprint": dict,
    "planned_epochs": int,
    "epoch": int,
    "batch": int,
    "step": int,
    "sums": dict,
    "epochs": list,
    "best": dict,
    "step_losses": torch.Tensor,
    "stopped_early": bool,
    "seconds": float,
    "optimizer": dict,
    "scheduler": dict,
    "ema": dict,
    "early_stopping": dict,
    "scaler": type(None),
    "random": dict,
}


class Stopped(Exception):
    """Ends a training in the middle of an epoch."""


def train(folder: Path, stop_at: int | None = None) -> None:
    """Every part a training can have on a CPU; two epochs of five batches, two a step."""
    torch.manual_seed(1)
    x = torch.randn(40, 4)
    y = (x[:, 0] > 0).long()
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 2))
    optimizer = AdamW(model.parameters(), lr=0.02)
    plain, calls = classification_loss(), 0

    def loss_fn(model, batch):
        nonlocal calls
        calls += model.training
        if calls == stop_at:
            raise Stopped
        return plain(model, batch)

    fit(
        model, loss_fn, optimizer, Batches(x, y, batch_size=8, shuffle=True), epochs=2,
        val=Batches(x, y, batch_size=40), scheduler=CosineWithWarmup(optimizer, 2, 6),
        accumulate=2, ema=EMA(model, 0.8), early_stopping=EarlyStopping(patience=9),
        folder=folder, save_every=1,
    )  # fmt: skip


@pytest.fixture
def saved(tmp_path) -> dict:
    """The state of a training that died in its second epoch."""
    with pytest.raises(Stopped):
        train(tmp_path / "first", stop_at=8)
    return load_checkpoint(tmp_path / "first" / "last.pth")["training"]


def test_the_names_in_the_file(saved):
    assert list(saved) == list(FORMAT)
    assert {name: type(value) for name, value in saved.items()} == FORMAT
    assert (saved["epoch"], saved["batch"], saved["step"]) == (1, 2, 4)


def test_loading_is_the_reverse_of_saving(saved, tmp_path, monkeypatch):
    """A loop that has just begun, in another folder, with other random numbers drawn since."""
    loops = []
    monkeypatch.setattr(loop._Loop, "run", lambda self, *_: loops.append(self))
    train(tmp_path / "second")
    (fresh,) = loops
    assert fresh.state_dict()["step"] == 0
    fresh.load_state_dict(saved)
    assert_same(fresh.state_dict(), saved)


def assert_same(here, there, name: str = "training") -> None:
    """Nested dictionaries and lists of tensors and plain values, equal to the bit."""
    assert type(here) is type(there), name
    if isinstance(here, dict):
        assert list(here) == list(there), name
        for key in here:
            assert_same(here[key], there[key], f"{name}.{key}")
    elif isinstance(here, list | tuple):
        assert len(here) == len(there), name
        for index, pair in enumerate(zip(here, there, strict=True)):
            assert_same(*pair, f"{name}.{index}")
    elif isinstance(here, torch.Tensor):
        assert torch.equal(here, there), name
    else:
        assert here == there, name


def test_a_history_comes_back_as_it_was():
    history = History([{"val_loss": 2.0}, {"val_loss": math.nan}], [3.0, 1.0], {"val_loss": 2.0})
    history.seconds = 5.0
    again = History()
    again.load_state_dict(history.state_dict(), "val_loss")
    assert (again.best, again.step_losses, again.seconds) == ({"val_loss": 2.0}, [3.0, 1.0], 5.0)
    assert again.epochs[0] == history.epochs[0] and math.isnan(again.epochs[1]["val_loss"])


@pytest.mark.parametrize("best", [None, {"val_loss": None}, {"val_loss": math.nan}, {"other": 1.0}])
def test_a_best_that_is_no_number_is_not_loaded(best):
    again = History()
    again.load_state_dict(History().state_dict() | {"best": best}, "val_loss")
    assert again.best is None


def neighbours(path: Path) -> set[str]:
    """The files of the package that this one imports, also for its types only."""
    names, here = set(), package.__name__
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == here:
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(here + "."):
            names.add(node.module.removeprefix(here + "."))
        elif isinstance(node, ast.Import):
            names |= {alias.name.removeprefix(here + ".") for alias in node.names}
    return names & {file.stem for file in FOLDER.glob("*.py")}


def test_no_file_of_the_package_imports_in_a_circle():
    """Not even under TYPE_CHECKING: peel off what imports nothing that is left."""
    left = {path.stem: neighbours(path) for path in FOLDER.glob("*.py")}
    assert "state" in left["loop"] and "loop" in left["__init__"]
    assert [name for name in left if "loop" in left[name]] == ["__init__"]
    while ready := [name for name in left if not left[name] & set(left)]:
        for name in ready:
            del left[name]
    assert left == {}
