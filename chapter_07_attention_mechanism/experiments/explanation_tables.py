"""Means over the networks, and the tables of exp_explanation.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chapter_07_attention_mechanism.experiments.interventions import NEAR
from utils.results import cells, over_seeds, table

ROWS = [
    ("permuted", "the weights, permuted", "权重：随机置换"),
    ("uniform", "the weights, all alike", "权重：处处相同"),
    ("no_largest", "the largest weight, set to 0", "权重：最大者置 0"),
    ("looked", "the word looked at most, deleted", "词：删去看得最多的词"),
    ("gradient", "the word of the largest gradient, deleted", "词：删去梯度最大的词"),
    ("best", "the word that matters most, deleted", "词：删去影响最大的词"),
    ("diagonal", "the word at the same relative place, deleted", "词：删去相对位置相同的词"),
    ("random", "a random other word, deleted", "词：随机删去另一个词"),
]


FACTS = [
    ("largest", "largest weight of a step, mean", "一步中的最大权重，平均"),
    ("looked_is_best_percent", "the word looked at most is the one that matters most (%)",
     "看得最多的词就是影响最大的词（%）"),
    ("looked_near_best_percent", "it is the neighbour of that word (%)", "是那个词的邻词（%）"),
    ("gradient_is_best_percent", "the word of the largest gradient matters most (%)",
     "梯度最大的词就是影响最大的词（%）"),
    ("tau_change", "Kendall's tau, weights and changes by deleting",
     "Kendall tau：权重与删词的影响"),
    ("tau_gradient", "Kendall's tau, weights and gradients", "Kendall tau：权重与梯度"),
    ("tau_control", "control: weights and changes by deleting of another step",
     "对照：权重与另一步的删词影响"),
    ("adversary_elsewhere_percent",
     "an adversary looks at another word most and changes the output by 0.05 at most (%)",
     "对抗者改看另一个词而输出变化不超过 0.05（%）"),
    ("adversary_near_percent", "of these, one or two words away (% of all)",
     "其中相隔一两个词（占全部的 %）"),
    ("adversary_bits", "divergence of its weights (bits, 1 at most)",
     "其权重的散度（比特，至多 1）"),
]  # fmt: skip


def collect(found: Sequence[dict[str, float]]) -> dict[str, Any]:
    """(mean, deviation) over the networks of everything, the changes by their name."""
    means = over_seeds(found)
    changes = {
        name: {"change": means.pop(name), "other_percent": means.pop(f"{name}_other_percent")}
        for name, _, _ in ROWS
    }
    near = [means.pop(f"state_change_{distance}") for distance in range(NEAR + 1)]
    return {"changes": changes, "state_change": near, "networks": len(found)} | means


def tables(
    shipped: Sequence[dict[str, float]],
    small: Sequence[dict[str, float]],
    control: dict[str, Any] | None,
) -> dict[str, Any]:
    """main: what changes the output, and how much; map: numbers about the map; control."""
    kinds = [("shipped network", "随附的网络", shipped)]
    kinds += [("small networks", "小网络", small)] if small else []
    columns = [("What is changed", "改变什么", "s")]
    titles = [("About the map", "关于对齐图", "s")]
    for en, zh, _ in kinds:
        columns += [(f"Change of the output: {en}", f"输出的变化：{zh}", ".2f")]
        titles += [(en.capitalize(), zh, ".2f")]

    def rows(wanted: list[tuple[str, str, str]]) -> list[list[Any]]:
        return [
            [{"en": en, "zh": zh}, *(cell for _, _, found in kinds for cell in cells(found, [key]))]
            for key, en, zh in wanted
        ]

    made = {"main": table(columns, rows(ROWS)), "map": table(titles, rows(FACTS))}
    return made | ({"control": control_table(control)} if control else {})


def control_table(control: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Numbers in the line", "每行数字个数", "d"),
        ("Learned weights: lines right (%)", "学习的权重：整行正确（%）", ".1f"),
        ("Uniform weights: lines right (%)", "均匀的权重：整行正确（%）", ".1f"),
    ]
    pairs = zip(control["lengths"], control["additive"], control["uniform"], strict=True)
    several = control["seeds"] > 1
    rows = [[length, *(pair if several else pair[0] for pair in both)] for length, *both in pairs]
    return table(columns, rows)
