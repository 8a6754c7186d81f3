"""A sequence without batches, or one that is used up, is one clear error and never a hang."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from chapter_03_optimization_regularization import loss_landscape, lr_finder
from chapter_03_optimization_regularization.lr_finder import RangeTest, range_test
from chapter_03_optimization_regularization.optimizers import SGD
from chapter_03_optimization_regularization.regularization import averaging, mixing
from chapter_03_optimization_regularization.training import (
    Batches,
    classification_loss,
    evaluate,
    fit,
)
from utils import cli
from utils.seed import generator

LOSS = classification_loss()
X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
FOUR = list(Batches(X, Y, batch_size=8))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Stream(IterableDataset):
    """Rows without a known number."""

    def __iter__(self):
        return zip(X, Y, strict=True)


class OncePretending:
    """Claims four batches, but its second pass is empty; it is no iterator itself."""

    def __init__(self):
        self.rest = iter(FOUR)

    def __len__(self):
        return 4

    def __iter__(self):
        yield from self.rest


def used_up():
    iterator = iter(FOUR)
    list(iterator)
    return iterator


def train(train=FOUR, epochs=3, model=None, **options):
    model = model or nn.Linear(4, 2)
    return fit(model, LOSS, SGD(model.parameters(), 0.1), train, epochs=epochs, **options)


def find(batches, steps=20, model=None, **options):
    model = model or nn.Linear(4, 2)
    return range_test(model, LOSS, SGD(model.parameters(), 0.1), batches, steps=steps, **options)


@pytest.mark.parametrize("nothing", [[], iter(()), used_up()], ids=["list", "iterator", "used up"])
def test_no_batches(nothing):
    with pytest.raises(ValueError, match="there are no batches"):
        evaluate(nn.Linear(4, 2), LOSS, nothing)
    with pytest.raises(ValueError, match="there are no batches"):
        find(nothing)
    with pytest.raises(ValueError, match="there are no training batches"):
        train(nothing)
    with pytest.raises(ValueError, match="there are no validation batches"):
        train(val=nothing)


def test_update_bn_without_batches_keeps_the_statistics():
    model = nn.Sequential(nn.BatchNorm1d(4))
    averaging.update_bn(FOUR, model)
    before = model[0].running_mean.clone()
    with pytest.raises(ValueError, match="there are no batches"):
        averaging.update_bn(iter(()), model)
    torch.testing.assert_close(model[0].running_mean, before, rtol=0, atol=0)


def test_fit_refuses_an_iterator_before_training():
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    for options in ({"train": iter(FOUR)}, {"val": (batch for batch in FOUR)}):
        with pytest.raises(ValueError, match=r"iterator, .* 3 epochs are to come"):
            train(model=model, **options)
    assert torch.equal(model.weight, before)


def test_fit_names_batches_that_only_pretend():
    with pytest.raises(ValueError, match="there are no training batches"):
        train(OncePretending())
    with pytest.raises(ValueError, match="there are no validation batches"):
        train(val=OncePretending())


def test_one_pass_is_enough_for_one_epoch_and_for_evaluate():
    once = train(epochs=1, val=iter(FOUR), model=nn.Linear(4, 2))
    assert len(once.epochs) == 1 and math.isfinite(once.epochs[0]["val_loss"])
    model = nn.Linear(4, 2)
    assert evaluate(model, LOSS, iter(FOUR)) == evaluate(model, LOSS, FOUR)


def test_a_look_at_the_metrics_leaves_an_iterator_whole():
    """`monitor` is checked before the first update; not at the cost of a validation batch."""
    model = nn.Linear(4, 2)
    row = train(epochs=1, val=iter(FOUR), model=model, monitor="accuracy", mode="max").epochs[0]
    found = evaluate(model, LOSS, FOUR)
    assert row["val_loss"] == pytest.approx(found["loss"])
    assert row["val_accuracy"] == pytest.approx(found["accuracy"])


@pytest.mark.parametrize("loader", [(b for b in FOUR), DataLoader(Stream(), batch_size=8)])
def test_training_batches_need_a_length(loader):
    with pytest.raises(ValueError, match="training batches need a length"):
        train(loader, epochs=1)


@pytest.mark.parametrize("accumulate", [0, -1])
def test_no_batches_to_a_step_are_no_step(accumulate):
    with pytest.raises(ValueError, match="accumulate must be at least 1"):
        train(accumulate=accumulate)


def test_loader_of_unknown_length_validates_every_epoch():
    history = train(val=DataLoader(Stream(), batch_size=8))
    assert [row["val_loss"] > 0 for row in history.epochs] == [True] * 3


def test_processes_that_cannot_share_a_batch_are_an_error():
    """Otherwise every process would skip every batch, and train on nothing."""
    with pytest.raises(ValueError, match="2 processes cannot share batches of 1 rows"):
        next(Batches(X, Y, batch_size=1).epoch(0, world=2))
    shares = [
        len(list(Batches(X, Y, batch_size=1).epoch(0, rank=rank, world=2, even=False)))
        for rank in (0, 1)
    ]
    assert shares == [32, 0]


def test_means_of_processes_of_which_one_saw_no_row(monkeypatch):
    """It has no names of sums either; the mean is that of the other's rows."""
    from chapter_03_optimization_regularization.training import evaluation

    class Two:
        num_processes = 2

    here, there = evaluation.Means(), evaluation.Means()
    there.add(3, 2.0, {"accuracy": torch.tensor(0.5)})
    monkeypatch.setattr("accelerate.utils.gather_object", lambda mine: [*mine, there.sums])
    assert here.result(Two(), "val_") == {"val_loss": 2.0, "val_accuracy": 0.5}
    monkeypatch.setattr("accelerate.utils.gather_object", lambda mine: [*mine, {}])
    with pytest.raises(ValueError, match="there are no validation batches"):
        here.result(Two(), "val_")


@pytest.mark.parametrize("batches", [iter(FOUR), (batch for batch in FOUR)])
def test_range_test_with_a_short_iterator_ends_and_restores(batches):
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    with pytest.raises(ValueError, match=r"there are no batches.* an earlier pass has used up"):
        find(batches, model=model)
    assert torch.equal(model.weight, before)


def test_range_test_takes_an_iterator_that_is_long_enough():
    assert len(find(iter(FOUR), steps=4, highest=0.01).rates) == 4
    assert len(find(FOUR, steps=20, highest=0.01).rates) == 20  # a list starts again


def test_range_test_that_diverges_at_once_says_so():
    def broken(model, batch):
        return model(batch[0]).sum() * math.nan, {}

    model = nn.Linear(4, 2)
    result = range_test(model, broken, SGD(model.parameters(), 0.1), FOUR, lowest=0.5, steps=9)
    assert result.diverged_at == 0.5 and result.rates == []
    for rule in ("steepest", "tenth_of_minimum"):
        with pytest.raises(ValueError, match=r"at rates 0\.5 to 0\.5; try another range"):
            getattr(result, rule)


@pytest.mark.parametrize("losses", [[1.0], [1.0, 1.5], [1.0, 1.0, 1.0], [1.0, 1.1, 1.3, 1.9]])
def test_steepest_descent_of_a_loss_that_never_fell(losses):
    rates = [10.0**k for k in range(len(losses))]
    with pytest.raises(ValueError, match="the loss never fell at rates 1 to"):
        RangeTest(rates, losses, losses, diverged_at=None).steepest  # noqa: B018
    assert RangeTest(rates, losses, losses, None).tenth_of_minimum == 0.1


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_range_needs_two_steps(steps):
    with pytest.raises(ValueError, match="at least 2 steps"):
        find(FOUR, steps=steps)


def test_lr_finder_script_refuses_one_step(capsys):
    with pytest.raises(SystemExit) as stopped:
        lr_finder.main(["--steps", "1"])
    assert stopped.value.code == 2
    assert "'1' is not a whole number of 2 or more" in capsys.readouterr().err


def test_loss_at_puts_the_weights_back_when_the_loss_raises():
    model = nn.Linear(3, 3)
    before = model.weight.detach().clone()

    def broken():
        raise RuntimeError

    direction = loss_landscape.filter_normalized_direction(model, generator(0))
    with pytest.raises(RuntimeError):
        loss_landscape.loss_at(model, broken, [(1.0, direction)])
    assert torch.equal(model.weight, before)


def test_beta_of_nan_is_refused_instead_of_drawing_for_ever():
    with pytest.raises(ValueError, match="alpha"):
        mixing._beta(math.nan, 3, generator(0))


def test_a_set_without_rows_and_a_set_smaller_than_its_batch():
    with pytest.raises(ValueError, match="there are no rows"):
        Batches(X[:0], Y[:0], batch_size=8)
    with pytest.raises(ValueError, match="drop_last leaves no batch of 33 in 32 rows"):
        Batches(X, Y, batch_size=33, drop_last=True)


def test_in_a_script_no_batches_are_one_sentence(tmp_path, capsys):
    parser = cli.make_parser("Demo.", examples=["python demo.py"])
    words = ["--output_dir", str(tmp_path)]
    script = str(tmp_path / "demo.py")
    assert cli.run(parser, lambda args, run: train([]), script=script, argv=words) == 2
    message = capsys.readouterr().err
    assert "there are no training batches" in message and len(message.splitlines()) == 1


def test_range_test_after_a_schedule_that_ended_at_zero():
    """The optimizer of a finished cosine has the rate 0; it is tried all the same, and put back."""
    model = nn.Linear(4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.0
    found = range_test(model, LOSS, optimizer, FOUR, steps=5, lowest=1e-3)
    assert len(found.rates) > 1 and found.rates[0] == pytest.approx(1e-3)
    assert optimizer.param_groups[0]["lr"] == 0.0
