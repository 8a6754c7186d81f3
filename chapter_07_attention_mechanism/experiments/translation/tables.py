"""Means over seeds and the tables of train_translation.py.

Rows are what `run.once` logged, one a network and seed; from a resumed run they come out of a file.
"""

from __future__ import annotations

from typing import Any

from chapter_07_attention_mechanism.alignment import argmax_path, entropy
from chapter_07_attention_mechanism.experiments.translation.looks import Looks
from utils.results import mean_std, named_mean_std, table
from utils.threads import translation_row

Rows = list[dict[str, Any]]
NAMES = {
    "none": {"en": "none: one vector", "zh": "无：一个向量"},
    "additive": {"en": "additive (Bahdanau)", "zh": "加性（Bahdanau）"},
    "luong": {"en": "general (Luong)", "zh": "general（Luong）"},
    "multihead": {"en": "multi-head", "zh": "多头"},
}


def numbers_metrics(rows: Rows, trained: int) -> dict[str, Any]:
    """By kind of attention: lines right by numbers in the line, (mean, deviation) in per cent."""
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(row["attention"] for row in rows):
        mine = [row for row in rows if row["attention"] == kind]
        exact = {k: mean_std(row["exact_percent"][k] for row in mine) for k in exact_of(mine)}
        kinds[kind] = {"exact_percent": exact, "parameters": mine[0]["parameters"]}
        kinds[kind]["seeds"] = len(mine)
        for name in ("minutes", "seconds"):
            kinds[kind] |= named_mean_std([row[name] for row in mine], name)
        for name in mine[0]["crossings"]:
            kinds[kind][name] = mean_std(row["crossings"][name] for row in mine)
    first = rows[0]
    return {
        "kinds": kinds,
        "trained": trained,
        "lines": first["lines"],
        "tokens": first["tokens"],
        "lookup_percent": 0.0,
    }


def cell(row: dict[str, Any], value: tuple[float, float]) -> Any:
    """(mean, deviation); of one seed the number."""
    return value if row["seeds"] > 1 else value[0]


def exact_of(rows: Rows) -> list[str]:
    return list(rows[0]["exact_percent"])


def numbers_tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """main: lines right by length, a column a network. networks: what they cost, what crosses."""
    kinds, trained = metrics["kinds"], metrics["trained"]
    columns = [
        ("Numbers in the line", "每行数字个数", "s"),
        ("Tokens to write", "需写出的词元数", ".0f"),
        *((NAMES[kind]["en"], NAMES[kind]["zh"], ".1f") for kind in kinds),
    ]
    never = {"en": "{} (never trained)", "zh": "{}（未训练过）"}
    rows = [
        [
            k if int(k) <= trained else {lang: text.format(k) for lang, text in never.items()},
            tokens,
            *(cell(row, row["exact_percent"][k]) for row in kinds.values()),
        ]
        for k, tokens in metrics["tokens"].items()
    ]
    titles = [
        ("Attention", "注意力", "s"),
        ("Parameters", "参数量", ",d"),
        ("Minutes of one core", "单核分钟数", ".1f"),
        ("Units crossing tens (%)", "个位与十位交叉（%）", ".1f"),
        ("Other neighbours crossing (%)", "其他相邻词元交叉（%）", ".1f"),
    ]
    none = {"en": "-", "zh": "-"}
    costs = [
        [NAMES[kind], row["parameters"], row["minutes_mean"]]
        + [cell(row, row[name]) if name in row else none for name in ("units", "control")]
        for kind, row in kinds.items()
    ]
    return {"main": table(columns, rows), "networks": table(titles, costs)}


def looks_table(looks: Looks) -> dict[str, Any]:
    """Each written token, the place it looked at most, with what weight, and the spread in nats."""
    columns = [
        ("Written", "写出", "s"),
        ("Looks most at", "最关注", "s"),
        ("Place", "位置", "d"),
        ("Weight", "权重", ".2f"),
        ("Entropy (nats)", "熵（奈特）", ".2f"),
    ]
    weights, path = looks.mean, argmax_path(looks.mean)  # (T, S), (T,)
    rows = [
        [f"`{token}`", f"`{looks.read[s]}`", s, float(weights[t, s]), float(spread)]
        for t, (token, s, spread) in enumerate(
            zip(looks.written, path.tolist(), entropy(weights), strict=True)
        )
    ]
    return table(columns, rows)


def sentences_metrics(rows: Rows) -> dict[str, Any]:
    """By kind of attention: BLEU and chrF, greedily and by beam search."""
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(row["attention"] for row in rows):
        mine = [row for row in rows if row["attention"] == kind]
        kinds[kind] = {"parameters": mine[0]["parameters"], "examples": mine[0]["examples"]}
        kinds[kind]["seeds"] = len(mine)
        for name in ("bleu", "chrf", "beam_bleu", "beam_chrf", "minutes"):
            kinds[kind][name] = mean_std(row[name] for row in mine)
    return {"kinds": kinds, "signature": rows[0]["signature"], "beams": rows[0]["beams"]}


def sentences_tables(metrics: dict[str, Any]) -> dict[str, Any]:
    beams = metrics["beams"]
    columns = [
        ("Attention", "注意力", "s"),
        ("Parameters", "参数量", ",d"),
        ("BLEU, greedy", "BLEU，贪心", ".2f"),
        (f"BLEU, beam {beams}", f"BLEU，束宽 {beams}", ".2f"),
        (f"chrF, beam {beams}", f"chrF，束宽 {beams}", ".2f"),
        ("Minutes of one core", "单核分钟数", ".0f"),
    ]
    keys = ("bleu", "beam_bleu", "beam_chrf")
    rows = [
        [NAMES[kind], row["parameters"], *(cell(row, row[k]) for k in keys), row["minutes"][0]]
        for kind, row in metrics["kinds"].items()
    ]
    return {"main": table(columns, rows)}


def thread_row(rows: Rows, seeds: list[int], epochs: int | None = None) -> dict[str, Any]:
    """A row of the table of translation, by beam search; minutes of processor time, one core.

    epochs: of a training of another length than the usual one.
    """
    name, beams = NAMES[rows[0]["attention"]], rows[0]["beams"]
    en, zh = (f", {epochs} epochs", f"，{epochs} 轮") if epochs else ("", "")
    return translation_row(
        {
            "en": f"GRU, attention {name['en']}, beam {beams}{en}",
            "zh": f"GRU，注意力 {name['zh']}，束宽 {beams}{zh}",
        },
        chapter=7,
        parameters=rows[0]["parameters"],
        bleu=[row["beam_bleu"] for row in rows],
        chrf=[row["beam_chrf"] for row in rows],
        signature=rows[0]["signature"],
        seeds=seeds,
        minutes=sum(row["minutes"] for row in rows) / len(rows),
        cores=1,
    )
