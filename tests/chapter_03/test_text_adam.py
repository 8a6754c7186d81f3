"""What the drawings of page 3 show is what the page says and what the formulas give."""

import numpy as np

from chapter_03_optimization_regularization.figures import text_adam

TOLERANCE = 1e-4


def settled(losses: np.ndarray) -> int:
    """The step from which on the loss stays below the tolerance."""
    return int(np.flatnonzero(losses > TOLERANCE)[-1]) + 1


def test_the_moments_of_a_constant_gradient_fill_as_derived():
    t = np.arange(1, 51)
    m, v = text_adam.moments(np.full(50, 3.0))
    np.testing.assert_allclose(m, 3 * (1 - text_adam.BETA1**t))
    np.testing.assert_allclose(v, 9 * (1 - text_adam.BETA2**t))
    step = m / np.sqrt(v)  # without correction, in units of the learning rate
    assert abs(step[0] - 3.16) < 0.01 and step.max() > 6 and (step > 3).all()


def test_a_turned_bowl_slows_adam_and_not_gradient_descent():
    (_, descend, _), (_, adam, _) = text_adam.methods()
    (_, straight), (_, turned) = (text_adam.walk(descend, angle, 350) for angle in (0, 30))
    np.testing.assert_allclose(straight, turned, rtol=1e-9)
    along, across = (text_adam.walk(adam, angle, 350)[1] for angle in (0, 30))
    assert settled(along) < 0.7 * settled(across) < 0.7 * settled(straight)


def test_adam_starts_on_the_diagonal():
    _, adam = text_adam.methods()
    path, _ = text_adam.walk(adam[1], 0, 1)
    np.testing.assert_allclose(np.abs(path[1] - path[0]), text_adam.ADAM_RATE)
