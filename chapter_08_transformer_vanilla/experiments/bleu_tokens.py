"""One set of lines, several BLEUs: the number depends on how lines are cut into tokens.

Three German lines as a translator might write them; the mistakes stand beside hyphens, quotation
marks and capitals, where the tokenizers of sacreBLEU differ.
"""

from __future__ import annotations

from typing import Any

from utils.results import table

REFERENCES = [
    "Ein Mann im T-Shirt sagt: „Komm, wir gehen!“",
    "Die 3-jährige Anna fährt (langsam) über den Markt.",
    "Zwei Hunde laufen am Strand, einer bellt.",
]
LINES = [
    "Ein Mann im T-shirt sagt: „Komm, wir gehen!”",
    "Die 3 jährige Anna fährt (langsam) über den Platz.",
    "Zwei hunde laufen am Strand, einer bellt.",
]
WAYS: dict[str, dict[str, Any]] = {
    "none": {"tokenize": "none"},
    "13a": {"tokenize": "13a"},
    "13a, lowercase": {"tokenize": "13a", "lowercase": True},
    "intl": {"tokenize": "intl"},
    "char": {"tokenize": "char"},
}
NAMES = {
    "none": ("at spaces alone (`none`)", "只按空格（`none`）"),
    "13a": ("`13a`, sacreBLEU's default", "`13a`，sacreBLEU 的默认值"),
    "13a, lowercase": ("`13a`, all letters small", "`13a`，全部小写"),
    "intl": ("`intl`: every sign of Unicode alone", "`intl`：Unicode 标点各自独立"),
    "char": ("`char`: every letter a token", "`char`：每个字符一个词元"),
}


def measure(seed: int = 0) -> dict[str, dict[str, Any]]:
    """BLEU and tokens of the references, by the way to cut."""
    from sacrebleu.metrics import BLEU

    found = {}
    for name, options in WAYS.items():
        score = BLEU(**options).corpus_score(LINES, [REFERENCES])
        found[name] = {"bleu": score.score, "tokens": score.ref_len}
    return found


def collect(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    values = [row["bleu"] for row in found.values()]
    return {"ways": found, "range": max(values) - min(values)}


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Cut", "切分方式", "s"),
        ("Tokens of the references", "参考译文的词元数", "d"),
        ("BLEU", "BLEU", ".1f"),
    ]
    rows = [
        [dict(zip(("en", "zh"), NAMES[name], strict=True)), row["tokens"], row["bleu"]]
        for name, row in metrics["ways"].items()
    ]
    return {"main": table(columns, rows)}
