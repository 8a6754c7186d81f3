"""Guessing a hidden word by counting: the marks that a masked language model must beat.

    unigram     the most frequent token, whatever stands around
    left        the token that followed the left neighbour most often
    both        ... that stood most often between these two neighbours; where these were never seen
                around a token, the w of the greatest P(w | left) P(right | w)
    wide        ... between these two pairs of neighbours; else as `both`

A neighbour that is hidden itself, or a special token, is unknown (UNKNOWN), to the network as to
these: then what is left of the context decides. Counted are the contexts that are asked for, so
that a text of millions of words needs little memory. Q questions, N tokens.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from chapter_08_transformer_vanilla.experiments.masked_words import NOTHING, Window
from chapter_08_transformer_vanilla.wordpiece import SPECIALS, WordPiece

UNKNOWN = -1
MODELS = ("unigram", "left", "both", "wide")
Context = tuple[int, ...]


def questions_of(batches: Iterable[Window], tokenizer: WordPiece) -> tuple[Tensor, Tensor]:
    """Contexts (Q, 4), two tokens to the left and two to the right, and answers (Q,)."""
    contexts, answers = [], []
    for ids, _, targets, _ in batches:
        known = torch.where(ids < len(SPECIALS), UNKNOWN, ids)
        around = torch.nn.functional.pad(known, (2, 2), value=UNKNOWN)  # (B, T + 4)
        row, place = (targets != NOTHING).nonzero(as_tuple=True)
        steps = torch.tensor([0, 1, 3, 4])
        contexts.append(around[row[:, None], place[:, None] + steps])  # (q, 4)
        answers.append(targets[row, place])
    return torch.cat(contexts), torch.cat(answers)


class GapCounts:
    """How often tokens stood in the contexts that are asked for."""

    def __init__(self, stream: Tensor, contexts: Tensor) -> None:
        text = stream.numpy()
        self.total = len(text)
        self.words = Counter(text.tolist())
        self.wide = counted(text, contexts, (-2, -1, 1, 2), (0, 1, 2, 3))
        self.both = counted(text, contexts, (-1, 1), (1, 2))
        self.left = counted(text, contexts, (-1,), (1,))
        self.right = counted(text, contexts, (1,), (2,))
        self.most = self.words.most_common(1)[0][0]

    def guess(self, model: str, context: Context) -> int:
        """The token that `model` puts into a context of four."""
        far_left, left, right, far_right = context
        if model == "unigram":
            return self.most
        if model == "left":
            return best(self.left.get((left,)), self.most)
        if model == "wide" and (found := self.wide.get((far_left, left, right, far_right))):
            return best(found, self.most)
        if found := self.both.get((left, right)):
            return best(found, self.most)
        return self.product(left, right)

    def product(self, left: int, right: int) -> int:
        """argmax P(w | left) P(right | w), as far as the two neighbours are known."""
        after, before = self.left.get((left,)), self.right.get((right,))
        if not after or not before:
            return best(after or before, self.most)
        # P(w | left) P(right | w) ~ c(left w) c(w right) / c(w); unseen pairs: as if by chance
        scores = {}
        for word in after.keys() | before.keys():
            chance = self.words[word] / self.total
            a = after[word] + chance
            b = before[word] + chance
            scores[word] = math.log(a) + math.log(b) - math.log(self.words[word])
        return max(scores, key=lambda word: (scores[word], -word))


def best(found: Counter | None, otherwise: int) -> int:
    """The most frequent token, of equals the smallest."""
    return max(found, key=lambda word: (found[word], -word)) if found else otherwise


def counted(
    text: np.ndarray, contexts: Tensor, steps: Context, columns: Context
) -> dict[Context, Counter]:
    """How often each token stood in the contexts asked for: those whose tokens are all known.

    steps: where the neighbours stand, seen from the token; columns: their places in `contexts`.
    """
    asked = {row for row in map(tuple, contexts[:, columns].tolist()) if UNKNOWN not in row}
    found: dict[Context, Counter] = defaultdict(Counter)
    first, last = max(0, -min(steps)), len(text) - max(0, max(steps))
    neighbours = [text[first + step : last + step].tolist() for step in steps]
    for row, word in zip(zip(*neighbours, strict=True), text[first:last].tolist(), strict=True):
        if row in asked:
            found[row][word] += 1
    return dict(found)


def counting_accuracy(stream: Tensor, contexts: Tensor, answers: Tensor) -> dict[str, float]:
    """Share of the questions that each way of counting answers rightly."""
    counts = GapCounts(stream, contexts)
    asked, wanted = [tuple(row) for row in contexts.tolist()], answers.tolist()
    return {
        model: sum(
            counts.guess(model, context) == answer
            for context, answer in zip(asked, wanted, strict=True)
        )
        / len(wanted)
        for model in MODELS
    }


# --- Next sentence ---


def overlap(batches: Iterable[Window], rarity: Tensor) -> tuple[Tensor, Tensor]:
    """For every window how much its two parts share, weighted by rarity (V,); and whether the
    second is another one than the next: (N,) each.
    """
    shares, labels = [], []
    for ids, segments, _, follows in batches:
        for row, kind in zip(ids, segments, strict=True):
            words = row >= len(SPECIALS)
            first, second = (row[words & (kind == side)].unique() for side in (0, 1))
            common = first[torch.isin(first, second)]
            everything = torch.cat([first, second]).unique()
            shares.append(float(rarity[common].sum() / rarity[everything].sum().clamp(min=1e-9)))
        labels.append(follows)
    return torch.tensor(shares), torch.cat(labels)


def overlap_accuracy(train: Iterable[Window], val: Iterable[Window], rarity: Tensor) -> float:
    """ "It follows if they share enough": the limit that is best on `train`, right how often."""
    shares, labels = overlap(train, rarity)
    limits = shares.unique()[:: max(1, len(shares.unique()) // 500)]
    right = [((shares < limit).long() == labels).float().mean() for limit in limits]
    limit = limits[int(torch.stack(right).argmax())]
    shares, labels = overlap(val, rarity)
    return float(((shares < limit).long() == labels).float().mean())


def rarity_of(stream: Tensor, vocabulary: int) -> Tensor:
    """-log of each token's share of the text, (V,)."""
    counts = torch.bincount(stream, minlength=vocabulary).float() + 1
    return -torch.log(counts / counts.sum())
