"""Writing: greedy, and beam search with a length penalty and the n best lines.

What you learn: a network gives p(next token | line so far); a translation is a whole line. Greedy
takes the likeliest token and never looks back. Beam search keeps the k likeliest beginnings:

    extend each of the k lines by all V tokens -> k V sums of log p -> keep the best k

With k = 1 it is greedy; with k = V^T it is exhaustive search (tests prove both). A line that has
ended is kept beside those that go on. Every token makes a sum smaller, so short lines win unless
the sums are divided by a penalty for their length (Wu et al. 2016, equation 14):

    score = log p(y | x) / lp(y),    lp(y) = ((5 + |y|) / 6)^alpha,    |y| counts <eos>

Both functions take `steps` of kv_cache.py: `step(tokens (B,)) -> logits (B, V)` and `select(rows)`.
B sources, k beams, T tokens written, V words.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Steps(Protocol):
    """A decoder that has read its sources and writes token by token."""

    device: torch.device

    def step(self, tokens: Tensor) -> Tensor: ...

    def select(self, rows: Tensor) -> None: ...


@torch.no_grad()
def greedy(steps: Steps, batch: int, bos: int, eos: int, limit: int, pad: int = 0) -> Tensor:
    """The likeliest token, again and again: ids (B, at most `limit`), padding behind <eos>."""
    written = torch.full((batch, limit), pad, device=steps.device)
    going = torch.arange(batch, device=steps.device)  # the rows that have not ended
    token = torch.full((batch,), bos, device=steps.device)
    for place in range(limit):
        logits = steps.step(token)  # (rows, V)
        logits[:, pad] = -torch.inf  # no word
        token = logits.argmax(-1)  # (rows,)
        written[going, place] = token
        if (stay := token != eos).all():
            continue
        if not stay.any():
            break
        going, token = going[stay], token[stay]  # who has ended costs nothing more
        steps.select(stay.nonzero().squeeze(1))
    return _cut(written, pad)


def length_penalty(lengths: Tensor, alpha: float) -> Tensor:
    """lp = ((5 + |y|) / 6)^alpha, of any shape; 1 for alpha = 0."""
    return ((5 + lengths) / 6) ** alpha


@torch.no_grad()
def beam_search(
    steps: Steps,
    batch: int,
    bos: int,
    eos: int,
    limit: int,
    beams: int = 5,
    alpha: float = 0.6,
    pad: int = 0,
) -> tuple[Tensor, Tensor]:
    """The k lines found for each source, best first: ids (B, k, T), scores (B, k).

    ids have padding behind <eos>; a line cut by `limit` has no <eos>. scores: log p / lp, -inf for
    lines that do not exist (a small vocabulary and many beams).
    """
    lines = torch.full((batch, beams, limit), pad, device=steps.device)
    sums = torch.full((batch, beams), -torch.inf, dtype=torch.float64, device=steps.device)
    sums[:, 0] = 0  # k equal beginnings are one
    ended = torch.zeros(batch, beams, dtype=torch.bool, device=steps.device)
    going = torch.arange(batch, device=steps.device)  # the sources with a line that has not ended
    steps.select(going.repeat_interleave(beams))
    token = torch.full((batch * beams,), bos, device=steps.device)
    for place in range(limit):
        gains = steps.step(token).log_softmax(-1).unflatten(0, (-1, beams))  # (B, k, V)
        over = ended[going]  # (B, k): an ended line has one way on: padding, which costs nothing
        gains[over] = -torch.inf
        gains[..., pad] = torch.where(over, 0.0, -torch.inf)
        gains += sums[going].unsqueeze(-1)
        top, best = gains.flatten(1).topk(beams)  # (B, k) of (B, k V)
        sums[going] = top.double()
        came, token = best // gains.shape[-1], best % gains.shape[-1]  # (B, k) each
        rows = came + beams * torch.arange(len(came), device=came.device)[:, None]  # (B, k)
        lines[going] = lines[going].flatten(0, 1)[rows]
        lines[going, :, place] = token
        ended[going] = over.flatten()[rows] | (token == eos)
        stay = ~ended[going].all(1)  # (B,)
        going = going[stay]
        if not len(going):
            break
        token = token[stay].flatten()  # (B k,)
        steps.select(rows[stay].flatten())
    scores = sums / length_penalty((lines != pad).sum(2).double(), alpha)  # (B, k)
    scores, order = scores.sort(dim=1, descending=True)
    return _cut(lines.gather(1, order.unsqueeze(-1).expand_as(lines)), pad), scores


def _cut(lines: Tensor, pad: int) -> Tensor:
    """Without the columns behind the longest line: (..., limit) -> (..., T)."""
    return lines[..., : int((lines != pad).sum(-1).max())]
