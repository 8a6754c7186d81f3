"""Linear models from scratch: the layer without a network, against scikit-learn.

What you learn: linear, logistic and softmax regression are one Linear layer with three losses.
The losses are convex, so every correct method finds the same coefficients. Features X (N, D):

    linear     min 1/(2N) |Xw + b - y|^2 + a/(2N) |w|^2       a = 0: least squares; a > 0: ridge
               closed form  (X^T X + a I) w = X^T y           (X and y centred; b = mean(y - Xw))
    logistic   min 1/N sum log(1 + exp(-s (Xw + b))) + 1/(2CN) |w|^2      s = +1 or -1
    softmax    min 1/N sum -log softmax(XW^T + b)_y + 1/(2CN) |W|^2

scikit-learn's objectives are these times N (ridge) or times CN (logistic): the same minimum. The
intercept b is never penalised. Gradient descent steps by 1/L, where L bounds the curvature; it
needs about L/m steps per digit (m: smallest curvature), hence: standardise the features first.
Newton's method asks for the curvature itself and needs a handful of steps.

Papers: Legendre 1805; Hoerl & Kennard 1970 (ridge); Cox 1958 (logistic regression).
Command: `python chapter_02_nn_basics_mlp/linear_models.py` (about 40 seconds); the coefficients
equal scikit-learn's within 1e-3 on diabetes, breast cancer and wine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from chapter_02_nn_basics_mlp.linear_models_figures import plot_coefficients, plot_convergence
from chapter_02_nn_basics_mlp.tabular import deviation, is_constant
from utils import cli
from utils.datasets.tables import TableData, load_table
from utils.results import mean_std, table
from utils.run import Run

Array = np.ndarray


@dataclass(frozen=True)
class Fit:
    """weight (D,) or (K, D), bias () or (K,), and the objective after each step."""

    weight: Array
    bias: Array
    history: list[float]

    def scores(self, x: Array) -> Array:
        """(N, D) -> predictions (N,), or logits (N,) or (N, K)."""
        return x @ self.weight.T + self.bias


def standardise(train: Array, *others: Array) -> list[Array]:
    """Mean 0 and deviation 1, both measured on `train` alone. (N, D) -> (N, D)."""
    mean, std = train.mean(axis=0), deviation(train)  # a constant column only loses its mean
    return [(x - mean) / std for x in (train, *others)]


def least_squares(x: Array, y: Array, alpha: float = 0.0) -> Fit:
    """Linear (alpha = 0) or ridge regression in closed form: one linear system of D equations."""
    x_mean, y_mean = x.mean(axis=0), y.mean()
    # Centring both takes the intercept out of the system, unpenalised; a constant column is 0.
    centred = np.where(is_constant(x), 0.0, x - x_mean)
    gram = centred.T @ centred + alpha * np.eye(x.shape[1])  # (D, D)
    moment = centred.T @ (y - y_mean)  # (D,)
    # Without a ridge, columns that depend on each other make the system singular: lstsq then
    # gives the shortest of all solutions. An explicit inverse would lose twice the digits.
    weight = (
        np.linalg.solve(gram, moment) if alpha > 0 else np.linalg.lstsq(gram, moment, rcond=None)[0]
    )
    return Fit(weight, y_mean - x_mean @ weight, [])


# An objective gives its value and its gradients, (value, dweight, dbias), at a point.
Objective = Callable[[Array, Array], tuple[float, Array, Array]]


def descend(
    objective: Objective, weight: Array, bias: Array, rate: float, steps: int, tolerance: float
) -> Fit:
    """Gradient descent until the largest gradient is below `tolerance`, at most `steps` steps."""
    history = []
    for _ in range(steps):
        value, d_weight, d_bias = objective(weight, bias)
        history.append(float(value))
        if max(np.abs(d_weight).max(), np.abs(d_bias).max()) < tolerance:
            break
        weight, bias = weight - rate * d_weight, bias - rate * d_bias
    return Fit(weight, bias, history)


def linear_gradient_descent(
    x: Array, y: Array, alpha: float = 0.0, steps: int = 20_000, tolerance: float = 1e-8
) -> Fit:
    """Linear or ridge regression by gradient descent: the minimum of `least_squares`."""
    n, d = x.shape

    def objective(weight: Array, bias: Array) -> tuple[float, Array, Array]:
        error = x @ weight + bias - y  # (N,)
        value = (error @ error + alpha * weight @ weight) / (2 * n)
        return value, (x.T @ error + alpha * weight) / n, error.mean()

    rate = 1 / (_largest_curvature(x) + alpha / n)
    return descend(objective, np.zeros(d), np.zeros(()), rate, steps, tolerance)


def logistic_gradient_descent(
    x: Array, y: Array, c: float = 1.0, steps: int = 50_000, tolerance: float = 1e-7
) -> Fit:
    """Binary logistic regression, y (N,) of 0 and 1: the error is now p - y."""
    n, d = x.shape

    def objective(weight: Array, bias: Array) -> tuple[float, Array, Array]:
        logits = x @ weight + bias  # (N,)
        # -log p(y) = log(1 + exp(z)) - y z; logaddexp does not overflow
        value = (np.logaddexp(0, logits) - y * logits).mean() + weight @ weight / (2 * c * n)
        error = _sigmoid(logits) - y  # (N,)
        return value, x.T @ error / n + weight / (c * n), error.mean()

    rate = 1 / (_largest_curvature(x) / 4 + 1 / (c * n))  # p (1 - p) is at most 1/4
    return descend(objective, np.zeros(d), np.zeros(()), rate, steps, tolerance)


def softmax_gradient_descent(
    x: Array, labels: Array, c: float = 1.0, steps: int = 50_000, tolerance: float = 1e-7
) -> Fit:
    """Softmax regression, labels (N,) of 0 .. K - 1: the error is softmax(z) - one-hot.

    Adding one number to all K intercepts changes no probability. From zero the gradients of the
    intercepts sum to zero, so we end at the solution whose intercepts do, as scikit-learn does.
    """
    n, d = x.shape
    one_hot = np.eye(labels.max() + 1)[labels]  # (N, K)

    def objective(weight: Array, bias: Array) -> tuple[float, Array, Array]:
        logits = x @ weight.T + bias  # (N, K)
        log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        value = -(one_hot * log_probs).sum() / n + (weight**2).sum() / (2 * c * n)
        error = (np.exp(log_probs) - one_hot) / n  # (N, K)
        return value, error.T @ x + weight / (c * n), error.sum(axis=0)  # (), (K, D), (K,)

    rate = 1 / (_largest_curvature(x) / 2 + 1 / (c * n))  # diag(p) - p p^T is at most 1/2
    classes = one_hot.shape[1]
    return descend(objective, np.zeros((classes, d)), np.zeros(classes), rate, steps, tolerance)


def logistic_newton(
    x: Array, y: Array, c: float = 1.0, steps: int = 50, tolerance: float = 1e-10
) -> Fit:
    """Binary logistic regression by Newton's method.

    A step solves H step = gradient with H = X^T diag(p (1 - p)) X / N + penalty, the true
    curvature. It needs no step size, and near the minimum each step doubles the right digits.
    """
    n, d = x.shape
    padded = np.hstack([x, np.ones((n, 1))])  # (N, D + 1): the last coefficient is the intercept
    penalty = np.append(np.full(d, 1 / (c * n)), 0)  # (D + 1,)

    def value(theta: Array) -> float:
        logits = padded @ theta  # (N,)
        loss = (np.logaddexp(0, logits) - y * logits).mean()
        return float(loss + penalty @ theta**2 / 2)

    theta = np.zeros(d + 1)
    history = [value(theta)]
    for _ in range(steps):
        p = _sigmoid(padded @ theta)
        gradient = padded.T @ (p - y) / n + penalty * theta  # (D + 1,)
        if np.abs(gradient).max() < tolerance:
            break
        hessian = (padded.T * (p * (1 - p))) @ padded / n + np.diag(penalty)  # (D + 1, D + 1)
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[
            0
        ]  # also where p (1 - p) is 0 everywhere
        # Far from the minimum the curvature changes within a step: halve a step that goes up.
        while value(theta - step) > history[-1] and np.abs(step).max() > tolerance:
            step = step / 2
        theta = theta - step
        history.append(value(theta))
    return Fit(theta[:-1], theta[-1], history)


def _sigmoid(z: Array) -> Array:
    return np.exp(-np.logaddexp(0, -z))  # 1 / (1 + exp(-z)) without overflow


def _largest_curvature(x: Array) -> float:
    """Largest eigenvalue of [X 1]^T [X 1] / N: how steeply the squared error can bend."""
    padded = np.hstack([x, np.ones((len(x), 1))])
    return float(np.linalg.eigvalsh(padded.T @ padded / len(x))[-1])


class Case(NamedTuple):
    """One comparison: ours(x, y) gives a Fit, sklearn() an estimator with the same objective."""

    data: str
    title: dict[str, str]
    ours: Callable[[Array, Array], Fit]
    sklearn: Callable[[], Any]


def cases(alpha: float, c: float) -> list[Case]:
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

    logistic = partial(LogisticRegression, C=c, tol=1e-8, max_iter=10_000)
    ridge = partial(Ridge, alpha=alpha)
    diabetes, cancer = "diabetes", "breast_cancer"
    titles = {
        "linear": {"en": "linear, closed form", "zh": "线性回归，闭式解"},
        "linear_gd": {"en": "linear, gradient descent", "zh": "线性回归，梯度下降"},
        "ridge": {"en": "ridge, closed form", "zh": "岭回归，闭式解"},
        "logistic_gd": {"en": "logistic, gradient descent", "zh": "逻辑回归，梯度下降"},
        "logistic": {"en": "logistic, Newton", "zh": "逻辑回归，牛顿法"},
        "softmax_gd": {"en": "softmax, gradient descent", "zh": "softmax 回归，梯度下降"},
    }
    return [
        Case(diabetes, titles["linear"], least_squares, LinearRegression),
        Case(diabetes, titles["linear_gd"], linear_gradient_descent, LinearRegression),
        Case(diabetes, titles["ridge"], partial(least_squares, alpha=alpha), ridge),
        Case(cancer, titles["logistic_gd"], partial(logistic_gradient_descent, c=c), logistic),
        Case(cancer, titles["logistic"], partial(logistic_newton, c=c), logistic),
        Case("wine", titles["softmax_gd"], partial(softmax_gradient_descent, c=c), logistic),
    ]


def split(data: TableData, seed: int) -> tuple[Array, Array, Array, Array]:
    """A random 80 % for training, the rest for testing; features standardised on the first."""
    order = np.random.default_rng(seed).permutation(len(data.target))
    test, train = np.split(order, [len(order) // 5])
    x_train, x_test = standardise(data.features[train], data.features[test])
    return x_train, data.target[train], x_test, data.target[test]


def score_on_test_rows(scores: Array, y: Array) -> float:
    """Root mean squared error for a regression, accuracy in percent for classes."""
    if y.dtype.kind == "f":
        return float(np.sqrt(((scores - y) ** 2).mean()))
    predicted = scores.argmax(axis=1) if scores.ndim == 2 else scores > 0
    return 100 * float((predicted == y).mean())


def trivial_baseline(train: Array, test: Array) -> float:
    """Always the training mean, or the most frequent class."""
    if train.dtype.kind == "f":
        return score_on_test_rows(np.full(len(test), train.mean()), test)
    return 100 * float((test == np.bincount(train).argmax()).mean())


def compare(case: Case, seed: int) -> dict[str, Any]:
    """Fit ours and scikit-learn's on one split; differences, metrics, seconds, coefficients."""
    x_train, y_train, x_test, y_test = split(load_table(case.data), seed)
    started = time.perf_counter()
    fit = case.ours(x_train, y_train)
    middle = time.perf_counter()
    reference = case.sklearn().fit(x_train, y_train)
    ended = time.perf_counter()
    # scikit-learn keeps (1, D) for two classes, we keep (D,)
    theirs = Fit(np.squeeze(reference.coef_), np.squeeze(reference.intercept_), [])
    coefficients = [np.append(f.weight.ravel(), f.bias) for f in (fit, theirs)]
    return {
        "coefficient_difference": float(np.abs(np.subtract(*coefficients)).max()),
        "metric": score_on_test_rows(fit.scores(x_test), y_test),
        "metric_sklearn": score_on_test_rows(theirs.scores(x_test), y_test),
        "baseline": trivial_baseline(y_train, y_test),
        "milliseconds": 1e3 * (middle - started),
        "milliseconds_sklearn": 1e3 * (ended - middle),
        "coefficients": coefficients,
    }


def convergence(seed: int, c: float, steps: int) -> dict[str, Array]:
    """Objective above its minimum after each step, as a part of its value at the start."""
    diabetes, cancer = load_table("diabetes"), load_table("breast_cancer")
    y = diabetes.target
    x_train, y_train, _, _ = split(cancer, seed)
    (x_scaled,) = standardise(diabetes.features)
    best = least_squares(x_scaled, y)  # the same predictions, and minimum, in either unit
    error = best.scores(x_scaled) - y
    minimum = float(error @ error) / (2 * len(y))
    cancer_minimum = logistic_newton(x_train, y_train, c).history[-1]
    curves = {
        "own units": (linear_gradient_descent(diabetes.features, y, steps=steps), minimum),
        "standardised": (linear_gradient_descent(x_scaled, y, steps=steps), minimum),
        "gradient descent": (logistic_gradient_descent(x_train, y_train, c, steps), cancer_minimum),
        "Newton": (logistic_newton(x_train, y_train, c), cancer_minimum),
    }
    return {
        name: np.maximum((np.array(fit.history) - floor) / (fit.history[0] - floor), 1e-16)
        for name, (fit, floor) in curves.items()
    }


def build_parser() -> argparse.ArgumentParser:
    command = "python chapter_02_nn_basics_mlp/linear_models.py"
    parser = cli.make_parser(__doc__, examples=[command, f"{command} --alpha 100 --c 0.1"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("linear models")
    group.add_argument("--alpha", type=cli.positive_float, default=10.0, help="ridge penalty a")
    group.add_argument("--c", type=cli.positive_float, default=1.0, help="logistic: 1 / penalty")
    group.add_argument("--splits", type=cli.positive_int, default=5, help="random 80:20 splits")
    return parser


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the splits: largest coefficient difference, (mean, deviation) of metrics, median time.

    Median, because the first fit of a process also pays for imports.
    """
    values = {key: np.array([run[key] for run in runs]) for key in runs[0] if key != "coefficients"}
    summary = {"coefficient_difference": float(values["coefficient_difference"].max())}
    for key in ("metric", "metric_sklearn", "baseline"):
        summary[key] = mean_std(values[key])
    for key in ("milliseconds", "milliseconds_sklearn"):
        summary[key] = float(np.median(values[key]))
    return summary


def results_table(results: list[tuple[Case, list[dict]]]) -> dict[str, Any]:
    columns = [
        ("Data set", "数据集", "s"),
        ("Model", "模型", "s"),
        ("Largest coefficient difference", "系数最大差异", ".1e"),
        ("Test metric", "测试指标", "s"),
        ("Ours", "本课程", ".2f"),
        ("scikit-learn", "scikit-learn", ".2f"),
        ("Trivial baseline", "平凡基线", ".2f"),
        ("Ours (ms)", "本课程用时（ms）", ".2f"),
        ("scikit-learn (ms)", "scikit-learn 用时（ms）", ".2f"),
    ]
    accuracy = {"en": "accuracy (%), higher is better", "zh": "准确率（%），越高越好"}
    rmse = {"en": "RMSE, lower is better", "zh": "均方根误差，越低越好"}
    rows = []
    for case, runs in results:
        summary = summarise(runs)
        metric = rmse if case.data == "diabetes" else accuracy
        cells = [case.data, case.title, summary.pop("coefficient_difference"), metric]
        rows.append(cells + list(summary.values()))
    return table(columns, rows)


def experiment(args: argparse.Namespace, run: Run) -> None:
    seeds = list(range(2 if args.quick else args.splits))
    results = [
        (case, [compare(case, seed) for seed in seeds]) for case in cases(args.alpha, args.c)
    ]
    metrics = {f"{case.data}: {case.title['en']}": summarise(runs) for case, runs in results}
    for name, values in metrics.items():
        run.log(model=name, **values)
        print(f"{name}: largest coefficient difference {values['coefficient_difference']:.1e}")
    curves = convergence(args.seed, args.c, steps=10_000 if args.quick else 50_000)
    largest = max(values["coefficient_difference"] for values in metrics.values())
    facts = {"largest_coefficient_difference": largest}
    facts |= {f"steps_{name.replace(' ', '_')}": len(curve) for name, curve in curves.items()}
    run.save_result(
        "linear_models", facts | {"models": metrics}, {"main": results_table(results)}, seeds
    )
    run.save_figure(plot_coefficients(results), "linear_models_coefficients")
    run.save_figure(plot_convergence(curves), "linear_models_convergence")
    run.finish(facts, next_command="python chapter_02_nn_basics_mlp/house_prices.py")


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
