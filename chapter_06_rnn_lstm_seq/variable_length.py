"""Sequences of different lengths in one batch: padding, masks, packed sequences.

What you learn: three sequences of lengths 4, 2, 1 padded to a (T, B) = (4, 3) table,

    t   A B C                      packed: only what is there, time step by time step
    0   a b c                      data        = a b c  a b  a  a        (N, ...) with N = 4 + 2 + 1
    1   a b .                      batch_sizes = 3      2    1  1
    2   a . .
    3   a . .                      A padded table costs T B steps of work, a packed one N.

The sequences stand in descending order of length, so those that are still going on at a time step
are always the first rows: step t works on rows 0 .. batch_sizes[t]. No mask is needed inside the
recurrence, and no padding ever touches a state. The functions have the signatures and the results
of torch.nn.utils.rnn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PackedSequence(NamedTuple):
    """The fields of torch.nn.utils.rnn.PackedSequence.

    data: (N, ...), N = sum of all lengths. batch_sizes: (T,) int64 on the CPU. sorted_indices:
    (B,), the row of the caller's batch that stands at each place; unsorted_indices: its inverse.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


def checked_lengths(lengths: Tensor | Sequence[int]) -> Tensor:
    """(B,) int64 on the CPU; ValueError for an empty batch and for a length below 1."""
    lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
    if lengths.numel() == 0:
        raise ValueError("there are no sequences: `lengths` is empty")
    if (wrong := (lengths < 1).nonzero()).numel():
        row = int(wrong[0])
        raise ValueError(
            f"sequence {row} has length {int(lengths[row])}: every sequence needs a step or more; "
            "leave empty ones out of the batch"
        )
    return lengths


def length_mask(lengths: Tensor | Sequence[int], total_length: int | None = None) -> Tensor:
    """(B, T) bool, True where there is a real step. total_length: T, else the longest length."""
    lengths = checked_lengths(lengths)
    steps = torch.arange(int(lengths.max()) if total_length is None else total_length)
    return steps < lengths.unsqueeze(1)  # (T,) < (B, 1) -> (B, T)


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0
) -> Tensor:
    """Sequences (T_b, ...) -> (T, B, ...), or (B, T, ...) with `batch_first`."""
    lengths = checked_lengths([len(sequence) for sequence in sequences])
    longest = int(lengths.max())
    shape = (len(sequences), longest, *sequences[0].shape[1:])
    padded = sequences[0].new_full(shape, padding_value)  # (B, T, ...)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = sequence
    return padded if batch_first else padded.transpose(0, 1)


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """(T, B, ...) and the B lengths -> the real steps only, time step by time step.

    enforce_sorted: the lengths must already descend; otherwise the rows are sorted here and
    `unsorted_indices` leads back. Raises ValueError for a length below 1 or above T.
    """
    lengths = checked_lengths(lengths)
    padded = input.transpose(0, 1) if batch_first else input  # (T, B, ...)
    if len(lengths) != padded.shape[1]:
        raise ValueError(f"there are {padded.shape[1]} sequences, but {len(lengths)} lengths")
    if int(lengths.max()) > len(padded):
        raise ValueError(f"a length of {int(lengths.max())} in a table of {len(padded)} steps")
    order = None
    if not enforce_sorted:
        lengths, order = torch.sort(lengths, descending=True)
        padded = padded[:, order.to(padded.device)]
    elif (lengths[1:] > lengths[:-1]).any():
        raise ValueError(
            "the lengths must descend; sort the batch, or pass enforce_sorted=False to have it done"
        )
    mask = length_mask(lengths).T  # (T, B): row t begins with batch_sizes[t] times True
    data = padded[: len(mask)][mask.to(padded.device)]  # (N, ...), in the order of time
    if order is None:
        return PackedSequence(data, mask.sum(1))
    order = order.to(data.device)
    return PackedSequence(data, mask.sum(1), order, torch.argsort(order))


def packed_lengths(batch_sizes: Tensor) -> Tensor:
    """(B,) the lengths, descending: sequence b takes part in every step of more than b rows."""
    rows = torch.arange(int(batch_sizes[0]))
    return (batch_sizes.unsqueeze(1) > rows).sum(0)  # (T, B) -> (B,)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The reverse: -> ((T, B, ...), (B,) lengths), rows in the order of the caller's batch.

    total_length: pad to this many steps, e.g. the same on all processes; ValueError if too short.
    """
    lengths = packed_lengths(sequence.batch_sizes)
    steps = len(sequence.batch_sizes) if total_length is None else total_length
    if steps < len(sequence.batch_sizes):
        raise ValueError(
            f"total_length {steps} is below the longest length {len(sequence.batch_sizes)}"
        )
    mask = length_mask(lengths, steps).T.to(sequence.data.device)  # (T, B)
    padded = sequence.data.new_full((*mask.shape, *sequence.data.shape[1:]), padding_value)
    padded[mask] = sequence.data  # (T, B, ...)
    if sequence.unsorted_indices is not None:
        padded = padded[:, sequence.unsorted_indices]
        lengths = lengths[sequence.unsorted_indices.cpu()]
    return (padded.transpose(0, 1) if batch_first else padded), lengths
