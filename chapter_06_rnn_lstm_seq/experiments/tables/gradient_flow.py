"""Numbers and tables of exp_gradient_flow.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_06_rnn_lstm_seq.experiments.clipping import BASELINE
from utils.results import mean_std, named_mean_std, table

NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
Runs = list[dict[str, Any]]


def flow_numbers(curves: list[list[float]], limit: float, cell: str) -> dict[str, Any]:
    """Of one start: decimal logarithms of the norm at some distances, and the factor of a step.

    curves (seeds, T + 1). The bound sigma_max(W_hh)^k holds for the RNN alone.
    """
    logs = np.log10(np.array(curves))  # (seeds, T + 1)
    last = logs.shape[1] - 1
    at = {str(k): mean_std(logs[:, k]) for k in (last // 5, last)}
    factor = float(10 ** (logs[:, -1].mean() / last))
    return {"log10": at, "factor": factor, "bound": limit if cell == "rnn" else None}


def collect(
    flows: dict[str, dict[str, Any]], trained: dict[str, Runs], cut: dict, clipped: dict
) -> dict[str, Any]:
    metrics: dict[str, Any] = {"flow": {}, "truncation": cut, "clipping": {}, "trained": {}}
    for cell, starts in flows.items():
        metrics["flow"][cell] = {
            value.replace(".", "_"): flow_numbers(curves, limit, cell)  # no dot in a marker's path
            for value, (curves, limit) in starts.items()
        }
    for cell, runs in trained.items():
        metrics["trained"][cell] = {
            "solved": sum(run["solved"] for run in runs),
            "seeds": len(runs),
            "steps": max(run["steps"] for run in runs),
            "before": mean_std(np.log10([run["before"][-1] for run in runs])),
            "after": mean_std(np.log10([run["after"][-1] for run in runs])),
        }
    for name, runs in clipped.items():
        metrics["clipping"][name] = clip_numbers(runs)
    return metrics


def clip_numbers(runs: Runs) -> dict[str, Any]:
    """Final loss of those that reached the end, how many did not, and the largest gradient."""
    final = [float(np.mean(run["losses"][-20:])) for run in runs if not run["diverged"]]
    facts = {"rate": runs[0]["rate"], "clip": runs[0]["clip"], "seeds": len(runs)}
    facts["diverged"] = sum(run["diverged"] for run in runs)
    facts["largest_gradient"] = max(max(run["lengths"]) for run in runs)
    return facts | (named_mean_std(final, "loss") if final else {"loss_mean": None})


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "main": flow_table(metrics["flow"]),
        "trained": trained_table(metrics["trained"]),
        "truncation": truncation_table(metrics["truncation"]),
        "clipping": clipping_table(metrics["clipping"]),
    }


def start_name(cell: str, value: str) -> dict[str, str]:
    if value == "default":
        return {"en": "PyTorch's start", "zh": "PyTorch 的默认初始化"}
    value = value.replace("_", ".")
    if cell == "rnn":
        return {"en": f"radius {value}", "zh": f"半径 {value}"}
    return {"en": f"gate bias {value}", "zh": f"门偏置 {value}"}


def flow_table(flow: dict[str, dict[str, Any]]) -> dict[str, Any]:
    distances = list(next(iter(next(iter(flow.values())).values()))["log10"])
    columns = [
        ("Cell", "单元", "s"),
        ("Start", "初始化", "s"),
        ("Bound of a step", "每步的上界", ".2f"),
    ]
    columns += [(f"log10, {k} steps", f"log10，{k} 步", ".1f") for k in distances]
    columns += [("Factor a step", "每步的倍数", ".3f")]
    rows = [
        [NAMES[cell], start_name(cell, value), "–" if row["bound"] is None else row["bound"],
         *row["log10"].values(), row["factor"]]
        for cell, starts in flow.items() for value, row in starts.items()
    ]  # fmt: skip
    return table(columns, rows)


def trained_table(trained: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Cell", "单元", "s"),
        ("log10 before training", "训练前 log10", ".1f"),
        ("log10 after", "训练后 log10", ".1f"),
        ("Seeds solved", "解出的种子数", "s"),
        ("Most steps", "最多步数", ".0f"),
    ]
    rows = [
        [
            NAMES[cell],
            row["before"],
            row["after"],
            f"{row['solved']} / {row['seeds']}",
            row["steps"],
        ]
        for cell, row in trained.items()
    ]
    return table(columns, rows)


def truncation_table(cut: dict[str, Any]) -> dict[str, Any]:
    """Relative errors by k, a row a network."""
    columns = [("Network", "网络", "s")]
    columns += [(f"k = {k}", f"k = {k}", ".2f") for k in cut["k"]]
    names = {"rnn": {"en": "RNN, radius", "zh": "RNN，半径"}}
    names["lstm"] = {"en": "LSTM, forget bias", "zh": "LSTM，遗忘门偏置"}
    rows = []
    for row in cut["networks"].values():
        name = {lang: f"{words} {row['value']:g}" for lang, words in names[row["cell"]].items()}
        rows.append([name, *row["error"]])
    return table(columns, rows)


def clipping_table(clipped: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Learning rate", "学习率", ".2g"),
        ("Clipped at", "裁剪阈值", "s"),
        ("Diverged", "发散", "s"),
        ("Largest norm of a gradient", "最大梯度范数", ".1e"),
        ("Squared error at the end", "结束时的平方误差", ".3f"),
    ]
    rows = []
    for row in clipped.values():
        clip = "–" if row["clip"] is None else f"{row['clip']:g}"
        final = (row["loss_mean"], row["loss_std"]) if row["loss_mean"] is not None else "–"
        share = f"{row['diverged']} / {row['seeds']}"
        rows.append([row["rate"], clip, share, row["largest_gradient"], final])
    rows.append([{"en": "always answering 0", "zh": "总是回答 0"}, "–", "–", "–", BASELINE])
    return table(columns, rows)
