"""What the scale does to the scores of random vectors (exp_scaling.py), nothing trained.

Queries and keys are independent standard normal numbers, so a dot product of d of them has variance
d. For each width d and each scale: the variance of the scores, how sure the softmax is, and what a
gradient is worth behind it. The gradient that comes in is the same everywhere: normal, length 1.

    entropy     of the weights, as a share of ln S: 1 says nothing is chosen, 0 one key alone
    largest     weight of a row
    softmax     length of dA = P * (dP - sum_j dP_j P_j), the gradient of the scores
    query       length of dQ = s dA K, what reaches the query

A mean hides what happens here: a few rows with two scores close together get nearly all. So the
median over rows stands beside it, the share of all gradient that the luckiest tenth of the queries
gets, and the share of rows that get next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chapter_07_attention_mechanism import attention_numpy
from utils.results import mean_std

SCALES = {"none": 0.0, "root": -0.5, "inverse": -1.0}  # the exponent of d
WIDTHS = (4, 16, 64, 256, 1024)
GROUPS, QUERIES, KEYS, VALUES = 32, 16, 64, 16
LITTLE = 0.01  # of the length of the incoming gradient of a row's output


def measure_one(width: int, exponent: float, seed: int) -> dict[str, float]:
    """All numbers of one draw: 512 queries, each with 64 keys."""
    rng = np.random.default_rng(seed)
    shapes = (QUERIES, width), (KEYS, width), (KEYS, VALUES), (QUERIES, VALUES)
    q, k, v, d_out = (rng.normal(size=(GROUPS, *shape)) for shape in shapes)
    d_out /= np.linalg.norm(d_out, axis=-1, keepdims=True)  # (G, T, v): length 1
    scale = width**exponent
    _, p = attention_numpy.forward(q, k, v, scale=scale)  # (G, T, S)
    da = attention_numpy.softmax_backward(p, d_out @ v.swapaxes(-1, -2))  # (G, T, S)
    behind_softmax = np.linalg.norm(da, axis=-1)  # (G, T)
    at_query = np.linalg.norm(scale * da @ k, axis=-1)  # (G, T)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)  # (G, T)
    return {
        "variance": float((scale * q @ k.swapaxes(-1, -2)).var()),
        "entropy": float(entropy.mean() / np.log(KEYS)),
        "largest": float(p.max(-1).mean()),
        "softmax_mean": float(behind_softmax.mean()),
        "softmax_median": float(np.median(behind_softmax)),
        "query_mean": float(at_query.mean()),
        "query_median": float(np.median(at_query)),
        "top_tenth_percent": float(100 * top_tenth(at_query)),
        "little_percent": float(100 * (behind_softmax < LITTLE).mean()),
    }


def top_tenth(lengths: np.ndarray) -> float:
    """The share of the sum that the longest tenth has: 0.1 if all are alike."""
    ordered = np.sort(lengths, axis=None)
    return float(ordered[-(len(ordered) // 10) :].sum() / ordered.sum())


def measure(widths: Sequence[int], seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """{scale: {width: {what: (mean, deviation) over seeds}}}."""
    found: dict[str, dict[str, Any]] = {}
    for name, exponent in SCALES.items():
        found[name] = {}
        for width in widths:
            runs = [measure_one(width, exponent, seed) for seed in seeds]
            found[name][str(width)] = {key: mean_std(r[key] for r in runs) for key in runs[0]}
    return found
