"""Normalisation experiments: their measuring tools at tiny size, and the scripts' bad input."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_03_optimization_regularization import exp_loss_landscape, exp_normalization
from chapter_03_optimization_regularization import loss_landscape as landscape
from chapter_03_optimization_regularization.experiments.normalization import measure as look
from chapter_03_optimization_regularization.experiments.normalization.network import (
    plain_stack,
    train,
)
from chapter_03_optimization_regularization.experiments.tasks import Task, accuracy
from chapter_03_optimization_regularization.normalization import BatchNorm2d, GroupNorm
from utils.seed import generator


def tiny_task(rows: int = 64) -> Task:
    """Two classes: a bright upper or a bright lower half."""
    y = torch.arange(rows) % 2
    x = torch.randn(rows, 1, 8, 8, generator=generator(0))
    x[y == 0, :, :4] += 2
    x[y == 1, :, 4:] += 2
    return Task("halves", ("upper", "lower"), (x, y), (x, y), (x, y))


def trained_batch_network() -> tuple[nn.Sequential, Task]:
    task, model = tiny_task(), plain_stack("batch", 0, plan=(1, 1))
    assert train(model, task, lr=0.1, epochs=5, seed=0, batch_size=16)
    return model, task


# --- the stack and its training ---


def test_all_kinds_start_from_the_same_convolutions():
    kinds = [plain_stack(kind, 3) for kind in ("none", "batch", "layer", "rms")]
    weights = [[layer.weight for layer in model if isinstance(layer, nn.Conv2d)] for model in kinds]
    assert len(weights[0]) == 6
    for others in weights[1:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[0], others, strict=True))
    assert kinds[0](torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_training_learns_and_a_divergence_is_reported():
    model, task = trained_batch_network()
    assert accuracy(model, task.test) == 1
    assert not train(plain_stack("none", 0), task, lr=1e6, epochs=3, seed=0, batch_size=16)


# --- activations and running statistics ---


def test_activation_statistics_of_known_layers():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), BatchNorm2d(2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(2.0)
        model[0].bias.copy_(torch.tensor([0.0, 3.0]))
    x = torch.randn(50, 1, 20, 20, generator=generator(0))
    before = copy.deepcopy(model.state_dict())
    found = look.activation_statistics(model, x)
    assert found["std_before"] == [pytest.approx(2, rel=0.02)]
    assert found["shift_before"] == [pytest.approx(1.5 / 2**0.5, rel=0.05)]  # rms of 0 and 3 / 2
    assert found["std_after"] == [pytest.approx(1, rel=1e-3)]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_reestimate_finds_the_statistics_and_leaves_the_model_alone():
    model, task = trained_batch_network()
    good = accuracy(model, task.test)
    for layer in look.batch_norms(model):
        layer.running_mean.fill_(50.0)
    assert accuracy(model, task.test) < good
    repaired = look.reestimate(model, task.train[0], batch_size=len(task.train[0]))
    assert accuracy(repaired, task.test) == good
    first = look.batch_norms(repaired)[0]
    channels = repaired[0](task.train[0])
    torch.testing.assert_close(first.running_mean, channels.mean((0, 2, 3)))
    torch.testing.assert_close(first.running_var, channels.var((0, 2, 3)))
    assert (look.batch_norms(model)[0].running_mean == 50).all()


def test_training_mode_accuracy_depends_on_the_batch_and_pollutes():
    model, task = trained_batch_network()
    mixed = look.training_mode_accuracy(copy.deepcopy(model), task.test, 32)
    before = look.batch_norms(model)[0].running_mean.clone()
    sorted_by_class = look.training_mode_accuracy(model, look.by_class(task.test), 32)
    assert mixed > 0.9 and sorted_by_class < mixed
    assert not torch.equal(before, look.batch_norms(model)[0].running_mean)


def test_by_class_keeps_pairs_together():
    x, y = torch.arange(6.0), torch.tensor([1, 0, 1, 0, 1, 0])
    sorted_x, sorted_y = look.by_class((x, y))
    assert sorted_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert sorted_x.tolist() == [1, 3, 5, 0, 2, 4]


def test_best_rate_is_the_one_with_the_best_mean_validation_accuracy():
    scores = np.zeros((3, 2, 2))
    scores[1, :, 0] = 80
    scores[2, :, 0] = (100, 10)  # one lucky seed
    scores[0, :, 1] = 100  # test accuracy must not decide
    assert exp_normalization.best_rates({"x": scores}, (0.1, 0.2, 0.3)) == {"x": 0.2}


@pytest.mark.process
def test_jobs_give_the_same_scores_in_processes_and_in_order():
    jobs = [("batch", 0.1, 64, seed, 1) for seed in (0, 1)]
    found = []
    for workers in (1, 2):
        with exp_normalization.make_pool(workers) as pool:
            found.append(exp_normalization.run_jobs(jobs, "x", pool))
    assert found[0] == found[1]


# --- loss landscape ---


def test_direction_has_the_filters_lengths_and_leaves_vectors_alone():
    model = plain_stack("batch", 0)
    direction = landscape.filter_normalized_direction(model, generator(1))
    for parameter, change in zip(model.parameters(), direction, strict=True):
        if parameter.ndim < 2:
            assert change.abs().max() == 0
        else:
            lengths = change.flatten(1).norm(dim=1)
            torch.testing.assert_close(lengths, parameter.detach().flatten(1).norm(dim=1))


def test_loss_at_moves_and_puts_the_weights_back_bit_for_bit():
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.1, -0.7]]))
    before = model.weight.detach().clone()
    step = [torch.tensor([[3.0, 4.0]])]
    value = landscape.loss_at(model, lambda: model.weight.square().sum(), [(0.5, step)])
    assert value == pytest.approx(2.6**2 + 1.3**2)
    assert torch.equal(model.weight, before)


def test_plane_and_profile_have_the_minimum_in_the_middle():
    model = nn.Linear(3, 2, bias=False)
    target = model.weight.detach().clone()
    length = target.square().sum().item()

    def loss():
        return (model.weight - target).square().sum()

    grid = np.array(landscape.plane(model, loss, [-1.0, 0.0, 1.0], seed=0))
    assert grid.shape == (3, 3) and grid[1, 1] == grid.min() == 0
    assert grid[1, 2] == pytest.approx(length, rel=1e-5)  # one step of the filters' own length
    rise = landscape.profile(model, loss, [0.0, 0.5], count=3, seed=0)
    assert rise == pytest.approx([0, length / 4], rel=1e-5)


@pytest.mark.parametrize("eigenvalues", [[5.0, 2.0, -1.0], [-7.0, 3.0, 1.0]])
def test_largest_eigenvalue_of_a_quadratic(eigenvalues):
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator(0)))[0]
    matrix = rotation @ torch.diag(torch.tensor(eigenvalues)) @ rotation.T
    model = nn.Linear(3, 1, bias=False)

    def loss():
        w = model.weight[0]
        return w @ matrix @ w / 2

    found = landscape.largest_eigenvalue(model, loss, steps=200, tolerance=1e-7)
    assert found == pytest.approx(eigenvalues[0], rel=1e-3)


def test_largest_eigenvalue_of_a_network_against_the_full_hessian():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = torch.randn(10, 3, dtype=torch.float64), torch.randint(2, (10,))
    shapes = {name: p.detach() for name, p in model.named_parameters()}

    def of_vector(vector):
        parts = vector.split([p.numel() for p in shapes.values()])
        named = {n: v.view_as(p) for (n, p), v in zip(shapes.items(), parts, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, named, (x,)), y)

    theta = torch.cat([p.flatten() for p in shapes.values()])
    hessian = torch.autograd.functional.hessian(of_vector, theta)
    wanted = torch.linalg.eigvalsh(hessian)
    wanted = wanted[wanted.abs().argmax()].item()
    loss = F.cross_entropy
    found = landscape.largest_eigenvalue(
        model, lambda: loss(model(x), y), steps=500, tolerance=1e-9
    )
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_rescaled_changes_the_weights_but_not_the_function(norm):
    model = plain_stack(norm, 0)
    x, y = torch.randn(16, 1, 8, 8, generator=generator(2)), torch.arange(16) % 10
    model.train()(x)  # gives the running statistics something to scale
    twin = landscape.rescaled(model, 5.0)
    assert not torch.equal(model[0].weight, twin[0].weight)
    for mode in (True, False):
        torch.testing.assert_close(twin.train(mode)(x), model.train(mode)(x), rtol=1e-2, atol=1e-3)
    sharpness = [
        landscape.largest_eigenvalue(m, exp_loss_landscape.loss_of(m, (x, y), False))
        for m in (model, twin)
    ]
    assert abs(sharpness[1]) > 2 * abs(sharpness[0])


def test_looking_leaves_running_statistics_alone():
    model = plain_stack("batch", 0)
    x, y = torch.randn(8, 1, 8, 8), torch.arange(8)
    model.train()(x)
    before = copy.deepcopy([b for n, b in model.named_buffers() if "running" in n])
    exp_loss_landscape.measure_view(model, "batch", (x, y), seed=0, count=1)
    after = [b for n, b in model.named_buffers() if "running" in n]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_groups_need_no_running_statistics():
    assert not list(plain_stack("group", 0).buffers())
    assert isinstance(plain_stack("group", 0)[1], GroupNorm)


# --- bad input ---


@pytest.mark.parametrize(
    ("module", "options", "word"),
    [
        (exp_normalization, ["--epochs", "0"], "--epochs"),
        (exp_normalization, ["--workers", "none"], "--workers"),
        (exp_loss_landscape, ["--lr", "-1"], "--lr"),
        (exp_loss_landscape, ["--lr", "1e9", "--seeds", "1", "--epochs", "1"], "diverged"),
    ],
)
def test_bad_option_is_one_sentence(module, options, word, capsys, tmp_path):
    try:
        code = module.main([*options, "--output_dir", str(tmp_path)])
    except SystemExit as error:
        code = error.code
    lines = [
        line for line in capsys.readouterr().err.splitlines() if "error" in line or word in line
    ]
    assert code == 2
    assert word in lines[-1]
