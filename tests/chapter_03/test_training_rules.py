"""What `fit` refuses, and what it takes over, when a training goes on or is to begin."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization import schedulers
from chapter_03_optimization_regularization.optimizers import SGD, AdamW
from chapter_03_optimization_regularization.regularization import EMA, EarlyStopping
from chapter_03_optimization_regularization.training import (
    Batches,
    History,
    classification_loss,
    evaluate,
    fit,
)
from utils.checkpoint import CheckpointError, load_checkpoint
from utils.errors import UserError
from utils.seed import seed_everything

ROWS = 40


def data(rows: int = ROWS, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > 0).long()


def batches(
    size: int = 8, seed: int = 3, rows: int = ROWS, data_seed: int = 0, transform: Any = None
) -> Batches:
    tensors = data(rows, data_seed)
    return Batches(*tensors, batch_size=size, shuffle=True, seed=seed, transform=transform)


def validation(seed: int = 5) -> Batches:
    return Batches(*data(20, seed), batch_size=20)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def equal(model: nn.Module, weights: list[torch.Tensor]) -> bool:
    return all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))


def reported(values: list[float]) -> Any:
    """A loss function that reports these validation losses, one an epoch, and a metric like it."""
    plain, left = classification_loss(), iter(values)

    def loss_fn(model, batch):
        loss, metrics = plain(model, batch)
        if not model.training:
            value = torch.tensor(next(left))
            return value, {"score": value}
        return loss, metrics | {"score": loss.detach()}

    return loss_fn


# --- a metric that is not a number ---

NAN, INF = math.nan, math.inf
COURSES = [
    ("min", [NAN, 3.0, 2.0, NAN, 2.5]),
    ("min", [INF, NAN, -INF, 3.0, 4.0]),
    ("min", [-INF, 3.0, 2.0, -INF, 2.5]),
    ("max", [NAN, 1.0, INF, 3.0, 2.0]),
    ("max", [INF, 1.0, 2.0, -INF, INF]),
]


def watch(mode: str, values: list[float], **options: Any) -> tuple[nn.Module, History, Any, list]:
    """A training whose validation losses are these; and the weights after each epoch."""
    model, weights = network(), []
    optimizer = SGD(model.parameters(), lr=0.1)
    loss_fn = reported(values)
    stopping = EarlyStopping(patience=10, mode=mode)
    settings = {"epochs": len(values), "early_stopping": stopping, "restore_best": True} | options
    history = fit(
        model, loss_fn, optimizer, batches(), val=validation(), mode=mode,
        scheduler=schedulers.ReduceLROnPlateau(optimizer, mode=mode, patience=10),
        on_epoch=lambda row: weights.append([p.detach().clone() for p in model.parameters()]),
        **settings,
    )  # fmt: skip
    return model, history, (optimizer, stopping), weights


@pytest.mark.parametrize(("mode", "values"), COURSES)
def test_a_value_that_is_no_number_is_never_best_and_always_beaten(tmp_path, mode, values):
    finite = [v for v in values if math.isfinite(v)]
    expected = values.index(min(finite) if mode == "min" else max(finite))
    model, history, (_, stopping), weights = watch(mode, values, folder=tmp_path)
    assert history.best["epoch"] == expected + 1
    assert stopping.best == values[expected]
    assert stopping.bad_updates == len(values) - 1 - expected
    assert all(
        torch.equal(p, w) for p, w in zip(model.parameters(), weights[expected], strict=True)
    )
    best = load_checkpoint(tmp_path / "best.pth")
    assert best["metrics"]["epoch"] == expected + 1
    assert all(torch.equal(best["state"][n], v) for n, v in model.state_dict().items())


@pytest.mark.parametrize(("mode", "values"), COURSES)
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resume_restores_such_a_course_exactly(tmp_path, mode, values, stop):
    whole, expected, (optimizer, stopping), _ = watch(mode, values, folder=tmp_path / "whole")
    watch(mode, values[:stop], folder=tmp_path / "part")
    seed_everything(9)
    again, history, (other, resumed), _ = watch(
        mode, values[stop:], folder=tmp_path / "part", epochs=len(values), resume=True
    )
    assert same(whole, again)
    assert history.best["epoch"] == expected.best["epoch"]
    for mine, theirs in zip(history.epochs, expected.epochs, strict=True):
        assert np.array_equal([mine["val_loss"]], [theirs["val_loss"]], equal_nan=True)
    assert (resumed.best, resumed.bad_updates) == (stopping.best, stopping.bad_updates)
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_without_any_number_there_is_no_best(tmp_path):
    (tmp_path / "best.pth").write_bytes(b"of an older run")
    model, history, (_, stopping), weights = watch("min", [NAN, INF, NAN], folder=tmp_path)
    assert history.best is None and stopping.bad_updates == 3
    assert equal(model, weights[-1])
    assert not (tmp_path / "best.pth").exists()
    with pytest.raises(UserError, match="never was a finite number"):
        history.best_row()


def test_infinity_counts_as_bad_for_the_plateau_schedule():
    model = network()
    optimizer = SGD(model.parameters(), lr=1.0)
    fit(
        model, reported([1.0, INF, INF]), optimizer, batches(), epochs=3, val=validation(),
        mode="max",
        scheduler=schedulers.ReduceLROnPlateau(optimizer, mode="max", patience=0, factor=0.5),
    )  # fmt: skip
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize(("mode", "never"), [("min", -INF), ("max", INF), ("min", NAN)])
def test_early_stopping_takes_finite_values_only(mode, never):
    stopping = EarlyStopping(patience=2, mode=mode)
    assert not stopping.update(never)
    assert stopping.update(1.0) and stopping.best == 1.0
    assert not stopping.update(never) and not stopping.update(never)
    assert stopping.should_stop and stopping.best == 1.0


def test_best_weights_and_best_row_are_of_one_epoch_after_a_kill_between_the_files(tmp_path):
    """best.pth is written first: a process that dies then leaves last.pth an epoch behind."""
    watch("min", [3.0, 2.5], folder=tmp_path)
    behind = (tmp_path / "last.pth").read_bytes()
    watch("min", [2.0], folder=tmp_path, epochs=3, resume=True)
    (tmp_path / "last.pth").write_bytes(behind)
    model, history, _, _ = watch("min", [2.2], folder=tmp_path, epochs=3, resume=True)
    assert history.best["val_loss"] == 2.0 and history.best["epoch"] == 3
    best = load_checkpoint(tmp_path / "best.pth")["state"]
    assert all(torch.equal(best[name], value) for name, value in model.state_dict().items())


# --- mode and monitor are looked at before the training ---


@pytest.mark.parametrize("mode", ["Min", "maximum", "", None])
def test_an_unknown_mode_is_refused(mode):
    model = network()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"mode must be 'min' or 'max', not"):
        fit(model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), epochs=1,
            mode=mode)  # fmt: skip
    assert equal(model, before)


@pytest.mark.parametrize("val", [True, False])
@pytest.mark.parametrize("monitor", ["acc", "val_loss", "Loss", ""])
def test_an_unknown_monitor_is_refused_before_the_first_update(val, monitor):
    model = network()
    before = [p.clone() for p in model.parameters()]
    words = rf"monitor must be one of loss, accuracy, not '{monitor}'"
    with pytest.raises(ValueError, match=words):
        fit(model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), epochs=1,
            val=validation() if val else None, monitor=monitor)  # fmt: skip
    assert equal(model, before)


def test_a_metric_of_evaluation_mode_alone_may_be_monitored():
    plain = classification_loss()

    def loss_fn(model, batch):
        loss, metrics = plain(model, batch)
        return loss, ({} if model.training else metrics)

    model = network()
    history = fit(model, loss_fn, SGD(model.parameters(), lr=0.1), batches(), epochs=2,
                  val=validation(), monitor="accuracy", mode="max")  # fmt: skip
    assert history.best["val_accuracy"] == max(row["val_accuracy"] for row in history.epochs)


def test_the_look_ahead_changes_no_bit():
    """Also where the loss draws numbers, and with a validation set of its own dropout."""

    def noisy(model, batch):
        loss, metrics = classification_loss()(model, batch)
        return loss + 0 * torch.rand(()), metrics

    models = []
    for monitor in ("loss", "accuracy"):
        model = network()
        torch.manual_seed(4)
        fit(model, noisy, SGD(model.parameters(), lr=0.1), batches(), epochs=2, val=validation(),
            monitor=monitor)  # fmt: skip
        models.append(model)
    assert same(*models)


# --- rules beside a resume ---


class Own:
    """A schedule of a user's own, with a progress and a formula under names of its own."""

    def __init__(self, optimizer):
        self.optimizer, self.t, self.formula = optimizer, 0, lambda t: 0.1 / (1 + t)

    def step(self):
        self.t += 1
        self.optimizer.param_groups[0]["lr"] = self.formula(self.t)

    def state_dict(self):
        return {"t": self.t}

    def load_state_dict(self, state):
        self.t = state["t"]


def in_sequence(optimizer):
    library = torch.optim.lr_scheduler
    parts = [library.ConstantLR(optimizer, 0.5, 4), library.ExponentialLR(optimizer, 0.9)]
    return library.SequentialLR(optimizer, parts, milestones=[4])


def run(folder: Path, epochs: int = 2, resume: bool = False, **rules: Any) -> History:
    """A training, complete with all that may be asked for anew."""
    default = {
        "lr": 0.1, "weight_decay": 0.0, "schedule": "constant", "ema": 0.0, "size": 8, "seed": 3,
        "rows": ROWS, "data_seed": 0, "val_seed": 5, "patience": 0, "width": 8, "dataset": "made",
        "monitor": "loss", "mode": "min", "transform": None,
    }  # fmt: skip
    chosen = default | rules
    model = network()
    optimizer = AdamW(model.parameters(), lr=chosen["lr"], weight_decay=chosen["weight_decay"])
    train = batches(*(chosen[key] for key in ("size", "seed", "rows", "data_seed", "transform")))
    steps = epochs * len(train)
    makers = {
        "constant": lambda: None,
        "one_cycle": lambda: schedulers.OneCycleLR(optimizer, chosen["lr"], total_steps=steps),
        "cosine": lambda: schedulers.CosineWithWarmup(optimizer, steps // 10, steps),
        "torch": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        "step": lambda: schedulers.StepLR(optimizer, step_size=3),
        "sequence": lambda: in_sequence(optimizer),
        "own": lambda: Own(optimizer),
    }
    torch.manual_seed(6)
    return fit(
        model, classification_loss(), optimizer, train, epochs=epochs,
        val=validation(chosen["val_seed"]), scheduler=makers[chosen["schedule"]](),
        ema=EMA(model, chosen["ema"]) if chosen["ema"] else None, folder=folder, resume=resume,
        early_stopping=EarlyStopping(chosen["patience"]) if chosen["patience"] else None,
        monitor=chosen["monitor"], mode=chosen["mode"],
        facts={"architecture": {"width": chosen["width"]}, "dataset": chosen["dataset"]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0.2}, r"optimizer\.lr = 0\.1, not 0\.2"),
        ({"weight_decay": 0.1}, r"optimizer\.weight_decay = 0\.0, not 0\.1"),
        ({"size": 4}, "batch_size = 8, not 4"),
        ({"seed": 4}, "seed = 3, not 4"),
        ({"rows": 39}, "rows = 40, not 39"),
        ({"data_seed": 1}, r"targets' checksum = \d+, not \d+"),
        ({"val_seed": 6}, r"val\.targets' checksum = \d+, not \d+"),
        ({"transform": lambda batch, generator: batch}, "transform = False, not True"),
        ({"width": 9}, r"architecture = \{'width': 8\}, not \{'width': 9\}"),
        ({"dataset": "other"}, "dataset = made, not other"),
        ({"schedule": "step"}, "scheduler = NoneType, not StepLR"),
        ({"monitor": "accuracy"}, "monitor = val_loss, not val_accuracy"),
        ({"mode": "max"}, "mode = min, not max"),
    ],
)
def test_another_rule_is_refused_by_its_name(tmp_path, change, words):
    run(tmp_path)
    kept = (tmp_path / "last.pth").read_bytes()
    with pytest.raises(CheckpointError, match=rf"last\.pth was made with .*{words}; go on with"):
        run(tmp_path, epochs=4, resume=True, **change)
    assert (tmp_path / "last.pth").read_bytes() == kept


def test_another_decay_of_the_average_is_refused(tmp_path):
    run(tmp_path, ema=0.9)
    with pytest.raises(CheckpointError, match=r"ema\.decay = 0\.9, not 0\.99"):
        run(tmp_path, resume=True, ema=0.99)
    with pytest.raises(CheckpointError, match="ema = EMA, not NoneType"):
        run(tmp_path, resume=True)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "torch"])
def test_a_schedule_laid_out_over_all_steps_is_not_lengthened(tmp_path, schedule):
    run(tmp_path, schedule=schedule)
    with pytest.raises(
        CheckpointError, match=r"laid out over epochs = 2, not 4, .* keep --epochs 2"
    ):
        run(tmp_path, epochs=4, resume=True, schedule=schedule)
    assert len(run(tmp_path, resume=True, schedule=schedule).epochs) == 2


@pytest.mark.parametrize("schedule", ["constant", "step", "sequence", "own"])
def test_more_epochs_go_on_where_the_schedule_allows_it(tmp_path, schedule):
    whole = run(tmp_path / "whole", epochs=4, schedule=schedule)
    run(tmp_path / "part", schedule=schedule)
    longer = run(tmp_path / "part", epochs=4, resume=True, schedule=schedule)
    assert longer.step_losses == whole.step_losses
    assert [row["lr"] for row in longer.epochs] == [row["lr"] for row in whole.epochs]
    assert longer.best["epoch"] == whole.best["epoch"]


def test_a_checkpoint_from_before_the_rules_were_written_goes_on(tmp_path):
    whole = run(tmp_path / "whole", epochs=3, schedule="step")
    run(tmp_path, epochs=2, schedule="step")
    old = load_checkpoint(tmp_path / "last.pth")
    names = ("batches", "accumulate", "optimizer", "scheduler", "ema")
    rules = {name: old["training"]["fingerprint"][name] for name in names}
    del old["training"]["planned_epochs"]
    old["training"] |= {"fingerprint": rules, "best": {"val_loss": None, "step": 10}}
    torch.save(old, tmp_path / "last.pth")
    with pytest.raises(CheckpointError, match="scheduler = StepLR, not NoneType"):
        run(tmp_path, epochs=3, resume=True)
    history = run(tmp_path, epochs=3, resume=True, schedule="step")
    assert history.step_losses == whole.step_losses
    assert history.best["epoch"] == 3, "an older file kept a nan as None: always beaten"


def test_fewer_epochs_than_are_done_are_refused(tmp_path):
    run(tmp_path, epochs=3)
    with pytest.raises(CheckpointError, match="has come to epoch 3, further than epochs = 2"):
        run(tmp_path, epochs=2, resume=True)


def test_more_patience_revives_a_stopped_run(tmp_path):
    stopped = run(tmp_path, epochs=30, patience=1, lr=0.3)
    assert stopped.stopped_early
    again = run(tmp_path, epochs=30, patience=1, lr=0.3, resume=True)
    assert again.stopped_early and len(again.epochs) == len(stopped.epochs)
    revived = run(tmp_path, epochs=30, patience=25, lr=0.3, resume=True)
    assert len(revived.epochs) > len(stopped.epochs)
    assert not revived.stopped_early or len(revived.epochs) >= revived.best["epoch"] + 25


def test_patience_asked_for_later_looks_at_the_epochs_before(tmp_path):
    whole = run(tmp_path / "whole", epochs=30, patience=3, lr=0.3)
    count = len(whole.epochs)
    assert whole.stopped_early and count < 30
    run(tmp_path / "part", epochs=count - 1, lr=0.3)
    later = run(tmp_path / "part", epochs=30, patience=3, lr=0.3, resume=True)
    assert later.stopped_early and len(later.epochs) == count


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_the_same_objects_may_go_on(tmp_path, kind):
    """In a notebook: the optimiser and the schedule have moved on, and are still the same."""
    model = network()
    optimizer = kind(model.parameters(), lr=0.1)
    scheduler = schedulers.CosineWithWarmup(optimizer, 0, total_steps=20)
    options = {"scheduler": scheduler, "folder": tmp_path}
    loss_fn = classification_loss()
    fit(model, loss_fn, optimizer, batches(), epochs=2, **options)
    history = fit(model, loss_fn, optimizer, batches(), epochs=4, resume=True, **options)
    assert len(history.epochs) == 4


def test_what_cannot_be_saved_is_refused_before_the_first_step(tmp_path):
    model = network()
    optimizer = SGD(model.parameters(), lr=np.float64(0.1))
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(CheckpointError, match=r"optimizer\.param_groups\.0\.lr, a numpy\.float64"):
        fit(model, classification_loss(), optimizer, batches(), epochs=1, folder=tmp_path)
    assert equal(model, before)
    fit(model, classification_loss(), optimizer, batches(), epochs=1)  # nothing is written here
    optimizer = SGD(model.parameters(), lr=0.1)
    with pytest.raises(CheckpointError, match="cannot hold classes, a range"):
        fit(model, classification_loss(), optimizer, batches(), epochs=1, folder=tmp_path,
            facts={"classes": range(2), "mean": np.ones(2)})  # fmt: skip


def test_evaluation_after_a_restore_gives_the_best_row():
    model, x = network(), validation()
    history = fit(model, classification_loss(), SGD(model.parameters(), lr=2.0), batches(),
                  epochs=6, val=x, restore_best=True)  # fmt: skip
    result = evaluate(model, classification_loss(), x)
    assert result["loss"] == pytest.approx(history.best_row()["val_loss"], rel=1e-6)


def test_a_training_after_a_failed_one_starts_without_its_gradients():
    """The usual next step after a loss that is no number: the same model, another rate."""

    def broken(model, batch):
        loss, metrics = classification_loss()(model, batch)
        return loss * math.nan, metrics

    failed, fresh = network(), network()
    with pytest.raises(UserError, match="the loss is nan at step 1"):
        fit(failed, broken, SGD(failed.parameters(), lr=0.1), batches(), epochs=1)
    for model in (failed, fresh):
        torch.manual_seed(2)  # of dropout
        fit(model, classification_loss(), SGD(model.parameters(), lr=0.1), batches(), epochs=2)
    assert same(failed, fresh)
