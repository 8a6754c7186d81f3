"""Alignment: what a table of attention weights says about which word belongs to which.

What you learn: weights (T, S) have a row for each written token, a column for each read one. Four
numbers describe them:

    argmax_path   the place each step looks at most, (T,)
    entropy       how far a look is spread, in nats: 0 for one place, ln S for all alike
    coverage      how much each source place was looked at in all, (S,); a faithful translation
                  looks at every word, a skipped word has a coverage near 0 (Tu et al. 2016)
    crossings     pairs of steps whose places stand the other way round than the steps; a path that
                  goes from left to right has none, a reversal T (T - 1) / 2

Weights may have more axes in front: (..., T, S).
"""

from __future__ import annotations

import torch
from torch import Tensor


def argmax_path(weights: Tensor) -> Tensor:
    """(..., T, S) -> (..., T): the first of the places with the largest weight."""
    return weights.argmax(-1)


def entropy(weights: Tensor) -> Tensor:
    """(..., T, S) -> (..., T), in nats; an empty row has 0."""
    return torch.special.entr(weights).sum(-1)  # entr(p) = -p ln p, and 0 for p = 0


def coverage(weights: Tensor) -> Tensor:
    """(..., T, S) -> (..., S): the sum over the steps."""
    return weights.sum(-2)


def crossings(path: Tensor) -> int:
    """Pairs t < u with path[t] > path[u]: (T,) -> a number, 0 where the path never goes back."""
    if path.ndim != 1:
        raise ValueError(f"a path is (T,), not {tuple(path.shape)}")
    later = torch.ones(len(path), len(path), device=path.device).triu(1).bool()  # (T, T): t < u
    return int((later & (path[:, None] > path[None, :])).sum())
