"""Numbers and tables of exp_long_memory.py."""

from __future__ import annotations

from typing import Any

from chapter_06_rnn_lstm_seq.experiments.adding import BASELINE, keeping, time_constant
from utils.results import mean_std, named_mean_std, table

NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
Runs = list[dict[str, Any]]


def collect(rows: dict[str, Runs], length: int) -> dict[str, Any]:
    """By row, "lstm_4": solved seeds, steps of those, error on fresh sequences."""
    result: dict[str, Any] = {"length": length, "baseline": BASELINE, "rows": {}}
    for key, runs in rows.items():
        solved = [run["steps"] for run in runs if run["solved"]]
        result["rows"][key] = {
            "cell": runs[0]["cell"],
            "bias": runs[0]["bias"],
            "rate": runs[0]["rate"],
            "solved": len(solved),
            "seeds": len(runs),
            "most_steps": max(run["steps"] for run in runs),
            "steps_when_solved": solved,
            "worst_mse": max(run["mse"] for run in runs),
            "cpu_seconds": max(run["cpu_seconds"] for run in runs),
            "curves": [run["curve"] for run in runs],
        } | named_mean_std([run["mse"] for run in runs], "mse")
    result["most_steps_to_solve"] = max(
        (max(row["steps_when_solved"], default=0) for row in result["rows"].values()), default=0
    )
    return result


def constant_of(bias: Any, length: int) -> str:
    """The time constant of the gate in steps, as the table shows it."""
    if bias is None:
        return "–"
    return f"1 ... {length}" if bias == "chrono" else f"{time_constant(keeping(bias)):.1f}"


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Cell", "单元", "s"),
        ("Gate bias", "门偏置", "s"),
        ("Keeps 1/e after (steps)", "保留 1/e 的步数", "s"),
        ("Learning rate", "学习率", ".3g"),
        ("Seeds solved", "解出的种子数", "s"),
        ("Steps to solve", "解出所需步数", ".0f"),
        ("Squared error", "平方误差", ".4f"),
    ]
    body = []
    for row in metrics["rows"].values():
        steps = mean_std(row["steps_when_solved"]) if row["steps_when_solved"] else "–"
        bias = "–" if row["bias"] is None else str(row["bias"])
        constant, seeds = constant_of(row["bias"], metrics["length"]), row["seeds"]
        share, mse = f"{row['solved']} / {seeds}", (row["mse_mean"], row["mse_std"])
        body.append([NAMES[row["cell"]], bias, constant, row["rate"], share, steps, mse])
    always_one = {"en": "always answering 1", "zh": "总是回答 1"}
    body.append([always_one, "–", "–", "–", "–", "–", metrics["baseline"]])
    return {"main": table(columns, body)}
