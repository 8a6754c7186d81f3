"""exp_optimization.py: the surfaces, the theory it draws, its search, and its optimiser choices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_03_optimization_regularization import exp_optimization as script
from chapter_03_optimization_regularization.experiments.optimization import (
    choices,
    networks,
    quadratics,
    surfaces,
)
from chapter_03_optimization_regularization.experiments.tasks import load_task, small_cnn, small_mlp
from utils.file_io_util import read_json

SURFACES = list(surfaces.SURFACES.values())


# --- surfaces ---


@pytest.mark.parametrize("surface", SURFACES, ids=lambda s: s.name)
def test_a_minimum_has_the_lowest_value_no_slope_and_positive_curvature(surface):
    for minimum in surface.minima:
        point = torch.tensor(minimum, dtype=torch.float64, requires_grad=True)
        value = surface.function(*point)
        (gradient,) = torch.autograd.grad(value, point)
        hessian = torch.autograd.functional.hessian(lambda p: surface.function(*p), point)
        assert value.item() == pytest.approx(surface.lowest, abs=1e-12)
        assert gradient.abs().max() < 1e-9
        assert torch.linalg.eigvalsh(hessian).min() > 0
    x = np.random.default_rng(0).uniform(-4, 4, (5000, 2))
    assert surface.gap(x).min() >= 0


@pytest.mark.parametrize("surface", SURFACES, ids=lambda s: s.name)
def test_gradients_equal_finite_differences(surface):
    x, y = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(surface.function, (x.requires_grad_(), y.requires_grad_()))


def test_the_quadratic_has_condition_number_100_and_the_saddle_one_falling_direction():
    at = {n: torch.zeros(2, dtype=torch.float64) for n in ("quadratic", "saddle")}
    eigenvalues = {
        name: torch.linalg.eigvalsh(
            torch.autograd.functional.hessian(
                lambda p, name=name: surfaces.SURFACES[name].function(*p), point
            )
        )
        for name, point in at.items()
    }
    assert eigenvalues["quadratic"].tolist() == pytest.approx([1, 100])
    assert eigenvalues["saddle"].tolist() == pytest.approx([-1, 1])


def test_trajectories_at_several_rates_equal_separate_ones():
    surface = surfaces.SURFACES["Beale"]
    together = surfaces.trajectories("Adam", surface, (0.01, 0.1), 30)
    assert together.shape == (2, 31, 2)
    for rate, path in zip((0.01, 0.1), together, strict=True):
        (alone,) = surfaces.trajectories("Adam", surface, (rate,), 30)
        np.testing.assert_allclose(path, alone, rtol=1e-12)


def test_a_diverging_rate_leaves_the_others_alone():
    surface = surfaces.SURFACES["quadratic"]
    best = surfaces.best_path("SGD", surface, (0.01, 10.0), 600)
    assert best.rate == 0.01 and math.isfinite(best.settled)


@pytest.mark.parametrize("name", ["SGD", "momentum", "RMSprop", "Adam", "Lion"])
def test_exactly_on_the_ridge_nobody_leaves_the_saddle_but_noise_does(name):
    ridge = surfaces.Surface("ridge", surfaces.saddle, (-1.5, 0.0), ((0, 1), (0, -1)), (), 0)
    (still,) = surfaces.trajectories(name, ridge, (0.05,), 800)
    (moved,) = surfaces.trajectories(name, ridge, (0.05,), 800, noise=1e-3)
    assert np.all(still[:, 1] == 0)
    assert abs(abs(moved[-1, 1]) - 1) < 0.2


def test_near_the_ridge_plain_descent_waits_and_adam_does_not():
    surface = surfaces.SURFACES["saddle"]  # starts 0.001 beside the ridge

    def leaves(name: str) -> int:
        (path,) = surfaces.trajectories(name, surface, (0.05,), 400)
        return int((np.abs(path[:, 1]) > 0.5).argmax())

    # (1 + lr)^t 0.001 = 0.5 for SGD, as long as y^3 is small.
    assert leaves("SGD") == pytest.approx(math.log(500) / math.log(1.05), rel=0.1)
    assert 0 < leaves("Adam") < leaves("SGD") / 5


def test_settled_after_wants_the_path_to_stay():
    gaps = np.full(100, 1.0)
    gaps[10] = 0.0  # shoots through
    assert surfaces.settled_after(gaps, 0.1) == math.inf
    gaps[60:] = 0.0
    assert surfaces.settled_after(gaps, 0.1) == 60
    gaps[80] = np.nan
    assert surfaces.settled_after(gaps, 0.1) == math.inf  # fewer than STAYS steps are left
    assert surfaces.settled_after(np.zeros(50), 0.1) == 0


# --- quadratics ---


@pytest.mark.parametrize("kappa", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize("method", quadratics.METHODS)
def test_measured_decay_rates_are_the_theoretical_ones(method, kappa):
    start = quadratics.starts([0, 1], 30)
    distance = quadratics.distances(method, kappa, start, 1e-9)
    expected = -math.log(quadratics.theoretical_rate(method, kappa))
    # Double roots: the distance of the accelerated methods is k rho^k, which is slower by 1 / k.
    assert -math.log(quadratics.measured_rate(distance)) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("kappa", [10.0, 1000.0])
def test_acceleration_needs_the_root_of_the_condition_number(kappa):
    start = quadratics.starts([0, 1], 30)
    steps = {
        method: quadratics.steps_needed(quadratics.distances(method, kappa, start, 1e-6), 1e-6)
        for method in quadratics.METHODS
    }
    for method in quadratics.METHODS:
        theory = quadratics.theoretical_steps(method, kappa, 1e-6)
        assert steps[method].mean() == pytest.approx(theory, rel=0.35)
    assert (steps["heavy ball"] < steps["Nesterov"]).all()
    assert (steps["Nesterov"] < steps["gradient descent"]).all()


def test_gradient_descent_never_exceeds_its_bound():
    start = quadratics.starts([0], 30)
    distance = quadratics.distances("gradient descent", 50.0, start, 1e-6)[:, 0]
    bound = quadratics.theoretical_rate("gradient descent", 50.0) ** np.arange(len(distance))
    assert np.all(distance <= bound * (1 + 1e-12))


def test_conjugate_gradients_end_after_as_many_steps_as_dimensions():
    distance = quadratics.conjugate_gradients(20.0, quadratics.starts([0, 1], 8), 1e-8)
    assert quadratics.steps_needed(distance, 1e-8).tolist() == [8, 8]


def test_rotation_is_orthogonal_and_leaves_sgd_alone_but_not_adam():
    turn = quadratics.rotation(12, 3)
    torch.testing.assert_close(turn @ turn.T, torch.eye(12, dtype=torch.float64))
    diagonal, start = torch.diag(quadratics.spectrum(50.0, 12)), quadratics.starts([1], 12)
    rotated = (turn @ diagonal @ turn.T)[None]
    steps = {}
    for name in ("SGD", "Adagrad"):
        arguments = ((0.5, 1.0), 600, 1e-3)
        a = quadratics.settling_steps(name, diagonal[None], start, *arguments)
        b = quadratics.settling_steps(name, rotated, start @ turn.T, *arguments)
        steps[name] = (a, b)
    np.testing.assert_array_equal(*steps["SGD"])
    assert steps["Adagrad"][0].min() < steps["Adagrad"][1].min()


def test_diagonal_scaling_does_not_see_the_condition_number_of_aligned_axes():
    start = quadratics.starts([0], 20)
    counts = [
        quadratics.settling_steps(
            "Adam", torch.diag(quadratics.spectrum(kappa, 20))[None], start, (0.2,), 300, 1e-4
        ).item()
        for kappa in (10.0, 1e4)
    ]
    assert counts[1] == pytest.approx(counts[0], rel=0.2)


# --- networks ---


@pytest.mark.parametrize("optimum", [1e-4, 1e-2, 10.0])
def test_search_walks_until_the_best_has_neighbours(optimum):
    asked = []

    def score(rate: float) -> float:
        asked.append(rate)
        return abs(math.log10(rate / optimum))

    outcome = networks.search(score, 1e-2, 1)
    assert outcome.rate == pytest.approx(optimum)
    assert not outcome.at_edge
    assert len(asked) == len(set(asked)) == len(outcome.curve)


def test_search_reports_an_edge_it_cannot_move():
    outcome = networks.search(lambda rate: rate, networks.GRID[1], 1)
    assert outcome.at_edge and outcome.rate == networks.GRID[0]


def test_a_divergence_scores_infinity():
    setting = networks.Setting("MLP", small_mlp, 2, 1, 1)
    task = load_task("digits", limit=128)
    assert networks.train("SGD", setting, task, 1e20, 0) is None
    assert networks.validation_loss(None) == math.inf


def test_refreshed_statistics_repair_a_network_whose_own_lag_behind():
    torch.manual_seed(0)
    model, x = small_cnn("batch", width=4), 3 + 2 * torch.randn(256, 1, 8, 8)
    norm = next(m for m in model.modules() if hasattr(m, "running_mean"))
    norm.running_mean.fill_(100.0)
    networks.refresh_statistics(model, x)
    inputs = model[0](x)  # (256, 4, 8, 8): what the first normalisation sees
    torch.testing.assert_close(norm.running_mean, inputs.mean(dim=(0, 2, 3)), rtol=0.01, atol=0.01)


def test_smooth_and_steps_to():
    losses = np.array([[4.0, 2.0, 0.0, 0.0], [4.0, 4.0, 4.0, 4.0]])
    np.testing.assert_allclose(networks.smooth(losses, 2), [[4, 3, 1, 0], [4, 4, 4, 4]])
    np.testing.assert_array_equal(networks.steps_to(losses, 1.0, 2), [3, np.nan])


@pytest.mark.parametrize("name", choices.NAMES)
def test_every_optimizer_learns_32_digits(name):
    torch.manual_seed(0)
    x, y = (t[:32] for t in load_task("digits").train)
    model = small_mlp(hidden=32)
    rate = networks.USUAL.get(name, networks.USUAL_ELSE)
    optimizer = choices.for_network(name, model, min(rate, 0.1) if name == "SGD" else rate)
    first = F.cross_entropy(model(x), y).item()
    for _ in range(120):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert F.cross_entropy(model(x), y).item() < 0.35 * first


@pytest.mark.parametrize(
    ("name", "expected"), [("SGD", 0), ("momentum", 4), ("Lion", 4), ("Adam", 8), ("Adadelta", 8)]
)
def test_state_bytes(name, expected):
    model = small_mlp(hidden=16)
    optimizer = choices.for_network(name, model, 1e-3)
    F.cross_entropy(model(torch.randn(4, 1, 8, 8)), torch.zeros(4).long()).backward()
    optimizer.step()
    assert choices.state_bytes(optimizer) == expected


def test_muon_moves_the_networks_own_kernels_and_leaves_the_head_to_adamw():
    torch.manual_seed(0)
    model = small_cnn("batch", width=4)
    optimizer = choices.MuonWithAdamW(model, 0.01)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    F.cross_entropy(model(torch.randn(8, 1, 8, 8)), torch.arange(8)).backward()
    optimizer.step()
    assert [m.shape[1] for m in optimizer.matrices] == [9, 36, 72]  # I K K
    assert all(not p.equal(before[name]) for name, p in model.named_parameters())
    head = model[-1]
    change = head.weight - before[f"{len(model) - 1}.weight"] * (1 - 0.01 * choices.WEIGHT_DECAY)
    torch.testing.assert_close(change.abs(), torch.full_like(change, 0.01), rtol=1e-3, atol=1e-5)


def small_kernels() -> nn.Sequential:
    """Two convolutions and a head, whose kernels differ between the two memory formats."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 3)]
    return nn.Sequential(*layers)


def muon_steps(model: nn.Sequential, optimizer, seeds: range) -> None:
    for seed in seeds:
        x = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        F.cross_entropy(model(x), torch.arange(8) % 3).backward()
        optimizer.step()


def test_muon_takes_the_same_steps_in_both_memory_formats():
    plain, last = small_kernels(), small_kernels().to(memory_format=torch.channels_last)
    for model in (plain, last):
        muon_steps(model, choices.MuonWithAdamW(model, 0.01, matrix_decay=0.1), range(3))
    for ours, theirs in zip(plain.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_resumed_muon_takes_the_steps_of_one_that_never_stopped():
    through, stopped, resumed = small_kernels(), small_kernels(), small_kernels()
    muon_steps(through, choices.MuonWithAdamW(through, 0.01), range(4))
    first = choices.MuonWithAdamW(stopped, 0.01)
    muon_steps(stopped, first, range(2))
    resumed.load_state_dict(stopped.state_dict())
    second = choices.MuonWithAdamW(resumed, 0.5)  # the rate, too, is the saved one
    second.load_state_dict(first.state_dict())
    muon_steps(resumed, second, range(2, 4))
    for ours, theirs in zip(resumed.parameters(), through.parameters(), strict=True):
        assert ours.equal(theirs)


# --- the script ---


def test_quick_run_writes_every_file(quick_run):
    done = quick_run("chapter_03_optimization_regularization/exp_optimization.py")
    assert done.returncode == 0, done.stderr
    folder = done.folder
    pictures = ("surfaces", "condition", "rotation", "mlp", "cnn", "sensitivity")
    for name in pictures:
        assert (folder / f"optimization_{name}.png").stat().st_size <= 200_000
    assert (folder / "optimization_race.gif").stat().st_size <= 2_000_000
    result = read_json(folder / "optimization.json")
    assert set(result["tables"]) == {"surfaces", "condition", "rotation", "mlp", "cnn"}
    assert set(result["metrics"]["networks"]["MLP"]["optimizers"]) == set(choices.NAMES)


@pytest.mark.parametrize("options", [["--seeds", "0"], ["--seeds", "many"]])
def test_bad_option_is_one_sentence(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(options)
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
