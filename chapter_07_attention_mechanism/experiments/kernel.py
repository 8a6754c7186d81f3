"""The width of a kernel regression: over a grid, by leave-one-out, and learnt (draw_figures.py).

80 samples of a known curve with noise. Errors are squared and, where the curve is known, against
the curve itself, not against new noise: 0 is the best possible there. For leave-one-out, which sees
noisy samples only, the noise's variance is the floor.

Second question: with a second coordinate that says nothing about the curve, what is a learnt
projection worth against one width for both?
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chapter_07_attention_mechanism.kernel_view import (
    KernelRegression,
    best_width,
    distance_attention,
    learn,
    leave_one_out,
)
from utils.datasets.toy import CURVE_RANGE, sine_curve, true_curve
from utils.results import mean_std, table
from utils.seed import generator

SAMPLES, NOISE, SEEDS = 80, 0.3, 5
WIDTHS = [float(w) for w in np.geomspace(0.02, 3, 60)]
NARROW, WIDE = 0.03, 1.0  # beside the best, in the figure

METHODS = {
    "own": ("x alone, width searched", "只有 x，搜索带宽"),
    "own_learnt": ("x alone, width learnt", "只有 x，学习带宽"),
    "both": ("x and noise, one width searched", "x 与噪声，搜索一个带宽"),
    "both_learnt": ("x and noise, projection learnt", "x 与噪声，学习投影"),
    "mean": ("the mean of all samples", "全部样本的平均"),
}


def sample(seed: int) -> tuple[Tensor, Tensor]:
    """Places (N, 1) and noisy values (N, 1), float64."""
    x, y = sine_curve(SAMPLES, NOISE, seed)
    return torch.from_numpy(x), torch.from_numpy(y)


def grid(count: int = 200) -> tuple[Tensor, Tensor]:
    """Places inside the range of the samples (M, 1) and the curve there, without noise (M, 1)."""
    low, high = CURVE_RANGE
    x = np.linspace(low, high, count)[:, None]
    return torch.from_numpy(x), torch.from_numpy(true_curve(x))


def uniform(count: int, seed: int) -> Tensor:
    """A coordinate (N, 1) that says nothing, from the range of the other."""
    low, high = CURVE_RANGE
    rand = torch.rand(count, 1, generator=generator(seed), dtype=torch.float64)
    return low + (high - low) * rand


def squared(guess: Tensor, truth: Tensor) -> float:
    return float((guess - truth).detach().square().mean())


def over_widths(seed: int) -> dict[str, list[float]]:
    """For every width: the error by leave-one-out, with itself among the keys, and the true one."""
    x, y = sample(seed)
    places, truth = grid()
    return {
        "leave_one_out": [leave_one_out(x, y, w) for w in WIDTHS],
        "with_itself": [squared(distance_attention(x, x, y, w), y) for w in WIDTHS],
        "true": [squared(distance_attention(places, x, y, w), truth) for w in WIDTHS],
    }


def methods(seed: int) -> dict[str, dict[str, float]]:
    """Each method's error against the curve, and the width it uses for x."""
    x, y = sample(seed)
    places, truth = grid()
    two = torch.cat([x, uniform(len(x), seed)], dim=1)  # (N, 2)
    new = torch.cat([places, uniform(len(places), seed + 1000)], dim=1)  # (M, 2)
    found = {}
    for name, keys, query in (("own", x, places), ("both", two, new)):
        width = best_width(keys, y, WIDTHS)
        guess = distance_attention(query, keys, y, width)
        found[name] = {"error": squared(guess, truth), "width": width}
        model = KernelRegression(keys.shape[1]).double()
        learn(model, keys, y)
        widths = model.widths().tolist()
        facts = {"error": squared(model(query, keys, y), truth), "width": widths[0]}
        found[f"{name}_learnt"] = facts | {"other": widths[-1]}
    found["mean"] = {"error": squared(y.mean(), truth), "width": float("inf")}
    return found


@cache
def measure(seed: int) -> dict[str, Any]:
    """Of the first of five seeds the curves over the width; of all of them the methods."""
    seeds = range(seed, seed + SEEDS)
    return {"widths": over_widths(seed), "methods": [methods(one) for one in seeds]}


def collect(found: dict[str, Any]) -> dict[str, Any]:
    curves, runs = found["widths"], found["methods"]
    chosen = {name: WIDTHS[int(np.argmin(curve))] for name, curve in curves.items()}
    rows = {}
    for name in METHODS:
        rows[name] = {"error": mean_std(run[name]["error"] for run in runs)}
        if name != "mean":
            rows[name]["width"] = mean_std(run[name]["width"] for run in runs)
    rows["both_learnt"]["other"] = mean_std(run["both_learnt"]["other"] for run in runs)
    ratio = rows["both"]["error"][0] / rows["both_learnt"]["error"][0]
    return {
        "both_over_learnt": ratio,
        "noise_variance": NOISE**2,
        "best_width": chosen,
        "methods": rows,
        "seeds": SEEDS,
    }


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Keys and width", "键与带宽", "s"),
        ("Width for x", "x 的带宽", ".2f"),
        ("Squared error against the curve", "相对真实曲线的平方误差", ".4f"),
    ]
    lines = [
        [{"en": en, "zh": zh}, metrics["methods"][name].get("width", "–"),
         metrics["methods"][name]["error"]]
        for name, (en, zh) in METHODS.items()
    ]  # fmt: skip
    return {"main": table(columns, lines)}
