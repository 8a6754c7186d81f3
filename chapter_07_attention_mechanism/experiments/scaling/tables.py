"""Numbers and tables of exp_scaling.py."""

from __future__ import annotations

import math
from typing import Any

from chapter_07_attention_mechanism.experiments.scaling.lookup import best_rate, steps_needed
from utils.results import named_mean_std, table

SCALES = {"none": "1", "root": "1/√d", "inverse": "1/d"}
WAYS = {
    "none": ("no scale", "不缩放"),
    "root": ("1/√d", "1/√d"),
    "inverse": ("1/d", "1/d"),
    "small start": ("no scale, W_q starts small", "不缩放，W_q 初值小"),
    "normalised": ("cosine, learnt temperature", "余弦，温度可学"),
}


def collect(random: dict[str, Any], learnt: dict[int, Any], guess: float) -> dict[str, Any]:
    """random: of random_vectors.measure; learnt: {width: {way: {rate: {"val", "test"}}}}."""
    lookup = {
        str(width): {way.replace(" ", "_"): summary(rows) for way, rows in ways.items()}
        for width, ways in learnt.items()
    }
    return {"random": random, "lookup": lookup, "guess_percent": 100 * guess}


def summary(rows: dict[float, dict[str, Any]]) -> dict[str, Any]:
    """One way at one width, at its best rate. A run that never learns counts as the last step."""
    rate = best_rate(rows)
    curves = rows[rate]["test"]  # (R, checks)
    needed = [steps_needed(curve) for curve in curves]
    last = steps_needed([0.0] * (len(curves[0]) - 1) + [1.0])
    return {
        "rate": rate,
        "learnt": sum(map(math.isfinite, needed)),
        "seeds": len(needed),
        **named_mean_std([min(steps, last) for steps in needed], "steps"),
        **named_mean_std([100 * curve[-1] for curve in curves], "final_percent"),
    }


def tables(metrics: dict[str, Any], steps: int) -> dict[str, Any]:
    return {"random": random_table(metrics["random"]), **lookup_tables(metrics["lookup"], steps)}


def random_table(random: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Scale", "缩放", "s"),
        ("d", "d", "d"),
        ("Variance of the scores", "分数的方差", ".4g"),
        ("Entropy / ln S", "熵 / ln S", ".2f"),
        ("Largest weight", "最大权重", ".2f"),
        ("Gradient at the query, mean", "查询处的梯度：均值", ".3f"),
        ("median", "中位数", ".3f"),
        ("Rows left without (%)", "几乎得不到梯度的行（%）", ".0f"),
    ]
    keys = ("variance", "entropy", "largest", "query_mean", "query_median", "little_percent")
    lines = [
        [SCALES[name], int(width), *(row[key][0] for key in keys)]
        for name, rows in random.items()
        for width, row in rows.items()
        if width in ("4", "64", "1024")
    ]
    return table(columns, lines)


def lookup_tables(lookup: dict[str, Any], steps: int) -> dict[str, Any]:
    """Steps until 90 %, and the accuracy at the end: a row a way, a column a width."""
    needed, final = [], []
    for way in next(iter(lookup.values())):
        name = dict(zip(("en", "zh"), WAYS[way.replace("_", " ")], strict=True))
        rows = [lookup[width][way] for width in lookup]
        needed.append([name, *(cell(row, steps) for row in rows)])
        final.append([name, *((r["final_percent_mean"], r["final_percent_std"]) for r in rows)])

    def columns(form: str) -> list[Any]:
        return [("Scores", "分数", "s"), *((f"d = {w}", f"d = {w}", form) for w in lookup)]

    return {"steps": table(columns(".0f"), needed), "final": table(columns(".1f"), final)}


def cell(row: dict[str, Any], steps: int) -> Any:
    """(mean, deviation) of the steps if all runs learnt the task, else how many did."""
    if row["learnt"] == row["seeds"]:
        return row["steps_mean"], row["steps_std"]
    if not row["learnt"]:
        return f"> {steps}"
    share = f"{row['learnt']} / {row['seeds']}"
    return {"en": f"{share} learnt it", "zh": f"{share} 学会"}
