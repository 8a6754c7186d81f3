"""What exp_heads.py and exp_explanation.py load: trained translators, and lines to ask them about.

model, task, checkpoint = load_number_translator(path, "additive")
lines = some_lines(task, "test", per_length=40, lengths=range(1, 5))
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_06_rnn_lstm_seq.experiments.batching import padded
from chapter_06_rnn_lstm_seq.experiments.translation import Task
from chapter_07_attention_mechanism.experiments.translation.task import load_looking, shipped_task
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils.errors import UserError
from utils.modes import evaluating

BATCH = 120
# Of the training, where the checkpoint does not say: a best.pth of a run folder.
DEFAULTS = {"most": 6, "quick": False}


@dataclass(frozen=True)
class Lines:
    """Lines as ids, the numbers in each, and the ids of the comma in both languages."""

    sources: list[list[int]]
    targets: list[list[int]]  # between <bos> and <eos>
    counts: list[int]
    commas: tuple[int, int]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(source (B, S), target (B, T + 1)), padded with 0, in the order of the lines."""
        for start in range(0, len(self.sources), BATCH):
            rows = slice(start, start + BATCH)
            yield padded(self.sources[rows])[0], padded(self.targets[rows])[0]


def load_number_translator(
    path: str | Path, attention: str
) -> tuple[Seq2SeqAttention, Task, dict[str, Any]]:
    """UserError: no checkpoint of number lists, or one with another kind of attention."""
    model, task, checkpoint = load_looking(path)
    checkpoint.setdefault("options", DEFAULTS)
    found = checkpoint["architecture"]["attention"]
    if found != attention or not str(checkpoint["dataset"]).startswith("numbers"):
        raise UserError(
            f"{path} has {found} attention, trained on {checkpoint['dataset']}; this script asks a "
            f"network of train_translation.py --attention {attention} about number lists."
        )
    return model.eval(), shipped_task(task, checkpoint), checkpoint


def some_lines(task: Task, part: str, per_length: int, lengths: Collection[int]) -> Lines:
    """The first lines of each of these lengths (in numbers); UserError: there are none."""
    counts = getattr(task.data.counts, part)
    rows = []
    for length in lengths:
        rows += [row for row, count in enumerate(counts) if count == length][:per_length]
    if not rows:
        raise UserError(f"the {part} part has no lines of {sorted(lengths)} numbers.")
    pairs = getattr(task.data, part)
    sources, targets = task.encoded([pairs[row] for row in rows])
    commas = tuple(side.encode(",")[0] for side in (task.source, task.target))
    return Lines(sources, targets, [counts[row] for row in rows], commas)


@torch.no_grad()
def right_lines(model: nn.Module, lines: Lines) -> np.ndarray:
    """Which lines would be written without a mistake, (N,) bool.

    Until the first mistake teacher forcing and greedy decoding see the same: so one call with the
    truth fed in tells it.
    """
    found = []
    with evaluating(model):
        for source, target in lines.batches():
            truth = target[:, 1:]  # (B, T)
            said = model(source, target[:, :-1]).argmax(-1)  # (B, T)
            found.append(((said == truth) | (truth == 0)).all(1))
    return torch.cat(found).numpy()


def right_percent(right: np.ndarray, lines: Lines) -> list[float]:
    """The share of right lines of each length, in per cent."""
    counts = np.array(lines.counts)
    return [100 * float(right[counts == count].mean()) for count in sorted(set(lines.counts))]
