"""Linear models against scikit-learn: coefficients, objectives, edge cases, the command."""

import json
import os

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from chapter_02_nn_basics_mlp import linear_models as lm
from chapter_02_nn_basics_mlp.tabular import deviation, is_constant

SEED = int(os.environ.get("FUZZ_SEED", "0"))


def regression_problem(n=60, d=5, seed=SEED):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)
    return x, x @ rng.normal(size=d) + 3 + rng.normal(size=n)


def class_problem(classes, n=90, d=4, seed=SEED):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[labels], labels


def sklearn_logistic(x, y, c):
    return LogisticRegression(C=c, tol=1e-9, max_iter=10_000).fit(x, y)


@pytest.mark.parametrize("case", lm.cases(alpha=10.0, c=1.0), ids=lambda case: case.title["en"])
def test_coefficients_on_the_real_tables(case):
    result = lm.compare(case, SEED)
    assert result["coefficient_difference"] < 1e-3
    assert result["metric"] == pytest.approx(result["metric_sklearn"], rel=1e-6)
    better = result["metric"] < result["baseline"]
    assert better == (case.data == "diabetes"), "RMSE falls below the baseline, accuracy rises"


@pytest.mark.parametrize("alpha", [0.0, 0.1, 10.0, 1e4])
@pytest.mark.parametrize("fit", [lm.least_squares, lm.linear_gradient_descent])
def test_linear_and_ridge(fit, alpha):
    x, y = regression_problem()
    reference = (Ridge(alpha=alpha) if alpha else LinearRegression()).fit(x, y)
    ours = fit(x, y, alpha)
    np.testing.assert_allclose(ours.weight, reference.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.bias, reference.intercept_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.scores(x), reference.predict(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("fit", [lm.logistic_newton, lm.logistic_gradient_descent])
def test_logistic(fit, c):
    x, y = class_problem(2)
    reference = sklearn_logistic(x, y, c)
    ours = fit(x, y, c)
    np.testing.assert_allclose(ours.weight, reference.coef_[0], atol=1e-3)
    np.testing.assert_allclose(ours.bias, reference.intercept_[0], atol=1e-3)


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("c", [0.01, 1.0, 10.0])
def test_softmax(classes, c):
    x, labels = class_problem(classes)
    reference = sklearn_logistic(x, labels, c)
    ours = lm.softmax_gradient_descent(x, labels, c)
    np.testing.assert_allclose(ours.weight, reference.coef_, atol=1e-3)
    np.testing.assert_allclose(ours.bias, reference.intercept_, atol=1e-3)


def test_dependent_columns_give_the_shortest_solution():
    x, y = regression_problem()
    twice = np.hstack([x, x])  # every column has a copy: infinitely many solutions
    single, double = lm.least_squares(x, y), lm.least_squares(twice, y)
    np.testing.assert_allclose(double.weight, np.tile(single.weight / 2, 2), rtol=1e-6)


def test_gradient_descent_never_rises():
    x, y = regression_problem()
    labels = (y > np.median(y)).astype(int)
    for fit in (
        lm.linear_gradient_descent(x, y),
        lm.logistic_gradient_descent(x, labels),
        lm.softmax_gradient_descent(x, labels),
        lm.logistic_newton(x, labels, 1e6),
    ):
        assert np.all(np.diff(fit.history) <= 1e-12 * fit.history[0])


def test_newton_needs_far_fewer_steps_and_survives_separable_classes():
    x, y = class_problem(2)
    newton, descent = lm.logistic_newton(x, y), lm.logistic_gradient_descent(x, y)
    assert len(newton.history) < 15 < len(descent.history)
    assert newton.history[-1] == pytest.approx(descent.history[-1], rel=1e-9)
    separable = np.linspace(-1, 1, 20)[:, None]
    fit = lm.logistic_newton(separable, (separable[:, 0] > 0).astype(int), c=1e8)
    assert np.isfinite(fit.weight).all() and fit.history[-1] < 1e-3


def test_standardise_uses_the_training_rows_only():
    rng = np.random.default_rng(SEED)
    train, test = rng.normal(5, 2, (50, 3)), rng.normal(0, 1, (20, 3))
    train[:, 2] = test[:, 2] = 7  # a constant column
    scaled, scaled_test = lm.standardise(train, test)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0], atol=1e-12)
    mean, std = train[:, :2].mean(axis=0), train[:, :2].std(axis=0)
    np.testing.assert_allclose(scaled_test[:, :2], (test[:, :2] - mean) / std)
    assert (scaled_test[:, 2] == 0).all()


CONSTANTS = [14.3, -0.1, 1e-9, 123456789.1, 0.0]  # no sum of n of them is exact, but of 0.0


@pytest.mark.parametrize("value", CONSTANTS)
@pytest.mark.parametrize("rows", [3, 10, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_columns_are_known_by_their_magnitude(value, rows, dtype):
    rng = np.random.default_rng(SEED)
    x = np.column_stack([np.full(rows, value), rng.normal(size=rows)]).astype(dtype)
    assert is_constant(x).tolist() == [True, False]
    other = x[:1] + np.array([[abs(value) + 1, 0]], dtype)
    scaled, seen = lm.standardise(x, other)
    np.testing.assert_allclose(scaled[:, 0], 0, atol=1e-5 * abs(value))
    np.testing.assert_allclose(seen[0, 0], other[0, 0] - x[0, 0], rtol=1e-4, atol=1e-5)
    reference = StandardScaler().fit(x.astype(np.float64))
    assert reference.scale_[0] == 1
    np.testing.assert_allclose(reference.scale_, deviation(x), rtol=1e-5)


def test_small_spread_around_a_large_value_is_a_spread():
    times = 1.7e9 + np.arange(100.0)[:, None]  # seconds since 1970
    assert not is_constant(times).any()
    (scaled,) = lm.standardise(times)
    np.testing.assert_allclose(scaled.std(axis=0), 1)


def test_least_squares_gives_a_constant_column_no_weight():
    rng = np.random.default_rng(SEED)
    y = rng.normal(size=11)
    constant = np.full((11, 1), 14.3)
    for fit in (lm.least_squares(constant, y), lm.least_squares(constant, y, alpha=1e-30)):
        np.testing.assert_allclose(fit.scores(constant + 1), y.mean())
    x = rng.normal(size=(11, 2))
    both = lm.least_squares(np.hstack([constant, x]), y)
    np.testing.assert_allclose(both.weight, [0, *lm.least_squares(x, y).weight], atol=1e-12)


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "wine"])
def test_splits_are_disjoint_and_complete(name):
    data = lm.load_table(name)
    x_train, y_train, x_test, y_test = lm.split(data, SEED)
    assert len(x_train) == len(y_train) and len(x_test) == len(y_test)
    assert len(x_test) == len(data.target) // 5
    assert len(x_train) + len(x_test) == len(data.target)
    np.testing.assert_array_equal(np.sort(np.append(y_train, y_test)), np.sort(data.target))
    np.testing.assert_allclose(x_train.mean(axis=0), 0, atol=1e-10)


def test_command(quick_run):
    done = quick_run("chapter_02_nn_basics_mlp/linear_models.py")
    assert done.returncode == 0, done.stderr
    folder = done.folder
    result = json.loads((folder / "linear_models.json").read_text(encoding="utf-8"))
    assert result["metrics"]["largest_coefficient_difference"] < 1e-3
    assert len(result["tables"]["main"]["rows"]) == 6
    for name in ("coefficients", "convergence"):
        assert (folder / f"linear_models_{name}.png").stat().st_size < 200_000
    assert "largest coefficient difference" in done.stdout
