"""Numbers and tables of exp_normalization.py, for its JSON and the pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.results import named_mean_std, table

TRAINS = 80.0  # validation accuracy in % from which a learning rate counts as one that trains
CASES = {
    "healthy": ("as it should be", "正常训练"),
    "slow": ("momentum 0.001 instead of 0.1", "momentum 取 0.001 而非 0.1"),
    "few_steps": ("after 10 steps of training", "只训练 10 步"),
    "pairs": ("trained in batches of 2", "以批次大小 2 训练"),
    "bright": ("brighter, flatter pictures", "图像更亮、对比度更低"),
}
FORGOTTEN = {
    "eval": ("model.eval(), as it should be", "正确调用 model.eval()"),
    "mixed": ("forgotten, batches of 32, mixed classes", "忘记调用，批次大小 32，类别混合"),
    "one_class": ("forgotten, batches of 32, sorted by class", "忘记调用，批次大小 32，按类别排序"),
    "afterwards": ("model.eval() after that", "此后再调用 model.eval()"),
    "repaired": ("after re-estimation", "重新估计统计量之后"),
}
WAYS = {
    "running": ("running statistics (%)", "滑动统计量（%）"),
    "own": ("the test set's own (%)", "测试集自身的统计量（%）"),
    "reestimated": ("re-estimated on training pictures (%)", "在训练图像上重新估计（%）"),
}


def collect(
    scores: dict[str, np.ndarray],
    rates: Sequence[float],
    best: dict[str, float],
    sizes: dict[str, np.ndarray],
    batches: Sequence[int],
    layers: dict[str, dict[str, np.ndarray]],
    wrong: list[dict],
) -> dict[str, Any]:
    """The nested metrics: rates, batches, activations, evaluation, forgotten."""
    metrics: dict[str, Any] = {"learning_rates": rates, "batch_sizes": batches}
    metrics["rates"] = {}
    for kind, values in scores.items():
        validation = values[..., 0].mean(axis=1)  # (rates, seeds) -> (rates,)
        chosen = rates.index(best[kind])
        metrics["rates"][kind] = {
            "best_rate": best[kind],
            "validation": validation,
            "trained_rates": int((validation >= TRAINS).sum()),
            "test": named_mean_std(values[chosen, :, 1]),
        }
    metrics["batches"] = {
        kind: {f"b{size}": named_mean_std(v) for size, v in zip(batches, values, strict=True)}
        for kind, values in sizes.items()
    }
    metrics["activations"] = {
        kind.replace(", ", "_").replace(" ", "_"): activation_numbers(values)
        for kind, values in layers.items()
    }
    metrics["evaluation"] = {
        case: {way: named_mean_std([w[case][way] for w in wrong]) for way in WAYS} for case in CASES
    }
    metrics["forgotten"] = {
        key: named_mean_std(w["forgotten"][key] for w in wrong) for key in FORGOTTEN
    }
    return metrics


def activation_numbers(values: dict[str, np.ndarray]) -> dict[str, float]:
    """First and last layer, fresh and trained; geometric means over the seeds."""
    numbers = {}
    for key, runs in values.items():  # (seeds, epochs + 1, layers)
        mean = np.exp(np.log(np.maximum(runs, 1e-30)).mean(axis=0))
        for when, row in (("fresh", mean[0]), ("trained", mean[-1])):
            numbers |= {f"{key}_{when}_first": row[0], f"{key}_{when}_last": row[-1]}
    return numbers


def cell(value: dict[str, float]) -> tuple[float, float]:
    return value["mean"], value["std"]


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "main": main_table(metrics),
        "activations": activations_table(metrics),
        "evaluation": evaluation_table(metrics),
        "forgotten": forgotten_table(metrics),
    }


def main_table(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Normalisation", "归一化", "s"),
        ("Best learning rate", "最佳学习率", "g"),
        (
            f"Rates with >= {TRAINS:g} % validation",
            f"验证准确率不低于 {TRAINS:g}% 的学习率个数",
            "d",
        ),
    ]
    for size in metrics["batch_sizes"]:
        columns.append(
            (f"Test accuracy (%), batches of {size}", f"测试准确率（%），批次大小 {size}", ".1f")
        )
    rows = []
    for kind, values in metrics["rates"].items():
        accuracies = [cell(value) for value in metrics["batches"][kind].values()]
        rows.append([kind, values["best_rate"], values["trained_rates"], *accuracies])
    return table(columns, rows)


def activations_table(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Normalisation", "归一化", "s"),
        ("Spread, first layer, fresh", "首层标准差，训练前", ".2g"),
        ("Spread, last layer, fresh", "末层标准差，训练前", ".2g"),
        ("Spread after the norm, last layer, fresh", "归一化后末层标准差，训练前", ".2g"),
        ("Spread, last layer, trained", "末层标准差，训练后", ".2g"),
        ("Mean / spread, last layer, fresh", "末层均值与标准差之比，训练前", ".2g"),
        ("Mean / spread, last layer, trained", "末层均值与标准差之比，训练后", ".2g"),
    ]
    keys = ("std_before_fresh_first", "std_before_fresh_last", "std_after_fresh_last")
    keys += ("std_before_trained_last", "shift_before_fresh_last", "shift_before_trained_last")
    rows = [
        [kind.replace("_", " "), *(values[key] for key in keys)]
        for kind, values in metrics["activations"].items()
    ]
    return table(columns, rows)


def evaluation_table(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [("Network", "网络", "s")]
    columns += [
        (f"Test accuracy, {english}", f"测试准确率，{chinese}", ".1f")
        for english, chinese in WAYS.values()
    ]
    rows = []
    for case, (english, chinese) in CASES.items():
        cells = [cell(metrics["evaluation"][case][way]) for way in WAYS]
        rows.append([{"en": english, "zh": chinese}, *cells])
    return table(columns, rows)


def forgotten_table(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [("Evaluation", "评估方式", "s"), ("Test accuracy (%)", "测试准确率（%）", ".1f")]
    rows = [
        [{"en": english, "zh": chinese}, cell(metrics["forgotten"][key])]
        for key, (english, chinese) in FORGOTTEN.items()
    ]
    return table(columns, rows)
