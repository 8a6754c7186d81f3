"""Numbers and tables of exp_optimization.py, for its JSON and the texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.optimization import (
    networks,
    quadratics,
    surfaces,
)
from chapter_03_optimization_regularization.experiments.optimization.choices import VECTOR_NAMES
from chapter_03_optimization_regularization.experiments.optimization.quadratics import TOLERANCE
from utils.results import named_mean_std, table

TARGET_LOSS = 0.1


def tables(metrics: dict[str, Any], limit: int) -> dict[str, Any]:
    """`limit`: steps after which a run on the rotated quadratic was stopped."""
    networks_by_name = metrics["networks"].items()
    return {
        **{n.lower(): network_table(m["optimizers"], n == "CNN") for n, m in networks_by_name},
        "surfaces": surface_table(metrics["surfaces"]),
        "condition": condition_table(metrics["condition"]),
        "rotation": rotation_table(metrics["rotation"], limit),
    }


def surface_metrics(paths: dict[str, dict[str, surfaces.Path]]) -> dict[str, Any]:
    return {
        surface: {
            name: {
                "lr": path.rate,
                "at_edge": path.at_edge,
                "steps": path.settled,
                "gap": path.gap,
                "distance": path.distance,
                "run_for": len(path.points) - 1,
            }
            for name, path in by_name.items()
        }
        for surface, by_name in paths.items()
    }


def surface_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """For each surface the rate, the steps to the tolerance, and f - f* at the end."""
    columns = [("Optimiser", "优化器", "s")]
    for surface, by_name in metrics.items():
        steps = by_name["SGD"]["run_for"]
        columns.append((f"{surface}: lr", f"{surface}：学习率", "g"))
        columns.append(("steps", "步数", ".0f"))
        columns.append((f"distance after {steps}", f"{steps} 步后的距离", ".0e"))
    rows = []
    for name in VECTOR_NAMES:
        cells = [metrics[s][name] for s in metrics]
        rows.append([name, *(c[key] for c in cells for key in ("lr", "steps", "distance"))])
    return table(columns, rows)


def condition_metrics(counts: dict, rates: dict) -> dict[str, Any]:
    """Keys: the method with underscores, then k10, k100, ..."""
    metrics: dict[str, Any] = {}
    for name, by_kappa in counts.items():
        rows = metrics[name.replace(" ", "_")] = {}
        for kappa, steps in by_kappa.items():
            row = {"steps": steps} | named_mean_std(steps)
            if name in rates:
                row["rate"] = rates[name][kappa]
                row["theory_rate"] = quadratics.theoretical_rate(name, kappa)
                row["theory_steps"] = quadratics.theoretical_steps(name, kappa, TOLERANCE)
            rows[f"k{kappa:g}"] = row
    return metrics


def condition_table(metrics: dict[str, Any]) -> dict[str, Any]:
    chinese = {
        "gradient descent": "梯度下降", "heavy ball": "重球法",
        "Nesterov": "Nesterov", "conjugate gradients": "共轭梯度",
    }  # fmt: skip
    columns = [("Condition number", "条件数", "s")]
    for name, title in chinese.items():
        columns.append((f"{name}: steps", f"{title}：步数", ".0f"))
        if name in quadratics.METHODS:
            columns.append(("theory", "理论", ".0f"))
    rows = []
    for key in metrics["Nesterov"]:
        row: list[Any] = [key[1:]]
        for by_kappa in metrics.values():
            cell = by_kappa[key]
            row.append((cell["mean"], cell["std"]))
            row += [cell["theory_steps"]] if "theory_steps" in cell else []
        rows.append(row)
    return table(columns, rows)


def rotation_table(results: dict[str, Any], limit: int) -> dict[str, Any]:
    columns = [
        ("Optimiser", "优化器", "s"), ("Along the axes: lr", "沿坐标轴：学习率", "g"),
        ("steps", "步数", ".0f"), ("Rotated: lr", "旋转后：学习率", "g"), ("steps", "步数", ".0f"),
    ]  # fmt: skip
    rows = []
    for name, kinds in results.items():
        row: list[Any] = [name]
        for cell in kinds.values():
            done = np.isfinite(cell["steps"]).all()
            row.append(cell["lr"] if done else None)
            row.append((cell["mean"], cell["std"]) if done else f"> {limit}")
        rows.append(row)
    return table(columns, rows)


def network_metrics(outcomes: dict[str, networks.Outcome], window: int) -> dict[str, Any]:
    metrics = {}
    for name, outcome in outcomes.items():
        steps = networks.steps_to(outcome.losses, TARGET_LOSS, window)
        row: dict[str, Any] = {
            "lr": outcome.rate,
            "at_edge": outcome.at_edge,
            "curve": outcome.curve,
            "seeds_finished": len(outcome.losses),
            "steps": steps,
            **named_mean_std(steps, "steps"),  # nan, shown as a dash, if a seed never gets there
            "ms": outcome.milliseconds,
            "seconds_to_target": np.mean(steps) * outcome.milliseconds / 1000,
            "bytes": outcome.bytes_per_parameter,
        }
        for split, values in outcome.final.items():
            row |= {split: values} | named_mean_std(values, split)
        metrics[name] = row
    return metrics


def network_table(metrics: dict[str, Any], with_fresh: bool) -> dict[str, Any]:
    """`with_fresh`: a column for the accuracy after BatchNorm's statistics are taken anew."""
    columns = [
        ("Optimiser", "优化器", "s"),
        ("lr", "学习率", "g"),
        (f"Steps to loss {TARGET_LOSS}", f"损失降到 {TARGET_LOSS} 的步数", ".0f"),
        ("Training loss", "训练损失", ".4f"),
        ("Validation loss", "验证损失", ".3f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
        ("ms a step", "每步毫秒", ".2f"),
        ("State (bytes a parameter)", "状态（字节/参数）", ".1f"),
    ]
    splits = ["train", "val", "test"]
    if with_fresh:
        columns.insert(6, ("with fresh statistics (%)", "重新统计 BatchNorm 后（%）", ".1f"))
        splits.append("fresh")
    rows = []
    for name, row in metrics.items():
        done = np.isfinite(row["steps_mean"])
        pairs = [(row[f"{split}_mean"], row[f"{split}_std"]) for split in splits]
        steps = (row["steps_mean"], row["steps_std"]) if done else None
        rows.append([name, row["lr"], steps, *pairs, row["ms"], row["bytes"]])
    return table(columns, rows)
