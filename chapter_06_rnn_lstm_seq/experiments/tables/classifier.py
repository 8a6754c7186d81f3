"""Numbers and tables of train_classifier.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_06_rnn_lstm_seq.experiments.languages import LENGTHS
from utils.results import cells, mean_std, named_mean_std, table

SHOWN = (1, 2, 3, 4, 6, 8, 12, 40)  # of LENGTHS, in the table
WHOLE_WORD = {"en": "whole word", "zh": "整个词"}
WHO = {
    "most_frequent": ("Most frequent class", "最常见的类别"),
    "trigrams": ("Trigram Bayes", "三元组贝叶斯"),
    "lstm": ("LSTM", "LSTM"),
    "best": ("Best attainable", "可达到的最高值"),
}
PADDING_ROWS = {
    "packed": {"en": "packed (any padding: the same)", "zh": "打包（填充多少结果都一样）"},
    "pack_off": {"en": "the same weights, not packed", "zh": "同样的权重，不打包"},
    "unpacked": {"en": "trained and used without packing", "zh": "训练和使用时都不打包"},
}
CLASSIFIERS = {  # name: (key in the metrics, Chinese)
    "naive Bayes, bigrams": ("naive_bayes", "朴素贝叶斯，二元组"),
    "logistic regression, bigrams": ("logistic_regression", "逻辑回归，二元组"),
    "bag of embeddings": ("bag", "词嵌入的平均"),
    "Kim's CNN": ("cnn", "Kim 的 CNN"),
    "BiLSTM": ("bilstm", "双向 LSTM"),
}


def percent(value: float, decimals: int = 1) -> float:
    return round(100 * value, decimals)


def language_metrics(curves: dict[int, dict[str, Any]], padding: list[dict]) -> dict[str, Any]:
    """curves[numbers]: "trigrams" and "best" (K,), "lstm" (runs, K); padding: one dict a run."""
    metrics: dict[str, Any] = {"k": LENGTHS, "numbers": {}}
    for size, found in curves.items():
        runs = np.array(found["lstm"])  # (runs, K)
        metrics["numbers"][size] = {
            "best": found["best"],
            "trigrams": found["trigrams"],
            "lstm_mean": runs.mean(0),
            "lstm_std": runs.std(0),
            "at_k": {  # per cent, by k: for the sentences of the page
                k: {
                    "best_percent": percent(found["best"][i]),
                    "trigrams_percent": percent(found["trigrams"][i]),
                    "lstm_percent": percent(runs[:, i].mean()),
                }
                for i, k in enumerate(LENGTHS)
            },
        }
    metrics["most_frequent"] = found["most_frequent"]
    metrics["padding"] = {
        row: {
            case: dict(
                zip(("mean", "std"), mean_std(run[row][case] for run in padding), strict=True)
            )
            for case in padding[0][row]
        }
        for row in padding[0]
    }
    return metrics


def language_tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """Per cent right after k characters, for each number of training numbers; and the padding."""
    tables = {}
    for size, row in metrics["numbers"].items():
        columns = [("Characters read", "已读字符数", "d")]
        columns += [(f"{en} (%)", f"{zh}（%）", ".1f") for en, zh in WHO.values()]
        rows = []
        for k in SHOWN:
            i = LENGTHS.index(k)
            lstm = (100 * row["lstm_mean"][i], 100 * row["lstm_std"][i])
            cells = [100 * metrics["most_frequent"], 100 * row["trigrams"][i], lstm]
            name = WHOLE_WORD if k == LENGTHS[-1] else k
            rows.append([name, *cells, 100 * row["best"][i]])
        tables[f"numbers_{size}"] = table(columns, rows)
    columns = [
        ("BiLSTM, last states", "双向 LSTM，最后状态", ""),
        ("no padding (%)", "无填充（%）", ".1f"),
        ("in batches of 100 (%)", "每批 100 个词（%）", ".1f"),
        ("20 columns more (%)", "再加 20 列填充（%）", ".1f"),
    ]
    rows = [
        [PADDING_ROWS[name], *((100 * c["mean"], 100 * c["std"]) for c in cases.values())]
        for name, cases in metrics["padding"].items()
    ]
    return tables | {"padding": table(columns, rows)}


def sentence_metrics(rows: dict[str, list[dict]]) -> dict[str, Any]:
    """By classifier: the numbers of each seed, and the test accuracy's mean and deviation."""
    return {
        CLASSIFIERS[name][0]: {key: [run[key] for run in runs] for key in runs[0]}
        | named_mean_std([run["test"] for run in runs], "test")
        for name, runs in rows.items()
    }


def sentence_tables(rows: dict[str, list[dict]], padding: dict[str, float]) -> dict[str, Any]:
    """rows[classifier]: a dict a seed with "parameters", "val" and "test" (per cent)."""
    columns = [
        ("Classifier", "分类器", ""),
        ("Parameters", "参数量", ",d"),
        ("Validation accuracy (%)", "验证准确率（%）", ".1f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
    ]
    body = [
        [
            {"en": name, "zh": CLASSIFIERS[name][1]},
            runs[0]["parameters"],
            *cells(runs, ["val", "test"]),
        ]
        for name, runs in rows.items()
    ]
    lengths = [
        ("Batches of 50", "每批 50 句", ""),
        ("Padding (% of all tokens)", "填充所占比例（%）", ".1f"),
    ]
    names = {
        "longest": {"en": "all as long as the longest sentence", "zh": "都补到最长句子的长度"},
        "shuffled": {"en": "in random order, cut to the batch", "zh": "随机顺序，按批次裁剪"},
        "by_length": {"en": "sorted by length", "zh": "按长度排序"},
    }
    shares = [[names[name], 100 * share] for name, share in padding.items()]
    return {"main": table(columns, body), "padding": table(lengths, shares)}
