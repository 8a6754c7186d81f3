"""The picture of BatchNorm shows what the layer itself computes."""

import numpy as np
import pytest
import torch

from chapter_03_optimization_regularization.figures import text_batch_norm as figures
from chapter_03_optimization_regularization.normalization import BatchNorm1d


@pytest.fixture
def batches() -> np.ndarray:
    """(R, n) numbers, the first of each batch being the example."""
    numbers = np.random.default_rng(1).normal(figures.MEAN, figures.SPREAD, size=(7, 5))
    numbers[:, 0] = figures.EXAMPLE
    return numbers


def layer(momentum: float = 0.1) -> BatchNorm1d:
    return BatchNorm1d(1, eps=0.0, momentum=momentum, dtype=torch.float64)


def test_the_example_in_training_is_what_the_layer_makes_of_it(batches):
    outputs = [layer()(torch.from_numpy(batch)[:, None])[0, 0].item() for batch in batches]
    np.testing.assert_allclose(figures.in_training(batches), outputs)


@pytest.mark.parametrize("momentum", figures.MOMENTA)
def test_the_example_in_evaluation_is_what_the_layer_makes_of_it(batches, momentum):
    norm, x = layer(momentum), torch.tensor([[figures.EXAMPLE]], dtype=torch.float64)
    expected = [norm.eval()(x).item()]
    for batch in batches:
        norm.train()(torch.from_numpy(batch)[:, None])
        expected.append(norm.eval()(x).item())
    np.testing.assert_allclose(figures.in_evaluation(batches, momentum), expected)


def test_the_numbers_of_the_example_worked_by_hand():
    batch = np.array([[0.0, 6.0, 6.0, 8.0]])
    assert figures.in_training(batch) == pytest.approx(-5 / 3)
    assert figures.in_evaluation(batch, 0.1)[-1] == pytest.approx(-0.5 / 2.1**0.5)


def test_two_numbers_keep_their_order_only():
    pairs = np.random.default_rng(2).normal(size=(20, 2))
    signs = np.sign(pairs[:, 0] - pairs[:, 1])
    np.testing.assert_allclose(figures.in_training(pairs), signs)


def test_the_picture_has_a_point_for_each_batch_and_a_line_for_each_momentum():
    left, right = figures.draw_batch_norm(seed=0).axes
    clouds = [line for line in left.lines if line.get_linestyle() == "None"]
    assert [len(cloud.get_xdata()) for cloud in clouds] == [figures.BATCHES] * len(figures.SIZES)
    spreads = [np.ptp(cloud.get_ydata()) for cloud in clouds[1:]]
    assert spreads[0] > spreads[-1]  # many companions leave less to chance
    lines = [line for line in right.lines if len(line.get_xdata()) > 2]
    assert len({line.get_linestyle() for line in lines}) == len(figures.MOMENTA)
    gaps = [abs(line.get_ydata()[-1] - figures.EXPECTED) for line in lines]
    assert gaps == sorted(gaps)  # the larger momentum is nearer to the true statistics by then
