"""Three habits of training Transformers: batches by tokens, a warm-up, an average of the last.

What you learn: the loop is chapter 3's `fit`; label smoothing is chapter 3's, too. New are

    TokenBatches          as many lines as a number of tokens allows, all of nearly one length
    NoamLR                up in a line for W steps, then down as 1 / sqrt(step)
    average_checkpoints   the mean of the weights of the last epochs: less noise, no more training

A batch of lines is a rectangle as long as its longest line, so short lines beside long ones are
padding, and a fixed number of lines is a small batch of short lines and a huge one of long lines.
Vaswani et al. 2017, sections 5 and 6.1, trained with all three. N lines, S and T their longest
source and target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from chapter_03_optimization_regularization.schedulers.base import HasGroups, Scheduler
from chapter_03_optimization_regularization.training import Batches
from chapter_06_rnn_lstm_seq.variable_length import pad_sequence
from utils.checkpoint import load_checkpoint
from utils.seed import generator

MULTIPLE = 8  # lines in a batch: 2, 4 or 8 processes share it evenly


class TokenBatches(Batches):
    """Pairs (source (B, S), target (B, T)) of one length, at most `tokens` with their padding.

    sources, targets: lists of ids. tokens: of a whole batch, both sides. Lines are sorted by the
    longer of their two sides; lines of one length come in a new order each epoch, and so do the
    batches, both by (seed, epoch) alone. ValueError: a line that does not fit into a batch.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        tokens: int,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.tokens = tokens
        longer = [max(len(s), len(t)) for s, t in zip(sources, targets, strict=True)]
        self.lengths = torch.tensor(longer)  # (N,)
        self.bounds = self._bounds(sorted(longer))
        rows = [pad_sequence([torch.tensor(ids) for ids in side], True) for side in
                (sources, targets)]  # fmt: skip
        largest = max(end - start for start, end in self.bounds)
        super().__init__(*rows, batch_size=largest, shuffle=shuffle, seed=seed)

    def _bounds(self, lengths: list[int]) -> list[tuple[int, int]]:
        """Where each batch begins and ends in the sorted lines: the same in every epoch."""
        bounds, start = [], 0
        while start < len(lengths):
            end = start
            while end < len(lengths) and 2 * lengths[end] * (end + 1 - start) <= self.tokens:
                end += 1
            if end == start:
                raise ValueError(f"a line of {lengths[end]} tokens in batches of {self.tokens}")
            if end < len(lengths) and end - start > MULTIPLE:
                end -= (end - start) % MULTIPLE
            bounds.append((start, end))
            start = end
        return bounds

    def __len__(self) -> int:
        return len(self.bounds)

    def epoch(
        self, number: int, start: int = 0, rank: int = 0, world: int = 1, even: bool = True
    ) -> Iterator[tuple[Tensor, ...]]:
        """The batches of epoch `number` from batch `start` on; of several processes one's share."""
        random = generator((self.seed * 1_000_003 + number) % 2**63)
        order = torch.arange(len(self.lengths))
        batches = self.bounds
        if self.shuffle:
            order = torch.randperm(len(self.lengths), generator=random)  # (N,)
            mixed = torch.randperm(len(self.bounds), generator=random)
            batches = [self.bounds[i] for i in mixed]
        order = order[torch.argsort(self.lengths[order], stable=True)]  # ties stay mixed
        for first, end in batches[start:]:
            rows = order[first:end]  # (B,)
            last = len(rows) // world * world if even else len(rows)
            rows = rows[rank:last:world]
            if len(rows):
                yield tuple(without_padding(side[rows]) for side in self.tensors)


def without_padding(ids: Tensor) -> Tensor:
    """Without the columns that are padding in every row: (B, T) -> (B, longest)."""
    return ids[:, : int((ids != 0).sum(1).max())]


class NoamLR(Scheduler):
    """lr = peak min(t / W, sqrt(W / t)), t = 1, 2, ... (Vaswani et al. 2017, equation 3).

    The paper's D^-0.5 min(t^-0.5, t W^-1.5) has its peak, (D W)^-0.5, at step W = `warmup_steps`.
    Here the peak is the optimizer's own rate, so that it can be chosen.
    """

    def __init__(self, optimizer: HasGroups, warmup_steps: int, last_epoch: int = -1) -> None:
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps must be at least 1, not {warmup_steps}")
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def lr_at(self, base_lr: float, step: int) -> float:
        t = step + 1
        return base_lr * min(t / self.warmup_steps, (self.warmup_steps / t) ** 0.5)


def average_checkpoints(paths: Sequence[str | Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints of one network: {name: tensor}.

    Whole numbers, such as counters, come from the last one. ValueError without a path.
    """
    if not paths:
        raise ValueError("there is no checkpoint to average")
    states = [load_checkpoint(path)["state"] for path in paths]
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if last.is_floating_point()
        else last
        for name, last in states[-1].items()
    }
