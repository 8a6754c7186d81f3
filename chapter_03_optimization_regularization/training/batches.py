"""Mini-batches of data that fits in memory, in an order that can be repeated from its number.

What you learn: to resume a training exactly, the data must come in the same order again. A shuffle
drawn from a global generator depends on everything drawn before it. Here the order is a function,

    order = permutation(seed, epoch)          batch k of the epoch = rows order[k B : (k + 1) B]

so "epoch 3, batch 17" says all there is to know, and a resumed run starts there at once. Random
augmentation follows the same rule: its generator is seeded by (seed, epoch, batch).

In a data-parallel run every process draws the same order and takes its rows r, r + n, r + 2n, ...
of each batch: `batch_size` is that of all processes together, and a run on four processes sees the
same batches as a run on one.

No worker processes: indexing tensors in memory is faster than sending them between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import Any

import torch
from torch import Tensor

from utils.errors import UserError
from utils.seed import generator

Batch = tuple[Tensor, ...]
Transform = Callable[[Batch, torch.Generator], Batch]


class BatchesError(UserError, ValueError):
    """Nothing can be trained or measured on these batches; in a script it ends in one sentence."""


def no_batches(kind: str = "") -> BatchesError:
    """The error for a pass that met nothing. kind: "training ", "validation " or ""."""
    return BatchesError(
        f"there are no {kind}batches: the sequence is empty, or an iterator that an earlier pass "
        "has used up; give Batches, a list or a DataLoader"
    )


def at_least_one(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches; ValueError if there are none. (Without it a loop over nothing does nothing.)"""
    batch = None
    for batch in batches:
        yield batch
    if batch is None:
        raise no_batches()


def check_batches(batches: Iterable[Any], kind: str, passes: int) -> None:
    """ValueError for batches that cannot be passed over so often, before any time is spent."""
    if length_hint(batches, 1) == 0:  # 1: some iterables do not know their length
        raise no_batches(kind)
    if passes > 1 and isinstance(batches, Iterator):
        raise BatchesError(
            f"the {kind}batches are an iterator, which a single pass uses up, but {passes} epochs "
            "are to come; give Batches, a list or a DataLoader"
        )


def count_batches(batches: Any) -> int:
    """Batches in an epoch of the training, which has to know when it ends."""
    try:
        return len(batches)
    except TypeError:
        raise BatchesError(
            f"training batches need a length, and a {type(batches).__name__} has none; give "
            "Batches, a list or a DataLoader"
        ) from None


class Batches:
    """Tensors with one row an example, cut into batches of at most `batch_size` rows.

    tensors: one or more, each (N, ...). `transform(batch, generator)` changes a whole batch, for
    augmentation or mixup. `drop_last` leaves out a smaller last batch.
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        drop_last: bool = False,
    ) -> None:
        lengths = {len(tensor) for tensor in tensors}
        if lengths == {0}:
            raise BatchesError("there are no rows to make batches of")
        if len(lengths) != 1:
            raise ValueError(f"the tensors must have the same number of rows, not {lengths}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.tensors, self.batch_size, self.shuffle = tensors, batch_size, shuffle
        self.seed, self.transform, self.drop_last = seed, transform, drop_last
        if len(self) == 0:
            raise BatchesError(
                f"drop_last leaves no batch of {batch_size} in {len(tensors[0])} rows"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        rows = len(self.tensors[0])
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(
        self, number: int, start: int = 0, rank: int = 0, world: int = 1, even: bool = True
    ) -> Iterator[Batch]:
        """The batches of epoch `number` from batch `start` on; the share of process `rank`.

        `even` trims each batch to a multiple of `world` rows, so that every process has as many:
        the mean of the processes' gradients is then the gradient of the batch. Evaluation counts
        every row instead (`even=False`).
        """
        if even and world > self.batch_size:
            raise BatchesError(f"{world} processes cannot share batches of {self.batch_size} rows")
        order = self._order(number)
        for index in range(start, len(self)):
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]  # (B,)
            batch = tuple(tensor[rows] for tensor in self.tensors)  # each (B, ...)
            if self.transform is not None:
                mixed = (self.seed * 1_000_003 + number) * 1_000_003 + index
                batch = self.transform(batch, generator(mixed % 2**63, batch[0].device))
            if world > 1:
                count = len(rows) // world * world if even else len(rows)
                batch = tuple(part[rank:count:world] for part in batch)  # each (B / world, ...)
                if len(batch[0]) == 0:
                    continue
            yield batch

    def _order(self, epoch: int) -> Tensor:
        """Row numbers (N,) in the order of this epoch, on the data's device."""
        rows = len(self.tensors[0])
        if not self.shuffle:
            return torch.arange(rows, device=self.tensors[0].device)
        mixed = (self.seed * 1_000_003 + epoch) % 2**63
        return torch.randperm(rows, generator=generator(mixed)).to(self.tensors[0].device)
