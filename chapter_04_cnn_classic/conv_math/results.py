"""Tables of demo_conv_math.py, for its JSON and the READMEs."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_04_cnn_classic.conv_math.equivariance import SHIFTS
from chapter_04_cnn_classic.conv_math.figures import LAYERS
from utils.results import table

LAWS = {
    "commutative": ("commutative: a ∘ b = b ∘ a", "交换律：a ∘ b = b ∘ a"),
    "associative": (
        "associative: (a ∘ b) ∘ c = a ∘ (b ∘ c)",
        "结合律：(a ∘ b) ∘ c = a ∘ (b ∘ c)",
    ),
    "mixed": ("(a ∘ b) ∘ c = a ∘ (b ∗ c)", "(a ∘ b) ∘ c = a ∘ (b ∗ c)"),
    "flip": ("turning the kernel changes nothing", "核旋转 180° 结果不变"),
    "flip_symmetric": ("the same for a symmetric kernel", "同上，对称核"),
}
YES, NO = {"en": "yes", "zh": "是"}, {"en": "no", "zh": "否"}


def bilingual(pair: tuple[str, str]) -> dict[str, str]:
    return {"en": pair[0], "zh": pair[1]}


def result_tables(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "main": equivariance_table(metrics["equivariance"]),
        "laws": laws_table(metrics["laws"]),
        "kernels": kernels_table(metrics["kernels"]),
        "border": border_table(metrics["border"]),
        "cost": cost_table(metrics["cost"]),
        "rates": rates_table(metrics["cost"]),
        "fft": fft_table(metrics["fft"]),
    }


def laws_table(laws: dict[str, dict[str, float]]) -> dict[str, Any]:
    columns = [
        ("Law", "性质", "s"),
        ("Convolution ∗: relative difference", "卷积 ∗：相对差", ".1e"),
        ("Correlation ⋆: relative difference", "互相关 ⋆：相对差", ".1e"),
    ]
    rows = [
        [bilingual(names), laws["convolution"][key], laws["correlation"][key]]
        for key, names in LAWS.items()
    ]
    return table(columns, rows)


def kernels_table(kernels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [
        ("Kernel", "卷积核", "s"),
        ("Side", "边长", "d"),
        ("Sum of weights", "权重之和", ".0f"),
        ("Symmetric under 180°", "旋转 180° 不变", "s"),
        ("Rank", "秩", "d"),
        ("Multiply-adds per pixel, 2-D", "每像素乘加次数，二维", "d"),
        ("Multiply-adds per pixel, 1-D passes", "每像素乘加次数，一维分解", "d"),
    ]
    rows = [
        [
            k["name"],
            k["side"],
            abs(round(k["sum"])),
            YES if k["symmetric"] else NO,
            k["rank"],
            k["side"] ** 2,
            2 * k["side"] * k["rank"],
        ]
        for k in kernels.values()
    ]
    return table(columns, rows)


def equivariance_table(errors: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [("Layer", "层", "s")]
    columns += [(f"Shift {s}", f"平移 {s}", ".3f") for s in SHIFTS[1:]]
    rows = [
        [bilingual(LAYERS[name]), *(e["mean"][s] for s in SHIFTS[1:])] for name, e in errors.items()
    ]
    return table(columns, rows)


def border_table(border: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [
        ("Layers 3 × 3, zero padding", "3 × 3 零填充卷积层数", "d"),
        ("Columns that differ", "有差异的列数", "d"),
        ("of", "总列数", "d"),
        ("Error", "误差", ".3f"),
        ("Largest difference elsewhere", "其余位置的最大差", ".0f"),
    ]
    rows = [
        [b["depth"], b["broken_columns"], b["columns"], b["error"], b["outside"]]
        for b in border.values()
    ]
    return table(columns, rows)


def cost_table(cost: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [
        ("k", "k", "d"),
        ("C", "C", "d"),
        ("Full: 10⁶ multiply-adds", "完整卷积：10⁶ 次乘加", ".0f"),
        ("Full (ms)", "完整卷积（ms）", ".2f"),
        ("k × 1, 1 × k: fewer (times)", "k × 1、1 × k：乘加减少（倍）", ".1f"),
        ("faster (times)", "实测加速（倍）", ".1f"),
        ("Depthwise + 1 × 1: fewer (times)", "逐通道 + 1 × 1：乘加减少（倍）", ".1f"),
        ("Depthwise + 1 × 1: faster (times)", "逐通道 + 1 × 1：实测加速（倍）", ".1f"),
    ]
    columns[5] = ("k × 1, 1 × k: faster (times)", "k × 1、1 × k：实测加速（倍）", ".1f")
    rows = [
        [
            row["kernel"],
            row["channels"],
            row["mmacs"]["full"],
            row["ms"]["full"],
            row["mac_ratio"]["separable"],
            row["speedup"]["separable"],
            row["mac_ratio"]["depthwise_pointwise"],
            row["speedup"]["depthwise_pointwise"],
        ]
        for row in cost.values()
    ]
    return table(columns, rows)


def rates_table(cost: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [("k", "k", "d"), ("C", "C", "d")]
    names = {
        "full": ("Full", "完整卷积"),
        "pointwise": ("1 × 1", "1 × 1"),
        "depthwise": ("Depthwise", "逐通道"),
    }
    for english, chinese in names.values():
        columns += [
            (f"{english}: multiply-adds per byte", f"{chinese}：每字节乘加", ".1f"),
            (f"{english}: 10⁹ per second", f"{chinese}：每秒 10⁹ 次", ".1f"),
        ]
    rows = []
    for row in cost.values():
        cells = [(row["macs_per_byte"][form], row["gmacs_per_s"][form]) for form in names]
        rows.append([row["kernel"], row["channels"], *np.array(cells).flatten()])
    return table(columns, rows)


def fft_table(fft: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [("Kernel side", "核边长", "d")]
    for row in fft.values():
        c = row["channels"]
        columns += [
            (f"Direct (ms), {c} to {c} channels", f"直接计算（ms），{c} 到 {c} 通道", ".2f"),
            (f"FFT (ms), {c} to {c} channels", f"FFT（ms），{c} 到 {c} 通道", ".2f"),
        ]
    sides = next(iter(fft.values()))["kernels"]
    rows = []
    for index, side in enumerate(sides):
        times = [(row["direct_ms"][index], row["fft_ms"][index]) for row in fft.values()]
        rows.append([side, *np.array(times).flatten()])
    return table(columns, rows)
