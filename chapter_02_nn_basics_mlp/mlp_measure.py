"""What mlp.py measures: errors against the truth, beside the noise-limited optimum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn

from chapter_02_nn_basics_mlp.mlp_data import Problem, rmse
from chapter_02_nn_basics_mlp.noise_floor import Floor, noise_floor, smooth
from utils import cli
from utils.model_summary import parameter_count
from utils.results import named_mean_std, table


@dataclass
class Fit:
    """A trained (or loaded) network with what was seen during training."""

    model: nn.Module
    history: list[tuple[int, float, float]] = field(default_factory=list)  # epoch, train, val RMSE
    early: dict[str, Tensor] | None = None  # the weights of least validation error


def optimum(problem: Problem, seeds: list[int]) -> dict[str, float]:
    """Means over the seeds of what `oracle` says."""
    pairs = [oracle(problem, seed) for seed in cli.progress(seeds, "noise-limited optimum")]
    return {
        "optimum": float(np.mean([floor.rmse for floor, _ in pairs])),
        "optimum_this_draw": float(np.mean([drawn for _, drawn in pairs])),
        "effective_parameters": float(np.mean([f.effective_parameters for f, _ in pairs])),
    }


def oracle(problem: Problem, seed: int) -> tuple[Floor, float]:
    """The noise-limited optimum, and the RMSE that the same smoother has on this very draw."""
    points, grid = problem.sample(seed), problem.grid(25)
    truth = problem.truth(grid)
    floor = noise_floor(points.x, grid, truth, problem.truth(points.x), problem.noise)
    drawn = smooth(floor, points.x, points.y[:, 0], grid)
    return floor, float(np.sqrt(np.mean((drawn - truth) ** 2)))


def measure(
    problem: Problem,
    fits: dict[tuple[str, int], Fit],
    input_dim: int,
    known: dict[str, float] | None = None,
) -> dict[str, Any]:
    """All numbers of the result, per kind the mean over seeds and the ratio to the optimum.

    `known` is the optimum of the same seeds, where it was computed before.
    """
    seeds = sorted({seed for _, seed in fits})
    metrics: dict[str, Any] = {**(known or optimum(problem, seeds)), "kinds": {}}
    if problem.mode == "extrapolate":
        truth = problem.truth(problem.outside())
        metrics["zero_outside"] = float(np.sqrt(np.mean(truth**2)))  # of the prediction 0
    for kind in dict.fromkeys(kind for kind, _ in fits):
        chosen = [fit for (k, _), fit in fits.items() if k == kind]
        row = summary("rmse", [rmse(problem, f.model, problem.grid(), input_dim) for f in chosen])
        row |= {
            "ratio": row["rmse_mean"] / metrics["optimum"],
            "ratio_this_draw": row["rmse_mean"] / metrics["optimum_this_draw"],
            "parameters": parameter_count(chosen[0].model),
        }
        if problem.mode == "extrapolate":
            values = [rmse(problem, f.model, problem.outside(), input_dim) for f in chosen]
            row |= summary("rmse_outside", values)
        if chosen[0].early:
            row |= summary("rmse_early", [early_rmse(problem, f, input_dim) for f in chosen])
        metrics["kinds"][kind] = row
    return metrics


def early_rmse(problem: Problem, fit: Fit, input_dim: int) -> float:
    """The error that stopping at the least validation error would have given."""
    last = {k: v.clone() for k, v in fit.model.state_dict().items()}
    fit.model.load_state_dict(fit.early)
    value = rmse(problem, fit.model, problem.grid(), input_dim)
    fit.model.load_state_dict(last)
    return value


def summary(name: str, values: list[float]) -> dict[str, Any]:
    """Mean, spread (standard deviation over seeds) and the single values."""
    return named_mean_std(values, name) | {f"{name}_all": values}


def result_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """The README's table: a row a kind, the optimum last."""
    columns = [
        ("Network", "网络", "s"),
        ("RMSE against the truth", "对真实函数的 RMSE", ".4f"),
        ("times the optimum", "与最优值之比", ".2f"),
        ("times the smoother on the same points", "与同一批点上平滑器之比", ".2f"),
    ]
    outside = any("rmse_outside_mean" in row for row in metrics["kinds"].values())
    columns += [("RMSE outside", "区间外 RMSE", ".3f")] if outside else []
    rows: list[list[Any]] = []
    for kind, row in metrics["kinds"].items():
        rows.append([kind, (row["rmse_mean"], row["rmse_std"]), row["ratio"]])
        rows[-1].append(row["ratio_this_draw"])
        rows[-1] += [(row["rmse_outside_mean"], row["rmse_outside_std"])] if outside else []
    name = {"en": "noise-limited optimum", "zh": "噪声决定的最优值"}
    paired = metrics["optimum"] / metrics["optimum_this_draw"]
    rows.append([name, metrics["optimum"], 1.0, paired, *(["–"] if outside else [])])
    if outside:
        name = {"en": "the answer 0 everywhere", "zh": "处处回答 0"}
        rows.append([name, "–", "–", "–", metrics["zero_outside"]])
    return table(columns, rows)
