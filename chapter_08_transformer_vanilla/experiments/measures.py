"""How good the lines of a Transformer are: lists and letters line by line, sentences by BLEU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from chapter_06_rnn_lstm_seq.experiments.translation import Task, scores, translate
from chapter_08_transformer_vanilla.experiments.bleu import bootstrap, paired_bootstrap
from chapter_08_transformer_vanilla.experiments.writing import writer
from chapter_08_transformer_vanilla.transformer import TranslationTransformer

BATCH = 200
BEAMS = 5
WAYS = {"greedy": 1, "beam": BEAMS, "average": BEAMS}  # beams of each way of writing


def exact_by_count(model: TranslationTransformer, task: Task) -> dict[str, dict[str, float]]:
    """By numbers or letters in a test line: lines all right (%), how many, tokens to write."""
    pairs, counts = task.data.test, task.data.counts.test
    _, targets = task.encoded(pairs)
    limit = 2 * max(map(len, targets))
    lines = translate(model, task, [s for s, _ in pairs], BATCH, limit, writer(model))
    found: dict[int, list[tuple[bool, int]]] = {}
    for line, (_, truth), target, count in zip(lines, pairs, targets, counts, strict=True):
        found.setdefault(count, []).append((line == truth, len(target) - 1))
    found = {str(count): found[count] for count in sorted(found)}
    return {
        "exact_percent": {k: 100 * sum(r for r, _ in v) / len(v) for k, v in found.items()},
        "lines": {k: len(v) for k, v in found.items()},
        "tokens": {k: sum(n for _, n in v) / len(v) for k, v in found.items()},
    }


def bleu(
    model: TranslationTransformer, task: Task, beams: int, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """sacreBLEU's BLEU and chrF of the pairs' sources, the signature, and the lines written."""
    sources, references = zip(*pairs, strict=True)
    batch = BATCH if beams == 1 else BATCH // beams
    lines = translate(model, task, sources, batch, 100, writer(model, beams))
    return {**scores(lines, references), "written": lines}


def ways_to_write(
    model: nn.Module, task: Task, averaged: Callable[[], nn.Module] | None, only: str = ""
) -> dict[str, Any]:
    """The test part written greedily, by beam search and, where `averaged` gives that network, by
    beam search with averaged weights: scores with their 95 % intervals, what each way adds to the
    one before it on the same draws of lines, and five examples. only: this way alone.
    """
    pairs = task.data.test
    references = [reference for _, reference in pairs]
    ways: dict[str, Any] = {}
    gains: dict[str, Any] = {}
    before: list[str] = []
    for way, beams in WAYS.items():
        if (only and way != only) or (way == "average" and averaged is None):
            continue
        found = bleu(averaged() if way == "average" else model, task, beams, pairs)
        lines = found.pop("written")
        ways[way] = found | {"interval": bootstrap(lines, references)}
        if before:
            gains[way] = paired_bootstrap(lines, before, references)
        before = lines
    examples = [[*pair, line] for pair, line in zip(pairs[:5], before, strict=False)]
    return {"ways": ways, "gains": gains, "examples": examples}
