"""What the drawings of page 1 show is what the page says and what the formulas give."""

import numpy as np
import pytest

from chapter_03_optimization_regularization.figures import text_gradients


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_the_noise_ball_has_the_variance_of_the_formula(rate):
    """At each of the last steps, over many runs; the loss then lies at the level that is drawn."""
    points = text_gradients.noisy_descent(np.full(600, rate), runs=2000, seed=0)[-200:]
    measured, theory = points.var(axis=(0, 1)), text_gradients.stationary_variance(rate)
    np.testing.assert_allclose(measured, theory, rtol=0.03)
    level = (text_gradients.CURVATURES * theory).sum() / 2
    assert abs(text_gradients.bowl(points).mean() / level - 1) < 0.03


def test_the_three_rates_are_stable_or_not_as_the_page_says():
    best, smooth, unstable = (text_gradients.descent(r, 10) for r in (0.2, 1 / 9, 0.23))
    losses = text_gradients.bowl(best)
    np.testing.assert_allclose(losses[1:] / losses[:-1], 0.64)
    assert (np.diff(text_gradients.bowl(smooth)) < 0).all() and abs(smooth[1, 1]) < 1e-12
    assert (np.diff(np.abs(unstable[:, 1])) > 0).all()  # from the first step on,
    assert (np.diff(text_gradients.bowl(unstable))[:5] < 0).all()  # while the loss still falls
