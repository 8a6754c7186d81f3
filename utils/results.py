"""What a script measured, as the READMEs and pages show it: tables, means over seeds.

`Run.save_result` (utils.run) writes the tables into results/<name>.json; `python -m course sync`
puts them into the texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, pstdev
from typing import Any

from utils.file_io_util import plain

Column = tuple[str, str, str]
SMOKE = "smoke run: too short to learn"


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A table for the READMEs. Columns are (English title, Chinese title, format such as ".2f").

    A cell is a number, a text, {"en": ..., "zh": ...}, or (mean, spread), shown as "mean ± spread".
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells for {len(columns)} columns: {row}")
    titles = [dict(zip(("en", "zh", "format"), column, strict=True)) for column in columns]
    return {"columns": titles, "rows": plain([list(row) for row in rows])}


def mean_std(values: Iterable[float]) -> tuple[float, float]:
    """Mean and standard deviation of these values; without all of them finite, no deviation."""
    column = [float(value) for value in values]
    if not all(map(math.isfinite, column)):
        return sum(column) / len(column), math.nan
    return fmean(column), pstdev(column)


def named_mean_std(values: Iterable[float], name: str = "") -> dict[str, float]:
    """The same for the metrics: {"mean", "std"}, or {"loss_mean", "loss_std"} for name "loss"."""
    prefix = f"{name}_" if name else ""
    return dict(zip((f"{prefix}mean", f"{prefix}std"), mean_std(values), strict=True))


def over_seeds(runs: Sequence[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """(mean, standard deviation) over the runs of every number they share, but their "seed"."""
    shared = [key for key in runs[0] if all(isinstance(run.get(key), int | float) for run in runs)]
    keys = [key for key in shared if key != "seed"]
    return {key: mean_std(run[key] for run in runs) for key in keys}


def cells(runs: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[Any]:
    """A table's cells for these numbers: (mean, standard deviation), of one run the number."""
    means = over_seeds(runs)
    return [means[key] if len(runs) > 1 else means[key][0] for key in keys]


def smoke_report(ours: dict[str, Any], published: dict[str, Any] | None) -> str:
    """What a run too short to learn has to say: its numbers, each beside the published one.

    ours, published: the tables of a result; None where nothing is published under its name.
    """
    if published is None:
        return f"{SMOKE}; nothing is published under the name of this run"
    lines = [f"{SMOKE}; this run | published"]
    for name in ours:
        titles = [column["en"] for column in ours[name]["columns"]]
        rows, others = ours[name]["rows"], published.get(name, {}).get("rows", [])
        theirs = {str(row[0]): row for row in others}
        only = others[0] if len(rows) == len(others) == 1 else []
        for row in rows:
            pairs = zip(titles, row, theirs.get(str(row[0]), only), strict=False)
            cells = [f"{title} {_brief(a)} | {_brief(b)}" for title, a, b in pairs if a != b]
            lines += [f"  {row[0]}: {'; '.join(cells)}"] if cells else []
    return "\n".join(lines)


def _brief(cell: Any) -> str:
    """A number, or the mean of (mean, spread), in four digits."""
    value = cell[0] if isinstance(cell, list | tuple) else cell
    return f"{value:.4g}" if isinstance(value, float) else str(value)
