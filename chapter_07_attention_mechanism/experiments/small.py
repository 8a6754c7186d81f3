"""Small translators that exp_heads.py and exp_explanation.py train on the spot, several seeds.

The task is small (numbers below 1,000, one to three in a line), so that a training takes seconds.
They say whether what is seen in the shipped network is seen in others, and they are the control of
Wiegreffe and Pinter 2019 (Attention is not not explanation): where a network with frozen uniform
weights does the task as well, the learned ones explain nothing. Such a network is trained like the
others, with scores that are 0 everywhere, whose softmax is uniform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chapter_03_optimization_regularization.schedulers import OneCycleLR
from chapter_03_optimization_regularization.training import fit
from chapter_06_rnn_lstm_seq.experiments.translation import PairBatches, Task, load_task
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_07_attention_mechanism.experiments.number_lines import (
    Lines,
    right_lines,
    right_percent,
    some_lines,
)
from chapter_07_attention_mechanism.scores import Score
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils.results import mean_std

DATA = {"below": 1000, "most": 3, "train": 12_000, "held_out": 300}
EMBED, HIDDEN, BATCH, RATE = 48, 96, 64, 1e-2


class NoScore(Score):
    """0 for every pair: all places are looked at alike."""

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        return query.new_zeros(query.shape[0], query.shape[1], prepared.shape[1])  # (B, T, S)


def small_task() -> Task:
    return load_task("numbers", "en", "de", "bpe", **DATA)


def lines_of(task: Task, part: str) -> Lines:
    """All lines of a part, one to three numbers in each."""
    return some_lines(task, part, DATA["held_out"], range(1, DATA["most"] + 1))


def train_one(task: Task, attention: str, seed: int, epochs: int) -> Seq2SeqAttention:
    """attention: "additive", "multihead", or "uniform": additive with frozen weights."""
    torch.manual_seed(seed)
    sizes = (task.source.vocab_size, task.target.vocab_size)
    kind = "additive" if attention == "uniform" else attention
    model = Seq2SeqAttention(*sizes, kind, EMBED, HIDDEN, joint=task.joint)
    if attention == "uniform":
        model.decoder.look.score = NoScore()
    train = PairBatches(*task.encoded(task.data.train), BATCH, shuffle=True, seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    fit(
        model,
        sequence_loss(),
        optimizer,
        train,
        epochs=epochs,
        scheduler=OneCycleLR(optimizer, max_lr=RATE, total_steps=epochs * len(train)),
        clip_norm=1.0,
        label=f"{attention}, seed {seed}",
    )
    return model.eval()


def measure_control(task: Task, networks: dict[str, Sequence[Seq2SeqAttention]]) -> dict[str, Any]:
    """Lines right by their numbers, (mean, deviation) over the networks of a kind, in per cent."""
    lines = lines_of(task, "test")
    found: dict[str, Any] = {"lengths": sorted(set(lines.counts))}
    for kind, models in networks.items():
        rows = [right_percent(right_lines(model, lines), lines) for model in models]
        found[kind] = [mean_std(column) for column in zip(*rows, strict=True)]
        found["seeds"] = len(models)
    return found
