"""The parts of exp_regularization.py and exp_double_descent.py, at tiny size."""

import argparse
import math

import numpy as np
import pytest
import torch

from chapter_03_optimization_regularization import exp_double_descent as descent
from chapter_03_optimization_regularization import exp_regularization as script
from chapter_03_optimization_regularization.experiments.label_noise import (
    mean_target,
    noise_level,
    wrong_labels,
)
from chapter_03_optimization_regularization.experiments.regularization import (
    training as overfitting,
)
from chapter_03_optimization_regularization.experiments.regularization.training import (
    Method,
    Options,
    noisy_data,
    train,
)
from chapter_03_optimization_regularization.experiments.tasks import load_task
from utils.seed import generator

TINY = Options(hidden=16, epochs=2)


@pytest.fixture(scope="module")
def task():
    return load_task("digits")


def random_problem(samples=12, width=30, seed=0):
    random = generator(seed)
    features = torch.randn(samples, width, generator=random, dtype=torch.float64)
    return features, torch.randn(samples, 3, generator=random, dtype=torch.float64)


# --- wrong labels ---


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 1.0])
def test_the_share_of_wrong_labels_is_exact(share):
    y = torch.arange(100) % 10
    given, is_wrong = wrong_labels(y, share, 10, generator(1))
    assert is_wrong.sum() == round(100 * share)
    assert torch.equal(given != y, is_wrong)
    assert given.min() >= 0 and given.max() <= 9
    again, _ = wrong_labels(y, share, 10, generator(1))
    assert torch.equal(given, again)


def test_mean_target_and_noise_by_enumeration():
    """A label is right with probability 0.7, else one of the two others: three cases."""
    target = mean_target(torch.tensor([1]), 0.3, 3)[0]
    one_hot = torch.eye(3, dtype=torch.float64)
    chances = torch.tensor([0.15, 0.7, 0.15], dtype=torch.float64)
    torch.testing.assert_close(target, chances @ one_hot)
    distances = (one_hot - target).square().sum(dim=1)
    assert math.isclose(noise_level(0.3, 3), float(chances @ distances))


# --- double descent ---


@pytest.mark.parametrize("width", [5, 12, 30])
def test_the_solution_is_the_pseudo_inverse(width):
    features, targets = random_problem(width=width)
    solution = descent.solve(features, targets)
    torch.testing.assert_close(solution, torch.linalg.pinv(features) @ targets)
    if width >= 12:  # enough features: every training example is met
        torch.testing.assert_close(features @ solution, targets)


def test_no_solution_that_fits_is_shorter():
    features, targets = random_problem()
    solution = descent.solve(features, targets)
    null_space = torch.linalg.svd(features).Vh[12:]  # (18, 30): what the features do not see
    other = solution + 0.1 * null_space.T @ torch.ones(18, 3, dtype=torch.float64)
    torch.testing.assert_close(features @ other, targets)
    assert other.norm() > solution.norm()


def test_ridge_solves_its_normal_equations():
    features, targets = random_problem()
    solution = descent.solve(features, targets, ridge=0.5)
    gram = features.T @ features + 0.5 * torch.eye(30, dtype=torch.float64)
    torch.testing.assert_close(gram @ solution, features.T @ targets)


def test_directions_without_data_are_left_out():
    features, targets = random_problem(width=4)
    doubled = torch.cat([features, features], dim=1)  # (12, 8) of rank 4
    assert len(descent.factorise(doubled).s) == 4
    solution = descent.solve(doubled, targets)
    torch.testing.assert_close(doubled @ solution, features @ descent.solve(features, targets))


def test_features_keep_their_size_at_any_width():
    x = torch.randn(20, 16, generator=generator(1), dtype=torch.float64)
    for width in (8_000, 20_000):
        weights = torch.randn(16, width, generator=generator(2), dtype=torch.float64)
        squares = descent.relu_features(x, weights).square().sum(dim=1)
        torch.testing.assert_close(squares, x.square().sum(dim=1) / 16, rtol=0.1, atol=0)


def test_bias_variance_and_noise_sum_to_the_error():
    predictions = torch.randn(7, 5, 3, generator=generator(1), dtype=torch.float64)
    target = torch.randn(5, 3, generator=generator(2), dtype=torch.float64)
    parts = descent.decompose(predictions, target, noise=0.25)
    assert math.isclose(parts["bias"] + parts["variance"] + parts["noise"], parts["error"])
    direct = sum((p - target).square().sum(dim=1).mean() for p in predictions) / 7
    assert math.isclose(parts["error"], float(direct) + 0.25)


def test_bias_and_variance_are_right_in_expectation():
    """Two draws only, of normal predictions around 1 with variance 4, for a target of 0."""
    random = generator(3)
    found = {"bias": 0.0, "variance": 0.0}
    for _ in range(200):
        predictions = 1 + 2 * torch.randn(2, 50, 1, generator=random, dtype=torch.float64)
        parts = descent.decompose(predictions, torch.zeros(50, 1, dtype=torch.float64), 0.0)
        found = {key: found[key] + parts[key] / 200 for key in found}
    assert abs(found["bias"] - 1) < 0.1 and abs(found["variance"] - 4) < 0.2


def test_a_wide_model_interpolates_even_wrong_labels(task):
    args = argparse.Namespace(samples=40, draws=2, seed=1)
    wide = descent.summarise(descent.measure(task, 120, args), task)
    narrow = descent.summarise(descent.measure(task, 10, args), task)
    assert list(wide) == ["wrong_0", "wrong_10", "wrong_20"]
    for share in wide:
        assert wide[share]["none"]["train_error"] == 0
        assert narrow[share]["none"]["train_error"] > 0
        assert wide[share]["ridge"]["ridge"] > 0 == wide[share]["none"]["ridge"]
        assert max(wide[share]["ridge"]["norm"]) < min(wide[share]["none"]["norm"])


def test_the_share_of_the_largest_draw():
    predictions = torch.zeros(5, 4, 2)
    predictions[2] = 3.0
    found = descent.largest_share(predictions)  # mean 0.6: (2.4^2) of (2.4^2 + 4 * 0.6^2)
    assert math.isclose(found, 80, rel_tol=1e-5)


def test_one_draw_is_not_enough():
    with pytest.raises(argparse.ArgumentTypeError, match="2 draws"):
        descent.at_least_two("1")
    assert descent.at_least_two("3") == 3


# --- regularisation compared ---


def test_noisy_data_keeps_the_held_out_sets_clean(task):
    data = noisy_data(task, samples=100, share=0.2, seed=3)
    assert len(data.x) == 100 and data.is_wrong.sum() == 20
    assert torch.equal(data.given != data.true, data.is_wrong)
    assert torch.equal(data.test[1], task.test[1]) and torch.equal(data.val[1], task.val[1])
    other = noisy_data(task, samples=100, share=0.2, seed=4)
    assert not torch.equal(data.x, other.x)


def test_the_scores_of_a_network_that_knows_everything(task):
    """Its answer is the label as given; so it is wrong on every wrong label."""
    data = noisy_data(task, samples=50, share=0.2, seed=3)

    class Table(torch.nn.Module):
        def forward(self, x):
            labels = data.given if len(x) == 50 else torch.zeros(len(x), dtype=torch.long)
            return 100 * torch.nn.functional.one_hot(labels, 10).float()

    found = overfitting.scores(data, [Table(), Table()])
    assert (found["given"], found["memorised"], found["seen_through"]) == (100, 100, 0)
    assert found["clean_part"] == 100
    zeros = 100 * (data.test[1] == 0).double().mean().item()
    assert math.isclose(found["test"], zeros)


@pytest.mark.parametrize("name", [*script.GRIDS, "together"])
def test_every_method_trains_and_changes_the_result(task, name):
    data = noisy_data(task, samples=60, share=0.2, seed=1)
    plain = train(data, Method(), TINY, seed=1).model
    methods = script.candidates(name)
    assert len(methods) == 3
    changed = train(data, methods[1], TINY, seed=1).model
    different = [
        not torch.equal(p, q)
        for p, q in zip(plain.parameters(), changed.parameters(), strict=True)
    ]  # fmt: skip
    assert any(different)
    again = train(data, methods[1], TINY, seed=1).model
    for p, q in zip(changed.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


def test_both_forms_of_l1_shrink_alike_but_only_one_to_zero(task):
    data = noisy_data(task, samples=60, share=0.2, seed=1)
    options = Options(hidden=16, epochs=60)
    sizes, zeros = {}, {}
    for form in ("l1", "l1_in_loss"):
        model = train(data, Method(**{form: 0.003}), options, seed=1).model
        weights = overfitting.weights_of(model)
        sizes[form], zeros[form] = np.abs(weights).sum(), np.mean(weights == 0)
    assert zeros["l1"] > 0.02 and zeros["l1_in_loss"] == 0
    assert math.isclose(sizes["l1"], sizes["l1_in_loss"], rel_tol=0.15)


def test_curves_have_a_value_an_epoch_and_end_at_the_scores(task):
    data = noisy_data(task, samples=60, share=0.2, seed=1)
    trained = train(data, Method(), TINY, seed=1, watch=True)
    found = overfitting.scores(data, [trained.model])
    for key in overfitting.CURVES:
        assert len(trained.curves[key]) == 2
        assert math.isclose(trained.curves[key][-1], found[key], abs_tol=1e-4)


def test_watching_does_not_change_the_training(task):
    data = noisy_data(task, samples=60, share=0.2, seed=1)
    models = [train(data, Method(dropout=0.5), TINY, 1, watch=w).model for w in (False, True)]
    for p, q in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(p, q)


def test_early_stopping_ends_with_the_best_weights(task):
    data = noisy_data(task, samples=60, share=0.4, seed=1)
    options = Options(hidden=64, epochs=40)
    trained = train(data, Method(patience=3), options, seed=1, watch=True)
    assert trained.stopped_after + 3 == len(trained.curves["val"]) < 40
    found = overfitting.scores(data, [trained.model])
    best = trained.curves["given"][trained.stopped_after - 1]
    assert math.isclose(found["given"], best, abs_tol=1e-4)


def test_the_references_have_no_wrong_labels(task):
    args = argparse.Namespace(samples=60)
    data = noisy_data(task, samples=60, share=0.2, seed=1)
    found = script.references(task, data, Options(epochs=40), args, seed=1)
    for reference, _ in found.values():
        assert torch.equal(reference.given, reference.true) and not reference.is_wrong.any()
    assert found["all_data"][1].epochs == 2 and len(found["all_data"][0].x) == 1197


def test_the_gain_is_measured_in_pairs():
    def row(test, given):
        keys = ("clean_part", "memorised", "seen_through", "val")
        return dict.fromkeys(keys, 0.0) | {"test": test, "given": given}

    results = {"none": [row(70.0, 100.0), row(80.0, 100.0)], "l2": [row(75.0, 90.0), row(85.0, 90)]}
    found = script.collect(results)
    assert (found["l2"]["gain_mean"], found["l2"]["gain_std"]) == (5.0, 0.0)
    assert found["none"]["gap_mean"] == 25.0 and found["none"]["test_std"] == 5.0
