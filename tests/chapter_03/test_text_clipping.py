"""Page 5 on clipping: its numbers by hand, and what its picture shows."""

import numpy as np
import pytest

from chapter_03_optimization_regularization.figures import text_clipping


def test_clipping_by_value_turns_a_gradient_and_by_norm_does_not():
    """Page 5, by hand: g = (10, 0.1) at c = 1, from 0.57 degrees to 5.7 or not at all."""
    gradient = np.array([10, 0.1])
    assert text_clipping.degrees(gradient) == pytest.approx(0.57, abs=5e-3)
    by_value = text_clipping.clipped(gradient, "value")
    assert by_value == pytest.approx([1, 0.1])
    assert text_clipping.degrees(by_value) == pytest.approx(5.7, abs=0.05)
    assert text_clipping.clipped(gradient, "norm") == pytest.approx([1, 0.01], rel=1e-3)


def test_on_the_cliff_only_the_clipped_run_arrives():
    safe = 1 / np.cosh(text_clipping.START)
    assert abs(text_clipping.descend(1.0, 1.0, 10)[-1]) < 1e-9
    assert text_clipping.descend(safe, None, 40)[-1] > 1
    assert abs(text_clipping.descend(1.0, None, 2)[-1]) > 1e9
    x = np.linspace(-9, 9, 181)  # curvature cosh x, gradient sinh x: L_0 = L_1 = 1
    assert (np.cosh(x) <= 1 + np.abs(np.sinh(x))).all()
