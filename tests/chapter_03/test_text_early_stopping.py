"""Page 6: the numbers worked by hand, and that early stopping is what the picture shows."""

import numpy as np
import pytest

from chapter_03_optimization_regularization.figures import text_early_stopping as text
from chapter_03_optimization_regularization.figures import text_generalisation


def test_the_factors_by_hand():
    assert text.early_factor(text.BY_HAND, 20) == pytest.approx([1, 0.642, 0.095], abs=6e-4)
    assert text.ridge_factor(text.BY_HAND, 0.5) == pytest.approx([0.909, 0.5, 0.091], abs=6e-4)


def test_the_early_factor_is_gradient_descent_and_the_other_the_penalised_minimum():
    theta, best = np.zeros(2), np.ones(2)
    for _ in range(17):
        theta = theta - text.RATE * text.CURVATURES * (theta - best)
    assert theta == pytest.approx(text.early_factor(text.CURVATURES, 17))
    hessian, strength = np.diag(text.CURVATURES), 0.6
    penalised = np.linalg.solve(hessian + strength * np.eye(2), hessian @ best)
    assert penalised == pytest.approx(text.ridge_factor(text.CURVATURES, strength))


@pytest.mark.parametrize("steps", text.STEPS)
def test_the_two_start_and_end_together_and_part_by_a_fifth_or_a_quarter(steps):
    h = np.geomspace(1e-4, 1 / text.RATE, 4000)
    gap = text.early_factor(h, steps) - text.ridge_factor(h, 1 / (text.RATE * steps))
    assert gap.min() >= 0 and gap[0] < 1e-3 and 0.2 < gap.max() < 0.26
    matching = 1 / (text.RATE * steps) / 100  # far below the strength both are h / lambda
    assert text.early_factor(matching, steps) == pytest.approx(0.01, rel=0.01)


def test_each_parameter_costs_the_same():
    """Degree 5: 6 coefficients at 24 points, noise 0.5: a variance of 0.0625."""
    points, noise = text_generalisation.POINTS, text_generalisation.NOISE
    x = np.linspace(-2, 2, points)
    targets = noise * np.random.default_rng(0).normal(size=(4000, points))
    fits = text_generalisation.polynomial_fits(5, targets, x)
    assert 6 * noise**2 / points == 0.0625
    assert fits.var(axis=0).mean() == pytest.approx(0.0625, rel=0.03)


def test_the_shortest_solution_and_the_variance_table_by_hand():
    x, y = np.array([[3.0, 4.0]]), np.array([5.0])
    shortest = x.T @ np.linalg.solve(x @ x.T, y)
    assert shortest == pytest.approx([0.6, 0.8]) and x @ [5 / 3, 0] == pytest.approx(y)
    n, table = 100, {50: 1.02, 90: 10, 98: 98, 102: 100, 110: 11.1, 200: 1.01, 1000: 0.11}
    for p, shown in table.items():
        exact = p / (n - p - 1) if p < n else n / (p - n - 1)
        assert exact == pytest.approx(shown, rel=0.02)
