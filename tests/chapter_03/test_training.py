"""`fit`: the loop against hand-written ones, accumulation, resume, stops, and its bookkeeping."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization.optimizers import SGD, AdamW
from chapter_03_optimization_regularization.regularization import EMA, EarlyStopping, mixup
from chapter_03_optimization_regularization.schedulers import CosineWithWarmup, ReduceLROnPlateau
from chapter_03_optimization_regularization.training import (
    Batches,
    TrainingError,
    classification_loss,
    evaluate,
    fit,
    loop,
    make_accelerator,
    versions,
)
from chapter_03_optimization_regularization.training import state as training_state
from utils.checkpoint import CheckpointError, load_checkpoint
from utils.cli import UserError
from utils.file_io_util import read_jsonl
from utils.seed import seed_everything

ROWS, EPOCHS = 50, 4


def data(rows: int = ROWS, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (rows, 6) and 3 classes that a linear map separates."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 6, generator=g)
    return x, (x @ torch.randn(6, 3, generator=torch.Generator().manual_seed(9))).argmax(dim=1)


def network(norm: bool = True, dropout: float = 0.3) -> nn.Sequential:
    """BatchNorm and dropout: a buffer and a random generator that a resume must restore."""
    torch.manual_seed(1)
    middle = nn.BatchNorm1d(16) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(6, 16), middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def batches(size: int = 8, **options) -> Batches:
    return Batches(*data(), batch_size=size, shuffle=True, seed=3, **options)


def validation() -> Batches:
    return Batches(*data(30, seed=5), batch_size=16)


def same(a: nn.Module, b: nn.Module) -> bool:
    """Equal to the bit, parameters and buffers."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


class Killed(Exception):
    """Stands for a process that dies between two steps."""


def everything(folder: Path | None, resume: bool = False, stop_at: int | None = None, **options):
    """A training with all parts: schedule, EMA, clipping, accumulation, dropout, BatchNorm."""
    model = network()
    optimizer = AdamW(model.parameters(), lr=0.02)
    loss_fn, calls = classification_loss(), 0

    def counted(model, batch):
        nonlocal calls
        calls += model.training
        if calls == stop_at:
            raise Killed
        return loss_fn(model, batch)

    ema = EMA(model, decay=0.8)
    steps = EPOCHS * 3
    settings = {
        "epochs": EPOCHS,
        "val": validation(),
        "scheduler": CosineWithWarmup(optimizer, warmup_steps=2, total_steps=steps),
        "accumulate": 3,
        "clip_norm": 0.5,
        "ema": ema,
        "early_stopping": EarlyStopping(patience=50),
        "folder": folder,
        "resume": resume,
        "save_every": 1,
    }
    torch.manual_seed(7)
    history = fit(model, counted, optimizer, batches(), **(settings | options))
    return model, optimizer, ema, history


# --- the same as loops written by hand ---


def test_fit_equals_the_versions_it_grew_from(tmp_path):
    def parts():
        model = network()
        optimizer = AdamW(model.parameters(), lr=0.01)
        scheduler = CosineWithWarmup(optimizer, warmup_steps=2, total_steps=EPOCHS * 7)
        torch.manual_seed(7)
        return model, classification_loss(), optimizer, scheduler

    model, loss_fn, optimizer, _ = parts()
    fit(model, loss_fn, optimizer, batches(), epochs=EPOCHS)
    for version, extra in ((versions.fit_v1, ()), (versions.fit_v2, (validation(),))):
        other, loss_fn, optimizer, _ = parts()
        version(other, loss_fn, optimizer, batches(), EPOCHS, *extra)
        assert same(model, other), version.__name__

    model, loss_fn, optimizer, scheduler = parts()
    options = {"val": validation(), "scheduler": scheduler, "clip_norm": 0.5}
    history = fit(model, loss_fn, optimizer, batches(), epochs=EPOCHS, **options)
    accelerator = make_accelerator(torch.device("cpu"), "fp32")
    for version, extra in (
        (versions.fit_v3, ()),
        (versions.fit_v4, (tmp_path / "v4.pth",)),
        (versions.fit_v5, (accelerator,)),
    ):
        other, loss_fn, optimizer, scheduler = parts()
        losses = version(
            other, loss_fn, optimizer, batches(), EPOCHS, validation(), scheduler, 0.5, *extra
        )
        assert same(model, other), version.__name__
        np.testing.assert_allclose(losses, [row["val_loss"] for row in history.epochs], rtol=1e-6)


def test_version_4_resumes_to_the_same_bits(tmp_path):
    def train(epochs: int, path: Path) -> nn.Module:
        model = network()
        optimizer = AdamW(model.parameters(), lr=0.01)
        scheduler = CosineWithWarmup(optimizer, warmup_steps=2, total_steps=EPOCHS * 7)
        torch.manual_seed(7)
        versions.fit_v4(
            model, classification_loss(), optimizer, batches(), epochs, validation(), scheduler,
            0.5, path,
        )  # fmt: skip
        return model

    whole = train(EPOCHS, tmp_path / "whole.pth")
    train(2, tmp_path / "halved.pth")
    assert same(whole, train(EPOCHS, tmp_path / "halved.pth"))


def test_accumulation_equals_one_big_batch():
    """50 rows in batches of 8, three a step, against batches of 24: also the ragged last ones."""
    results = []
    for size, accumulate in ((24, 1), (8, 3)):
        model = network(norm=False, dropout=0.0).double()
        optimizer = SGD(model.parameters(), lr=0.3, momentum=0.9)
        x, y = data()
        train = Batches(x.double(), y, batch_size=size, shuffle=True, seed=3)
        history = fit(
            model, classification_loss(), optimizer, train, epochs=5, accumulate=accumulate
        )
        results.append((model, history))
    (big, big_history), (small, small_history) = results
    for a, b in zip(big.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(big_history.step_losses, small_history.step_losses, rtol=1e-10)
    assert big_history.epochs[-1]["train_loss"] == pytest.approx(
        small_history.epochs[-1]["train_loss"], rel=1e-10
    )


# --- resume ---


@pytest.mark.parametrize("stop_at", [2, 8, 10, 17, 21])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, stop_at):
    """Stopped in mid-epoch, in the middle of an accumulated group, at an epoch's end."""
    whole = everything(tmp_path / "whole")
    folder = tmp_path / "stopped"
    with pytest.raises(Killed):
        everything(folder, stop_at=stop_at)
    seed_everything(123)  # what happens to the generators in between must not matter
    model, optimizer, ema, history = everything(folder, resume=(folder / "last.pth").is_file())
    assert same(whole[0], model)
    assert all(torch.equal(whole[2].weights[n], w) for n, w in ema.weights.items())
    assert optimizer.param_groups[0]["lr"] == whole[1].param_groups[0]["lr"]
    assert history.step_losses == whole[3].step_losses
    keys = set(history.epochs[0]) - {"seconds"}
    for mine, theirs in zip(history.epochs, whole[3].epochs, strict=True):
        assert {k: mine[k] for k in keys} == {k: theirs[k] for k in keys}
    assert [row["epoch"] for row in read_jsonl(folder / "metrics.jsonl")] == [1, 2, 3, 4]


def test_resume_continues_every_random_generator():
    before = training_state.random_state()
    drawn = (random.random(), np.random.rand(), torch.rand(1).item())
    training_state.set_random_state(before)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn


def test_resume_of_a_finished_run_trains_no_further(tmp_path):
    model, *_ = everything(tmp_path)
    again, _, _, history = everything(tmp_path, resume=True)
    assert same(model, again)
    assert len(history.step_losses) == EPOCHS * 3


def test_resume_refuses_what_does_not_fit(tmp_path):
    everything(tmp_path / "run")
    with pytest.raises(CheckpointError, match="accumulate = 3, not 2"):
        everything(tmp_path / "run", resume=True, accumulate=2)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        everything(tmp_path / "nothing", resume=True)
    (tmp_path / "run" / "last.pth").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CheckpointError, match="damaged"):
        everything(tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="needs the folder"):
        everything(None, resume=True)
    best = load_checkpoint(tmp_path / "run" / "best.pth")
    assert "training" not in best


def test_resume_takes_the_plateau_schedule_and_early_stopping_along(tmp_path):
    def train(epochs: int, folder: Path, resume: bool = False):
        model = network()
        optimizer = SGD(model.parameters(), lr=0.5)
        stopping = EarlyStopping(patience=3)
        torch.manual_seed(7)
        history = fit(
            model, classification_loss(), optimizer, batches(), epochs=epochs, val=validation(),
            scheduler=ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
            early_stopping=stopping, folder=folder, resume=resume,
        )  # fmt: skip
        return model, history

    whole, expected = train(20, tmp_path / "whole")
    assert expected.stopped_early
    assert len(expected.epochs) < 20
    assert expected.epochs[-1]["lr"] < 0.5
    train(2, tmp_path / "halved")
    again, history = train(20, tmp_path / "halved", resume=True)
    assert same(whole, again)
    assert len(history.epochs) == len(expected.epochs)


# --- stops ---


def test_a_loss_that_is_no_number_stops_before_the_update(tmp_path):
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    loss_fn, calls = classification_loss(), 0

    def bad(model, batch):
        nonlocal calls
        calls += model.training
        loss, metrics = loss_fn(model, batch)
        return loss * (float("nan") if calls == 10 else 1.0), metrics

    with pytest.raises(TrainingError, match=r"nan at step 10 \(epoch 2\).*last\.pth") as caught:
        fit(model, bad, optimizer, batches(), epochs=3, folder=tmp_path)
    assert caught.value.step == 10
    assert caught.value.last_checkpoint == tmp_path / "last.pth"
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert load_checkpoint(tmp_path / "last.pth")["training"]["step"] == 7


def test_a_late_look_at_the_loss_still_names_the_step(monkeypatch):
    """On an accelerator losses are fetched now and then; the step named is the first bad one."""
    loss_fn, calls = classification_loss(), 0

    def bad(model, batch):
        nonlocal calls
        calls += 1
        loss, metrics = loss_fn(model, batch)
        return (loss * float("inf") if calls >= 5 else loss), metrics

    original = loop._Loop.__post_init__

    def lazy(self):
        original(self)
        self.check_every = 100

    monkeypatch.setattr(loop._Loop, "__post_init__", lazy)
    model = network()
    with pytest.raises(TrainingError) as caught:
        fit(model, bad, SGD(model.parameters(), lr=0.1), batches(), epochs=3)
    assert caught.value.step == 5


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_that_takes_nothing_leaves_the_old_checkpoint(tmp_path, monkeypatch, number):
    everything(tmp_path, epochs=1)
    kept = (tmp_path / "last.pth").read_bytes()

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    message = rf"{os.strerror(number)}.*last good checkpoint is .*last\.pth"
    with pytest.raises(TrainingError, match=message):
        everything(tmp_path, resume=True)
    assert (tmp_path / "last.pth").read_bytes() == kept
    assert not list(tmp_path.glob(".*.tmp"))


def test_early_stopping_and_best_weights(tmp_path):
    x, y = data()
    train = Batches(x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))],
                    batch_size=50)  # fmt: skip
    model = network(norm=False, dropout=0.0)
    history = fit(
        model, classification_loss(), AdamW(model.parameters(), lr=0.05), train, epochs=200,
        val=validation(), early_stopping=EarlyStopping(patience=5), restore_best=True,
        folder=tmp_path,
    )  # fmt: skip
    assert history.stopped_early
    losses = [row["val_loss"] for row in history.epochs]
    assert len(losses) == int(np.argmin(losses)) + 1 + 5
    assert history.best["val_loss"] == min(losses)
    result = evaluate(model, classification_loss(), validation())
    assert result["loss"] == pytest.approx(min(losses), rel=1e-6)
    best = load_checkpoint(tmp_path / "best.pth")
    assert all(torch.equal(best["state"][n], v) for n, v in model.state_dict().items())


def test_monitoring_a_metric_to_its_maximum():
    model = network()
    history = fit(
        model, classification_loss(), AdamW(model.parameters(), lr=0.02), batches(), epochs=6,
        val=validation(), monitor="accuracy", mode="max",
    )  # fmt: skip
    assert history.best["val_accuracy"] == max(row["val_accuracy"] for row in history.epochs)


# --- bookkeeping ---


def test_validation_and_best_use_the_averaged_weights(tmp_path):
    model, _, ema, history = everything(tmp_path, mode="max")  # the worst, to have one to compare
    with ema.applied_to(model):
        result = evaluate(model, classification_loss(), validation())
    assert history.epochs[-1]["val_loss"] == pytest.approx(result["loss"], rel=1e-6)


def test_the_model_is_left_as_it_was_found():
    model = network()
    attributes = set(vars(model))
    for precision in ("fp32", "bf16"):
        fit(
            model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), epochs=1,
            precision=precision,
        )  # fmt: skip
        assert set(vars(model)) == attributes
        assert model(data()[0]).dtype == torch.float32


def test_bf16_really_computes_in_16_bits():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            seen.append(y.dtype)
            return y

    model = nn.Sequential(Spy(6, 3))
    fit(
        model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), epochs=1,
        precision="bf16",
    )  # fmt: skip
    assert set(seen) == {torch.bfloat16}
    assert model[0].weight.dtype == torch.float32
    with pytest.raises(UserError, match="fp16 needs a CUDA device"):
        fit(model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), epochs=1,
            precision="fp16")  # fmt: skip


def test_compile_trains_a_compiled_model_and_leaves_the_plain_one(monkeypatch):
    """With torch.compile's eager backend, which needs no C++ compiler; the result is the same."""
    original, compiled = torch.compile, []

    def eager(module):
        compiled.append(module)
        return original(module, backend="eager")

    monkeypatch.setattr(torch, "compile", eager)
    models = []
    for switch in (False, True):
        model = network(dropout=0.0)
        fit(
            model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), epochs=1,
            compile=switch,
        )  # fmt: skip
        models.append(model)
    assert compiled == [models[1]]
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_tensorboard_logs_each_epoch_or_says_what_to_install(tmp_path):
    model = network()
    options = {"epochs": 2, "folder": tmp_path, "tensorboard": True}
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="pip install tensorboard"):
            fit(model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), **options)
        return
    fit(model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), **options)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_means_count_every_example_once():
    model = network(dropout=0.0)
    x, y = data()
    ragged = evaluate(model, classification_loss(), Batches(x, y, batch_size=7))
    whole = evaluate(model, classification_loss(), Batches(x, y, batch_size=50))
    assert ragged == pytest.approx(whole, rel=1e-6)


def test_any_iterable_serves_as_batches():
    class Listed(list):
        def set_epoch(self, epoch):
            self.number = epoch

    listed = Listed(batches().epoch(0))
    model = network()
    history = fit(model, classification_loss(), SGD(model.parameters(), lr=0.1), listed, epochs=2)
    assert listed.number == 1
    assert len(history.step_losses) == 2 * len(listed)


def test_a_tiny_network_overfits_32_examples():
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(2))
    y = torch.randint(0, 3, (32,), generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
    history = fit(
        model, classification_loss(), AdamW(model.parameters(), lr=0.02),
        Batches(x, y, batch_size=8, shuffle=True), epochs=150,
    )  # fmt: skip
    assert history.epochs[-1]["train_accuracy"] == 1.0


# --- Batches ---


def test_batches_cover_each_row_once_in_an_order_of_its_own_each_epoch():
    numbers = torch.arange(50)
    loader = Batches(numbers, batch_size=8, shuffle=True, seed=1)
    orders = [torch.cat([b for (b,) in loader.epoch(e)]) for e in (0, 0, 1)]
    assert len(loader) == 7
    assert sorted(orders[0].tolist()) == list(range(50))
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    late = torch.cat([b for (b,) in loader.epoch(0, start=3)])
    assert torch.equal(late, orders[0][24:])
    assert len(Batches(numbers, batch_size=8, drop_last=True)) == 6


def test_the_processes_share_each_batch():
    loader = Batches(torch.arange(50), batch_size=8, shuffle=True, seed=1)
    whole = [b for (b,) in loader.epoch(2)]
    shares = [[b for (b,) in loader.epoch(2, rank=r, world=3, even=False)] for r in range(3)]
    for index, batch in enumerate(whole):
        parts = torch.cat([share[index] for share in shares if index < len(share)])
        assert sorted(parts.tolist()) == sorted(batch.tolist())
    even = [[len(b) for (b,) in loader.epoch(2, rank=r, world=3)] for r in range(3)]
    assert even[0] == even[1] == even[2] == [2] * 6  # the last batch of two rows has no three


def test_a_transform_draws_from_the_batch_number():
    x, y = data()

    def transform(batch, generator):
        inputs, labels = batch
        return mixup(inputs, torch.eye(3)[labels], 0.4, generator)

    loader = Batches(x, y, batch_size=8, shuffle=True, transform=transform)
    first = list(loader.epoch(1))
    torch.rand(5)  # other draws change nothing
    later = list(loader.epoch(1, start=4))
    assert all(torch.equal(a, b) for a, b in zip(first[4][:2], later[0][:2], strict=True))
    assert not torch.equal(first[0][0], next(iter(loader.epoch(2)))[0])


def test_batches_refuse_tensors_that_do_not_match():
    with pytest.raises(ValueError, match="same number of rows"):
        Batches(torch.zeros(3), torch.zeros(4), batch_size=2)
    with pytest.raises(ValueError, match="at least 1"):
        Batches(torch.zeros(3), batch_size=0)
    with pytest.raises(ValueError, match="drop_last"):
        Batches(torch.zeros(3), batch_size=4, drop_last=True)
