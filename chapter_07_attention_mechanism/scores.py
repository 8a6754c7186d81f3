"""Scores: how well a query fits a key, in four forms.

What you learn: attention compares what the decoder wants (a query q) with what each source position
offers (a key k), and there are two families of comparing:

    dot         q . k                        no weights; q and k must have one size
    scaled dot  q . k / sqrt(d)              the variance stays 1 (page 3)
    general     q^T W k                      any two sizes                (Luong et al. 2015)
    concat      v^T tanh(W [q; k])           a layer for each pair        (Luong et al. 2015)
    additive    v^T tanh(W_q q + W_k k)      the same, W in two parts     (Bahdanau et al. 2015)

Two parts are the point of the additive form: W_k k does not depend on the query, so it is computed
once a source (`prepare`), not once a written token. `forward` is `compare` behind `prepare`.

B batch, T queries, S keys, Q and K their widths, A the width of the hidden layer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Score(nn.Module):
    """query (B, T, Q), keys (B, S, K) -> scores (B, T, S)."""

    def prepare(self, keys: Tensor) -> Tensor:
        """What of the work depends on the keys alone."""
        return keys

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        """The rest: query (B, T, Q) and what `prepare` made -> (B, T, S)."""
        raise NotImplementedError

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        if query.ndim != 3 or keys.ndim != 3 or len(query) != len(keys):
            raise ValueError(
                f"scores need query (B, T, Q) and keys (B, S, K) of one batch, "
                f"not {tuple(query.shape)} and {tuple(keys.shape)}"
            )
        return self.compare(query, self.prepare(keys))


class DotScore(Score):
    """q . k; scaled: divided by the square root of their size."""

    def __init__(self, scaled: bool = False) -> None:
        super().__init__()
        self.scaled = scaled

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        if query.shape[-1] != prepared.shape[-1]:
            raise ValueError(
                f"a dot product needs one width, not {query.shape[-1]} and {prepared.shape[-1]}; "
                "GeneralScore takes two"
            )
        scores = query @ prepared.transpose(1, 2)  # (B, T, Q) @ (B, Q, S) -> (B, T, S)
        return scores / math.sqrt(query.shape[-1]) if self.scaled else scores


class GeneralScore(Score):
    """q^T W k: a dot product behind a matrix that maps keys to queries."""

    def __init__(self, query: int, key: int) -> None:
        super().__init__()
        self.map = nn.Linear(key, query, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.map(keys)  # (B, S, K) -> (B, S, Q)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        return query @ prepared.transpose(1, 2)  # (B, T, S)


class ConcatScore(Score):
    """v^T tanh(W [q; k]), as it is written: every pair side by side, (B, T, S, Q + K)."""

    def __init__(self, query: int, key: int, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(query + key, size)
        self.value = nn.Linear(size, 1, bias=False)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        steps, places = query.shape[1], prepared.shape[1]
        pairs = torch.cat(
            [
                query.unsqueeze(2).expand(-1, -1, places, -1),  # (B, T, S, Q)
                prepared.unsqueeze(1).expand(-1, steps, -1, -1),  # (B, T, S, K)
            ],
            dim=-1,
        )
        return self.value(torch.tanh(self.layer(pairs))).squeeze(-1)  # (B, T, S)


class AdditiveScore(Score):
    """v^T tanh(W_q q + W_k k + b)."""

    def __init__(self, query: int, key: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query, size, bias=False)
        self.key = nn.Linear(key, size)
        self.value = nn.Linear(size, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key(keys)  # (B, S, K) -> (B, S, A)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        hidden = self.query(query).unsqueeze(2) + prepared.unsqueeze(1)  # (B, T, S, A)
        return self.value(torch.tanh(hidden)).squeeze(-1)  # (B, T, S)
