"""How much of a batch is padding, and how even batches are: three ways to make them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from chapter_03_optimization_regularization.training import Batches
from chapter_06_rnn_lstm_seq.experiments.batching import padded
from chapter_06_rnn_lstm_seq.experiments.translation import PairBatches
from chapter_08_transformer_vanilla.experiments.tasks import load_data
from chapter_08_transformer_vanilla.training_recipe import TokenBatches, without_padding
from utils.results import table

LINES, TOKENS = 64, 4_000
NAMES = {
    "mixed": {"en": f"{LINES} lines, lengths mixed", "zh": f"每批 {LINES} 行，长短混合"},
    "sorted": {"en": f"{LINES} lines of like length", "zh": f"每批 {LINES} 行，长度相近"},
    "tokens": {"en": f"at most {TOKENS:,} tokens", "zh": f"至多 {TOKENS:,} 个词元"},
}


def measure(seed: int) -> dict[str, Any]:
    """Of number lists, by way of making batches: padding (%), fewest and most real tokens."""
    task = load_data("numbers", lines=12_000)
    sources, targets = task.encoded(task.data.train)
    ways: dict[str, Batches] = {
        "mixed": Batches(
            padded(sources)[0], padded(targets)[0], batch_size=LINES, shuffle=True, seed=seed,
            transform=lambda batch, _: tuple(map(without_padding, batch)),
        ),
        "sorted": PairBatches(sources, targets, LINES, shuffle=True, seed=seed),
        "tokens": TokenBatches(sources, targets, TOKENS, shuffle=True, seed=seed),
    }  # fmt: skip
    return {name: counted(batches.epoch(0)) for name, batches in ways.items()}


def counted(batches: Iterable[tuple[Tensor, ...]]) -> dict[str, float]:
    """Of an epoch without its last batch, which is what is left."""
    sides = [batch[:2] for batch in batches]
    real = [sum(int((ids != 0).sum()) for ids in batch) for batch in sides]
    full = [sum(ids.numel() for ids in batch) for batch in sides]
    whole = sorted(real)[1:]  # the smallest may be the rest of the lines
    return {
        "padding_percent": 100 * (1 - sum(real) / sum(full)),
        "fewest": whole[0],
        "most": whole[-1],
        "batches": len(real),
    }


def collect(found: dict[str, Any]) -> dict[str, Any]:
    return {"ways": found}


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("A batch is", "一批是", "s"),
        ("Batches", "批数", "d"),
        ("Padding (%)", "填充（%）", ".1f"),
        ("Fewest real tokens", "真实词元最少", "d"),
        ("Most real tokens", "真实词元最多", "d"),
    ]
    rows = [
        [NAMES[name], row["batches"], row["padding_percent"], row["fewest"], row["most"]]
        for name, row in metrics["ways"].items()
    ]
    return {"main": table(columns, rows)}
