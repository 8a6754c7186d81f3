"""A BatchNorm that the user froze stays frozen, whatever evaluates or trains the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization import lr_finder
from chapter_03_optimization_regularization.experiments import tasks
from chapter_03_optimization_regularization.experiments.regularization import (
    training as overfitting,
)
from chapter_03_optimization_regularization.normalization import batch as batch_normalization
from chapter_03_optimization_regularization.optimizers import SGD
from chapter_03_optimization_regularization.regularization import averaging
from chapter_03_optimization_regularization.training import (
    Batches,
    classification_loss,
    evaluate,
    fit,
)
from utils.model_summary import summary

LOSS = classification_loss()


def data(rows: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(0)) + 3
    return x, (x[:, 0] > 3).long()


def batches() -> Batches:
    return Batches(*data(), batch_size=8)


def network(norm: type[nn.Module] = nn.BatchNorm1d) -> nn.Sequential:
    """In training mode, but for one frozen BatchNorm; another one learns."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), norm(4), norm(4), nn.Dropout(0.1), nn.Linear(4, 2))
    model[1].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def optimizer(model: nn.Module) -> SGD:
    return SGD(model.parameters(), lr=0.01)


def range_test(model: nn.Module, loss_fn=LOSS) -> None:
    lr_finder.range_test(model, loss_fn, optimizer(model), batches(), steps=6)


def train(model: nn.Module, loss_fn=LOSS, **options) -> None:
    fit(model, loss_fn, optimizer(model), batches(), epochs=3, val=batches(), **options)


USES = {
    "evaluate": lambda model, loss_fn=LOSS: evaluate(model, loss_fn, batches()),
    "range_test": range_test,
    "fit": train,
    "accuracy": lambda model: tasks.accuracy(model, data()),
    "predict": lambda model: overfitting.predict([model, model], data()[0]),
    "summary": lambda model: summary(model, (8, 4), verbose=False),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, batch_normalization.BatchNorm1d])
def test_frozen_batch_norm_keeps_mode_and_statistics(use, norm):
    model = network(norm)
    before = {name: value.clone() for name, value in model[1].state_dict().items()}
    USES[use](model)
    assert modes(model) == [True, True, False, True, True, True]
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(model[1].state_dict()[name], before[name], rtol=0, atol=0)
    learned = model[2].num_batches_tracked
    assert learned == (12 if use == "fit" else 0)  # the other BatchNorm went on


def test_fit_trains_a_model_that_was_evaluated_as_a_whole():
    model = network().eval()
    train(model)
    assert model[1].num_batches_tracked == 12 and all(modes(model))


def test_on_epoch_may_freeze_and_may_leave_the_model_in_evaluation_mode():
    model, counts = network(), []

    def on_epoch(row):
        counts.append((int(model[1].num_batches_tracked), int(model[2].num_batches_tracked)))
        if row["epoch"] == 1:
            model[2].eval()  # from now on frozen too
        else:
            model.eval()  # looked at, and forgotten

    train(model, on_epoch=on_epoch)
    assert counts == [(0, 4), (0, 4), (0, 4)]


@pytest.mark.parametrize("use", ["evaluate", "range_test"])
def test_a_loss_that_raises_leaves_the_modes(use):
    def broken(model, batch):
        raise RuntimeError("no loss")

    model = network()
    with pytest.raises(RuntimeError, match="no loss"):
        USES[use](model, broken)
    assert modes(model) == [True, True, False, True, True, True]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, batch_normalization.BatchNorm1d])
def test_update_bn_that_fails_changes_nothing(norm):
    """Neither momentum nor modes nor the statistics that were measured before."""
    model = network(norm)
    averaging.update_bn(batches(), model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bad = [data()[0], torch.zeros(8, 5)]  # the second batch does not fit the model
    with pytest.raises(RuntimeError):
        averaging.update_bn(bad, model)
    assert [model[1].momentum, model[2].momentum] == [0.1, 0.1]
    assert modes(model) == [True, True, False, True, True, True]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
