"""The sizes that suit a series: what a network sees, how far a forecast looks, how long it trains.

Chosen for the two known series by trials on their validation parts; for a file from its length.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.datasets.series import SeriesData
from utils.errors import UserError

ORDERS = (1, 2, 4, 8, 16, 32, 64)  # of the autoregression


@dataclass(frozen=True)
class Settings:
    """All lengths in rows."""

    horizon: int  # how far a free run goes
    context: int  # true rows before it
    length: int  # of a training window
    skip: int  # its first predictions are not counted
    every: int  # a training window begins every so many rows
    marks: dict[str, int]  # errors are told over these first parts of the horizon
    windows: tuple[int, ...]  # of the MLPs
    orders: tuple[int, ...] = ORDERS
    epochs: int = 20
    lr: float = 5e-3
    batch_size: int = 32
    starts: int = 200  # forecasts in a part, at most about so many


def settings_for(data: SeriesData, horizon: int | None = None) -> Settings:
    """The sizes for this series; `horizon` in rows, None for the usual one."""
    if data.name == "lorenz":
        return lorenz_settings(data.per_unit, horizon)
    if data.name == "ett":
        return ett_settings(horizon or 96)
    return file_settings(data, horizon)


def lorenz_settings(per_unit: float, horizon: int | None) -> Settings:
    """Eight Lyapunov times of 22 rows."""
    horizon = horizon or round(8 * per_unit)
    marks = {str(n): round(n * per_unit) for n in (1, 2, 4, 8) if round(n * per_unit) <= horizon}
    return Settings(
        horizon=horizon, context=64, length=32, skip=12, every=2,
        marks=marks or {f"{horizon / per_unit:.2g}": horizon}, windows=(1, 16),
    )  # fmt: skip


def ett_settings(horizon: int) -> Settings:
    """Four days, as the shortest horizon of Zhou et al. 2021; a week of context."""
    marks = {str(n): n for n in (24, 48, 96) if n <= horizon}
    return Settings(
        horizon=horizon, context=168, length=144, skip=48, every=6,
        marks=marks or {str(horizon): horizon}, windows=(12, 48), orders=(1, 2, 4, 8, 16, 24, 48),
        epochs=10, lr=3e-3,
    )  # fmt: skip


def file_settings(data: SeriesData, horizon: int | None) -> Settings:
    """From the number of rows; UserError: the horizon leaves nothing to measure it with."""
    train, val, test = (part.stop - part.start for part in (data.train, data.val, data.test))
    most = min(val, test) // 2
    if horizon and horizon > most:
        raise UserError(
            f"--horizon {horizon} is too long for {data.name}: its validation part has {val} rows, "
            f"its test part {test}; at most {most} can be measured."
        )
    horizon = horizon or max(1, min(most, 2 * (data.period or 12)))
    season = data.period or 1
    length = max(8, min(96, train // 3))
    windows = tuple(sorted({w for w in (season, 16) if w <= train // 8} or {2}))
    orders = tuple(p for p in {*ORDERS, season} if p <= train // 5)
    return Settings(
        horizon=horizon, context=max(length, season, *windows, *orders),
        length=length, skip=length // 3, every=max(1, train // 2000),
        marks=halves(horizon), windows=windows, orders=tuple(sorted(orders)), epochs=20, lr=3e-3,
    )  # fmt: skip


def halves(horizon: int) -> dict[str, int]:
    """A quarter, a half and the whole of the horizon, as far as they differ."""
    return {str(n): n for n in sorted({max(1, horizon // 4), max(1, horizon // 2), horizon})}
