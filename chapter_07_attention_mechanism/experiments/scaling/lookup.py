"""A lookup that must be learnt, with and without the scale (exp_scaling.py).

A line holds S items, each a key (N random numbers) and a class. The question is one of the keys,
turned by a rotation that nobody tells the model; the answer is the class of that item. Attention
solves it if W_q undoes the rotation. Who cannot look, and mixes all items alike, guesses.

Five ways to make scores of q = W_q x and k = W_k x, all else being equal:

    none          q k                             variance d at the start
    root          q k / sqrt(d)                   variance 1
    inverse       q k / d                         variance 1 / d
    small start   q k, with W_q started 1 / sqrt(d) times as large: the very function of `root`
    normalised    t cos(q, k), t is learnt and starts at sqrt(d) (Henry et al. 2020)

Each way tries the same learning rates; the best one on validation lines counts, as measured on
others. Seeds are trained side by side, in one more axis of every tensor: R runs, B lines, S items,
N numbers of a key, d width of q and k, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # the loss that chapter 2 built, in its fast form

from chapter_07_attention_mechanism.scaled_dot_product import attention_weights
from utils.seed import generator

WAYS = ("none", "root", "inverse", "small start", "normalised")
ITEMS, NUMBERS, CLASSES = 16, 32, 16
VAL_SEED, TEST_SEED, TRAIN_SEED = 1_000_000, 2_000_000, 3_000_000  # added to a run's seed
HELD_OUT = 250  # lines that choose the rate; as many others are reported
BATCH = 32  # new lines a step: nothing can be learnt by heart
CHECK = 10  # steps from a measurement to the next
LEARNT = 0.9  # accuracy from which the task counts as learnt


class Lines(NamedTuple):
    """Questions and the lines they are about."""

    question: Tensor  # (R, B, 1, N)
    keys: Tensor  # (R, B, S, N)
    classes: Tensor  # (R, B, S)
    answer: Tensor  # (R, B)


def rotation(seed: int) -> Tensor:
    """The matrix (N, N) that turns this run's questions."""
    return torch.linalg.qr(torch.randn(NUMBERS, NUMBERS, generator=generator(seed)))[0]


def draw(count: int, turn: Tensor, rngs: Sequence[torch.Generator]) -> Lines:
    """`count` new lines for each run; turn (R, N, N), one generator a run."""
    keys = torch.stack([torch.randn(count, ITEMS, NUMBERS, generator=rng) for rng in rngs])
    classes = torch.stack([torch.randint(CLASSES, (count, ITEMS), generator=rng) for rng in rngs])
    place = torch.stack([torch.randint(ITEMS, (count, 1), generator=rng) for rng in rngs])
    asked = keys.gather(2, place[..., None].expand(-1, -1, -1, NUMBERS))  # (R, B, 1, N)
    answer = classes.gather(2, place).squeeze(2)  # (R, B)
    return Lines(asked @ turn[:, None], keys, classes, answer)


class Lookup(nn.Module):
    """One attention of one head, R of them side by side; `way` is one of WAYS."""

    def __init__(self, way: str, width: int, seeds: Sequence[int]) -> None:
        super().__init__()
        self.way, self.width = way, width
        rngs = [generator(seed) for seed in seeds]

        def matrix(rows: int, columns: int) -> nn.Parameter:
            """(R, rows, columns): a column of numbers of variance 1 goes in, and comes out."""
            drawn = [torch.randn(rows, columns, generator=rng) for rng in rngs]
            return nn.Parameter(torch.stack(drawn) * rows**-0.5)

        self.query, self.key = matrix(NUMBERS, width), matrix(NUMBERS, width)  # (R, N, d)
        self.value, self.head = matrix(CLASSES, CLASSES), matrix(CLASSES, CLASSES)  # (R, C, C)
        if way == "small start":
            self.query.data *= width**-0.5
        if way == "normalised":
            self.temperature = nn.Parameter(torch.full((len(seeds), 1, 1, 1), width**0.5))

    def weights(self, lines: Lines) -> Tensor:
        """Where each question looks: (R, B, 1, S)."""
        q = torch.einsum("rbtn,rnd->rbtd", lines.question, self.query)  # (R, B, 1, d)
        k = torch.einsum("rbsn,rnd->rbsd", lines.keys, self.key)  # (R, B, S, d)
        if self.way == "normalised":
            q, k = self.temperature * F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        scale = {"root": self.width**-0.5, "inverse": 1 / self.width}.get(self.way, 1.0)
        return attention_weights(q, k, scale=scale)

    def forward(self, lines: Lines) -> Tensor:
        """Logits of the classes, (R, B, C)."""
        run = torch.arange(len(lines.classes))[:, None, None]
        values = self.value[run, lines.classes]  # (R, B, S) -> (R, B, S, C)
        return (self.weights(lines) @ values).squeeze(2) @ self.head  # (R, B, C)


@torch.no_grad()
def accuracy(model: Lookup, lines: Lines) -> Tensor:
    """The share of right answers of each run, (R,)."""
    return (model(lines).argmax(-1) == lines.answer).float().mean(1)


def train(way: str, width: int, rate: float, seeds: Sequence[int], steps: int) -> dict[str, Any]:
    """All seeds at one learning rate: accuracy over the steps, (R, checks), on val and on test."""
    turn = torch.stack([rotation(seed) for seed in seeds])  # (R, N, N)
    held_out = [
        draw(HELD_OUT, turn, [generator(seed + start) for seed in seeds])
        for start in (VAL_SEED, TEST_SEED)
    ]
    rngs = [generator(seed + TRAIN_SEED) for seed in seeds]
    model = Lookup(way, width, seeds)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    found: list[Tensor] = []
    for step in range(1, steps + 1):
        lines = draw(BATCH, turn, rngs)
        loss = F.cross_entropy(model(lines).flatten(0, 1), lines.answer.flatten())
        optimizer.zero_grad()
        (loss * len(seeds)).backward()  # a mean over the runs would divide each gradient
        optimizer.step()
        if step % CHECK == 0:
            found.append(torch.stack([accuracy(model, part) for part in held_out]))  # (2, R)
    val, test = torch.stack(found, dim=-1).tolist()
    return {"val": val, "test": test}


def steps_needed(curve: Sequence[float]) -> float:
    """Steps until the accuracy first is LEARNT; infinite if it never is."""
    return next(((i + 1) * CHECK for i, share in enumerate(curve) if share >= LEARNT), math.inf)


def best_rate(rows: dict[float, dict[str, Any]]) -> float:
    """The rate with the highest mean accuracy over seeds and steps, on validation lines."""
    return max(rows, key=lambda rate: float(torch.tensor(rows[rate]["val"]).mean()))


def guess(seeds: Sequence[int]) -> float:
    """The best that can be had without looking: to name a class that the line has most of."""
    turn = torch.stack([rotation(seed) for seed in seeds])
    lines = draw(HELD_OUT, turn, [generator(seed + TEST_SEED) for seed in seeds])
    often = F.one_hot(lines.classes, CLASSES).sum(2).argmax(-1)  # (R, B)
    return float((often == lines.answer).float().mean())
