"""Predicting a number from a table, the practical way: house prices, or any CSV file.

What you learn: most of the work is around the model. What is measured on rows (means, categories,
penalties, the number of epochs) is measured on *training* rows only, and each row is predicted once
by models that never saw it (k-fold cross-validation):

    columns      made into numbers by tabular.py: gaps filled, standardised, one-hot
    target       log(y) if y > 0 has a long right tail: then errors are relative, as with prices
    models       the training median, least squares, ridge, and an MLP. An inner validation part
                 of the training rows chooses ridge's penalty and the MLP's epochs; then both are
                 fitted again on all training rows.

RMSE = sqrt(mean (p - y)^2) in the target's unit; RMSLE = the same of log p - log y (Kaggle's score
for the Ames houses); R^2 = 1 - RMSE^2 / variance. On 442 patients the MLP only ties with least
squares: linear models are hard to beat on small tables. On 1,460 houses it is ahead.

Data: diabetes (embedded; Efron et al. 2004), Ames houses (De Cock 2011), or --csv FILE.
Command: `python chapter_02_nn_basics_mlp/house_prices.py` (about a minute; --dataset ames:
two minutes).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from chapter_02_nn_basics_mlp.linear_models import least_squares
from chapter_02_nn_basics_mlp.losses import MSELoss
from chapter_02_nn_basics_mlp.model import MLP
from chapter_02_nn_basics_mlp.tabular import (
    TablePreparer,
    deviation,
    drop_columns,
    is_constant,
    use_log,
)
from utils import cli, plotting
from utils.cli import UserError
from utils.datasets import data_root
from utils.datasets.tables import RawTable, load_table, read_csv
from utils.modes import evaluating
from utils.results import over_seeds, table
from utils.run import Run
from utils.seed import seed_everything

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray
Predict = Callable[[Array], Array]  # (N, D) -> (N,)

RIDGE_ALPHAS = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
MODELS = {
    "median": {"en": "training median (baseline)", "zh": "训练集中位数（基线）"},
    "linear": {"en": "least squares", "zh": "最小二乘"},
    "ridge": {"en": "ridge", "zh": "岭回归"},
    "mlp": {"en": "MLP", "zh": "多层感知机"},
}


def load_raw(args: argparse.Namespace, data_dir: str | None) -> RawTable:
    """The table that the options name, without the dropped columns."""
    if args.csv and not args.target:
        raise UserError("--csv needs --target COLUMN, the column to predict.")
    if args.target and not args.csv:
        raise UserError("--target goes with --csv FILE; the built-in data sets have their own.")
    if args.csv:
        raw = read_csv(args.csv, args.target)
    elif args.dataset == "ames":
        raw = drop_columns(read_csv(find_ames(data_dir), "SalePrice"), ["Id"])
        raw = dataclasses.replace(raw, name="ames", target_name="SalePrice (USD)")
    else:
        data = load_table("diabetes")
        nothing = np.empty((len(data.target), 0), dtype=object)
        names = (data.feature_names, nothing, (), data.target, "disease progression (score)")
        raw = RawTable("diabetes", data.features, *names)
    raw = drop_columns(raw, args.drop)
    if raw.numeric.shape[1] + raw.categorical.shape[1] == 0:
        raise UserError(f"{raw.name} has no column besides the target {raw.target_name!r}.")
    if is_constant(raw.target):
        raise UserError(f"the target {raw.target_name!r} is the same in all rows.")
    return raw


def find_ames(data_dir: str | None) -> Path:
    """The path of Kaggle's file, packed or not."""
    folder = data_root(data_dir) / "house_prices"
    for path in (folder / "train.csv.gz", folder / "train.csv"):
        if path.is_file():
            return path
    raise UserError(
        f"the Ames houses are not here: looked for train.csv[.gz] in {folder}; take the training "
        "file of Kaggle's 'House Prices' competition, or use the embedded set with "
        "`--dataset diabetes`."
    )


def inner_split(rows: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """80 % of the training rows to fit, 20 % to choose by."""
    order = rng.permutation(rows)
    return order[rows // 5 :], order[: rows // 5]


def fit_ridge(x: Array, y: Array, rng: np.random.Generator) -> Predict:
    fit_rows, choose_rows = inner_split(len(x), rng)

    def error(alpha: float) -> float:
        fit = least_squares(x[fit_rows], y[fit_rows], alpha)
        return float(((fit.scores(x[choose_rows]) - y[choose_rows]) ** 2).mean())

    return least_squares(x, y, min(RIDGE_ALPHAS, key=error)).scores


def train_mlp(
    x: Array, y: Array, args: argparse.Namespace, run: Run, epochs: int, check: tuple | None = None
) -> tuple[MLP, list[float]]:
    """The training loop; with `check` = (x, y), their squared error after each epoch."""
    inputs, targets = _tensor(x, run), _tensor(y, run)  # (N, D), (N,)
    model = MLP(x.shape[1], args.hidden_dim, 1, args.depth, "relu", args.dropout).to(run.device)
    loss_function = MSELoss()
    # AdamW is SGD with a step size of its own for each weight; chapter 3 builds it.
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=args.weight_decay)
    errors = []
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(inputs)).split(args.batch_size):
            batch = batch.to(run.device)
            with run.autocast():
                predicted = model(inputs[batch]).squeeze(1)  # (B, 1) -> (B,)
                loss = loss_function(predicted, targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if check is not None:
            errors.append(float(((predict_mlp(model, run)(check[0]) - check[1]) ** 2).mean()))
    return model, errors


def _tensor(array: Array, run: Run) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float32, device=run.device)


def predict_mlp(model: MLP, run: Run) -> Predict:
    @torch.no_grad()
    def predict(x: Array) -> Array:
        with evaluating(model):
            return model(_tensor(x, run)).squeeze(1).double().cpu().numpy()  # (N, D) -> (N,)

    return predict


def fit_mlp(
    x: Array, y: Array, args: argparse.Namespace, run: Run, rng: np.random.Generator
) -> Predict:
    """Choose the number of epochs on the inner validation rows, then train on all rows."""
    seed_everything(int(rng.integers(2**31)))  # weights, batches and dropout
    fit_rows, choose_rows = inner_split(len(x), rng)
    check = (x[choose_rows], y[choose_rows])
    _, errors = train_mlp(x[fit_rows], y[fit_rows], args, run, args.epochs, check)
    errors = np.where(np.isfinite(errors), errors, np.inf)  # what is no number is never the best
    if np.isinf(errors).all():
        raise UserError("the network's error was no number in any epoch; lower --lr.")
    best = int(np.argmin(errors)) + 1
    model, _ = train_mlp(x, y, args, run, best)
    return predict_mlp(model, run)


def fit_and_predict(
    name: str, x: Array, y: Array, x_test: Array, args: argparse.Namespace, run: Run, seed: Any
) -> Array:
    """Predictions (n,) for the test rows; the models see a target of mean 0 and deviation 1."""
    rng = np.random.default_rng(seed)
    if name == "median":
        return np.full(len(x_test), np.median(y))
    mean, std = y.mean(), deviation(y)
    scaled = (y - mean) / std
    if name == "linear":
        predict = least_squares(x, scaled).scores
    elif name == "ridge":
        predict = fit_ridge(x, scaled, rng)
    else:
        predict = fit_mlp(x, scaled, args, run, rng)
    return predict(x_test) * std + mean


def scores(predicted: Array, y: Array, log: bool) -> dict[str, float]:
    """RMSE and R^2 (nan: undefined) in the target's unit; RMSLE where the logarithm is used."""
    rmse = float(np.sqrt(((predicted - y) ** 2).mean()))
    result = {"rmse": rmse, "r2": math.nan if is_constant(y) else 1 - rmse**2 / float(y.var())}
    if log:
        result["rmsle"] = float(np.sqrt(((np.log(predicted) - np.log(y)) ** 2).mean()))
    return result


def cross_validate(
    raw: RawTable, args: argparse.Namespace, run: Run, seeds: Sequence[int], log: bool
) -> tuple[dict[str, list[dict[str, float]]], dict[str, Array]]:
    """Scores of each model for each seed and fold; the predictions (N,) of the first seed."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in MODELS}
    predictions = {name: np.empty(len(raw)) for name in MODELS}
    transform, inverse = (np.log, np.exp) if log else (np.asarray, np.asarray)
    rounds = [(seed, fold) for seed in seeds for fold in range(args.folds)]
    for seed, fold in cli.progress(rounds, "folds"):
        order = np.random.default_rng(seed).permutation(len(raw))
        parts = np.array_split(order, args.folds)
        test, train = parts[fold], np.concatenate(parts[:fold] + parts[fold + 1 :])
        preparer = TablePreparer().fit(raw, train)
        x, x_test = preparer.transform(raw, train), preparer.transform(raw, test)
        y = transform(raw.target[train])
        for name in MODELS:
            started = time.perf_counter()
            predicted = inverse(fit_and_predict(name, x, y, x_test, args, run, (seed, fold)))
            result = scores(predicted, raw.target[test], log)
            result["seconds"] = time.perf_counter() - started
            results[name].append(result)
            run.log(seed=seed, fold=fold, model=name, columns=x.shape[1], **result)
            if seed == seeds[0]:
                predictions[name][test] = predicted
    return results, predictions


def summarise(results: dict[str, list[dict[str, float]]], score: str) -> dict[str, dict]:
    """(mean, deviation) over seeds and folds, and how many folds each model wins against ridge."""
    summary = {}
    for name, runs in results.items():
        summary[name] = over_seeds(runs)
        pairs = zip(runs, results["ridge"], strict=True)
        summary[name]["folds_better_than_ridge"] = sum(a[score] < b[score] for a, b in pairs)
        summary[name]["folds"] = len(runs)
    return summary


def results_table(summary: dict[str, dict], score: str) -> dict[str, Any]:
    """One row a model; the columns of the score come first."""
    columns = [("Model", "模型", "s")]
    formats = {"rmsle": ("RMSLE", ".4f"), "rmse": ("RMSE", ".4g"), "r2": ("R²", ".3f")}
    keys = [key for key in formats if key in summary["ridge"]]
    columns += [(formats[key][0], formats[key][0], formats[key][1]) for key in keys]
    columns += [("Folds better than ridge", "优于岭回归的折数", "s")]
    columns += [("Seconds a fold", "每折用时（s）", ".2f")]
    rows = []
    for name, values in summary.items():
        wins = f"{values['folds_better_than_ridge']} / {values['folds']}"
        wins = "-" if name == "ridge" else wins
        rows.append([MODELS[name], *(values[k] for k in keys), wins, values["seconds"][0]])
    return table(columns, rows)


def plot_predictions(raw: RawTable, predictions: dict[str, Array], log: bool) -> Figure:
    """Predicted against true for every row, each predicted by models that never saw it."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    names = [name for name in MODELS if name != "median"]
    fig, axes = plotting.subplots(1, 3, width=10.5, height=3.8, sharex=True, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        ax.plot(raw.target, predictions[name], ".", markersize=3, alpha=0.5)
        limits = [raw.target.min(), raw.target.max()]
        ax.plot(limits, limits, color="black", linewidth=0.8)
        title = plotting.literal(f"{raw.name}: {MODELS[name]['en']}")
        ax.set(title=title, xlabel=plotting.literal(f"true {raw.target_name}"))
        if log:
            ax.set(xscale="log", yscale="log")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axis.set_minor_locator(NullLocator())
    axes[0].set_ylabel(plotting.literal(f"predicted {raw.target_name}"))
    return fig


def plot_folds(raw: RawTable, results: dict[str, list[dict]], score: str, folds: int) -> Figure:
    """The score of each model on each fold; a line joins the models on one fold."""
    fig, ax = plotting.subplots()
    values = np.array([[run[score] for run in runs] for runs in results.values()])  # (M, folds)
    ax.plot(values, color="0.8", linewidth=0.8, zorder=1)
    for place, row in enumerate(values):
        ax.plot(np.full(len(row), place), row, "o", markersize=4, alpha=0.7)
        ax.plot([place - 0.2, place + 0.2], [row.mean()] * 2, color="black", zorder=3)
    ax.set_xticks(range(len(results)), [MODELS[name]["en"] for name in results])
    unit = "" if score == "rmsle" else f", {raw.target_name}"
    ax.set_ylabel(plotting.literal(f"{score.upper()} on the test fold{unit}"))
    name = plotting.literal(raw.name)
    ax.set_title(f"{name}: {values.shape[1] // folds} seeds x {folds} folds; bar: mean")
    ax.set_ylim(bottom=0)
    return fig


def build_parser() -> argparse.ArgumentParser:
    command = "python chapter_02_nn_basics_mlp/house_prices.py"
    examples = [command, f"{command} --dataset ames", f"{command} --csv my.csv --target price"]
    parser = cli.make_parser(__doc__, examples=examples, device=True, precision=True)
    parser.set_defaults(threads=1)  # the matrices are too small for two
    add = parser.add_argument_group("data").add_argument
    add("--dataset", choices=["diabetes", "ames"], default="diabetes", help="built-in table")
    add(
        "--csv",
        type=cli.path,
        metavar="FILE",
        help="a CSV file with a header row, instead of --dataset",
    )
    add("--target", metavar="COLUMN", help="the column of --csv to predict")
    add("--drop", metavar="COLUMN", nargs="+", default=[], help="columns to leave out, such as ids")
    add("--log_target", choices=["auto", "yes", "no"], default="auto", help="predict log(target)")
    add = parser.add_argument_group("evaluation").add_argument
    add("--folds", type=cli.positive_int, default=5, help="parts of the cross-validation")
    add("--seeds", type=cli.positive_int, default=3, help="different foldings and first weights")
    add = parser.add_argument_group("MLP").add_argument
    add("--hidden_dim", type=cli.positive_int, default=64, help="units of a hidden layer")
    add("--depth", type=cli.positive_int, default=2, help="hidden layers")
    add("--dropout", type=cli.below_one, default=0.1, help="share of hidden units switched off")
    add("--epochs", type=cli.positive_int, default=100, help="at most so many passes over the rows")
    add("--batch_size", type=cli.positive_int, default=32, help="rows a step")
    add("--lr", type=cli.positive_float, default=1e-3, help="step size of AdamW")
    add("--weight_decay", type=cli.non_negative_float, default=0.1, help="pull of weights to 0")
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    raw = load_raw(args, run.data_dir)
    for note in raw.notes:
        print(f"note: {note}.")
    if args.quick:
        args.seeds, args.epochs = 1, min(args.epochs, 20)
    if not 2 <= args.folds <= len(raw) // 5:
        raise UserError(
            f"--folds {args.folds} does not fit: it takes 2 folds or more, of 5 rows or more each, "
            f"and {raw.name} has {len(raw)} rows."
        )
    log = use_log(raw.target, args.log_target)
    score = "rmsle" if log else "rmse"
    shape = f"{raw.numeric.shape[1]} numeric and {raw.categorical.shape[1]} categorical columns"
    print(f"{raw.name}: {len(raw)} rows, {shape}, target {'log ' if log else ''}{raw.target_name}")
    results, predictions = cross_validate(raw, args, run, list(range(args.seeds)), log)
    summary = summarise(results, score)
    result_name = "house_prices" if raw.name == "diabetes" else f"house_prices_{raw.name}"
    if args.csv:
        result_name = "house_prices_csv"
    facts = {"dataset": raw.name, "rows": len(raw), "log_target": log, "models": summary}
    run.save_result(
        result_name, facts, {"main": results_table(summary, score)}, list(range(args.seeds))
    )
    run.save_figure(plot_predictions(raw, predictions, log), f"{result_name}_predictions")
    run.save_figure(plot_folds(raw, results, score, args.folds), f"{result_name}_folds")
    metrics = {f"{name}_{score}": values[score][0] for name, values in summary.items()}
    next_command = "python chapter_02_nn_basics_mlp/house_prices.py --dataset ames"
    if args.dataset == "ames" or args.csv:
        next_command = "python chapter_02_nn_basics_mlp/classify.py"
    run.finish(metrics, next_command)


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
