"""Numbers and tables of exp_double_descent.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.results import named_mean_std, table


def series(metrics: dict[str, Any], share: str, ridge: str, key: str) -> np.ndarray:
    """(widths,) or (widths, draws) of one quantity."""
    return np.array([row[share][ridge][key] for row in metrics["rows"]])


def name_of(share: str) -> str:
    return f"{share.removeprefix('wrong_')} % wrong labels"


def summary(metrics: dict[str, Any]) -> dict[str, Any]:
    """Test error in per cent at the places the text speaks about; by share of wrong labels."""
    ratios, result = np.array(metrics["ratios"]), {}
    for share in metrics["shares"]:
        plain, ridge = (series(metrics, share, k, "test_error") for k in ("none", "ridge"))
        narrow = int(plain[ratios < 1].mean(axis=1).argmin())
        peak = int(np.flatnonzero(ratios == 1)[0])
        places = {
            "narrow": plain[narrow], "peak": plain[peak], "widest": plain[-1],
            "peak_ridge": ridge[peak], "widest_ridge": ridge[-1],
        }  # fmt: skip
        row: dict[str, float] = {"narrow_ratio": float(ratios[narrow])}
        for name, values in places.items():
            row |= named_mean_std(values, name)
        row["ridge_largest_rise"] = float(np.diff(ridge.mean(axis=1)).max())
        heavy = metrics["rows"][int(np.flatnonzero(ratios == 0.85)[0])][share]["none"]
        row |= {"spike_variance": heavy["variance"], "spike_largest_draw": heavy["largest_draw"]}
        row["peak_largest_draw"] = metrics["rows"][peak][share]["none"]["largest_draw"]
        norms = series(metrics, share, "none", "norm").mean(axis=1)
        row |= {"peak_norm": float(norms[peak]), "widest_norm": float(norms[-1])}
        for part in ("bias", "variance"):
            values = series(metrics, share, "none", part)
            row |= {f"peak_{part}": float(values[peak]), f"widest_{part}": float(values[-1])}
        result[share] = row
    return result


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    return {"main": error_table(metrics), "parts": parts_table(metrics)}


def error_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """The two minima, the peak between them, and ridge, in per cent."""
    columns = [("Wrong labels", "错误标签", "s")]
    columns += [
        ("Best with P < N (%)", "P < N 时最低（%）", ".1f"),
        ("at P / N", "对应 P / N", "g"),
        ("At P = N (%)", "P = N 时（%）", ".1f"),
        ("At P = 20 N (%)", "P = 20 N 时（%）", ".1f"),
        ("At P = N, best ridge (%)", "P = N，最优岭（%）", ".1f"),
        ("At P = 20 N, best ridge (%)", "P = 20 N，最优岭（%）", ".1f"),
    ]
    rows = []
    for share in metrics["shares"]:
        row = metrics["summary"][share]
        keys = ("peak", "widest", "peak_ridge", "widest_ridge")
        cells = [(row[f"{k}_mean"], row[f"{k}_std"]) for k in keys]
        first = [(row["narrow_mean"], row["narrow_std"]), row["narrow_ratio"]]
        rows.append([f"{share.removeprefix('wrong_')} %", *first, *cells])
    return table(columns, rows)


def parts_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """Bias and variance at a few widths, for the largest share of wrong labels."""
    columns = [("P / N", "P / N", "g"), ("Bias²", "偏差²", ".3f"), ("Variance", "方差", ".3f")]
    columns += [("Noise", "噪声", ".3f"), ("Error", "误差", ".3f")]
    columns += [("Norm of A", "A 的范数", ".1f"), ("Error, best ridge", "误差，最优岭", ".3f")]
    rows = []
    for ratio, row in zip(metrics["ratios"], metrics["rows"], strict=True):
        if ratio in (0.1, 0.5, 0.95, 1.0, 1.2, 2, 5, 20):
            plain, ridge = (row[metrics["shares"][-1]][k] for k in ("none", "ridge"))
            cells = [plain[k] for k in ("bias", "variance", "noise", "error")]
            rows.append([ratio, *cells, np.mean(plain["norm"]), ridge["error"]])
    return table(columns, rows)
