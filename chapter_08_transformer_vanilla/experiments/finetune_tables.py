"""Means over seeds and the tables of finetune_bert.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import chapter_06_rnn_lstm_seq
from chapter_08_transformer_vanilla.experiments.starts import Start
from utils.datasets.sentences import SentenceData
from utils.file_io_util import read_json
from utils.results import cells, named_mean_std, table

# Key of a row: (English, Chinese, what kind of classifier it is, for the figure). {}: the start.
ROWS = {
    "naive_bayes": ("naive Bayes, bigrams", "朴素贝叶斯，二元组", "counting"),
    "logistic": ("logistic regression, bigrams", "逻辑回归，二元组", "counting"),
    "first_alone": ("the same, first sentence alone", "同上，只看第一句", "counting"),
    "second_alone": ("the same, second sentence alone", "同上，只看第二句", "counting"),
    "bag": ("bag of embeddings (6)", "词嵌入的平均（6）", "scratch"),
    "cnn": ("Kim's CNN (6)", "Kim 的 CNN（6）", "scratch"),
    "bilstm": ("BiLSTM (6)", "双向 LSTM（6）", "scratch"),
    "scratch": ("{}, random weights", "{}，随机初始化", "scratch"),
    "frozen_alone": ("{}, frozen, one sentence alone", "{}，冻结，只看一句", "pretrained"),
    "frozen": ("{}, frozen", "{}，冻结", "pretrained"),
    "frozen_layers": ("{}, frozen, all layers", "{}，冻结，所有层", "pretrained"),
    "tuned": ("{}, tuned", "{}，微调", "pretrained"),
}
EARLIER = ("bag", "cnn", "bilstm")
STARTS = {"minilm": "MiniLM", "none": "BERT"}


def earlier_rows(data: SentenceData) -> dict[str, list[dict[str, float]]]:
    """Chapter 6's networks on the same parts, from its published result; none for other tasks."""
    folder = Path(chapter_06_rnn_lstm_seq.__file__).parent / "results"
    path = folder / f"classifier_{data.name}.json"
    if not path.is_file():
        return {}
    metrics = read_json(path)["metrics"]
    if metrics.get("notes") != data.notes:  # another split, or a file of the same name
        return {}
    found = {name: metrics["classifiers"][name] for name in EARLIER}
    return {
        name: [
            {key: row[key][seed] for key in ("val", "test", "parameters")}
            for seed in range(len(row["test"]))
        ]
        for name, row in found.items()
    }


def metrics_of(
    data: SentenceData, rows: dict[str, list[dict[str, Any]]], start: Start
) -> dict[str, Any]:
    """By classifier the numbers of each seed, and the test accuracy's mean and deviation."""
    rows = rows | earlier_rows(data)
    frozen = rows.get("frozen", [{}])[0]
    return {
        "rows": {
            key: {"kind": ROWS[key][2], "runs": rows[key]}
            | named_mean_std([run["test"] for run in rows[key]], "test")
            for key in ROWS
            if key in rows
        },
        "most_frequent_percent": 100 * float(np.bincount(data.test.labels).max() / len(data.test)),
        "start": STARTS.get(start.name, "BERT"),
        "sizes": {name: len(getattr(data, name)) for name in ("train", "val", "test")},
        "relatedness": {k: v for k, v in frozen.items() if k.startswith("relatedness")},
        "notes": data.notes,
    }


def name_of(key: str, start: str) -> dict[str, str]:
    """A row's name in both languages."""
    return {"en": ROWS[key][0].format(start), "zh": ROWS[key][1].format(start)}


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """main: accuracy by classifier; relatedness: correlation of ranks, where there are scores."""
    columns = [
        ("Classifier", "分类器", "s"),
        ("Parameters", "参数量", ",d"),
        ("Validation accuracy (%)", "验证准确率（%）", ".1f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
    ]
    most = {"en": "most frequent class", "zh": "最常见的类别"}
    body: list[list[Any]] = [[most, 0, "", metrics["most_frequent_percent"]]]
    for key, row in metrics["rows"].items():
        runs = row["runs"]
        shown = cells(runs, ["val", "test"])
        body.append([name_of(key, metrics["start"]), runs[0]["parameters"], *shown])
    found = {"main": table(columns, body)}
    if metrics["relatedness"]:
        columns = [
            ("Order of the pairs by", "按什么排序", "s"),
            ("Spearman's correlation with relatedness", "与相关度的斯皮尔曼相关系数", ".3f"),
        ]
        names = {
            "relatedness_words": {"en": "share of common words", "zh": "共有词的比例"},
            "relatedness": {"en": f"cosine of {metrics['start']}'s vectors",
                            "zh": f"{metrics['start']} 向量的余弦"},
        }  # fmt: skip
        rows = [[name, metrics["relatedness"][key]] for key, name in names.items()]
        found["relatedness"] = table(columns, rows)
    return found
