"""The n-gram rows beside the network's: the same characters, the same text, no training steps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from chapter_06_rnn_lstm_seq.ngram import KneserNey, fit_orders
from chapter_06_rnn_lstm_seq.tokenizer import CharTokenizer, Tokenizer
from utils.datasets.text import TextData
from utils.results import table
from utils.threads import language_model_row

ORDERS = (1, 2, 5)
TRIED = range(3, 9)
NAMES = {
    1: {"en": "unigram", "zh": "一元（unigram）"},
    2: {"en": "bigram", "zh": "二元（bigram）"},
}


def ngram_rows(
    data: TextData,
    orders: Iterable[int] = ORDERS,
    tokenizer: Tokenizer | None = None,
    modified: bool = False,
    sample_length: int = 0,
) -> list[dict[str, Any]]:
    """A row an order: bits per token on the whole validation part, after counting the training one.

    Without a tokenizer the tokens are the characters of both parts. A row has `name` (in both
    languages), `order`, `bits_per_token`, `bits_per_character`, `ngrams` (how many are stored),
    `seconds` (of one core) and `sample` (text of `sample_length` tokens, drawn with seed 0).
    """
    tokenizer = tokenizer or CharTokenizer.train([data.train, data.val])
    train, val = tokenizer.encode(data.train), tokenizer.encode(data.val)
    rows = []
    for order in orders:
        start = time.process_time()
        model = KneserNey(order, tokenizer.vocab_size, modified).fit(train)
        bits = model.bits_per_token(val)
        seconds = time.process_time() - start
        ids = model.generate(sample_length, val[:1], torch.Generator().manual_seed(0))
        rows.append({
            "name": name_of(order, modified), "order": order, "bits_per_token": bits,
            "bits_per_character": bits * len(val) / len(data.val), "ngrams": model.size,
            "seconds": seconds, "sample": tokenizer.decode(ids),
        })  # fmt: skip
    return rows


def name_of(order: int, modified: bool = False) -> dict[str, str]:
    if order in NAMES:
        return NAMES[order]
    en, zh = ("modified ", "修正的 ") if modified else ("", "")
    return {"en": f"{order}-gram, {en}Kneser-Ney", "zh": f"{order} 元，{zh}Kneser-Ney"}


def best_order(
    data: TextData,
    orders: Sequence[int] = TRIED,
    tokenizer: Tokenizer | None = None,
    modified: bool = False,
) -> int:
    """The order with the fewest bits on the last tenth of the *training* part."""
    tokenizer = tokenizer or CharTokenizer.train([data.train, data.val])
    inner = data.inner()
    train, val = tokenizer.encode(inner.train), tokenizer.encode(inner.val)
    models = fit_orders(train, orders, tokenizer.vocab_size, modified)
    return min(models, key=lambda model: model.bits_per_token(val)).order


def strongest_row(data: TextData, tokenizer: Tokenizer | None = None) -> dict[str, Any]:
    """The best that counting does here: modified Kneser-Ney, its order chosen by `best_order`."""
    order = best_order(data, tokenizer=tokenizer, modified=True)
    return ngram_rows(data, [order], tokenizer, modified=True)[0]


def metrics_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Bits per character by order; the last row is the strongest."""
    *shorter, strongest = rows
    metrics = {f"bits_{row['order']}gram": row["bits_per_character"] for row in shorter}
    metrics["strongest_order"] = strongest["order"]
    return metrics | {"bits_strongest": strongest["bits_per_character"]}


def tables(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The n-gram models alone."""
    columns = [
        ("Model", "模型", None),
        ("N-grams stored", "存储的 n 元组", ",d"),
        ("Bits per character", "每字符比特数", ".3f"),
    ]
    cells = [[row["name"], row["ngrams"], row["bits_per_character"]] for row in rows]
    return {"main": table(columns, cells)}


def thread_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `ngram_rows` on tiny_shakespeare as one of the table through chapters 6 to 10."""
    return language_model_row(
        row["name"],
        chapter=6,
        parameters=row["ngrams"],
        nats=[row["bits_per_character"] * math.log(2)],
        seeds=[0],  # counting has no randomness
        tokens_per_second=None,
        cache_bytes_per_token=0,
        context="window",
        minutes=row["seconds"] / 60,
        cores=1,
    )
