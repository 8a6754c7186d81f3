"""Numbers and tables of exp_schedules.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from utils.results import named_mean_std, table


def key(name: str) -> str:
    """A schedule's name as a key of the metrics: "warm-up + cosine" -> "warmup_cosine"."""
    return name.replace("-", "").replace(" + ", "_").replace(",", "").replace(" ", "_")


def at_best(result: dict[str, Any]) -> dict[str, float]:
    """Final validation loss and test accuracy at the chosen rate, mean and spread over seeds."""
    val, test = result["val"][result["best"], :, -1], result["test"][result["best"]]
    rate = result["rates"][result["best"]]
    return {"rate": rate} | named_mean_std(val, "val") | named_mean_std(test, "test")


def collect(sweeps: dict, control: dict, warm: dict, several: dict) -> dict[str, Any]:
    metrics: dict[str, Any] = {"schedules": {key(n): at_best(r) for n, r in sweeps.items()}}
    for name, result in sweeps.items():
        metrics["schedules"][key(name)]["by_rate"] = result["val"][:, :, -1].mean(axis=1)
    metrics["clean"] = {key(name): at_best(result) for name, result in control.items()}
    metrics["warmup"] = {
        key(name.lower()): {
            key(kind): at_best(result)
            | {"by_rate": result["val"][:, :, -1].mean(axis=1), "worst": result["worst"]}
            | {"rates": result["rates"]}
            for kind, result in kinds.items()
        }
        for name, kinds in warm.items()
    }
    metrics["wsd"] = {"lengths": several["lengths"]}
    for kind in ("stable", "WSD", "cosine"):
        means = several[kind].mean(axis=0)
        metrics["wsd"][kind.lower()] = {
            str(length): mean for length, mean in zip(several["lengths"], means, strict=True)
        }
    return metrics


def tables(metrics: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    columns = [
        ("Schedule", "学习率调度", "s"),
        ("Best peak rate", "最佳峰值学习率", ".3g"),
        ("Validation loss", "验证损失", ".3f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
    ]
    rows = []
    for name in names:
        row = metrics["schedules"][key(name)]
        val, test = (row["val_mean"], row["val_std"]), (row["test_mean"], row["test_std"])
        rows.append([name, row["rate"], val, test])
    return {"main": table(columns, rows)}
