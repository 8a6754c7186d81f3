"""Forecasts without a network. Each has `free_run(context, steps)` as the networks do.

Persistence     every row is as the last one
Seasonal        every row is as the row one period before
AutoRegression  x_t = c + A_1 x_{t-1} + ... + A_p x_{t-p}, by least squares  (Yule 1927)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


class Persistence:
    """As now."""

    def free_run(self, context: Tensor, steps: int) -> Tensor:
        """(B, T, C) -> (B, steps, C)."""
        return context[:, -1:].expand(-1, steps, -1)


@dataclass(frozen=True)
class Seasonal:
    """As one period ago."""

    period: int

    def free_run(self, context: Tensor, steps: int) -> Tensor:
        """(B, T, C) with T of at least a period -> (B, steps, C)."""
        times = -(-steps // self.period)
        return context[:, -self.period :].repeat(1, times, 1)[:, :steps]


@dataclass(frozen=True)
class AutoRegression:
    """weights (p C + 1, C): the newest row's C numbers first, the constant last."""

    weights: Tensor
    order: int
    joint: bool

    def free_run(self, context: Tensor, steps: int) -> Tensor:
        """(B, T, C) with T of at least p -> (B, steps, C)."""
        seen = context[:, -self.order :].double()
        rows = []
        for _ in range(steps):
            rows.append(with_one(seen.flip(1).flatten(1)) @ self.weights)  # (B, C)
            seen = torch.cat([seen[:, 1:], rows[-1][:, None]], dim=1)  # (B, p, C)
        return torch.stack(rows, dim=1).to(context.dtype)  # (B, steps, C)


def with_one(x: Tensor) -> Tensor:
    """A last column of ones: (N, D) -> (N, D + 1)."""
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)


def fit_ar(values: Tensor, order: int, joint: bool = True) -> AutoRegression:
    """Least squares on the rows `values` (T, C).

    joint: every column from the past of all columns; else from its own past alone.
    """
    values = values.double()
    count = len(values) - order
    lags = [values[order - k : order - k + count] for k in range(1, order + 1)]  # newest first
    x, y = with_one(torch.cat(lags, dim=1)), values[order:]  # (N, p C + 1), (N, C)
    if joint:
        return AutoRegression(least_squares(x, y), order, joint)
    columns = values.shape[1]
    weights = torch.zeros(x.shape[1], columns, dtype=x.dtype)
    for c in range(columns):
        own = [*range(c, order * columns, columns), order * columns]
        weights[own, c] = least_squares(x[:, own], y[:, c : c + 1])[:, 0]
    return AutoRegression(weights, order, joint)


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """The weights (D, C) of the least |x w - y|; the shortest ones where x is not of full rank."""
    return torch.linalg.lstsq(x, y, driver="gelsd").solution


def ar_candidates(values: Tensor, orders: Iterable[int]) -> Iterable[AutoRegression]:
    """One for each order, joint and (with several columns) column by column."""
    for order in orders:
        for joint in (True, False) if values.shape[1] > 1 else (True,):
            yield fit_ar(values, order, joint)
