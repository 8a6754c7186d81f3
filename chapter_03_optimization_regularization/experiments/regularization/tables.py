"""Numbers and tables of exp_regularization.py, for its JSON and the texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.regularization.training import (
    CURVES,
    Trained,
)
from utils.results import named_mean_std, table

NAMES = {
    "none": ("none", "无"),
    "l1": ("L1, proximal", "L1（近端步）"),
    "l2": ("L2 (weight decay)", "L2（权重衰减）"),
    "dropout": ("dropout", "dropout"),
    "early": ("early stopping", "早停"),
    "smoothing": ("label smoothing", "标签平滑"),
    "mixup": ("mixup", "mixup"),
    "augment": ("augmentation", "数据增强"),
    "together": ("L2 + dropout + smoothing + augmentation", "L2 + dropout + 平滑 + 增强"),
    "ensemble": ("ensemble of 5", "5 个网络的集成"),
    "right_labels": ("(no wrong labels)", "（没有错误标签）"),
    "all_data": ("(no wrong labels, all 1,197 examples)", "（没有错误标签，全部 1197 个样本）"),
}


def collect(results: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean and deviation over the seeds of every score, and of the gap given - test."""
    summary: dict[str, dict[str, float]] = {}
    for name, rows in results.items():
        values = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        values["gap"] = values["given"] - values["test"]
        values["clean_gap"] = values["clean_part"] - values["test"]
        summary[name] = {}
        for key, v in values.items():
            summary[name] |= named_mean_std(v, key)
    base = np.array([row["test"] for row in results["none"]])
    for name, rows in results.items():  # the same examples for each seed, so compare in pairs
        gain = np.array([row["test"] for row in rows]) - base
        summary[name] |= named_mean_std(gain, "gain")
    return summary


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "main": main_table(metrics["methods"], metrics["tried"]),
        "sparsity": sparsity_table(metrics["sparsity"]),
    }


def main_table(summary: dict[str, dict[str, float]], tried: dict[str, Any]) -> dict[str, Any]:
    columns = [("Method", "方法", "s"), ("Strength", "强度", "s")]
    columns += [
        ("Train, labels as given (%)", "训练集，给定标签（%）", ".1f"),
        ("Train, right labels only (%)", "训练集，正确标签部分（%）", ".1f"),
        ("Wrong labels repeated (%)", "复述错误标签（%）", ".1f"),
        ("Validation (%)", "验证集（%）", ".1f"),
        ("Test (%)", "测试集（%）", ".1f"),
        ("Train as given − test", "训练（给定）− 测试", ".1f"),
    ]
    rows = []
    for name, (english, chinese) in NAMES.items():
        row = summary[name]
        strength = str(tried[name]["chosen"]) if name in tried else "–"
        strengths = {"weak": "弱", "middle": "中", "strong": "强"}
        cells = [{"en": english, "zh": chinese}]
        cells.append({"en": strength, "zh": strengths.get(strength, strength)})
        keys = ("given", "clean_part", "memorised", "val", "test", "gap")
        has_wrong = not np.isnan(row["memorised_mean"])
        cells += [
            (row[f"{k}_mean"], row[f"{k}_std"]) if k != "memorised" or has_wrong else "–"
            for k in keys
        ]
        rows.append(cells)
    return table(columns, rows)


def sparsity_table(found: dict[str, Any]) -> dict[str, Any]:
    columns = [("Strength of L1", "L1 强度", "g")]
    forms = (("in the loss", "写进损失"), ("proximal", "近端步"))
    for english, chinese in forms:
        columns += [
            (f"{english}: exact zeros (%)", f"{chinese}：恰为零（%）", ".1f"),
            (f"{english}: below 0.001 (%)", f"{chinese}：小于 0.001（%）", ".1f"),
            (f"{english}: validation (%)", f"{chinese}：验证集（%）", ".1f"),
        ]
    keys = ("zero", "near_zero", "val")
    rows = [
        [strength, *(found[form][key][i] for form in ("l1_in_loss", "l1") for key in keys)]
        for i, strength in enumerate(found["strengths"])
    ]
    return table(columns, rows)


def memorising(networks: dict[str, list[Trained]]) -> dict[str, float]:
    """Of the plain network: when the clean part is learnt, and when the wrong labels are."""
    curves = {k: np.array([t.curves[k] for t in networks["none"]]) for k in CURVES}
    means = {k: v.mean(axis=0) for k, v in curves.items()}  # (epochs,)
    peak = int(means["val"].argmax())
    half = {k: int((v >= 50).argmax()) + 1 for k, v in means.items()}
    return {
        "best_val_epoch": peak + 1,
        "best_val": float(means["val"][peak]),
        "last_val": float(means["val"][-1]),
        "clean_part_at_best": float(means["clean_part"][peak]),
        "memorised_at_best": float(means["memorised"][peak]),
        "seen_through_at_best": float(means["seen_through"][peak]),
        "epoch_half_clean": half["clean_part"],
        "epoch_half_memorised": half["memorised"],
    }
