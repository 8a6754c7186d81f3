"""What the graders of all chapters say about a wrong result, whatever the exercise is.

Arrays may be NumPy's or torch's, numbers or lists. Nothing here rests on `assert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np


def alike(a: Any, b: Any, tolerance: float = 1e-6) -> bool:
    """Do both have one shape and, up to rounding, the same numbers?"""
    a, b = as_array(a), as_array(b)
    if a is None or b is None or a.shape != b.shape:
        return False
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * 1e-3))


def as_array(value: Any) -> np.ndarray | None:
    """The numbers as float64; None if it is not an array of numbers."""
    try:
        value = value.detach() if hasattr(value, "detach") else value
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        return None


def check_order(result: Any, expected: Sequence, names: str, where: str = "") -> None:
    """AssertionError if `result` holds the right values in another order than `names` says."""
    if not isinstance(result, tuple | list) or len(result) != len(expected):
        return
    if all(alike(a, b) for a, b in zip(result, expected, strict=True)):
        return
    for order in permutations(expected):
        if all(alike(a, b) for a, b in zip(result, order, strict=True)):
            words = f"the right values in the wrong order: return {names}"
            raise AssertionError(f"{where}: {words}" if where else words)


def usual_reason(result: Any, expected: Any, tolerance: float = 1e-6) -> str:
    """What a wrong array has in common with the right one; "" if nothing."""
    ours, right = as_array(result), as_array(expected)
    if ours is None or right is None or not ours.size:
        return ""
    if ours.ndim > 1 and ours.shape != right.shape and alike(ours.swapaxes(-1, -2), right):
        return "the last two axes are exchanged"
    if ours.shape != right.shape:
        return ""
    if not np.isfinite(ours).all():
        return "there is nan or inf in it"
    if not ours.any():
        return "all of it is 0"
    if alike(ours, -right, tolerance):
        return "the sign is the other way round"
    if ours.ndim > 1 and ours.shape[-1] == ours.shape[-2] and alike(ours.swapaxes(-1, -2), right):
        return "the last two axes are exchanged"
    factor = (ours * right).sum() / max((right * right).sum(), 1e-300)
    if ours.size > 1 and abs(factor - 1) > 0.01 and alike(ours, factor * right, tolerance):
        return f"everything is {factor:.4g} times the right value"
    return ""


def because(result: Any, expected: Any, reasons: Sequence[str], most: int = 1) -> str:
    """The first `most` of the known reasons, or a usual one, in brackets behind a message."""
    reason = "; or else ".join(reasons[:most]) or usual_reason(result, expected)
    return f" ({reason})" if reason else ""
