"""The table of train.py."""

from __future__ import annotations

from typing import Any

from utils.results import over_seeds, table


def tables(rows: list[dict[str, float]]) -> dict[str, Any]:
    """One row: what the course reports of a classifier, beside chance."""
    columns = [
        ("Epochs", "训练轮数", "d"),
        ("Validation accuracy (%)", "验证准确率（%）", ".2f"),
        ("Test accuracy (%)", "测试准确率（%）", ".2f"),
        ("Chance (%)", "随机猜测（%）", ".1f"),
        ("Seconds a run", "每次训练（秒）", ".1f"),
    ]
    mean = over_seeds(rows)
    cells = [mean["val"], mean["test"], rows[0]["chance"], mean["seconds"]]
    return {"main": table(columns, [[rows[0]["epochs"], *cells]])}
