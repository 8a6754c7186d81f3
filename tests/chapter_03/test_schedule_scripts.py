"""The pieces behind exp_schedules.py and exp_batch_size.py, on cases with a known answer."""

from __future__ import annotations

import argparse
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_03_optimization_regularization import exp_batch_size as batch_size
from chapter_03_optimization_regularization import exp_schedules as schedules
from chapter_03_optimization_regularization.experiments.tables.schedules import at_best
from chapter_03_optimization_regularization.experiments.tasks import load_task
from utils.errors import UserError
from utils.seed import generator

ARGS = argparse.Namespace(seed=0, seeds=2, epochs=1, quick=True, target=1.5)


@pytest.fixture(scope="module")
def task():
    return load_task("digits")


@pytest.fixture(scope="module")
def small(task):
    """160 noisy training pictures: ten steps an epoch."""
    noisy = schedules.load_data(quick=True)
    part = tuple(tensor[:160] for tensor in noisy.train)
    return type(noisy)(noisy.name, noisy.classes, part, noisy.val, noisy.test)


# --- the batch size ---


@pytest.mark.parametrize(("s_min", "b_crit"), [(40, 25.0), (7, 300.0), (500, 1.5)])
def test_fit_finds_the_law_that_made_the_steps(s_min, b_crit):
    sizes = batch_size.BATCH_SIZES
    steps = [s_min * (1 + b_crit / b) for b in sizes]
    found = batch_size.fit_critical(sizes, steps)
    assert found == pytest.approx((s_min, b_crit), rel=3e-3)
    noisy = np.array(steps) * np.exp(0.05 * np.cos(np.arange(len(steps))))
    assert batch_size.fit_critical(sizes, noisy) == pytest.approx((s_min, b_crit), rel=0.3)


def test_slope_of_a_power_law():
    sizes = np.array(batch_size.BATCH_SIZES)
    assert batch_size.slope(sizes, 0.01 * sizes) == pytest.approx(1)
    assert batch_size.slope(sizes, 0.01 * sizes**0.5) == pytest.approx(0.5)


def test_climb_finds_the_best_rung_and_stops_there():
    asked = []

    def measure(exponent, limit):
        asked.append((exponent, limit))
        steps = 100.0 + 10 * (exponent + 3) ** 2
        return [steps if steps <= limit else math.inf] * 2

    tried = batch_size.climb(measure, start=-7)
    assert min(tried, key=lambda k: np.mean(tried[k])) == -3
    assert {-4, -2} <= set(tried)  # both neighbours were looked at
    assert len(asked) == len(tried)  # no rung twice
    assert asked[-1][1] == pytest.approx(150)  # a slow rung is given up at 1.5 times the best


def test_climb_where_every_rung_fails_stops():
    tried = batch_size.climb(lambda exponent, limit: [math.inf], start=0)
    assert len(tried) == 3


def test_noise_scale_by_brute_force():
    """Against the gradients of single examples, one backward pass each."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    x, y = torch.randn(50, 1, 2, 3), torch.randint(4, (50,))
    rows = []
    for a, b in zip(x, y, strict=True):
        model.zero_grad()
        F.cross_entropy(model(a[None]), b[None]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]).double())
    g = torch.stack(rows)  # (50, P)
    trace = g.var(dim=0).sum()  # unbiased
    expected = trace / (g.mean(dim=0).square().sum() - trace / 50)
    got = batch_size.noise_scale(model, x, y, chunk=7)
    assert got == pytest.approx(float(expected), rel=1e-4)


def test_noise_scale_predicts_the_spread_of_batch_gradients(task):
    """E|G_B - G|^2 = tr(Sigma) / B: at B = B_simple the noise is as large as the gradient."""
    torch.manual_seed(0)
    model = schedules.small_mlp()
    x, y = task.train
    scale = batch_size.noise_scale(model, x, y)
    rng, batch = generator(0), round(scale)

    def gradient(rows) -> torch.Tensor:
        model.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()]).double()

    whole = gradient(slice(None))
    draws = [gradient(torch.randint(len(y), (batch,), generator=rng)) for _ in range(100)]
    noise = torch.stack([(g - whole).square().sum() for g in draws]).mean()
    assert float(noise / whole.square().sum()) == pytest.approx(1, rel=0.3)


def test_steps_to_target(task):
    def steps(rate, target, limit=200):
        return batch_size.steps_to_target(task, "SGD", rate, 64, 0, target, limit)

    assert steps(0.1, 10.0) == 0  # fulfilled before the first update
    assert 0 < steps(0.25, 1.5) < steps(0.06, 1.5) < 200
    assert steps(1e-6, 1.5, limit=5) == math.inf
    assert steps(1e5, 1.5) == math.inf  # diverges


def test_a_batch_size_is_tuned(task):
    result = batch_size.tune(task, "SGD", 128, -3, ARGS)
    means = result["ladder"]
    assert result["rate"] == 2.0 ** result["exponent"]
    assert means[f"2^{result['exponent']}"] == min(means.values()) == result["steps"].mean()


# --- the schedules ---


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_schedules_have_the_same_peak_and_budget(name):
    optimizer = schedules.fresh("SGD", 0.5, 0)[1]
    scheduler = schedules.SCHEDULES[name](optimizer, 200)
    rates = []
    for _ in range(200):
        rates.append(optimizer.param_groups[0]["lr"])
        if name not in ("constant", "plateau"):
            scheduler.step()
    assert max(rates) == pytest.approx(0.5, rel=1e-3)
    if name not in ("constant", "plateau"):
        assert rates[-1] < 0.02 * 0.5


def test_noise_is_fixed_for_validation_and_new_for_training(small):
    again = schedules.load_data(quick=True)
    torch.testing.assert_close(again.val[0], small.val[0], rtol=0, atol=0)
    batches = schedules.train_batches(small, seed=0)
    first, second = next(batches.epoch(0)), next(batches.epoch(1))
    assert not torch.equal(first[0], second[0])
    repeat = next(schedules.train_batches(small, seed=0).epoch(0))
    assert torch.equal(first[0], repeat[0])


def test_disturb_shifts_and_adds_noise():
    x = torch.zeros(500, 1, 8, 8)
    y = torch.arange(500)
    noisy, labels = schedules.disturb((x, y), generator(0))
    assert noisy.std().item() == pytest.approx(schedules.NOISE, rel=0.02)
    assert torch.equal(labels, y)
    copies, repeated = schedules.noisy_copies((x, y), 2, seed=3)
    assert copies.shape == (1000, 1, 8, 8)
    assert torch.equal(repeated, torch.cat([y, y]))


def test_sweep_chooses_on_validation_and_counts_failures(small):
    result = schedules.sweep(small, schedules.SCHEDULES["cosine"], [1e-5, 0.05, 1e6], ARGS)
    assert result["val"].shape == (3, 2, 1)
    assert result["best"] == 1
    row = at_best(result)
    assert row["rate"] == 0.05
    assert 0 <= row["test_mean"] <= 100
    assert row["val_mean"] == pytest.approx(result["val"][1, :, -1].mean())


def test_branches_leave_the_stable_run_alone(small):
    """A longer list of lengths changes nothing in the shorter lengths."""
    rates = {"WSD": 0.05, "cosine": 0.05}
    short = schedules.decayed_branches(small, rates, 0, (2,))
    long = schedules.decayed_branches(small, rates, 0, (2, 4))
    for kind in ("stable", "WSD", "cosine"):
        assert long[kind][0] == short[kind][0]
        assert len(long[kind]) == 2


@pytest.mark.parametrize("module", [schedules, batch_size])
def test_bad_option_is_one_sentence(module, capsys):
    with pytest.raises(SystemExit) as stop:
        module.main(["--seeds", "0"])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_target_that_needs_no_step_is_refused():
    """Before, all steps were 0, and their logarithms no numbers."""
    args = argparse.Namespace(seed=0, seeds=1, target=5.0)
    with pytest.raises(UserError, match="reached without a step; choose a smaller --target"):
        batch_size.tune(load_task("digits", limit=64), "SGD", 16, -3, args)
