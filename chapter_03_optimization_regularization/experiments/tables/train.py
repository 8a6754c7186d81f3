"""The table of train.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.results import table


def result_table(rows: list[dict[str, float]]) -> dict[str, Any]:
    """One row: what the course reports of a classifier, beside chance."""
    columns = [
        ("Epochs", "训练轮数", "d"),
        ("Validation accuracy (%)", "验证准确率（%）", ".2f"),
        ("Test accuracy (%)", "测试准确率（%）", ".2f"),
        ("Chance (%)", "随机猜测（%）", ".1f"),
        ("Seconds a run", "每次训练（秒）", ".1f"),
    ]

    def mean_std(key: str) -> tuple[float, float]:
        values = [row[key] for row in rows]
        return float(np.mean(values)), float(np.std(values))

    cells = [mean_std("val"), mean_std("test"), rows[0]["chance"], mean_std("seconds")]
    return table(columns, [[rows[0]["epochs"], *cells]])
