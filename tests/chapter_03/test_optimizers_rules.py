"""What each update rule is and does on its own: options, memory, steps with a known result."""

import itertools

import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization import optimizers as ours
from chapter_03_optimization_regularization.optimizers.muon import newton_schulz
from chapter_03_optimization_regularization.optimizers.variants import rectification

NAMES = ours.__all__


def label(case):
    return f"{case[0]}-{','.join(f'{k}={v}' for k, v in case[1].items()) or 'defaults'}"


BAD = [
    *[(name, {"lr": -1.0}) for name in NAMES],
    *[(name, {"lr": float("nan")}) for name in NAMES],
    *[(name, {"lr": torch.ones(2)}) for name in NAMES],
    *[(name, {"weight_decay": -0.1}) for name in NAMES],
    *[(n, {"betas": (1.0, 0.9)}) for n in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Lion")],
    *[(n, {"betas": (0.9, -0.1)}) for n in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Lion")],
    *[(n, {"eps": -1e-8}) for n in ("Adam", "Adagrad", "Adadelta", "RMSprop", "Adamax", "RAdam")],
    *[(n, {"momentum": -0.1}) for n in ("SGD", "RMSprop", "Muon")],
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("Adagrad", {"lr_decay": -1.0}),
    ("Adagrad", {"initial_accumulator_value": -1.0}),
    ("Adadelta", {"rho": 1.1}),
    ("RMSprop", {"alpha": -0.1}),
    ("NAdam", {"momentum_decay": -0.1}),
    ("Muon", {"adjust_lr_fn": "nonsense"}),
]


@pytest.mark.parametrize("case", BAD, ids=label)
def test_wrong_options_are_value_errors(case):
    name, options = case
    weight = torch.zeros(2, 2, requires_grad=True)
    with pytest.raises(ValueError):
        getattr(ours, name)([weight], **options)
    if "nesterov" not in options and "adjust_lr_fn" not in options:  # known to the class only
        with pytest.raises(ValueError):
            getattr(ours, name)([{"params": [weight], **options}])


def test_wrong_parameters():
    with pytest.raises(ValueError, match="2-D"):
        ours.Muon([torch.zeros(3)])
    optimizer = ours.Muon([torch.zeros(2, 3)])
    with pytest.raises(ValueError, match="2-D"):
        optimizer.add_param_group({"params": [torch.zeros(3)]})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="complex"):
        ours.Adam([torch.zeros(2, dtype=torch.complex64)])
    with pytest.raises(TypeError):
        ours.SGD([torch.zeros(2)]).add_param_group([torch.zeros(2)])
    with pytest.raises(ValueError):
        ours.SGD([])


def test_the_step_counter_does_not_stop_in_bfloat16():
    previous = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        weight = torch.zeros(2, requires_grad=True)
        weight.grad = torch.ones(2)
        optimizer = ours.Adam([weight], lr=1e-4)
        for _ in range(300):
            optimizer.step()
    finally:
        torch.set_default_dtype(previous)
    assert optimizer.state[weight]["step"].item() == 300


MEMORY = [
    ("SGD", {}, 0),
    ("SGD", {"momentum": 0.9}, 1),
    ("Adagrad", {}, 1),
    ("Adadelta", {}, 2),
    ("RMSprop", {}, 1),
    ("RMSprop", {"momentum": 0.9, "centered": True}, 3),
    ("Adam", {}, 2),
    ("Adam", {"amsgrad": True}, 3),
    ("AdamW", {}, 2),
    ("Adamax", {}, 2),
    ("NAdam", {}, 2),
    ("RAdam", {}, 2),
    ("Lion", {}, 1),
    ("Muon", {}, 1),
]


@pytest.mark.parametrize(("name", "options", "tensors"), MEMORY)
def test_memory_per_parameter_is_what_the_lesson_says(name, options, tensors):
    weight = torch.zeros(4, 5, requires_grad=True)
    weight.grad = torch.ones(4, 5)
    optimizer = getattr(ours, name)([weight], **options)
    optimizer.step()
    kept = [v for state in optimizer.state.values() for v in state.values() if v.ndim > 0]
    assert [v.shape for v in kept] == [weight.shape] * tensors


RATES = {
    "SGD": {"lr": 0.5, "momentum": 0.9},
    "Adagrad": {"lr": 0.1},
    "Adadelta": {"lr": 20.0},
    "RMSprop": {"lr": 0.01},
    "Lion": {"lr": 3e-3},
    "Muon": {"lr": 0.05},
}


@pytest.mark.parametrize("name", NAMES)
def test_learns_32_random_labels_by_heart(name):
    torch.manual_seed(0)
    x, y = torch.randn(32, 10), torch.randint(0, 4, (32,))
    model = nn.Sequential(nn.Linear(10, 64, bias=False), nn.Tanh(), nn.Linear(64, 4, bias=False))
    optimizer = getattr(ours, name)(model.parameters(), **RATES.get(name, {"lr": 0.02}))
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).all()


def test_decoupled_decay_shrinks_all_weights_alike_and_l2_does_not():
    """Two weights, gradient noise of different size: what Loshchilov & Hutter 2019 are about."""
    shrunk = {}
    for name in ("Adam", "AdamW"):
        weight = torch.tensor([1.0, 1.0], requires_grad=True)
        optimizer = getattr(ours, name)([weight], lr=0.01, weight_decay=0.1)
        for step in range(400):
            weight.grad = torch.tensor([1e-3, 10.0]) * (-1) ** step
            optimizer.step()
        shrunk[name] = (1 - weight.detach()).tolist()
    small, large = shrunk["AdamW"]
    assert small == pytest.approx(large, rel=0.05)
    small, large = shrunk["Adam"]
    assert small > 10 * abs(large)


def test_adams_first_step_has_length_lr_whatever_the_scale():
    for scale in (1e-3, 1.0, 1e6):
        weight = torch.zeros(5, requires_grad=True)
        weight.grad = scale * torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])
        ours.Adam([weight], lr=0.1).step()
        torch.testing.assert_close(weight.detach().abs(), torch.full((5,), 0.1), rtol=1e-4, atol=0)


def test_rectification_starts_at_the_sixth_step_and_grows_to_one():
    values = [rectification(t, 0.999) for t in range(1, 30001)]
    assert values[:5] == [None] * 5
    assert values[5] is not None and values[5] < 0.05
    assert all(a < b for a, b in itertools.pairwise(values[5:2000]))
    assert values[-1] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1)])
def test_newton_schulz_is_a_polynomial_of_the_singular_values(shape):
    """Against the singular value decomposition, which it never computes."""
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
    a, b, c = coefficients = (3.4445, -4.775, 2.0315)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    s = s / matrix.norm()
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    exact = newton_schulz(matrix, coefficients, 5, dtype=torch.float64)
    torch.testing.assert_close(exact, u @ torch.diag(s) @ vt)
    rough = newton_schulz(matrix)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.double(), exact, rtol=0.1, atol=0.05)
    assert newton_schulz(torch.zeros(shape)).abs().sum() == 0, "no nan from 0 / 0"
    with pytest.raises(ValueError):
        newton_schulz(matrix, steps=100)
