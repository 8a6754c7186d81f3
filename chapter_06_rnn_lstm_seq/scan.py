"""A linear recurrence in log T rounds instead of T: the scan, and its backward pass.

What you learn: the LSTM's cell line c_t = f_t * c_{t-1} + i_t * g_t is a linear recurrence,

    h_t = a_t * h_{t-1} + b_t                      (elementwise; h before the first step is h0)

A step is the map h -> a h + b. Two steps one after the other are a map of the same kind,

    (a, b) then (c, d)   =   (c a, c b + d)

and this `combine` is associative: steps may be grouped in any way, so also in parallel. What it
needs is that a and b are known beforehand. In an LSTM they depend on h_{t-1}, which forbids it;
where the gates look at the input alone (Martin & Cundy 2018), a sequence is one scan. Chapter 9
builds its linear attention on this file's idea.

    scan_loop          T combines, one after the other: least work, greatest depth
    scan_doubling      log T rounds, T log T combines       (Hillis & Steele 1986)
    scan_tree          2 log T rounds, fewer than 2 T combines   (Blelloch 1990)
    scan_log           positive a and b, in logarithms: two cumulative sums   (Heinsen 2023)
    linear_scan        scan_tree with its own backward pass, which is a scan from the end

All take a, b (B, T, ...) and return h (B, T, ...), for any T >= 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Step = tuple[Tensor, Tensor]  # the map h -> a h + b, for many places in time at once
Combine = Callable[[Step, Step], Step]


def combine(first: Step, then: Step) -> Step:
    """The one map that does `first`, then `then`: c (a h + b) + d = (c a) h + (c b + d)."""
    (a, b), (c, d) = first, then
    return c * a, c * b + d


def with_start(a: Tensor, b: Tensor, h0: Tensor | None) -> Tensor:
    """b with the start put into its first step: a_1 h0 + b_1. h0 (B, ...); None is zero."""
    if a.shape != b.shape or a.dim() < 2 or a.shape[1] == 0:
        raise ValueError(
            f"a and b must both be (B, T, ...) with T of 1 or more, not {tuple(a.shape)} "
            f"and {tuple(b.shape)}"
        )
    if h0 is None:
        return b
    return torch.cat([(a[:, 0] * h0 + b[:, 0])[:, None], b[:, 1:]], dim=1)  # (B, T, ...)


def scan_loop(a: Tensor, b: Tensor, h0: Tensor | None = None) -> Tensor:
    """The recurrence as it is written. a, b (B, T, ...) -> every h_t, (B, T, ...)."""
    steps = zip(a.unbind(1), with_start(a, b, h0).unbind(1), strict=True)  # T times (B, ...)
    _, h = next(steps)
    states = [h]
    for a_t, b_t in steps:  # a[:, t] would cost a gradient as large as all of a, T times
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, dim=1)  # (B, T, ...)


def scan_doubling(
    a: Tensor, b: Tensor, h0: Tensor | None = None, combine: Combine = combine
) -> Tensor:
    """After round k every place holds the map of its last 2^k steps. (Hillis & Steele 1986)"""
    b = with_start(a, b, h0)
    reach = 1
    while reach < a.shape[1]:
        new_a, new_b = combine(
            (a[:, :-reach], b[:, :-reach]), (a[:, reach:], b[:, reach:])
        )  # (B, T - reach, ...)
        a = torch.cat([a[:, :reach], new_a], dim=1)  # (B, T, ...)
        b = torch.cat([b[:, :reach], new_b], dim=1)
        reach *= 2
    return b


def scan_tree(a: Tensor, b: Tensor, h0: Tensor | None = None, combine: Combine = combine) -> Tensor:
    """Pair up, scan the half as long sequence of pairs, fill in between. (Blelloch 1990)"""
    return _tree(a, with_start(a, b, h0), combine)


def _tree(a: Tensor, b: Tensor, combine: Combine) -> Tensor:
    length = a.shape[1]
    if length == 1:
        return b
    pairs = length // 2
    first = a[:, 0 : 2 * pairs : 2], b[:, 0 : 2 * pairs : 2]  # (B, T // 2, ...)
    then = a[:, 1::2], b[:, 1::2]
    after_pairs = _tree(*combine(first, then), combine)  # h at 1, 3, 5, ...
    h = torch.empty_like(b)
    h[:, 1::2], h[:, :1] = after_pairs, b[:, :1]
    if length > 2:  # the places 2, 4, ... are one step behind a pair
        before = torch.zeros_like(after_pairs), after_pairs  # the map to h, whatever came before
        left = tuple(part[:, : (length - 1) // 2] for part in before)
        h[:, 2::2] = combine(left, (a[:, 2::2], b[:, 2::2]))[1]
    return h


def scan_log(log_a: Tensor, log_b: Tensor) -> Tensor:
    """log h for a, b > 0 from their logarithms; a product of many small a does not underflow.

    With A_t = log a_1 + ... + log a_t: h_t = e^{A_t} (b_1 e^{-A_1} + ... + b_t e^{-A_t}).
    """
    sums = log_a.cumsum(dim=1)  # A, (B, T, ...)
    return sums + torch.logcumsumexp(log_b - sums, dim=1)


class _LinearScan(torch.autograd.Function):
    """h = scan(a, b). Keeps a and h alone; autograd through the tree would keep all its levels."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        h = scan_tree(a, b)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """g_t = grad_t + a_{t+1} g_{t+1}: the same recurrence, from the end to the beginning."""
        a, h = ctx.saved_tensors
        later = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], dim=1)  # a_{t+1}, (B, T, ...)
        g = scan_tree(later.flip(1), grad.flip(1)).flip(1)  # dL / dh_t over all ways
        before = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], dim=1)  # h_{t-1}
        return g * before, g


def linear_scan(a: Tensor, b: Tensor, h0: Tensor | None = None) -> Tensor:
    """The recurrence by `scan_tree`, with 2 log T rounds backward as well. (B, T, ...)"""
    return _LinearScan.apply(a, with_start(a, b, h0))


def work_and_depth(scan: Callable[..., Tensor], length: int) -> tuple[int, int]:
    """(combines, rounds) that `scan` makes for this length, counted while it runs."""
    rounds: list[int] = []

    def counted(first: Step, then: Step) -> Step:
        rounds.append(then[0].shape[1])
        return combine(first, then)

    ones = torch.ones(1, length)
    scan(ones, ones, combine=counted)
    return sum(rounds), len(rounds)
