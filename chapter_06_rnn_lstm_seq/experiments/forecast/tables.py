"""The tables and numbers of train_forecast.py."""

from __future__ import annotations

from typing import Any

from utils.datasets.series import SeriesData
from utils.results import mean_std, table

NAMES = {
    "persistence": ("persistence: as now", "持续性预测：与现在相同"),
    "seasonal": ("seasonal-naive: as one period ago", "季节性朴素预测：与一个周期前相同"),
    "ar": ("autoregression", "自回归"),
    "rnn": ("RNN, free-running", "RNN（自由运行）"),
    "lstm": ("LSTM, free-running", "LSTM（自由运行）"),
    "gru": ("GRU, free-running", "GRU（自由运行）"),
}
UNITS = {"Lyapunov times": "个李雅普诺夫时间", "hours": "小时", "rows": "行"}
Runs = dict[str, list[dict[str, Any]]]


def name_of(key: str, language: str = "en") -> str:
    """A model in words: "mlp_16" is the MLP on a window of 16 rows."""
    if key.startswith("mlp_"):
        window = key.removeprefix("mlp_")
        return f"MLP, window {window}" if language == "en" else f"MLP，窗口 {window}"
    return NAMES[key][language == "zh"]


def summary(runs: Runs) -> dict[str, Any]:
    """{model: {"one_step": [mean, deviation], "over": {mark: [...]}, "valid": [...], ...}}."""
    found = {}
    for key, rows in runs.items():
        marks = rows[0]["over"]
        found[key] = {
            "one_step": mean_std(row["one_step"] for row in rows),
            "over": {mark: mean_std(row["over"][mark] for row in rows) for mark in marks},
            "mse": mean_std(row["mse"] for row in rows),
            "valid": mean_std(row["valid"] for row in rows),
            "parameters": rows[0]["parameters"],
            "seeds": len(rows),
        }
    return found


def tables(runs: Runs, data: SeriesData) -> dict[str, Any]:
    """Errors in deviations of the training part: one step, and a free run over growing parts."""
    unit, zh = data.unit, UNITS[data.unit]
    marks = next(iter(runs.values()))[0]["over"]
    columns = [
        ("Forecast", "预测方法", "s"),
        ("Parameters", "参数个数", "d"),
        ("Error of one step", "单步误差", ".4f"),
        *(
            (f"Free run, 0 to {mark} {unit}", f"自由运行，0 至 {mark} {zh}", ".3f")
            for mark in marks
        ),
    ]
    chaotic = data.name == "lorenz"
    columns += [(f"Valid for ({unit})", f"有效时长（{zh}）", ".2f")] if chaotic else []
    rows = []
    for key, numbers in summary(runs).items():
        several = numbers["seeds"] > 1
        cells = [numbers["one_step"], *numbers["over"].values()]
        cells += [numbers["valid"]] if chaotic else []
        shown = [cell if several else cell[0] for cell in cells]
        name = {"en": name_of(key), "zh": name_of(key, "zh")}
        if "order" in runs[key][0]:
            order = runs[key][0]["order"]
            name = {"en": f"{name['en']} of order {order}", "zh": f"{order} 阶{name['zh']}"}
        rows.append([name, numbers["parameters"], *shown])
    return {"main": table(columns, rows)}
