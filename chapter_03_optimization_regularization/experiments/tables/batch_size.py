"""Numbers and tables of exp_batch_size.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.results import mean_std, table


def noise_summary(noise: list[list[tuple[float, float]]]) -> dict[str, Any]:
    """Noise scale before training, at the target, and the geometric mean of all points."""
    start = float(np.mean([points[0][1] for points in noise]))
    target = float(np.mean([points[-1][1] for points in noise]))
    every = [scale for points in noise for _, scale in points]
    mean = float(np.exp(np.mean(np.log(every))))
    return {"start": start, "target": target, "mean": mean, "courses": noise}


def tables(results: dict[str, dict]) -> dict[str, Any]:
    """A table an optimiser."""
    return {name.lower(): steps_table(r) for name, r in results.items()}


def steps_table(r: dict) -> dict[str, Any]:
    columns = [
        ("Batch size", "批次大小", "d"),
        ("Best learning rate", "最佳学习率", ".3g"),
        ("Steps to the target", "到达目标的步数", ".0f"),
        ("Examples (thousands)", "样本数（千）", ".1f"),
    ]
    rows = []
    for i, size in enumerate(r["sizes"]):
        steps = r["steps"][:, i]
        thousands = steps * size / 1000
        rows.append([size, r["rates"][i], mean_std(steps), mean_std(thousands)])
    return table(columns, rows)
