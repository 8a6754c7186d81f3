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

    def step(self, tokens: Tensor) -> Tensor: ...

    def select(self, rows: Tensor) -> None: ...


@torch.no_grad()
def greedy(steps: Steps, batch: int, bos: int, eos: int, limit: int, pad: int = 0) -> Tensor:
    """The likeliest token, again and again: ids (B, at most `limit`), padding behind <eos>."""
    token = torch.full((batch,), bos)
    ended, written = torch.zeros(batch, dtype=torch.bool), []
    while len(written) < limit and not ended.all():
        token = steps.step(token).argmax(-1).masked_fill(ended, pad)  # (B,)
        written.append(token)
        ended = ended | (token == eos)
    return torch.stack(written, dim=1)


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

    ids have padding behind <eos>; a line cut by `limit` has no <eos>. scores: log p / lp.
    """
    lines = torch.empty(batch, beams, 0, dtype=torch.long)
    sums = torch.full((batch, beams), -torch.inf)
    sums[:, 0] = 0  # k equal beginnings are one
    ended = torch.zeros(batch, beams, dtype=torch.bool)
    first = beams * torch.arange(batch)[:, None]  # (B, 1): where each source's rows begin
    steps.select(torch.arange(batch).repeat_interleave(beams))  # (B k,)
    token = torch.full((batch, beams), bos)
    while lines.shape[2] < limit and not ended.all():
        gains = steps.step(token.flatten()).log_softmax(-1)  # (B k, V)
        gains = gains.unflatten(0, (batch, beams))  # (B, k, V)
        gains[ended] = -torch.inf  # an ended line has one way on: padding, which costs nothing
        gains[..., pad] = torch.where(ended, 0.0, -torch.inf)
        sums, best = (sums.unsqueeze(-1) + gains).flatten(1).topk(beams)  # (B, k) of (B, k V)
        came, token = best // gains.shape[-1], best % gains.shape[-1]  # (B, k) each
        lines = torch.stack([line[beam] for line, beam in zip(lines, came, strict=True)])
        lines = torch.cat([lines, token.unsqueeze(-1)], dim=2)  # (B, k, T)
        ended = ended.gather(1, came) | (token == eos)
        steps.select((first + came).flatten())
    scores = sums / length_penalty((lines != pad).sum(2), alpha)  # (B, k)
    scores, order = scores.sort(dim=1, descending=True)
    return lines.gather(1, order.unsqueeze(-1).expand_as(lines)), scores
