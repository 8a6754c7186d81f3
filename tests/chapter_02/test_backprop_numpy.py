"""Hand-derived gradients against PyTorch, the engine of chapter 1, and finite differences."""

import json
import os

import numpy as np
import pytest

from chapter_02_nn_basics_mlp import backprop_numpy as bp

SEED = int(os.environ.get("FUZZ_SEED", "0"))
SIZES = [[3, 2], [1, 1], [4, 5, 3], [2, 7, 1, 6, 4], [6, *[8] * 19, 3]]
KINDS = [(activation, loss) for activation in bp.ACTIVATIONS for loss in bp.LOSSES]


@pytest.mark.parametrize("other", [bp.gradients_by_torch, bp.gradients_by_engine])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize(("activation", "loss"), KINDS)
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{len(sizes) - 1} layers")
def test_equal_to_autograd(sizes, activation, loss, batch_size, other):
    for seed in range(3):
        problem = bp.random_problem(sizes, batch_size, loss, 100 * SEED + seed)
        value, by_hand = bp.gradients_by_hand(*problem, activation, loss)
        expected, theirs = other(*problem, activation, loss)
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-15)
        for ours, reference in zip(by_hand, theirs, strict=True):
            for a, b in zip(ours, reference, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize(("activation", "loss"), KINDS)
def test_equal_to_finite_differences(activation, loss):
    layers, x, target = bp.random_problem([3, 4, 2], 5, loss, SEED)
    _, gradients = bp.gradients_by_hand(layers, x, target, activation, loss)
    step = 1e-6
    for layer, gradient in zip(layers, gradients, strict=True):
        for parameter, derivative in zip(layer, gradient, strict=True):
            for place in np.ndindex(parameter.shape):
                kept, values = parameter[place], []
                for sign in (1, -1):
                    parameter[place] = kept + sign * step
                    values.append(bp.gradients_by_hand(layers, x, target, activation, loss)[0])
                parameter[place] = kept
                numeric = (values[0] - values[1]) / (2 * step)
                assert derivative[place] == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_shapes_are_those_of_the_parameters():
    problem = bp.random_problem([3, 4, 2], 5, "mse", SEED)
    _, gradients = bp.gradients_by_hand(*problem, "relu", "mse")
    shapes = [[a.shape for a in pair] for pair in gradients]
    assert shapes == [[a.shape for a in layer] for layer in problem[0]]


def test_cross_entropy_survives_extreme_logits():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    loss, delta = bp.softmax_cross_entropy(logits, np.array([1, 0]))
    assert loss == pytest.approx((2e4 + np.log(3)) / 2)
    np.testing.assert_allclose(delta, [[0.5, -0.5, 0], [-1 / 3, 1 / 6, 1 / 6]])


def test_a_wrong_gradient_is_noticed():
    problem = bp.random_problem([3, 4, 2], 5, "mse", SEED)
    _, right = bp.gradients_by_hand(*problem, "tanh", "mse")
    wrong = [(d_weight * 1.001, d_bias) for d_weight, d_bias in right]
    assert bp.relative_difference(wrong, right) == pytest.approx(1e-3)


def test_digits_are_learnt_equally_by_hand_and_by_torch():
    by_hand = bp.train_digits(bp.gradients_by_hand, 150, SEED)
    by_torch = bp.train_digits(bp.gradients_by_torch, 150, SEED)
    np.testing.assert_allclose(by_hand[0], by_torch[0], rtol=1e-9)
    assert by_hand[1] == by_torch[1] > 80  # chance is 10


@pytest.mark.quick
def test_command(tmp_path, capsys):
    options = ["--quick", "--threads", "1", "--output_dir", str(tmp_path), "--run_name", "t"]
    more = ["--sizes", "2", "3", "2", "--activation", "relu", "--loss", "mse", "--batch_size", "4"]
    assert bp.main(options + more) == 0
    printed = capsys.readouterr().out
    assert "Z1 (4, 3) = H0 (4, 2) @ W1^T (2, 3) + b1 (3,)" in printed
    assert "dW2 (2, 3) = D2^T (2, 4) @ H1 (4, 3)" in printed
    folder = tmp_path / "chapter_02_nn_basics_mlp" / "backprop_numpy-t"
    metrics = json.loads((folder / "backprop_numpy.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["largest_difference_over_depth"] < 1e-10
    assert (folder / "backprop_difference.png").stat().st_size < 200_000


def test_one_size_is_a_clear_error(tmp_path, capsys):
    assert bp.main(["--sizes", "3", "--output_dir", str(tmp_path)]) == 2
    assert "two numbers or more" in capsys.readouterr().err
