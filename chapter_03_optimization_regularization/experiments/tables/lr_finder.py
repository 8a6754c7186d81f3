"""Numbers and table of lr_finder.py. A test is its RangeTest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from utils.results import table

GRIDS = {
    "SGD": [4.0**k / 2 for k in range(-5, 1)],
    "Adam": [4.0**k / 2 for k in range(-7, -1)],
}


def suggestion(tests: Sequence[Any], rule: str) -> float:
    """Geometric mean over the seeds."""
    return float(np.exp(np.mean([np.log(getattr(test, rule)) for test in tests])))


def summary(tests: dict[str, Sequence[Any]], checks: dict[str, np.ndarray]) -> dict[str, Any]:
    """Suggested rates, the best of the grid, and the loss at the grid's rate next to each."""
    metrics: dict[str, Any] = {}
    for name, results in tests.items():
        grid, losses = np.array(GRIDS[name]), checks[name].mean(axis=1)  # (rates,)
        best = int(np.nanargmin(losses))
        row = {"best_rate": grid[best], "best_loss": losses[best]}
        for rule in ("steepest", "tenth_of_minimum"):
            row[rule] = suggestion(results, rule)
            near = int(np.argmin(np.abs(np.log(grid / row[rule]))))
            row[f"{rule}_loss"] = losses[near]
        metrics[name] = {key: float(value) for key, value in row.items()}
    return metrics


def tables(metrics: Mapping[str, dict[str, float]]) -> dict[str, Any]:
    columns = [
        ("Optimiser", "优化器", "s"),
        ("Steepest descent", "最陡下降处", ".2g"),
        ("Tenth of the minimum", "最低点的十分之一", ".2g"),
        ("Best of the grid", "网格最优", ".2g"),
    ]
    keys = ("steepest", "tenth_of_minimum", "best_rate")
    rows = [[name, *(row[key] for key in keys)] for name, row in metrics.items()]
    return {"main": table(columns, rows)}
