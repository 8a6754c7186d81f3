"""Numbers and tables of exp_loss_landscape.py, and the views that it compares."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.results import named_mean_std, table

# name -> (normalisation, training mode while looking, English title, Chinese title)
VIEWS = {
    "none": ("none", False, "no normalisation", "无归一化"),
    "batch": ("batch", True, "BatchNorm, batch statistics", "BatchNorm，批统计量"),
    "running": ("batch", False, "BatchNorm, running statistics", "BatchNorm，滑动统计量"),
}
RADII = np.linspace(0, 1, 9)
RADIUS = 0.5  # the radius of the table; one of RADII
FACTOR = 5.0  # of `rescaled`


def collect(results: list[dict]) -> dict[str, Any]:
    keys = ("loss", "test_accuracy_percent", "rise_at_radius", "sharpness", "difference")
    keys += ("rescaled_rise_at_radius", "rescaled_sharpness")
    metrics: dict[str, Any] = {"radius": RADIUS, "factor": FACTOR, "radii": RADII}
    for view in VIEWS:
        metrics[view] = {key: named_mean_std(r[view][key] for r in results) for key in keys}
        metrics[view]["rise"] = np.mean([r[view]["rise"] for r in results], axis=0)
    for key in ("rise_at_radius", "sharpness"):
        metrics[f"{key}_ratio"] = metrics["none"][key]["mean"] / metrics["batch"][key]["mean"]
    return metrics


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Network and view", "网络与视角", "s"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
        ("Training loss", "训练损失", ".4f"),
        (f"Rise of the loss at radius {RADIUS:g}", f"半径 {RADIUS:g} 处损失上升", ".2f"),
        ("Largest Hessian eigenvalue", "Hessian 最大特征值", ".2f"),
        ("Rise, rescaled twin", "损失上升（重新缩放后）", ".2f"),
        ("Eigenvalue, rescaled twin", "最大特征值（重新缩放后）", ".2f"),
    ]
    keys = ("test_accuracy_percent", "loss", "rise_at_radius", "sharpness")
    keys += ("rescaled_rise_at_radius", "rescaled_sharpness")
    rows = []
    for view, (*_, english, chinese) in VIEWS.items():
        cells = [(metrics[view][key]["mean"], metrics[view][key]["std"]) for key in keys]
        rows.append([{"en": english, "zh": chinese}, *cells])
    return {"main": table(columns, rows)}
