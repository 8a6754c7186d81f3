"""Means over seeds and the tables of train.py.

Rows are what `run.once` logged, one a network and seed; from a resumed run they come out of a file.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import chapter_07_attention_mechanism
from utils.file_io_util import read_json
from utils.results import mean_std, table
from utils.threads import translation_row

Rows = list[dict[str, Any]]
KINDS = {
    "sinusoidal": {"en": "sinusoidal", "zh": "正弦"},
    "shifted": {"en": "sinusoidal, shifted", "zh": "正弦，随机起点"},
    "learned": {"en": "learned", "zh": "可学习"},
    "alibi": {"en": "ALiBi", "zh": "ALiBi"},
    "t5": {"en": "T5", "zh": "T5"},
    "none": {"en": "none", "zh": "无"},
}
WAYS = {
    "greedy": {"en": "greedy", "zh": "贪心"},
    "beam": {"en": "beam 5", "zh": "束宽 5"},
    "average": {"en": "beam 5, averaged", "zh": "束宽 5，权重平均"},
}
EARLIER = {  # of chapter 7's result: the kind of attention, and what it is called here
    "none": {"en": "GRU, one vector (6)", "zh": "GRU，一个向量（6）"},
    "additive": {"en": "GRU, additive attention (7)", "zh": "GRU，加性注意力（7）"},
}
OURS = {"en": "Transformer (8)", "zh": "Transformer（8）"}
GAINS = {
    "beam": {"en": "beam 5 over greedy", "zh": "束宽 5 相对贪心"},
    "average": {"en": "averaged weights over the best epoch's", "zh": "平均权重相对最佳轮权重"},
}


def lines_metrics(rows: Rows, trained: int) -> dict[str, Any]:
    """By kind of positions: lines right by their length, (mean, deviation) in per cent."""
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(row["positions"] for row in rows):
        mine = [row for row in rows if row["positions"] == kind]
        counts = mine[0]["exact_percent"]
        kinds[kind] = {
            "exact_percent": {k: mean_std(r["exact_percent"][k] for r in mine) for k in counts},
            "parameters": mine[0]["parameters"],
            "seconds": mean_std(row["seconds"] for row in mine),
            "seeds": len(mine),
        }
    shared = {name: rows[0][name] for name in ("lines", "tokens")}
    return {"kinds": kinds, "trained": trained, **shared}


def earlier_rows() -> dict[str, dict[str, Any]]:
    """Chapter 7's published result on the same lists, by kind of attention."""
    folder = Path(chapter_07_attention_mechanism.__file__).parent / "results"
    return read_json(folder / "translation_numbers.json")["metrics"]["kinds"]


def cell(row: dict[str, Any], value: tuple[float, float]) -> Any:
    """(mean, deviation); of one seed the number."""
    return value if row["seeds"] > 1 else value[0]


def network_name(kind: str, kinds: int) -> dict[str, str]:
    """What a Transformer is called beside the networks of chapters 6 and 7."""
    if kinds == 1:
        return OURS
    return {"en": f"{OURS['en']}, {KINDS[kind]['en']}", "zh": f"{OURS['zh']}，{KINDS[kind]['zh']}"}


def lines_tables(metrics: dict[str, Any], task: str = "") -> dict[str, Any]:
    """main: lines right by length, a column a network; number lists beside chapters 6 and 7."""
    names = [(KINDS[kind], row) for kind, row in metrics["kinds"].items()]
    title = ("Letters in the line", "每行字母个数", "s")
    if task == "numbers":
        title = ("Numbers in the line", "每行数字个数", "s")
        names = [(network_name(kind, len(names)), row) for kind, row in metrics["kinds"].items()]
        earlier = earlier_rows()
        names = [*((name, earlier[kind]) for kind, name in EARLIER.items()), *names]
    columns = [
        title,
        ("Tokens to write", "需写出的词元数", ".0f"),
        *((name["en"], name["zh"], ".1f") for name, _ in names),
    ]
    never = {"en": "{} (never trained)", "zh": "{}（未训练过）"}
    rows = [
        [
            k if int(k) <= metrics["trained"] else {n: t.format(k) for n, t in never.items()},
            tokens,
            *(cell(row, row["exact_percent"][k]) for _, row in names),
        ]
        for k, tokens in metrics["tokens"].items()
    ]
    return {"main": table(columns, rows)}


def minutes_of(curve: Rows) -> float:
    """All epochs at the speed of the fastest: the others may have shared the machine."""
    ends = [0.0, *(epoch["seconds"] for epoch in curve)]
    return min(end - start for start, end in pairwise(ends)) * len(curve) / 60


def sentences_metrics(rows: Rows) -> dict[str, Any]:
    """By way of writing: BLEU and chrF, (mean, deviation) over the seeds."""
    ways = {
        way: {name: mean_std(row["ways"][way][name] for row in rows) for name in ("bleu", "chrf")}
        for way in rows[0]["ways"]
    }
    first = rows[0]
    return {
        "ways": ways,
        "intervals": {way: row["interval"] for way, row in first["ways"].items()},
        "gains": [{"seed": row["seed"], **row["gains"]} for row in rows],
        "seeds": len(rows),
        "signature": first["ways"]["greedy"]["signature"],
        "parameters": first["parameters"],
        "minutes": mean_std(minutes_of(row["curve"]) for row in rows),
        "examples": first["examples"],
    }


def sentences_tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """main: how good the lines are, by way of writing. gains: what each way adds to the one before,
    seed by seed, with the interval over the choice of test lines."""
    interval = ("95 % interval, first seed", "95 % 区间，首个种子", "s")
    columns = [("Written", "写法", "s"), ("BLEU", "BLEU", ".2f"), interval, ("chrF", "chrF", ".2f")]
    rows = [
        [
            WAYS[way], cell(metrics, row["bleu"]), between(metrics["intervals"][way]),
            cell(metrics, row["chrf"]),
        ]
        for way, row in metrics["ways"].items()
    ]  # fmt: skip
    titles = [
        ("Seed", "种子", "d"), ("What is added", "增加的做法", "s"), ("BLEU", "BLEU", "+.2f"),
        ("95 % interval", "95 % 区间", "s"), ("p", "p", ".3f"),
    ]  # fmt: skip
    gains = [
        [row["seed"], GAINS[way], row[way]["difference"], between(row[way]["interval"], "+"),
         row[way]["p"]]
        for row in metrics["gains"]
        for way in GAINS
        if way in row
    ]  # fmt: skip
    return {"main": table(columns, rows), "gains": table(titles, gains)}


def between(interval: tuple[float, float], sign: str = "") -> dict[str, str]:
    """An interval in words."""
    low, high = (f"{value:{sign}.1f}" for value in interval)
    return {"en": f"{low} to {high}", "zh": f"{low} 至 {high}"}


def thread_rows(
    rows: Rows, seeds: list[int], cores: int, epochs: int | None = None
) -> dict[str, dict[str, Any]]:
    """Rows of the table of translation, one a way of writing.

    epochs: of a training of another length than the usual one; then only its last way of writing.
    """
    name = {"en": "Transformer, {}", "zh": "Transformer，{}"}
    if epochs is not None:
        name = {"en": name["en"] + f", {epochs} epochs", "zh": name["zh"] + f"，{epochs} 轮"}
    ways = list(rows[0]["ways"])
    return {
        way: translation_row(
            {lang: text.format(WAYS[way][lang]) for lang, text in name.items()},
            chapter=8,
            parameters=rows[0]["parameters"],
            bleu=[row["ways"][way]["bleu"] for row in rows],
            chrf=[row["ways"][way]["chrf"] for row in rows],
            signature=rows[0]["ways"][way]["signature"],
            seeds=seeds,
            minutes=sum(minutes_of(row["curve"]) for row in rows) / len(rows),
            cores=cores,
        )
        for way in (ways if epochs is None else ways[-1:])
    }
