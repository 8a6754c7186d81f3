"""Forecast a series: a recurrent network that reads its own answers, beside what it has to beat.

What you learn: an error of one step says little about a forecast of a hundred. Trained to say the
next row, a network is then let run free: each prediction is its next input, and its errors with it.

    persistence      as now
    seasonal-naive   as one period ago, where the series has a period
    autoregression   least squares on the last p rows; p chosen on the validation part
    MLP              sees a fixed window of rows; two sizes
    GRU              sees one row, and its state

    python chapter_06_rnn_lstm_seq/train_forecast.py                       about 3 minutes, 3 seeds
    python chapter_06_rnn_lstm_seq/train_forecast.py --coordinates 3
    python chapter_06_rnn_lstm_seq/train_forecast.py --dataset ett
    python chapter_06_rnn_lstm_seq/train_forecast.py --dataset mine.csv --horizon 24

Lorenz's attractor (embedded) shows its x alone: two rows with the same x may go on differently, so
a forecast needs memory. Its horizon is told in Lyapunov times: in each an error grows by e, and no
model lasts. All splits are by time, errors in deviations of the training part, and a file may have
dates in its first column.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.experiments.forecast.baselines import (
    AutoRegression,
    Persistence,
    Seasonal,
    ar_candidates,
)
from chapter_06_rnn_lstm_seq.experiments.forecast.measure import cuts, error_curve, measure, over
from chapter_06_rnn_lstm_seq.experiments.forecast.settings import Settings, settings_for
from chapter_06_rnn_lstm_seq.experiments.forecast.tables import Runs, summary, tables
from chapter_06_rnn_lstm_seq.experiments.forecast.training import networks_for, train_one
from chapter_06_rnn_lstm_seq.figures.forecast import error_figure, run_figure
from chapter_06_rnn_lstm_seq.forecaster import CELLS, Forecaster
from utils import cli
from utils.checkpoint import load_checkpoint, load_state
from utils.datasets.series import SERIES, SeriesData, load_series
from utils.model_summary import parameter_count
from utils.run import Run

SERIES_SEED = 0  # of lorenz: one series for all seeds of the networks


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/train_forecast.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --dataset ett"], device=True)
    group = parser.add_argument_group("series")
    known = ", ".join(SERIES)
    group.add_argument("--dataset", type=cli.path, default="lorenz", help=f"{known}, or a FILE.csv")
    group.add_argument(
        "--coordinates", type=int, choices=[1, 3], default=1, help="of lorenz that are shown"
    )
    group.add_argument(
        "--horizon", type=cli.positive_int, help="rows of a free run (default: by the series)"
    )
    group = parser.add_argument_group("training")
    group.add_argument("--cell", choices=list(CELLS), default="gru", help="recurrent network")
    group.add_argument("--hidden_size", type=cli.positive_int, default=64, help="units")
    group.add_argument("--seeds", type=cli.positive_int, default=3, help="runs of each network")
    group.add_argument("--epochs", type=cli.positive_int, help="passes (default: by the series)")
    group.add_argument("--lr", type=cli.positive_float, help="peak rate (default: by the series)")
    cli.add_resume_option(group, "last.pth", ["seeds"])
    return parser


def load_data(args: argparse.Namespace) -> tuple[SeriesData, Settings]:
    """The series and the sizes that suit it, with what the options change."""
    data = load_series(args.dataset, args.data_dir, coordinates=args.coordinates, seed=SERIES_SEED)
    settings = settings_for(data, args.horizon)
    given = {name: getattr(args, name) for name in ("epochs", "lr") if getattr(args, name)}
    if args.quick:
        given |= {"epochs": min(given.get("epochs", 2), settings.epochs), "starts": 60}
        given |= {"orders": settings.orders[-2:]}
    return data, replace(settings, **given)


def free_cuts(values: Tensor, part: slice, settings: Settings) -> tuple[Tensor, Tensor]:
    """Contexts and truths of about `starts` forecasts in a part."""
    every = max(1, (part.stop - part.start - settings.horizon) // settings.starts)
    return cuts(values, part, settings.context, settings.horizon, every)


def best_ar(values: Tensor, data: SeriesData, settings: Settings) -> AutoRegression:
    """The candidate with the least error over the horizon on the validation part."""
    context, truth = free_cuts(values, data.val, settings)

    def error(candidate: AutoRegression) -> float:
        found = over(error_curve(candidate.free_run(context, settings.horizon), truth), 10**9)
        return found if found == found else float("inf")  # an unstable one runs to infinity

    return min(ar_candidates(values[data.train], settings.orders), key=error)


class Judge:
    """Measures every model on the same starts of the test part."""

    def __init__(self, values: Tensor, data: SeriesData, settings: Settings) -> None:
        self.settings = settings
        self.free = free_cuts(values, data.test, settings)
        every = min(600 // settings.starts, (data.test.stop - data.test.start) // 100)
        self.single = cuts(values, data.test, settings.context, 1, max(1, every))
        self.per_unit = data.per_unit

    def __call__(self, model: Any, parameters: int, seed: int | None = None) -> dict[str, Any]:
        found = measure(model, self.free, self.single, self.settings.marks)
        mse = sum(error**2 for error in found["curve"]) / len(found["curve"])
        valid = found["valid"] / self.per_unit
        return found | {"valid": valid, "mse": mse, "parameters": parameters, "seed": seed}


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.seeds = 1
    data, settings = load_data(args)
    for note in data.notes:
        print(f"note: {note}")
    values = torch.from_numpy(data.standardised()).float()  # (T, C)
    judge = Judge(values, data, settings)
    ar = best_ar(values, data, settings)
    runs: Runs = {"persistence": [judge(Persistence(), 0)]}
    if data.period:
        runs["seasonal"] = [judge(Seasonal(data.period), 0)]
    runs["ar"] = [judge(ar, int((ar.weights != 0).sum())) | {"order": ar.order}]
    shown = {"ar": ar}
    for network in networks_for(data, settings, args.cell, args.hidden_size):
        for seed in range(args.seed, args.seed + args.seeds):
            name = f"{network.name}_{seed}"
            folder = run.folder if name == f"{args.cell}_{args.seed}" else run.folder / name
            model, _ = train_one(
                network, values, data, settings, seed,
                device=run.device, folder=folder, resume=args.resume is not None,
            )  # fmt: skip
            shown.setdefault(network.name, model)
            row = judge(model, parameter_count(model), seed)
            runs.setdefault(network.name, []).append(row)
    report(args, run, data, settings, values, runs, shown, ar)


def report(args, run: Run, data, settings: Settings, values, runs: Runs, shown: dict, ar) -> None:
    """The result, the first recurrent network's weights, and both figures."""
    name = data.name if data.name in SERIES else "file"
    name += "_3" if name == "lorenz" and args.coordinates == 3 else ""
    numbers = summary(runs)
    metrics = {"models": numbers, "ar_order": ar.order, "ar_joint": ar.joint}
    metrics |= {"horizon_rows": settings.horizon, "curves": curves(runs)}
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result(f"forecast_{name}", metrics, tables(runs, data), seeds)
    model, row = shown[args.cell], runs[args.cell][0]
    run.save_checkpoint(
        f"forecaster_{name}.pth",
        model.state_dict(),
        architecture=architecture_of(args, data),
        dataset=data.name,
        metrics={"one_step": row["one_step"], **over_names(row)},
        task="forecast of the next rows of a series",
        parameters=parameter_count(model),
        coordinates=args.coordinates,
        horizon=settings.horizon,
    )
    run.save_figure(error_figure(runs, data), f"forecast_{name}")
    run.save_figure(example(values, data, settings, shown), f"forecast_{name}_run")
    mark = "4" if "4" in settings.marks else [*settings.marks][-1]
    words = f"error over {mark} {data.unit}"
    found = {f"{words}, {key}": row["over"][mark][0] for key, row in numbers.items()}
    run.finish(found, next_command="python chapter_06_rnn_lstm_seq/exp_gradient_flow.py")


def curves(runs: Runs) -> dict[str, list[float]]:
    """The error by steps ahead, mean over the seeds, every fourth step."""
    found = {}
    for key, rows in runs.items():
        mean = torch.tensor([row["curve"] for row in rows]).mean(dim=0)
        found[key] = [round(value, 4) for value in mean[::4].tolist()]
    return found


def over_names(row: dict[str, Any]) -> dict[str, float]:
    """{"error_over_4": ...}: the metrics of a checkpoint are flat."""
    return {f"error_over_{mark}": value for mark, value in row["over"].items()}


def architecture_of(args: argparse.Namespace, data: SeriesData) -> dict[str, Any]:
    """The arguments that rebuild the recurrent network."""
    return {"columns": len(data.columns), "hidden_size": args.hidden_size, "cell": args.cell}


def example(values: Tensor, data: SeriesData, settings: Settings, shown: dict) -> Any:
    """The free runs from the middle of the test part, in the series' own units."""
    start = (data.test.start + data.test.stop - settings.horizon) // 2
    before = min(settings.context, settings.horizon // 3)
    context = values[start - settings.context : start][None]  # (1, T, C)

    def own_units(rows: Tensor) -> Any:
        return rows.double().numpy() * data.std + data.mean

    runs = {key: own_units(m.free_run(context, settings.horizon)[0]) for key, m in shown.items()}
    return run_figure(own_units(values[start - before : start + settings.horizon]), runs, data)


def load_model(path: Path) -> tuple[Forecaster, dict[str, Any]]:
    """The forecaster of a checkpoint, and all of it."""
    checkpoint = load_checkpoint(path)
    if set(checkpoint["architecture"]) != {"columns", "hidden_size", "cell"}:
        raise cli.UserError(
            f"{path} holds no forecaster, but: {checkpoint.get('task', 'unknown')}."
        )
    model = Forecaster(**checkpoint["architecture"])
    load_state(model, checkpoint["state"], path)
    return model.eval(), checkpoint


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """Measured again on the test part of the checkpoint's own series."""
    model, saved = load_model(path)
    data = load_series(
        saved["dataset"], data_dir, coordinates=saved["coordinates"], seed=SERIES_SEED
    )
    values = torch.from_numpy(data.standardised()).float()
    row = Judge(values, data, settings_for(data, saved["horizon"]))(model, 0)
    return {"one_step": row["one_step"], **over_names(row)}


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
