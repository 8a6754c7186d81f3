"""Means over seeds and the tables of train_seq2seq.py."""

from __future__ import annotations

from typing import Any

from chapter_06_rnn_lstm_seq.experiments.translation.measures import scores
from chapter_06_rnn_lstm_seq.experiments.translation.task import Task
from utils.results import mean_std, named_mean_std, table

KEYS = ("exact_percent", "forced_percent", "free_percent")
Found = list[dict[str, Any]]  # what `measure` found, a seed each


def numbers_metrics(found: Found, parameters: int) -> dict[str, Any]:
    """(mean, deviation) over the seeds by part of the data and numbers in the line."""
    parts = {}
    for part in ("test", "combinations"):
        parts[part] = {}
        for count, first in found[0][part].items():
            rows = [row[part][count] for row in found]
            means = {key: mean_std(row[key] for row in rows) for key in KEYS}
            parts[part][count] = means | {key: first[key] for key in ("lines", "tokens")}
    metrics = parts | {"parameters": parameters, "lookup_percent": 0.0}
    for name in ("seconds", "cpu_seconds"):
        metrics |= named_mean_std([row[name] for row in found], name)
    names = {k: f"exact, {k} number{'s' if k > 1 else ''} (%)" for k in parts["test"]}
    return metrics | {
        "shown": {names[k]: row["exact_percent"][0] for k, row in parts["test"].items()}
    }


def numbers_tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """By numbers in the line: lines right (new numbers; new combinations), words right."""
    columns = [
        ("Numbers in the line", "每行数字个数", "d"),
        ("Words to write", "需写出的词数", ".1f"),
        ("New numbers: lines right (%)", "新数字：整行正确（%）", ".1f"),
        ("New combinations: lines right (%)", "新组合：整行正确（%）", ".1f"),
        ("Words right, fed with the truth (%)", "喂入真值时词正确（%）", ".1f"),
        ("Words right, fed with its own (%)", "喂入自身输出时词正确（%）", ".1f"),
    ]
    rows = []
    for count, row in metrics["test"].items():
        known = metrics["combinations"].get(count)
        rows.append(
            [
                count,
                row["tokens"],
                row["exact_percent"],
                known["exact_percent"] if known else {"en": "-", "zh": "-"},
                row["forced_percent"],
                row["free_percent"],
            ]
        )
    return {"main": table(columns, rows)}


def sentences_metrics(found: Found, task: Task) -> dict[str, Any]:
    """Scores over the seeds, beside those of two translators that know nothing."""
    sources, references = zip(*task.data.test, strict=True)
    copied = scores(sources, references)
    metrics = {
        "copy_bleu": copied["bleu"],
        "copy_chrf": copied["chrf"],
        "signature": found[0]["signature"],
        "chrf_signature": found[0]["chrf_signature"],
        "examples": found[0]["examples"],
    }
    for name in ("bleu", "chrf", "seconds", "cpu_seconds"):
        metrics |= named_mean_std([row[name] for row in found], name)
    shown = {"BLEU": metrics["bleu_mean"], "chrF": metrics["chrf_mean"]}
    return metrics | {"shown": shown | {"signature": metrics["signature"]}}


def sentences_tables(metrics: dict[str, Any], parameters: int) -> dict[str, Any]:
    """The scores beside a copy of the source; and what became of the first lines."""
    columns = [
        ("Translator", "译者", "s"),
        ("Parameters", "参数量", ",d"),
        ("BLEU", "BLEU", ".2f"),
        ("chrF", "chrF", ".2f"),
    ]
    network = {"en": "GRU encoder-decoder", "zh": "GRU 编码器-解码器"}
    copy = {"en": "the source, copied", "zh": "照抄原文"}
    rows = [
        [copy, 0, metrics["copy_bleu"], metrics["copy_chrf"]],
        [network, parameters, metrics["bleu_mean"], metrics["chrf_mean"]],
    ]
    titles = [("Source", "原文", "s"), ("Reference", "参考译文", "s"), ("Network", "网络", "s")]
    return {"main": table(columns, rows), "examples": table(titles, metrics["examples"])}
