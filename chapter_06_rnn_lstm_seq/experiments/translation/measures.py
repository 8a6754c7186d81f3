"""How good the lines are that a network writes.

What you learn: fed with the true beginning of a line (teacher forcing) a network says the right
next word nearly always. Fed with its own words it meets, after its first mistake, beginnings that
no training line had (exposure bias; Bengio et al. 2015, Ranzato et al. 2016). Until the first
mistake both ways see the same, so the share of right lines is the same number for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from chapter_06_rnn_lstm_seq.experiments.batching import padded
from chapter_06_rnn_lstm_seq.experiments.translation.task import Task, written_ids
from chapter_06_rnn_lstm_seq.seq2seq import Seq2Seq
from chapter_06_rnn_lstm_seq.tokenizer import EOS
from utils.modes import evaluating

BATCH = 200


def measure_numbers(model: Seq2Seq, task: Task, part: str) -> dict[int, dict[str, float]]:
    """By numbers in the line, in per cent: lines all right, tokens right fed with the truth
    (teacher forcing) and fed with the network's own words, at the same place of the line.
    """
    pairs, counts = getattr(task.data, part), getattr(task.data.counts, part)
    sources, targets = task.encoded(pairs)
    own = {}
    for rows, ids in written_ids(model, task, sources, BATCH, 2 * max(map(len, targets))):
        own |= dict(zip(rows, ids, strict=True))
    forced = forced_ids(model, sources, targets)
    sums: dict[int, list[tuple[float, float, float, int]]] = {}
    for row, target in enumerate(targets):
        truth = target[1:]
        free = [*own[row], task.target.id_of(EOS)]
        same = [
            sum(a == b for a, b in zip(ids, truth, strict=False)) for ids in (forced[row], free)
        ]
        sums.setdefault(counts[row], []).append((free == truth, *same, len(truth)))
    return {count: _percent(rows) for count, rows in sorted(sums.items())}


def _percent(rows: list[tuple[float, float, float, int]]) -> dict[str, float]:
    exact, forced, free, length = (sum(column) for column in zip(*rows, strict=True))
    return {
        "exact_percent": 100 * exact / len(rows),
        "forced_percent": 100 * forced / length,
        "free_percent": 100 * free / length,
        "lines": len(rows),
        "tokens": length / len(rows),
    }


@torch.no_grad()
def forced_ids(model: Seq2Seq, sources: list, targets: list) -> list[list[int]]:
    """The likeliest token behind each true beginning of the target: teacher forcing, row by row."""
    device = next(model.parameters()).device
    said: list[list[int]] = []
    with evaluating(model):
        for start in range(0, len(sources), BATCH):
            rows = slice(start, start + BATCH)
            source, target = (padded(ids[rows])[0].to(device) for ids in (sources, targets))
            best = model(source, target[:, :-1]).argmax(-1).tolist()  # (B, T)
            lengths = [len(target) - 1 for target in targets[rows]]
            said += [line[:length] for line, length in zip(best, lengths, strict=True)]
    return said


def scores(lines: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """sacreBLEU's BLEU (13a, cased) and chrF of whole detokenised lines, and BLEU's signature."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu, chrf = BLEU(tokenize="13a"), CHRF()
    result = {
        "bleu": bleu.corpus_score(lines, [references]).score,
        "chrf": chrf.corpus_score(lines, [references]).score,
    }
    signatures = {"signature": bleu.get_signature(), "chrf_signature": chrf.get_signature()}
    return result | {name: str(value) for name, value in signatures.items()}
