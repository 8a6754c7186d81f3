"""The numbers behind the drawings of chapter 3: each against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization import figures
from chapter_03_optimization_regularization import figures_regularization as reg


def test_heavy_ball_is_torch_sgd_with_momentum():
    path = figures.heavy_ball(figures.CURVATURES, figures.START, 0.05, 0.6, steps=20)
    theta = nn.Parameter(torch.tensor(figures.START))
    optimizer = torch.optim.SGD([theta], lr=0.05, momentum=0.6)
    for position in path:
        np.testing.assert_allclose(theta.detach().numpy(), position, rtol=1e-12)
        optimizer.zero_grad()
        (torch.tensor(figures.CURVATURES) * theta**2 / 2).sum().backward()
        optimizer.step()


def test_valley_rate_shrinks_both_directions_alike():
    rate = 2 / figures.CURVATURES.sum()
    path = figures.heavy_ball(figures.CURVATURES, figures.START, rate, 0.0, steps=1)
    factor = path[1] / path[0]
    assert factor[0] == pytest.approx(-factor[1]) == pytest.approx(29 / 31)


@pytest.mark.parametrize("eta_h", [0.1, 1.0, 1.9, 3.7, 4.1])
@pytest.mark.parametrize("beta", [0.0, 0.4, 0.9])
def test_spectral_radius_is_that_of_the_matrix(eta_h: float, beta: float):
    matrix = np.array([[1 + beta - eta_h, -beta], [1, 0]])
    expected = np.abs(np.linalg.eigvals(matrix)).max()
    assert figures.spectral_radius(np.array(eta_h), np.array(beta)) == pytest.approx(expected)


def test_the_drawn_line_is_the_best_momentum_and_the_limit_is_the_limit():
    betas = np.linspace(0, 0.999, 2000)
    for eta_h in (0.2, 0.7, 1.5, 3.0):
        best = betas[np.argmin(figures.spectral_radius(np.array(eta_h), betas))]
        assert best == pytest.approx((1 - np.sqrt(eta_h)) ** 2, abs=1e-3)
    for beta in (0.0, 0.5, 0.9):
        inside, outside = figures.spectral_radius(2 * (1 + beta) + np.array([-1e-3, 1e-3]), beta)
        assert inside < 1 < outside


def test_schedules_stay_between_zero_and_the_peak():
    curves = [curve for panel in figures.schedule_panels().values() for curve in panel.values()]
    assert len(curves) == 9  # eight schedules, and the loss that one of them watches
    for curve in curves:
        assert curve.shape == (figures.STEPS,)
        assert curve.min() >= 0 and curve.max() == pytest.approx(1)


def test_error_is_bias_plus_variance_and_variance_is_the_formula():
    x = np.linspace(-2, 2, reg.POINTS)  # at the training inputs the variance has a closed form
    parts = reg.bias_variance(draws=3000, seed=0, x=x)
    np.testing.assert_allclose(parts["bias²"] + parts["variance"], parts["error"], rtol=1e-9)
    formula = reg.NOISE**2 * (np.array(reg.DEGREES) + 1) / reg.POINTS  # sigma^2 P / N
    np.testing.assert_allclose(parts["variance"], formula, rtol=0.03)


def test_error_has_its_minimum_inside():
    parts = reg.bias_variance(draws=300, seed=0, x=np.linspace(-2, 2, 201))
    assert 4 <= np.argmin(parts["error"]) <= 8
    assert np.all(np.diff(parts["variance"]) > 0)


def test_l1_reaches_a_corner_and_l2_does_not():
    corner, inside = reg.constrained_minimum(1, 1.0), reg.constrained_minimum(2, 1.0)
    assert corner[0] == 0 and corner[1] == 1
    assert np.all(inside > 0.1) and np.linalg.norm(inside) == pytest.approx(1)
    gradient = reg.LOSS_HESSIAN @ (inside - reg.LOSS_MINIMUM)
    cross = gradient[0] * inside[1] - gradient[1] * inside[0]  # the contour touches the circle
    assert cross == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("strength", [0.3, 0.8, 2.5])
def test_penalised_minimum_beats_its_surroundings(strength: float):
    generator = np.random.default_rng(0)
    for penalty, size in (
        ("l1", lambda w: np.abs(w).sum(-1)),
        ("l2", lambda w: (w**2).sum(-1) / 2),
    ):
        best = reg.penalised_minimum(penalty, strength)
        others = best + 0.1 * generator.normal(size=(5000, 2))
        values = reg.quadratic_loss(others) + strength * size(others)
        assert reg.quadratic_loss(best) + strength * size(best) <= values.min()
        assert (best[0] == 0) == (penalty == "l1" and strength > 0.6)


NORM_LAYERS = {
    "batch": lambda x: nn.BatchNorm2d(reg.CHANNELS)(x),
    "instance": lambda x: nn.InstanceNorm2d(reg.CHANNELS)(x),
    "layer": lambda x: nn.LayerNorm([reg.CHANNELS, reg.SIDE, reg.SIDE])(x),
    "group": lambda x: nn.GroupNorm(reg.GROUPS, reg.CHANNELS)(x),
    "layer_c": lambda x: nn.LayerNorm(reg.CHANNELS)(x.movedim(1, -1)).movedim(-1, 1),
    "rms": lambda x: x / (x.square().mean(dim=1, keepdim=True) + 1e-6).sqrt(),
}


@pytest.mark.parametrize("kind", reg.NORMS)
def test_coloured_elements_are_those_the_output_depends_on(kind: str):
    generator = torch.Generator().manual_seed(0)
    shape = (reg.SAMPLES, reg.CHANNELS, reg.SIDE, reg.SIDE)
    x = torch.randn(shape, generator=generator).requires_grad_()
    NORM_LAYERS[kind](x)[1, 2, 0, 1].backward()
    mask = reg.averaged_with(kind, sample=1, channel=2, row=0, col=1)
    np.testing.assert_array_equal(x.grad.numpy() != 0, mask)


def test_script_writes_six_small_drawings(quick_run):
    done = quick_run("chapter_03_optimization_regularization/figures.py")
    assert done.returncode == 0, done.stderr
    written = list(done.folder.rglob("*.svg"))
    assert len(written) == 6
    assert max(path.stat().st_size for path in written) < 500 * 1024
