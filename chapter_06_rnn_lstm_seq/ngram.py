"""N-gram language models: interpolated Kneser-Ney, the baseline that a network must beat.

    model = KneserNey(order=5, vocab_size=65).fit(train_ids)
    model.bits_per_token(val_ids)
    model.generate(200, prompt=ids, temperature=0.8)

The next token is guessed from the `order - 1` tokens before it, by counting. Of a context c (the
tokens before) and a token w, with the discount D:

    P(w | c) = max(count(c w) - D, 0) / count(c .)
               + D * kinds(c .) / count(c .) * P(w | c without its first token)

What the discount takes from the seen tokens goes to the next shorter context, down to the uniform
distribution. `kinds(c .)` is how many different tokens followed c. In the shorter contexts a token
is counted by how many different tokens stood before it, not how often it occurred: "Francisco" is
frequent, but only after "San".

Everything is an array: the n-grams of length k are numbers `context * V + token`, sorted, where
`context` is the place of the first k - 1 tokens in the list of that length. A lookup is a search in
a sorted list, for all positions of a text at once.

Papers: Kneser & Ney 1995; Chen & Goodman 1998 (the interpolated and the modified form).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from chapter_06_rnn_lstm_seq.sampling import sample
from utils.errors import UserError

Array = np.ndarray
Counts = tuple[Array, Array, Array]
NOWHERE = -1  # the place of a context that was never seen


@dataclass
class Level:
    """The n-grams of one length, K of them, with C contexts, the n-grams one token shorter."""

    keys: Array  # (K,) context * V + token, rising
    counts: Array  # (K,) occurrences; below the top order: different tokens before the n-gram
    discounts: Array  # (4,) what is taken off a count of 0, 1, 2, 3 or more
    totals: Array  # (C,) sum of the counts in a context
    backoff: Array  # (C,) the share of a context that goes to the shorter one

    @classmethod
    def make(cls, keys: Array, counts: Array, contexts: int, vocab: int, modified: bool) -> Level:
        discounts = estimate_discounts(counts, modified)
        taken = discounts[np.minimum(counts, 3)]
        totals = np.bincount(keys // vocab, counts, minlength=contexts)
        freed = np.bincount(keys // vocab, taken, minlength=contexts)
        # A context with no followers, the end of the text, leaves everything to the shorter one.
        backoff = np.divide(freed, totals, out=np.ones(contexts), where=totals > 0)
        return cls(keys, counts, discounts, totals, backoff)

    def find(self, keys: Array) -> Array:
        """The places of these keys, NOWHERE for those that are not in the list."""
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, NOWHERE)

    def discounted(self, places: Array) -> Array:
        counts = self.counts[places]
        return counts - self.discounts[np.minimum(counts, 3)]


def estimate_discounts(counts: Array, modified: bool) -> Array:
    """From n1, n2, ..., how many n-grams have the count 1, 2, ...: D = n1 / (n1 + 2 n2).

    The modified form has a D of its own for the counts 1, 2 and from 3 on, kept between D and the
    count. Where a number that is needed is zero, as in a short text, it is the plain D, or 1/2.
    """
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if n1 == 0:
        return np.array([0, 0.5, 0.5, 0.5])
    d = n1 / (n1 + 2 * n2)
    if modified and n2 > 0 and n3 > 0:
        d2, d3 = 2 - 3 * d * n3 / n2, 3 - 4 * d * n4 / n3
        return np.array([0, d, np.clip(d2, d, 2), np.clip(d3, d, 3)])
    return np.array([0, d, d, d])


def count_ngrams(ids: Array, order: int, vocab: int) -> list[Counts]:
    """Of each length: keys, occurrences, and the place of each n-gram's last k - 1 tokens."""
    found: list[Counts] = []
    contexts = np.zeros(len(ids), dtype=np.int64)  # the empty one, before every token
    endings = np.zeros(len(ids), dtype=np.int64)
    for _ in range(min(order, len(ids))):
        keys, first, places, counts = np.unique(
            contexts * vocab + ids[-len(contexts) :],
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        found.append((keys, counts, endings[first]))
        contexts, endings = places[:-1], places[1:]  # (N - k,): one token earlier, and the same
    return found


class KneserNey:
    """Interpolated Kneser-Ney over tokens 0 ... vocab_size - 1; order 1 has no context at all."""

    def __init__(self, order: int, vocab_size: int, modified: bool = False) -> None:
        if order < 1:
            raise UserError(f"the order of an n-gram model is 1 or more, not {order}.")
        self.order, self.vocab_size, self.modified = order, vocab_size, modified
        self.levels: list[Level] = []

    def fit(self, ids: Sequence[int] | Array) -> KneserNey:
        """Count the n-grams of a text (N,) of all lengths up to the order."""
        self.levels = self._levels(count_ngrams(self._checked(ids), self.order, self.vocab_size))
        return self

    def _levels(self, found: list[Counts]) -> list[Level]:
        levels = []
        for k, (keys, counts, _) in enumerate(found):
            if k + 1 < len(found):  # not the longest: different tokens before, not occurrences
                counts = np.bincount(found[k + 1][2], minlength=len(keys))
            contexts = len(found[k - 1][0]) if k else 1
            levels.append(Level.make(keys, counts, contexts, self.vocab_size, self.modified))
        return levels

    def probabilities(self, ids: Sequence[int] | Array) -> Array:
        """P of each token of a text given those before it, (N,); the first has no context."""
        ids = self._checked(ids)
        p = np.full(len(ids), 1 / self.vocab_size)
        contexts = np.zeros(len(ids), dtype=np.int64)  # the empty one
        for level in self.levels:
            known = contexts != NOWHERE
            places = np.full(len(ids), NOWHERE)
            places[known] = level.find(contexts[known] * self.vocab_size + ids[known])
            # A context that stood at the text's beginning alone was behind no token: its total is
            # 0 and says nothing here, but it may be part of a longer one that does.
            seen = known.copy()
            seen[known] = level.totals[contexts[known]] > 0
            p[seen] *= level.backoff[contexts[seen]]
            here = seen & (places != NOWHERE)
            p[here] += level.discounted(places[here]) / level.totals[contexts[here]]
            contexts = np.append(NOWHERE, places[:-1])  # what ends one token earlier
        return p

    def bits_per_token(self, ids: Sequence[int] | Array) -> float:
        """The mean of -log2 P over a text: its cross-entropy in bits."""
        return float(-np.log2(self.probabilities(ids)).mean())

    def distribution(self, context: Sequence[int] | Array) -> Array:
        """P of every token after these, (V,): only the last `order - 1` count."""
        context = np.asarray(context[-self.order :], dtype=np.int64)
        p = np.full(self.vocab_size, 1 / self.vocab_size)
        for k, level in enumerate(self.levels[: len(context) + 1]):
            place = self._place(context[len(context) - k :])
            if place == NOWHERE or level.totals[place] == 0:
                break
            edges = np.array([place, place + 1]) * self.vocab_size
            followers = np.arange(*np.searchsorted(level.keys, edges))
            p *= level.backoff[place]
            tokens = level.keys[followers] % self.vocab_size
            p[tokens] += level.discounted(followers) / level.totals[place]
        return p

    def _place(self, ngram: Array) -> int:
        place = 0
        for level, token in zip(self.levels, ngram, strict=False):
            place = int(level.find(np.array([place * self.vocab_size + token]))[0])
            if place == NOWHERE:
                break
        return place

    def generate(
        self,
        length: int,
        prompt: Sequence[int] = (),
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> list[int]:
        """Draw `length` tokens after the prompt; options as in `sampling.sample`."""
        ids = [*prompt]
        for _ in range(length):
            p = self.distribution(ids)
            logits = torch.from_numpy(p).log()
            ids.append(int(sample(logits, generator=generator, **options)))
        return ids[len(ids) - length :]

    @property
    def size(self) -> int:
        """How many n-grams of all lengths the model holds."""
        return sum(len(level.keys) for level in self.levels)

    def _checked(self, ids: Sequence[int] | Array) -> Array:
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size == 0:
            raise UserError("the text is empty: an n-gram model needs at least one token.")
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            raise ValueError(f"token ids run from 0 to {self.vocab_size - 1}")
        return ids


def fit_orders(
    ids: Sequence[int] | Array, orders: Sequence[int], vocab_size: int, modified: bool = False
) -> list[KneserNey]:
    """A model of each order, from one count: to choose among them."""
    models = [KneserNey(order, vocab_size, modified) for order in orders]
    found = count_ngrams(models[0]._checked(ids), max(orders), vocab_size)
    for model in models:
        model.levels = model._levels(found[: model.order])
    return models
