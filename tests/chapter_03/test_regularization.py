"""Regularisers: equal to torch where it has them, else to an independent formula or in the mean."""

import io
import math

import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization import regularization as ours
from utils.seed import generator


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def network(dtype=torch.float64):
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    ).to(dtype)  # fmt: skip


# --- penalties ---


def test_penalties_leave_biases_and_scales_alone():
    model = network()
    first, last = model[0].weight, model[3].weight
    expected = sum(w.abs().sum() for w in (first, last))
    torch.testing.assert_close(ours.l1_penalty(model), expected)
    squares = sum(w.square().sum() for w in (first, last)) / 2
    torch.testing.assert_close(ours.l2_penalty(model), squares)
    ours.l2_penalty(model).backward()
    torch.testing.assert_close(first.grad, first.detach())
    assert model[0].bias.grad is None and model[1].weight.grad is None


def test_the_choice_of_parameters():
    model = network()
    everything = ours.l1_penalty(model, choice=lambda name, p: True)
    torch.testing.assert_close(everything, sum(p.abs().sum() for p in model.parameters()))
    assert ours.l1_penalty(model, choice=lambda name, p: False).item() == 0


def steps(model, make_optimizer, penalty=0.0, count=25):
    """Train on fixed batches; the penalty, if any, is part of the loss."""
    optimizer = make_optimizer(model)
    for step in range(count):
        random = generator(step)
        x = torch.randn(16, 6, dtype=torch.float64, generator=random)
        loss = model(x).square().mean() + penalty * ours.l2_penalty(model, lambda n, p: True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def twins():
    model, twin = network(), network()
    twin.load_state_dict(model.state_dict())
    return model, twin


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_l2_penalty_is_the_weight_decay_of_sgd(momentum):
    model, twin = twins()
    with_penalty = steps(
        model, lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=momentum), penalty=0.1
    )
    with_decay = steps(
        twin,
        lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=momentum, weight_decay=0.1),
    )
    torch.testing.assert_close(with_penalty, with_decay, rtol=1e-12, atol=1e-14)


def test_l2_penalty_is_not_the_decoupled_decay_of_adamw():
    results = {}
    model, twin = twins()
    start = {n: p.clone() for n, p in model.state_dict().items()}
    results["penalty"] = steps(model, lambda m: torch.optim.Adam(m.parameters(), lr=0.01), 0.1)
    results["adam"] = steps(
        twin, lambda m: torch.optim.Adam(m.parameters(), lr=0.01, weight_decay=0.1)
    )
    twin.load_state_dict(start)
    results["adamw"] = steps(
        twin, lambda m: torch.optim.AdamW(m.parameters(), lr=0.01, weight_decay=0.1)
    )
    torch.testing.assert_close(results["penalty"], results["adam"], rtol=1e-9, atol=1e-12)
    differences = [(a - b).abs().max() for a, b in zip(*[results[k] for k in ("adam", "adamw")],
                                                      strict=True)]  # fmt: skip
    assert max(differences) > 0.01


def test_adam_divides_the_penalty_by_the_size_of_the_gradient():
    """Two weights of 1: one with large random gradients, one with small ones.

    The L2 penalty under Adam shrinks the first less than the second; AdamW shrinks both alike.
    """
    shrunk = {}
    for name in ("Adam", "AdamW"):
        weight = nn.Parameter(torch.ones(2, dtype=torch.float64))
        optimizer = getattr(torch.optim, name)([weight], lr=1e-3, weight_decay=0.1)
        for step in range(400):
            sign = 1.0 if step % 2 else -1.0  # gradients that average to zero
            weight.grad = sign * torch.tensor([100.0, 0.1], dtype=torch.float64)
            optimizer.step()
        shrunk[name] = 1 - weight.detach()
    assert shrunk["Adam"][1] > 20 * shrunk["Adam"][0].abs()
    torch.testing.assert_close(shrunk["AdamW"][0], shrunk["AdamW"][1], rtol=0.1, atol=0)


def test_decay_groups_train_everything_once_and_decay_only_matrices():
    model = network()
    model[3].bias.requires_grad_(False)
    decayed, free = ours.decay_groups(model, 0.3)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight), id(model[3].weight)]
    names = [id(p) for group in (decayed, free) for p in group["params"]]
    assert len(names) == len(set(names)) == 5


def test_the_proximal_step_minimises_its_problem_and_makes_zeros():
    layer = nn.Linear(5, 4).double()
    before = layer.weight.detach().clone()
    bias = layer.bias.detach().clone()
    ours.soft_threshold_(layer, 0.2)
    grid = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    objective = (grid - before[..., None]).square() / 2 + 0.2 * grid.abs()  # (4, 5, 4001)
    torch.testing.assert_close(layer.weight.detach(), grid[objective.argmin(-1)], atol=3e-4, rtol=0)
    assert (layer.weight == 0).any() and torch.equal(layer.bias, bias)


def lasso(proximal):
    """40 random linear features of which 4 matter; the fraction of weights that are exactly 0."""
    random = generator(3)
    x = torch.randn(60, 40, generator=random, dtype=torch.float64)
    y = x[:, :4].sum(dim=1, keepdim=True)
    model = nn.Linear(40, 1).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(400):
        loss = (model(x) - y).square().mean() / 2
        loss = loss if proximal else loss + 0.1 * ours.l1_penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if proximal:
            ours.soft_threshold_(model, 0.05 * 0.1)
    return model.weight.detach()[0]


def test_only_the_proximal_l1_is_sparse():
    with_zeros, dithering = lasso(proximal=True), lasso(proximal=False)
    assert (with_zeros[4:] == 0).double().mean() > 0.8 and (with_zeros[:4] > 0.5).all()
    assert (dithering == 0).sum() == 0
    torch.testing.assert_close(with_zeros, dithering, atol=0.02, rtol=0)  # but nearly the same


@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_max_norm_equals_renorm(norm_type):
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Linear(6, 8)).double()
    with torch.no_grad():
        model[1].weight[0] = 0
    before = [p.detach().clone() for p in model.parameters()]
    ours.max_norm_(model, 0.4, norm_type)
    for old, new in zip(before, model.parameters(), strict=True):
        limited = torch.renorm(old, norm_type, 0, 0.4) if old.ndim > 1 else old
        torch.testing.assert_close(new.detach(), limited, rtol=1e-6, atol=1e-9)


# --- noise ---


def test_dropout_is_the_identity_in_the_mean():
    x = torch.randn(8, 5)
    layer = ours.Dropout(0.3)
    mean = torch.stack([layer(x) for _ in range(20_000)]).mean(dim=0)
    torch.testing.assert_close(mean, x, atol=0.03, rtol=0.02)
    assert torch.equal(layer.eval()(x), x)


def test_drop_path_keeps_or_drops_whole_samples():
    x = torch.randn(4000, 3, 2, 2).abs() + 1
    ratio = ours.DropPath(0.25)(x) / x
    per_sample = ratio.flatten(1)
    torch.testing.assert_close(per_sample, per_sample[:, :1].expand_as(per_sample))
    values = per_sample[:, 0]
    is_kept = values > 0
    torch.testing.assert_close(values[is_kept], torch.full_like(values[is_kept], 1 / 0.75))
    assert abs(is_kept.float().mean() - 0.75) < 4 * math.sqrt(0.25 * 0.75 / 4000)


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 3, 3)])
def test_drop_path_equals_torchvision(p, shape):
    stochastic_depth = pytest.importorskip("torchvision.ops").StochasticDepth
    x = torch.randn(shape, requires_grad=True)
    torch.manual_seed(5)
    mine = ours.DropPath(p)(x)
    torch.manual_seed(5)
    torch.testing.assert_close(mine, stochastic_depth(p, "row")(x))
    assert torch.equal(ours.DropPath(p).eval()(x), x)
    mine.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_probabilities_are_checked(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        ours.DropPath(p)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ours.label_smoothing(torch.tensor([0]), 2, p)


# --- clipping ---


def gradients(scale=1.0, dtype=torch.float64):
    """Parameters of several shapes with gradients, and one that has none."""
    shapes = [(3, 4), (), (7,), (2, 2, 2)]
    parameters = [nn.Parameter(torch.randn(s, dtype=dtype)) for s in shapes]
    for p in parameters[:-1]:
        p.grad = scale * torch.randn_like(p)
    return parameters


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clipping_by_norm_equals_torch(norm_type, max_norm, dtype):
    mine = gradients(dtype=dtype)
    theirs = [nn.Parameter(p.detach().clone()) for p in mine]
    for p, q in zip(mine, theirs, strict=True):
        q.grad = None if p.grad is None else p.grad.clone()
    total = ours.clip_grad_norm_(iter(mine), max_norm, norm_type)
    expected = nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    torch.testing.assert_close(total, expected)
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_clipping_by_norm_keeps_the_direction_and_small_gradients():
    parameters = gradients()
    before = torch.cat([p.grad.flatten() for p in parameters[:-1]])
    norm = ours.clip_grad_norm_(parameters, 0.1)
    after = torch.cat([p.grad.flatten() for p in parameters[:-1]])
    torch.testing.assert_close(norm, before.norm())
    torch.testing.assert_close(after, before * 0.1 / before.norm(), rtol=1e-5, atol=0)
    ours.clip_grad_norm_(parameters, 5.0)
    assert torch.equal(torch.cat([p.grad.flatten() for p in parameters[:-1]]), after)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite(bad):
    parameters = gradients()
    parameters[0].grad[0, 0] = bad
    with pytest.raises(RuntimeError, match="norm of order"):
        ours.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert parameters[2].grad.isfinite().all()  # untouched by the refused call
    assert not ours.clip_grad_norm_(parameters, 1.0).isfinite()


def test_clipping_without_gradients_and_of_a_single_tensor():
    assert ours.clip_grad_norm_([], 1.0).item() == 0
    weight = nn.Parameter(torch.zeros(2))
    assert ours.clip_grad_norm_([weight], 1.0).item() == 0
    weight.grad = torch.tensor([3.0, 4.0])
    assert ours.clip_grad_norm_(weight, 1.0).item() == 5
    torch.testing.assert_close(weight.grad, torch.tensor([0.6, 0.8]))
    ours.clip_grad_value_(weight, 0.7)
    torch.testing.assert_close(weight.grad, torch.tensor([0.6, 0.7]))


def test_clipping_by_value_equals_torch():
    mine = gradients(scale=3.0)
    theirs = [nn.Parameter(p.detach().clone()) for p in mine]
    for p, q in zip(mine, theirs, strict=True):
        q.grad = None if p.grad is None else p.grad.clone()
    ours.clip_grad_value_(iter(mine), 0.5)
    nn.utils.clip_grad_value_(theirs, 0.5)
    assert mine[-1].grad is None
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p.grad, q.grad)


# --- early stopping ---


def answers(stopper, values):
    return [(stopper.update(value), stopper.should_stop) for value in values]


def test_early_stopping_counts_updates_without_improvement():
    stopper = ours.EarlyStopping(patience=2)
    assert answers(stopper, [3.0, 2.0, 2.0, 1.9, 2.5, math.nan]) == [
        (True, False), (True, False), (False, False), (True, False), (False, False), (False, True),
    ]  # fmt: skip
    assert stopper.best == 1.9


def test_early_stopping_of_an_accuracy_with_a_least_gain():
    stopper = ours.EarlyStopping(patience=1, mode="max", min_delta=0.5)
    assert answers(stopper, [90.0, 91.0, 91.4]) == [(True, False), (True, False), (False, True)]
    assert stopper.best == 91.0
    assert answers(ours.EarlyStopping(1), [math.nan]) == [(False, True)]


def test_early_stopping_goes_on_from_its_state():
    values = [3.0, 2.0, 2.5, 2.4, 2.1]
    whole, first, second = (ours.EarlyStopping(patience=3) for _ in range(3))
    expected = answers(whole, values)
    start = answers(first, values[:3])
    second.load_state_dict(stored(first.state_dict()))
    assert start + answers(second, values[3:]) == expected


@pytest.mark.parametrize("options", [{"mode": "up"}, {"patience": 0}, {"min_delta": -1.0}])
def test_early_stopping_refuses_nonsense(options):
    with pytest.raises(ValueError):
        ours.EarlyStopping(**{"patience": 2} | options)


def stored(state):
    """The state after a trip through a file, read the safe way."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)
