"""The constructors: arguments, types, defaults and the order of the options, written down here.

test_optimizers.py compares them with torch's; this table also holds where torch's versions differ,
and for what torch does not have.
"""

import copy
import inspect

import pytest
import torch

from chapter_03_optimization_regularization import optimizers as ours
from chapter_03_optimization_regularization.optimizers.base import options_of
from chapter_03_optimization_regularization.optimizers.foreach import AdamForeach

BETAS = "betas: tuple[float, float] = (0.9, 0.999)"
ADAM = f"lr: float = 0.001, {BETAS}, eps: float = 1e-08"
SIGNATURES = {
    "SGD": "lr: float = 0.001, momentum: float = 0, dampening: float = 0, "
    "weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False",
    "Adagrad": "lr: float = 0.01, lr_decay: float = 0, weight_decay: float = 0, "
    "initial_accumulator_value: float = 0, eps: float = 1e-10, *, maximize: bool = False",
    "Adadelta": "lr: float = 1.0, rho: float = 0.9, eps: float = 1e-06, "
    "weight_decay: float = 0, *, maximize: bool = False",
    "RMSprop": "lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-08, "
    "weight_decay: float = 0, momentum: float = 0, centered: bool = False, *, "
    "maximize: bool = False",
    "Adam": f"{ADAM}, weight_decay: float = 0, amsgrad: bool = False, *, "
    "maximize: bool = False, decoupled_weight_decay: bool = False",
    "AdamW": f"{ADAM}, weight_decay: float = 0.01, amsgrad: bool = False, *, "
    "maximize: bool = False",
    "Adamax": f"lr: float = 0.002, {BETAS}, eps: float = 1e-08, weight_decay: float = 0, *, "
    "maximize: bool = False",
    "NAdam": f"lr: float = 0.002, {BETAS}, eps: float = 1e-08, weight_decay: float = 0, "
    "momentum_decay: float = 0.004, decoupled_weight_decay: bool = False, *, "
    "maximize: bool = False",
    "RAdam": f"{ADAM}, weight_decay: float = 0, decoupled_weight_decay: bool = False, *, "
    "maximize: bool = False",
    "Lion": "lr: float = 0.0001, betas: tuple[float, float] = (0.9, 0.99), "
    "weight_decay: float = 0, *, maximize: bool = False",
    "Muon": "lr: float = 0.001, weight_decay: float = 0.1, momentum: float = 0.95, "
    "nesterov: bool = True, "
    "ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315), "
    "eps: float = 1e-07, ns_steps: int = 5, adjust_lr_fn: str | None = None, *, "
    "ns_dtype: torch.dtype = torch.bfloat16",
}
# In the defaults, the groups and the files. torch's order, which is not that of all signatures.
ORDER = {
    "SGD": "lr momentum dampening weight_decay nesterov maximize",
    "Adagrad": "lr lr_decay eps weight_decay initial_accumulator_value maximize",
    "Adadelta": "lr rho eps weight_decay maximize",
    "RMSprop": "lr momentum alpha eps centered weight_decay maximize",
    "Adam": "lr betas eps weight_decay amsgrad maximize decoupled_weight_decay",
    "AdamW": "lr betas eps weight_decay amsgrad maximize decoupled_weight_decay",
    "Adamax": "lr betas eps weight_decay maximize",
    "NAdam": "lr betas eps weight_decay momentum_decay decoupled_weight_decay maximize",
    "RAdam": "lr betas eps weight_decay decoupled_weight_decay maximize",
    "Lion": "lr betas weight_decay maximize",
    "Muon": "lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn ns_dtype",
}


def made(name, **options):
    return getattr(ours, name)([torch.nn.Parameter(torch.zeros(2, 2))], **options)


def test_the_tables_name_every_optimiser():
    assert set(SIGNATURES) == set(ORDER) == set(ours.__all__)


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_signature(name):
    text = str(inspect.signature(getattr(ours, name))).replace("'", "")
    assert text == f"(params: ParamsT, {SIGNATURES[name]}) -> None"


def test_the_fast_adam_has_the_same():
    assert inspect.signature(AdamForeach) == inspect.signature(ours.Adam)


@pytest.mark.parametrize("name", ORDER)
def test_the_order_of_the_options(name):
    """Of the defaults, of a group and of what a file holds; nothing else slips in."""
    optimizer, expected = made(name), ORDER[name].split()
    assert list(optimizer.defaults) == expected
    assert list(optimizer.param_groups[0]) == ["params", *expected]
    saved = optimizer.state_dict()["param_groups"][0]
    assert [key for key in saved if key != "params"] == expected


@pytest.mark.parametrize("name", ORDER)
def test_the_options_arrive_as_they_were_given(name):
    """The default objects themselves, and every other value under its own name."""
    parameters = dict(inspect.signature(getattr(ours, name)).parameters)
    del parameters["params"]
    for key, value in made(name).defaults.items():
        if key in parameters:
            assert value is parameters[key].default
    given = {key: p.default for key, p in parameters.items()} | {"lr": 0.25, "weight_decay": 0.125}
    assert given.items() <= made(name, **given).defaults.items()
    assert given.items() <= copy.deepcopy(made(name, **given)).param_groups[0].items()


def test_positional_arguments():
    p = [torch.nn.Parameter(torch.zeros(2, 2))]
    assert ours.RMSprop(p, 0.5, 0.25, 0.125, 1, 2, True).defaults == {
        "lr": 0.5, "momentum": 2, "alpha": 0.25, "eps": 0.125, "centered": True,
        "weight_decay": 1, "maximize": False,
    }  # fmt: skip
    with pytest.raises(TypeError, match="positional"):
        ours.Lion(p, 0.1, (0.9, 0.99), 0, True)
    with pytest.raises(TypeError, match="unexpected keyword"):
        ours.AdamW(p, decoupled_weight_decay=False)


def test_options_of_takes_what_is_no_option_out():
    class Parent:
        def __init__(self, params, **options):
            self.options = options

    class Child(Parent):
        def __init__(self, params, a=1, b=2, *, c=3):
            super().__init__(params, **options_of(locals(), "b"))

    assert list(Child([], c=5).options.items()) == [("b", 2), ("a", 1), ("c", 5)]
