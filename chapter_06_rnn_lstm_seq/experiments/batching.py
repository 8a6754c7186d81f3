"""Batches of texts: rows of similar length together, so that little of a batch is padding.

    tokens, lengths = padded([[5, 3], [2, 7, 1, 1]])        # (2, 4), (2,)
    train = ByLength(tokens, lengths, labels, batch_size=64, shuffle=True, seed=0)

The first two tensors are tokens (N, T) and lengths (N,). A batch is cut to its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chapter_03_optimization_regularization.training import Batches
from chapter_06_rnn_lstm_seq.variable_length import pad_sequence
from utils.seed import generator

POOL = 50  # batches that are sorted together: all of them would make every epoch nearly the same


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Lists of ids -> (tokens (N, T) with 0 behind each row, lengths (N,))."""
    tokens = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)  # (N, T)
    return tokens, torch.tensor([len(row) for row in rows])


def trimmed(batch: tuple[Tensor, ...], _: torch.Generator | None = None) -> tuple[Tensor, ...]:
    """The batch without the columns that are padding in all rows: (B, T) -> (B, longest)."""
    tokens, lengths, *rest = batch
    return tokens[:, : int(lengths.max())], lengths, *rest


class ByLength(Batches):
    """Batches whose rows have nearly the same length, in an order that depends on (seed, epoch).

    With `shuffle`: shuffle all rows, sort each pool of 50 batches by length, shuffle the batches.
    """

    def __init__(self, *tensors: Tensor, batch_size: int, shuffle: bool = False, seed: int = 0):
        super().__init__(
            *tensors, batch_size=batch_size, shuffle=shuffle, seed=seed, transform=trimmed
        )

    def _order(self, epoch: int) -> Tensor:
        order, lengths = super()._order(epoch), self.tensors[1]
        if not self.shuffle:
            return torch.argsort(lengths, stable=True)
        pools = order.split(POOL * self.batch_size)
        order = torch.cat([pool[torch.argsort(lengths[pool], stable=True)] for pool in pools])
        batches = list(order.split(self.batch_size))
        last = [batches.pop()] if len(batches[-1]) < self.batch_size else []  # it stays last
        mixed = generator((self.seed * 1_000_003 + epoch) % 2**63)
        batches = [batches[i] for i in torch.randperm(len(batches), generator=mixed)]
        return torch.cat(batches + last)  # (N,)


def padding_share(batches: Batches) -> float:
    """Which part of the tokens of an epoch is padding, 0 to 1."""
    real = total = 0
    for batch in batches.epoch(0):
        tokens, lengths = batch[:2]
        real, total = real + int(lengths.sum()), total + tokens.numel()
    return 1 - real / total
