"""The block `thread`: one table of all chapters' rows for the same work (see utils.threads).

A row is a file results/thread_<thread>_<key>.json of a chapter. Rows stand in the order of the
chapters, inside a chapter from the worst score to the best: so a reader sees the field advance.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course.document import BlockError, Document
from course.tables import markdown_table, show
from utils.threads import DATASETS

Row = dict[str, Any]
# A column: title in English and Chinese, key of the row, format.
SHARED = [("Chapter", "章", "chapter", "d"), ("Model", "模型", "model", "s"),
          ("Parameters", "参数量", "parameters", ",d")]  # fmt: skip
TIME = [("Minutes", "分钟", "minutes", ".2g"), ("Cores", "核数", "cores", "d"),
        ("Seeds", "种子数", "seeds", "d")]  # fmt: skip
COLUMNS = {
    "language_models": [
        *SHARED,
        ("Bits per character", "每字符比特数", "bits_per_character", ".3f"),
        ("Nats per character", "每字符奈特数", "nats", ".3f"),
        ("Context", "上下文", "context", "s"),
        ("Tokens/s", "词元/秒", "tokens_per_second", ",.0f"),
        ("Cache bytes per token", "每词元缓存字节数", "cache_bytes_per_token", ",.0f"),
        *TIME,
    ],
    "translation": [
        *SHARED,
        ("BLEU", "BLEU", "bleu", ".2f"),
        ("chrF", "chrF", "chrf", ".2f"),
        *TIME,
    ],
}
SCORES = {"language_models": ("bits_per_character", -1), "translation": ("bleu", 1)}  # 1: high best
CONTEXTS = {
    "carried": {"en": "carried", "zh": "状态延续"},
    "sliding": {"en": "sliding", "zh": "滑动窗口"},
    "window": {"en": "window", "zh": "固定窗口"},
}


def thread(document: Document, spec: str) -> str:
    """`thread:language_models` or `thread:translation`: the rows of all chapters, and the terms."""
    if spec not in COLUMNS:
        raise BlockError(f"there is no thread '{spec}'; there are: {', '.join(COLUMNS)}.")
    rows = read_rows(document.root, spec)
    if not rows:
        return document.choose("No chapter has published a row yet.", "还没有任何一章发布结果。")
    header = [document.choose(en, zh) for en, zh, _, _ in COLUMNS[spec]]
    cells = [[_cell(document, row, key, form) for _, _, key, form in COLUMNS[spec]] for row in rows]
    align = "".join("l" if form == "s" else "r" for _, _, _, form in COLUMNS[spec])
    return f"{markdown_table(header, cells, align)}\n\n*{_caption(document, spec, rows)}*"


def read_rows(root: Path, name: str) -> list[Row]:
    """All published rows of a thread in the order in which they are shown."""
    found = []
    for file in sorted(root.glob(f"chapter_*/results/thread_{name}_*.json")):
        row, where = _read(file), file.relative_to(root).as_posix()
        missing = [key for _, _, key, _ in COLUMNS[name] if key not in row]
        if missing:
            raise BlockError(f"{where} lacks {', '.join(missing)}: utils.threads makes rows.")
        if not file.parent.parent.name.startswith(f"chapter_{row['chapter']:02}_"):
            raise BlockError(f"{where} says that it is of chapter {row['chapter']}.")
        if row["dataset"] != DATASETS[name]:
            raise BlockError(f"{where} is of {row['dataset']}, the table of {DATASETS[name]}.")
        found.append(row)
    key, sign = SCORES[name]
    return sorted(found, key=lambda row: (row["chapter"], sign * row[key][0]))


def _read(file: Path) -> Row:
    try:
        return json.loads(file.read_text(encoding="utf-8"))["metrics"]
    except (ValueError, KeyError):
        raise BlockError(f"{file.parent.parent.name}: {file.name} is no published row.") from None


def _cell(document: Document, row: Row, key: str, form: str) -> str:
    value = row[key]
    if key == "seeds":
        return str(len(value))
    if key == "context":
        value = CONTEXTS[value]
    if isinstance(value, list) and len(row["seeds"]) == 1:
        value = value[0]  # one seed has no spread
    return show(value, form, document.language)


def _caption(document: Document, name: str, rows: Sequence[Row]) -> str:
    if name == "language_models":
        return document.choose(
            "tiny-shakespeare; trained on its first 90 %, measured on the whole last 10 %. Mean ± "
            "standard deviation over the seeds. Minutes: of one training, by the speed measured "
            "before it. Context: the state carried over the whole text, a sliding window, or a "
            "fixed number of characters. Cache: by how much the memory of generation grows with "
            "each token.",
            "tiny-shakespeare：用前 90 % 训练，在后 10 % 的全部文本上测量。"
            "数值为各种子的均值 ± 标准差。"
            "分钟数是一次训练的用时，按训练前测得的速度计算。"
            "上下文：状态在整篇文本上延续、滑动窗口，或固定个数的字符。"
            "缓存：生成时每多一个词元，内存增加多少。",
        )
    signatures = sorted({row["signature"] for row in rows})
    if len(signatures) > 1:
        raise BlockError(f"scores of different signatures do not compare: {signatures}.")
    return document.choose(
        "Multi30k, English to German, test_2016_flickr. Mean ± standard deviation over the seeds. "
        f"Minutes are those of one training. sacreBLEU: `{signatures[0]}`.",
        "Multi30k，英译德，test_2016_flickr。数值为各种子的均值 ± 标准差。"
        f"分钟数是一次训练的用时。sacreBLEU 签名：`{signatures[0]}`。",
    )
