"""The control of exp_explanation.py: a translator whose weights are all alike and stay so.

Wiegreffe and Pinter 2019 (Attention is not not explanation): where a network with frozen uniform
weights does the task as well, the learned ones explain nothing. So a small translator is trained
twice, all else alike: with additive scores, and with scores that are 0 everywhere, whose softmax
is uniform. It is a small task (numbers below 1,000, one to three in a line), to fit into minutes.
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


def train_one(task: Task, frozen: bool, seed: int, epochs: int) -> Seq2SeqAttention:
    torch.manual_seed(seed)
    sizes = (task.source.vocab_size, task.target.vocab_size)
    model = Seq2SeqAttention(*sizes, "additive", EMBED, HIDDEN, joint=task.joint)
    if frozen:
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
        label=f"seed {seed}, {'uniform' if frozen else 'learned'} weights",
    )
    return model


def measure_control(seeds: Sequence[int], epochs: int) -> dict[str, Any]:
    """Lines right by their numbers, (mean, deviation) over the seeds, in per cent."""
    task = load_task("numbers", "en", "de", "bpe", **DATA)
    lines = some_lines(task, "test", DATA["held_out"], range(1, DATA["most"] + 1))
    found: dict[str, list[list[float]]] = {"learned": [], "uniform": []}
    for seed in seeds:
        for name, rows in found.items():
            model = train_one(task, name == "uniform", seed, epochs)
            rows.append(right_percent(right_lines(model, lines), lines))
    means = {name: [mean_std(column) for column in zip(*rows, strict=True)]
             for name, rows in found.items()}  # fmt: skip
    return means | {"lengths": sorted(set(lines.counts)), "epochs": epochs, "seeds": len(seeds)}
