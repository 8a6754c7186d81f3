"""Time series: rows in the order of time, split by time, never shuffled.

    data = load_series("lorenz")                  # embedded; "ett" and FILE.csv likewise
    data.values[data.train]                       # (rows, columns) float64, in their own units
    data.standardised()                           # the same in units of the training part

A shuffled split would put the row after a validation row into the training part, and the answer
with it. Here the training part is the oldest one, the test part the newest; mean and deviation are
those of the training part.

    lorenz      10,000 / 2,000 / 4,000 rows of the attractor (utils.datasets.lorenz): x, or x, y, z
    ett         ETTh1 (Zhou et al. 2021): seven hourly loads and the oil temperature of a
                transformer, 12 / 4 / 4 months of 30 days, the split of that paper
    FILE.csv    70 / 10 / 20 % of the rows; a first column of dates gives the period
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from utils.datasets import lorenz
from utils.datasets.series_csv import read_series
from utils.datasets.text_files import ETT, text_path
from utils.errors import UserError

SERIES = ("lorenz", "ett")
LORENZ_ROWS = (10_000, 2_000, 4_000)
ETT_MONTHS = (12, 4, 4)
ETT_MONTH = 30 * 24  # rows
SHARES = (0.7, 0.1, 0.2)  # of a FILE
FEWEST_ROWS = 60


@dataclass(frozen=True)
class SeriesData:
    """A series and its split. period: rows after which it repeats itself, None if it does not."""

    name: str
    values: np.ndarray  # (T, C) float64
    columns: tuple[str, ...]
    train: slice
    val: slice
    test: slice
    period: int | None = None
    unit: str = "rows"  # of `per_unit` rows: in this the horizon of a forecast is told
    per_unit: float = 1.0
    notes: tuple[str, ...] = ()

    @cached_property
    def mean(self) -> np.ndarray:
        """(C,), of the training part."""
        return self.values[self.train].mean(axis=0)

    @cached_property
    def std(self) -> np.ndarray:
        """(C,), of the training part; 1 for a column that does not change there."""
        found = self.values[self.train].std(axis=0)
        return np.where(found > 0, found, 1.0)

    def standardised(self) -> np.ndarray:
        """(T, C) float64: mean 0 and deviation 1 in the training part."""
        return (self.values - self.mean) / self.std


def load_series(
    name: str | Path, data_dir: str | Path | None = None, *, coordinates: int = 1, seed: int = 0
) -> SeriesData:
    """ "lorenz", "ett" or the path of a CSV file. coordinates, seed: of lorenz, 1 (x) or 3.

    MissingDataError: ett is not here. UserError, one sentence: what is wrong in the file.
    """
    if str(name) == "lorenz":
        return load_lorenz(coordinates, seed)
    if str(name) == "ett":
        return load_ett(text_path(ETT, "ETTh1.csv", data_dir))
    if not str(name).lower().endswith((".csv", ".csv.gz", ".csv.xz")):
        known = ", ".join(SERIES)
        raise UserError(f"there is no series {str(name)!r}; known are {known} and any FILE.csv.")
    return load_file(Path(name))


def load_lorenz(coordinates: int = 1, seed: int = 0, rows: tuple = LORENZ_ROWS) -> SeriesData:
    """One trajectory, cut by time. With one coordinate the state is hidden: x alone is shown."""
    if coordinates not in (1, 3):
        raise UserError(f"lorenz shows 1 coordinate or all 3, not {coordinates}.")
    values = lorenz.trajectory(sum(rows), seed)[:, :coordinates]
    per_unit = 1 / (lorenz.LYAPUNOV * lorenz.STEP)  # 22.1 rows
    columns = ("x", "y", "z")[:coordinates]
    parts = parts_of(*rows)
    return SeriesData("lorenz", values, columns, *parts, unit="Lyapunov times", per_unit=per_unit)


def load_ett(path: Path) -> SeriesData:
    """ETTh1 from its file; the rows behind the twentieth month are left out, as in the paper."""
    table = read_series(path)
    rows = [months * ETT_MONTH for months in ETT_MONTHS]
    if len(table.values) < sum(rows):
        raise UserError(f"{path} has {len(table.values)} rows, ETTh1 has 17,420: fetch it again.")
    values = table.values[: sum(rows)]
    return SeriesData("ett", values, table.columns, *parts_of(*rows), period=24, unit="hours")


def load_file(path: Path) -> SeriesData:
    """A user's CSV file."""
    table = read_series(path)
    count = len(table.values)
    if count < FEWEST_ROWS:
        raise UserError(
            f"{path} has {count} rows of data; a forecast that can be judged needs at least "
            f"{FEWEST_ROWS}: one part to learn from, one to choose with, one to test on."
        )
    train, val = round(SHARES[0] * count), round(SHARES[1] * count)
    parts = parts_of(train, val, count - train - val)
    return SeriesData(
        path.name, table.values, table.columns, *parts, period=table.period, notes=table.notes
    )


def parts_of(train: int, val: int, test: int) -> tuple[slice, slice, slice]:
    """Three slices that follow each other in time."""
    return slice(0, train), slice(train, train + val), slice(train + val, train + val + test)
