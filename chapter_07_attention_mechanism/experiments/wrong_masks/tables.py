"""Means over the seeds, and the tables of exp_masks.py."""

from __future__ import annotations

from typing import Any

from chapter_07_attention_mechanism.experiments.wrong_masks.variants import CONTROL, VARIANTS
from utils.results import mean_std, table

MEASURES = ("leak_percent", "claimed", "true")


def key(name: str) -> str:
    """A variant as a key of the metrics: letters, digits and _ only."""
    words = "".join(letter if letter.isalnum() else " " for letter in name)
    return "_".join(words.split())


def collect(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the seeds' `measure`: (mean, deviation) of every number."""
    metrics: dict[str, Any] = {"variants": {}}
    for name in VARIANTS:
        runs = [run["variants"][name] for run in found]
        numbers = {measure: mean_std(run[measure] for run in runs) for measure in MEASURES}
        numbers["flattery"] = mean_std(run["true"] - run["claimed"] for run in runs)
        metrics["variants"][key(name)] = numbers
    for limit in ("best", "no_context"):
        metrics[limit] = mean_std(run[limit] for run in found)
    right = [run["variants"][CONTROL]["claimed"] - run["best"] for run in found]
    metrics["excess"] = mean_std(right)  # of the right mask, over the best attainable
    for name in ("finite_difference", "right_padding_difference"):
        metrics[name] = max(run[name] for run in found)
    return metrics


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Mask", "掩码", "s"),
        ("Gradient from hidden places (%)", "来自应隐藏位置的梯度（%）", ".1f"),
        ("Claimed bits a letter", "声称的每字母比特数", ".2f"),
        ("True bits a letter", "真实的每字母比特数", ".2f"),
    ]
    lines: list[list[Any]] = []
    for name, variant in VARIANTS.items():
        row = metrics["variants"][key(name)]
        lines.append([{"en": name, "zh": variant.zh}, *(row[m] for m in MEASURES)])
    limits = {"best": ("best attainable", "可达到的最好值")}
    limits["no_context"] = ("no context", "不看上文")
    for limit, (en, zh) in limits.items():
        lines.append([{"en": en, "zh": zh}, "–", metrics[limit], metrics[limit]])
    return {"main": table(columns, lines)}
