"""What a script measured, as the READMEs and pages show it: tables, means over seeds.

`Run.save_result` (utils.run) writes the tables into results/<name>.json; `python -m course sync`
puts them into the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

from utils.file_io_util import plain

Column = tuple[str, str, str]


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A table for the READMEs. Columns are (English title, Chinese title, format such as ".2f").

    A cell is a number, a text, {"en": ..., "zh": ...}, or (mean, spread), shown as "mean ± spread".
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells for {len(columns)} columns: {row}")
    titles = [dict(zip(("en", "zh", "format"), column, strict=True)) for column in columns]
    return {"columns": titles, "rows": plain([list(row) for row in rows])}


def over_seeds(runs: Sequence[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """(mean, standard deviation) over the runs of every number they share, but their "seed"."""
    shared = [key for key in runs[0] if all(isinstance(run.get(key), int | float) for run in runs)]
    keys = [key for key in shared if key != "seed"]
    columns = {key: [run[key] for run in runs] for key in keys}
    return {key: (fmean(column), pstdev(column)) for key, column in columns.items()}


def cells(runs: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[Any]:
    """A table's cells for these numbers: (mean, standard deviation), of one run the number."""
    means = over_seeds(runs)
    return [means[key] if len(runs) > 1 else means[key][0] for key in keys]
