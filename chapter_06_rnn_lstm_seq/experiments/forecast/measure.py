"""Errors of a forecast by how far ahead it looks, in deviations of the training part.

A forecast starts at many rows of a part. Its context is what lay before the start, which may reach
back into an earlier part: at that moment it was known. Its truth lies in the part alone.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from utils.errors import UserError

VALID = 0.4  # an error above this ends a valid forecast (Pathak et al. 2018)


class FreeRunning(Protocol):
    """A network or a baseline."""

    def free_run(self, context: Tensor, steps: int) -> Tensor: ...


def cuts(
    values: Tensor, part: slice, context: int, horizon: int, every: int = 1
) -> tuple[Tensor, Tensor]:
    """Contexts (N, context, C) and the rows after them (N, horizon, C), in one part.

    UserError: the part is too short for a single forecast.
    """
    starts = range(max(part.start, context), part.stop - horizon + 1, every)
    if not starts:
        raise UserError(
            f"the rows {part.start} to {part.stop} of the series are too few for a forecast of "
            f"{horizon} rows; take a shorter --horizon or a longer series."
        )
    pieces = [(values[s - context : s], values[s : s + horizon]) for s in starts]
    contexts, truths = zip(*pieces, strict=True)
    return torch.stack(contexts), torch.stack(truths)


def error_curve(predicted: Tensor, truth: Tensor) -> Tensor:
    """Root of the mean squared error over starts and columns for each step ahead: (S,)."""
    return (predicted.double() - truth).square().mean(dim=(0, 2)).sqrt()


def over(curve: Tensor, steps: int) -> float:
    """The error over the first `steps` steps together, a root mean square."""
    return curve[:steps].square().mean().sqrt().item()


def valid_steps(predicted: Tensor, truth: Tensor) -> float:
    """Steps until a forecast's error (root mean square of its columns) exceeds VALID; the mean."""
    wrong = (predicted - truth).square().mean(dim=2).sqrt() > VALID  # (N, S)
    first = torch.where(wrong.any(dim=1), wrong.int().argmax(dim=1), wrong.shape[1])
    return first.double().mean().item()


def measure(
    model: FreeRunning, free: tuple[Tensor, Tensor], single: tuple[Tensor, Tensor], marks: dict
) -> dict[str, Any]:
    """free: cuts of the whole horizon; single: cuts of one row. marks: name -> steps ahead."""
    predicted = model.free_run(free[0], free[1].shape[1])
    curve = error_curve(predicted, free[1])
    one_step = error_curve(model.free_run(single[0], 1), single[1])
    return {
        "one_step": one_step.item(),
        "over": {name: over(curve, steps) for name, steps in marks.items()},
        "valid": valid_steps(predicted, free[1]),
        "curve": curve.tolist(),
    }
