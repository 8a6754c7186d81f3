"""Numbers and tables of exp_batch_size.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.results import table


def noise_summary(noise: list[list[tuple[float, float]]]) -> dict[str, Any]:
    """Noise scale before training, at the target, and the geometric mean of all points."""
    start = float(np.mean([points[0][1] for points in noise]))
    target = float(np.mean([points[-1][1] for points in noise]))
    every = [scale for points in noise for _, scale in points]
    mean = float(np.exp(np.mean(np.log(every))))
    return {"start": start, "target": target, "mean": mean, "courses": noise}


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
        rows.append(
            [size, r["rates"][i], (steps.mean(), steps.std()), (thousands.mean(), thousands.std())]
        )
    return table(columns, rows)
