"""utils.modes: each module has its own mode back, whatever the block did."""

import pytest
from torch import nn

from utils.modes import evaluating, frozen_modules, kept_modes, train_except, training


def model_with_frozen_part() -> nn.Sequential:
    """In training mode; the BatchNorm and its sibling's child are frozen."""
    model = nn.Sequential(
        nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(), nn.ReLU())
    )
    model[1].eval()
    model[2][0].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


FROZEN = [True, True, False, True, False, True]


@pytest.mark.parametrize("guard", [kept_modes, evaluating, training])
@pytest.mark.parametrize("fails", [False, True])
def test_each_module_has_its_own_mode_back(guard, fails):
    model = model_with_frozen_part()
    assert modes(model) == FROZEN
    try:
        with guard(model):
            model.train(guard is evaluating)  # whatever the block does
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert modes(model) == FROZEN


def test_modes_inside_the_block():
    model, other = model_with_frozen_part(), nn.Linear(1, 1)
    with evaluating(model, other):
        assert not any(modes(model)) and not other.training
    assert other.training
    with training(model):
        assert modes(model) == FROZEN
    model.eval()
    with training(model):  # evaluated as a whole: nothing is frozen
        assert all(modes(model))
    assert not any(modes(model))


def test_train_except_calls_the_models_own_train():
    """A model that freezes its BatchNorm in `train()` goes on doing so."""

    class Own(nn.Sequential):
        def train(self, mode: bool = True):
            super().train(mode)
            self[1].eval()
            return self

    model = Own(nn.Linear(1, 1), nn.BatchNorm1d(1))
    assert frozen_modules(model) == []
    train_except(model, [])
    assert modes(model) == [True, True, False] and frozen_modules(model) == [model[1]]
