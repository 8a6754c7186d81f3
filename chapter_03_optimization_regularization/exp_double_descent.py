"""Double descent: test error against width, through the point where the training set is fitted.

What you learn: the U-shaped curve of bias and variance is only the left half. At P = N features the
training set is fitted exactly, in one way only, with enormous weights; beyond it there are many
ways, the least-squares solution of least norm is a smooth one, and the error falls a second time.

    features     phi(x) = sqrt(2 / P) relu(x W / sqrt(D)),  W (D, P) standard normal, never trained
    solution     A = argmin |phi(X) A - Y|^2; if there are many, the one of least norm (P, C)
    with ridge   A = argmin |phi(X) A - Y|^2 + lam |A|^2,   lam > 0 chosen on validation
    error        E |f(x) - label|^2 = bias^2 + variance + noise

N = 200 digits (8x8, embedded), Y one-hot, 0, 10 or 20 % of the training labels wrong. Nothing is
trained: one singular value decomposition a draw gives all solutions. A draw is a new training set,
new wrong labels and new features; bias and variance are over draws, and a new example's label is
as noisy as those of the training set.

    python chapter_03_optimization_regularization/exp_double_descent.py      about 1 minute, 2 cores

Papers: Belkin, Hsu, Ma & Mandal 2019 (double descent); Rahimi & Recht 2007 (random features);
Nakkiran et al. 2021 (optimal ridge removes the peak); Geman, Bienenstock & Doursat 1992.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_03_optimization_regularization.experiments.label_noise import (
    mean_target,
    noise_level,
    wrong_labels,
)
from chapter_03_optimization_regularization.experiments.tasks import Task, load_task
from utils import cli, plotting
from utils.results import table
from utils.run import Run
from utils.seed import generator

CLASSES = 10
SHARES = (0.0, 0.1, 0.2)  # of wrong labels in the training set
# Features for each training example, from N/10 to 20 N, dense around the threshold at 1.
RATIOS = (0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 1.0, 1.05, 1.2, 1.5, 2, 3, 5, 10, 20)
RIDGES = tuple(10.0**k for k in np.arange(-4, 1.75, 0.5))


def at_least_two(text: str) -> int:
    """Type of --draws: a variance needs two."""
    value = cli.positive_int(text)
    if value < 2:
        raise argparse.ArgumentTypeError("a variance needs 2 draws or more")
    return value


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_double_descent.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --samples 400"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("experiment")
    add = group.add_argument
    add("--samples", type=cli.positive_int, default=200, help="N, training examples")
    add("--draws", type=at_least_two, default=30, help="training sets and features drawn")
    return parser


# --- the model ---


def relu_features(x: Tensor, weights: Tensor) -> Tensor:
    """(N, D) -> (N, P); the factor keeps |phi(x)|^2 near |x|^2 / D whatever P is."""
    dimensions, width = weights.shape
    return (x @ weights / dimensions**0.5).relu() * (2 / width) ** 0.5


class Factors(NamedTuple):
    """Thin singular value decomposition of the features: u (N, r), s (r,), vh (r, P)."""

    u: Tensor
    s: Tensor
    vh: Tensor


def factorise(features: Tensor) -> Factors:
    """Features (N, P) -> their factors, without the singular values that are zero to rounding."""
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    kept = s > s[0] * max(features.shape) * torch.finfo(s.dtype).eps
    return Factors(u[:, kept], s[kept], vh[kept])


def coordinates(factors: Factors, targets: Tensor, ridge: float = 0.0) -> Tensor:
    """The solution in the basis of the right singular vectors, (r, C); A = vh^T times it.

    Least squares divides by s; ridge by s + ridge / s, which tames the small ones. ridge=0 is the
    pseudo-inverse: the solution of least norm, if several fit.
    """
    scale = factors.s / (factors.s.square() + ridge)  # (r,)
    return scale[:, None] * (factors.u.T @ targets)  # (r, C)


def solve(features: Tensor, targets: Tensor, ridge: float = 0.0) -> Tensor:
    """Features (N, P), targets (N, C) -> weights (P, C)."""
    factors = factorise(features)
    return factors.vh.T @ coordinates(factors, targets, ridge)


def decompose(predictions: Tensor, target: Tensor, noise: float) -> dict[str, float]:
    """Mean squared error over draws, and its three parts, averaged over the examples.

    predictions (R, M, C): of R draws; target (M, C): the mean of a new label; noise: the mean
    squared distance of a label from it. error = bias + variance + noise, exactly; bias stands for
    bias^2. The mean of R draws is itself off by variance / R, so that much is taken from the
    bias and given to the variance: both are then right in expectation, and bias may come out < 0.
    """
    draws, mean = len(predictions), predictions.mean(dim=0)  # (M, C)
    spread = float((predictions - mean).square().sum(-1).mean()) * draws / (draws - 1)
    return {
        "error": float((predictions - target).square().sum(-1).mean()) + noise,
        "bias": float((mean - target).square().sum(-1).mean()) - spread / draws,
        "variance": spread,
        "noise": noise,
    }


def largest_share(predictions: Tensor) -> float:
    """Share of the variance (%) that the most extreme of the draws (R, M, C) accounts for."""
    spread = (predictions - predictions.mean(dim=0)).square().sum(dim=(1, 2))  # (R,)
    return float(100 * spread.max() / spread.sum())


# --- the measurement ---


class Outcome(NamedTuple):
    """Of one width. S shares of wrong labels, L ridges (the first is 0), R draws."""

    test: Tensor  # (S, L, R, M, C) predictions
    val_error: Tensor  # (S, L, R) squared error against the mean of a new label
    train_error: Tensor  # (S, L, R) wrong on their own labels, in per cent
    norm: Tensor  # (S, L, R)


def measure(task: Task, width: int, args: argparse.Namespace) -> Outcome:
    """All draws at one width. A draw uses the same examples and labels at every width."""
    draws = [one_draw(task, width, args.samples, args.seed + r) for r in range(args.draws)]
    return Outcome(*(torch.stack(parts, dim=2) for parts in zip(*draws, strict=True)))


def one_draw(task: Task, width: int, samples: int, seed: int) -> Outcome:
    """The same without the axis R. One decomposition serves all shares and ridges."""
    random = generator(seed)
    rows = torch.randperm(len(task.train[1]), generator=random)[:samples]
    labels = [wrong_labels(task.train[1][rows], q, CLASSES, generator(seed))[0] for q in SHARES]
    sets = [x.flatten(1).double() for x in (task.train[0][rows], task.val[0], task.test[0])]
    weights = torch.randn(sets[0].shape[1], width, generator=random, dtype=torch.float64)
    train, val, test = (relu_features(x, weights) for x in sets)  # (N, P), (V, P), (M, P)
    factors = factorise(train)
    bases = [features @ factors.vh.T for features in (train, val, test)]  # (*, r)
    targets = [F.one_hot(y, CLASSES).double() for y in labels]  # (N, C)
    weights = torch.stack(
        [torch.stack([coordinates(factors, t, ridge) for ridge in (0.0, *RIDGES)]) for t in targets]
    )  # (S, L, r, C); a norm is the same in this basis
    on_train, on_val, on_test = (basis @ weights for basis in bases)  # (S, L, *, C)
    wanted = torch.stack([mean_target(task.val[1], q, CLASSES) for q in SHARES])  # (S, V, C)
    val_error = (on_val - wanted[:, None]).square().sum(-1).mean(-1)  # (S, L)
    missed = on_train.argmax(-1) != torch.stack(labels)[:, None]  # (S, L, N)
    return Outcome(on_test, val_error, 100 * missed.double().mean(-1), weights.norm(dim=(2, 3)))


def summarise(outcome: Outcome, task: Task) -> dict[str, dict[str, Any]]:
    """For each share of wrong labels: without ridge, and with the best one on validation."""
    result: dict[str, dict[str, Any]] = {}
    for s, share in enumerate(SHARES):
        best = 1 + int(outcome.val_error[s, 1:].mean(-1).argmin())
        target = mean_target(task.test[1], share, CLASSES)
        for name, column in (("none", 0), ("ridge", best)):
            predictions = outcome.test[s, column]  # (R, M, C)
            missed = (predictions.argmax(-1) != task.test[1]).double().mean(-1)  # (R,)
            result.setdefault(f"wrong_{round(100 * share)}", {})[name] = {
                "test_error": (100 * missed).tolist(),
                "train_error": float(outcome.train_error[s, column].mean()),
                "norm": outcome.norm[s, column].tolist(),
                "ridge": (0.0, *RIDGES)[column],
                "largest_draw": largest_share(predictions),
                **decompose(predictions, target, noise_level(share, CLASSES)),
            }
    return result


# --- figures and tables ---


def series(metrics: dict[str, Any], share: str, ridge: str, key: str) -> np.ndarray:
    """(widths,) or (widths, draws) of one quantity."""
    return np.array([row[share][ridge][key] for row in metrics["rows"]])


def name_of(share: str) -> str:
    return f"{share.removeprefix('wrong_')} % wrong labels"


def threshold(ax: Any) -> None:
    ax.axvline(1, color="#888888", lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="features per training example, P / N")
    ax.set_xticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"], minor=False)


def error_figure(metrics: dict[str, Any]) -> Any:
    """Test error and size of the solution over the width, with and without ridge."""
    fig, (left, right) = plotting.subplots(1, 2, width=9.6, height=4.0)
    for i, share in enumerate(metrics["shares"]):
        ratios, color = metrics["ratios"], plotting.COLORS[i]
        shown = {"marker": plotting.MARKERS[i], "ms": 3.5}
        for ax, key in ((left, "test_error"), (right, "norm")):
            values = series(metrics, share, "none", key).T
            plotting.band(ax, ratios, values, name_of(share), color, linestyle="-")
            ax.lines[-1].set(marker=shown["marker"], markersize=shown["ms"])
            ridge = series(metrics, share, "ridge", key).mean(axis=1)
            ax.plot(ratios, ridge, "--", color=color, **shown)
    left.plot([], [], "--", color="black", label="the same with the best ridge")
    left.set(ylabel="test error (%)", ylim=(0, 95))
    left.axhline(100 - 100 / CLASSES, color="black", lw=0.8)
    left.annotate("chance", (metrics["ratios"][0], 90.6), fontsize=8)
    right.set(yscale="log", ylabel="norm of the solution |A|")
    for ax in (left, right):
        threshold(ax)
    right.annotate("P = N", (1.06, right.get_ylim()[1] * 0.5), fontsize=8)
    left.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.93))
    return fig


def parts_figure(metrics: dict[str, Any]) -> Any:
    """Bias^2, variance, noise and their sum, without and with the largest share of wrong labels."""
    fig, axes = plotting.subplots(1, 2, width=9.6, height=4.0, sharey=True)
    parts = (("bias", "bias²"), ("variance", "variance"), ("noise", "noise"))
    for ax, share in zip(axes, (metrics["shares"][0], metrics["shares"][-1]), strict=True):
        for i, (key, label) in enumerate(parts):
            values = series(metrics, share, "none", key)
            if values.any():  # without wrong labels there is no noise to draw on a log axis
                positive = np.where(values > 0, values, np.nan)
                look = {**plotting.look(i), "marker": plotting.MARKERS[i], "ms": 3.5}
                ax.plot(metrics["ratios"], positive, label=label, **look)
        total = {n: series(metrics, share, n, "error") for n in ("none", "ridge")}
        ax.plot(metrics["ratios"], total["none"], color="black", lw=1, label="error: their sum")
        ax.plot(metrics["ratios"], total["ridge"], ":", color="black", label="error, best ridge")
        ax.set(yscale="log", title=name_of(share))
        threshold(ax)
    axes[0].set_ylabel("squared error of a test example")
    axes[1].legend(fontsize=8)
    return fig


def error_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """The two minima, the peak between them, and ridge, in per cent."""
    columns = [("Wrong labels", "错误标签", "s")]
    columns += [
        ("Best with P < N (%)", "P < N 时最低（%）", ".1f"),
        ("at P / N", "对应 P / N", "g"),
        ("At P = N (%)", "P = N 时（%）", ".1f"),
        ("At P = 20 N (%)", "P = 20 N 时（%）", ".1f"),
        ("At P = N, best ridge (%)", "P = N，最优岭（%）", ".1f"),
        ("At P = 20 N, best ridge (%)", "P = 20 N，最优岭（%）", ".1f"),
    ]
    rows = []
    for share in metrics["shares"]:
        row = metrics["summary"][share]
        keys = ("peak", "widest", "peak_ridge", "widest_ridge")
        cells = [(row[f"{k}_mean"], row[f"{k}_std"]) for k in keys]
        first = [(row["narrow_mean"], row["narrow_std"]), row["narrow_ratio"]]
        rows.append([f"{share.removeprefix('wrong_')} %", *first, *cells])
    return table(columns, rows)


def parts_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """Bias and variance at a few widths, for the largest share of wrong labels."""
    columns = [("P / N", "P / N", "g"), ("Bias²", "偏差²", ".3f"), ("Variance", "方差", ".3f")]
    columns += [("Noise", "噪声", ".3f"), ("Error", "误差", ".3f")]
    columns += [("Norm of A", "A 的范数", ".1f"), ("Error, best ridge", "误差，最优岭", ".3f")]
    rows = []
    for ratio, row in zip(metrics["ratios"], metrics["rows"], strict=True):
        if ratio in (0.1, 0.5, 0.95, 1.0, 1.2, 2, 5, 20):
            plain, ridge = (row[metrics["shares"][-1]][k] for k in ("none", "ridge"))
            cells = [plain[k] for k in ("bias", "variance", "noise", "error")]
            rows.append([ratio, *cells, np.mean(plain["norm"]), ridge["error"]])
    return table(columns, rows)


def summary(metrics: dict[str, Any]) -> dict[str, Any]:
    """Test error in per cent at the places the text speaks about; by share of wrong labels."""
    ratios, result = np.array(metrics["ratios"]), {}
    for share in metrics["shares"]:
        plain, ridge = (series(metrics, share, k, "test_error") for k in ("none", "ridge"))
        narrow = int(plain[ratios < 1].mean(axis=1).argmin())
        peak = int(np.flatnonzero(ratios == 1)[0])
        places = {
            "narrow": plain[narrow], "peak": plain[peak], "widest": plain[-1],
            "peak_ridge": ridge[peak], "widest_ridge": ridge[-1],
        }  # fmt: skip
        row: dict[str, float] = {"narrow_ratio": float(ratios[narrow])}
        for name, values in places.items():
            row |= {f"{name}_mean": float(values.mean()), f"{name}_std": float(values.std())}
        row["ridge_largest_rise"] = float(np.diff(ridge.mean(axis=1)).max())
        heavy = metrics["rows"][int(np.flatnonzero(ratios == 0.85)[0])][share]["none"]
        row |= {"spike_variance": heavy["variance"], "spike_largest_draw": heavy["largest_draw"]}
        row["peak_largest_draw"] = metrics["rows"][peak][share]["none"]["largest_draw"]
        norms = series(metrics, share, "none", "norm").mean(axis=1)
        row |= {"peak_norm": float(norms[peak]), "widest_norm": float(norms[-1])}
        for part in ("bias", "variance"):
            values = series(metrics, share, "none", part)
            row |= {f"peak_{part}": float(values[peak]), f"widest_{part}": float(values[-1])}
        result[share] = row
    return result


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.samples, args.draws = 100, 4
    task = load_task("digits")
    widths = [max(1, round(ratio * args.samples)) for ratio in RATIOS]
    rows = [summarise(measure(task, w, args), task) for w in cli.progress(widths, "widths")]
    metrics: dict[str, Any] = {"ratios": list(RATIOS), "widths": widths, "rows": rows}
    metrics["shares"] = list(rows[0])
    metrics["summary"] = summary(metrics)
    tables = {"main": error_table(metrics), "parts": parts_table(metrics)}
    seeds = [args.seed + r for r in range(args.draws)]
    run.save_result("double_descent", metrics, tables, seeds)
    run.save_figure(error_figure(metrics), "double_descent")
    run.save_figure(parts_figure(metrics), "double_descent_parts")
    last = metrics["summary"][metrics["shares"][-1]]
    shown = {f"20 % wrong labels, {k} (%)": last[f"{k}_mean"] for k in ("narrow", "peak", "widest")}
    path = "python chapter_03_optimization_regularization/exp_regularization.py"
    run.finish(shown, next_command=path)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
