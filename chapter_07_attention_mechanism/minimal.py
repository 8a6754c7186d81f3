"""Attention in six steps, from a dictionary to many heads; the changed lines are marked NEW.

What you learn: a dictionary returns the value whose key *equals* the query. Attention returns a
mean of all values, weighted by how *similar* their keys are to the query. Similarity has a
gradient, equality has none: this is a dictionary that can be learnt.

    soft_lookup     a mean of all values by similarity    What if no key fits exactly?
    attention_v2    + all queries in two matrix products  How fast?
    attention_v3    + any score                           Similar in what sense?
    attention_v4    + scaling                             What if keys are wide?
    attention_v5    + a mask                              What must not be seen?
    attention_v6    + heads                               What if two things matter at once?

T queries, S keys and values, d width of queries and keys, v of values. Tests show each version
equal to the one before where both apply, and the last one to `F.scaled_dot_product_attention`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

Vector = Sequence[float]


def exact_lookup(query: Vector, keys: Sequence[Vector], values: Sequence[Vector]) -> Vector:
    """A dictionary: the value of the key that equals the query. KeyError: there is none."""
    for key, value in zip(keys, values, strict=True):
        if key == query:
            return value
    raise KeyError(query)


def soft_lookup(query: Vector, keys: Sequence[Vector], values: Sequence[Vector]) -> list[float]:
    """Every key answers, by its similarity: query (d), keys (S, d), values (S, v) -> (v)."""
    scores = [sum(q * k for q, k in zip(query, key, strict=True)) for key in keys]  # (S)
    exps = [math.exp(score) for score in scores]
    weights = [e / sum(exps) for e in exps]  # (S), positive, of sum 1
    columns = zip(*values, strict=True)  # v of (S)
    return [sum(w * x for w, x in zip(weights, column, strict=True)) for column in columns]


def attention_v2(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """All queries at once: (T, d), (S, d), (S, v) -> (T, v)."""
    scores = query @ keys.T  # NEW: (T, S), every query with every key
    weights = scores.softmax(-1)  # NEW: each row sums to 1
    return weights @ values  # NEW: (T, v)


def dot(query: Tensor, keys: Tensor) -> Tensor:  # NEW
    return query @ keys.T


def attention_v3(
    query: Tensor, keys: Tensor, values: Tensor, score: Callable[[Tensor, Tensor], Tensor] = dot
) -> Tensor:
    """With any score: a small network may judge what is similar (scores.py)."""
    scores = score(query, keys)  # NEW: (T, S)
    weights = scores.softmax(-1)
    return weights @ values  # (T, v)


def scaled_dot(query: Tensor, keys: Tensor) -> Tensor:  # NEW
    """Sums of d products grow like sqrt(d), and the softmax would see little but its largest."""
    return query @ keys.T / math.sqrt(keys.shape[-1])


def attention_v4(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    score: Callable[[Tensor, Tensor], Tensor] = scaled_dot,  # NEW
) -> Tensor:
    """With scaling; exp_scaling.py measures what it is for."""
    scores = score(query, keys)  # (T, S)
    weights = scores.softmax(-1)
    return weights @ values  # (T, v)


def attention_v5(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """With a mask (T, S), True = may look. A row of False alone gives NaN here: see masks.py."""
    scores = scaled_dot(query, keys)  # (T, S)
    if mask is not None:  # NEW
        scores = scores.masked_fill(~mask, -math.inf)  # NEW: before the softmax, exp(-inf) = 0
    weights = scores.softmax(-1)
    return weights @ values  # (T, v)


def attention_v6(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, heads: int = 1
) -> Tensor:
    """With heads: each looks at its own d / h columns. multi_head.py adds the projections."""
    query, keys, values = (
        x.unflatten(-1, (heads, -1)).transpose(0, 1)  # NEW: (h, T or S, d / h)
        for x in (query, keys, values)
    )
    scores = query @ keys.mT / math.sqrt(keys.shape[-1])  # (h, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1)
    return (weights @ values).transpose(0, 1).flatten(1)  # NEW: (T, v), head by head
