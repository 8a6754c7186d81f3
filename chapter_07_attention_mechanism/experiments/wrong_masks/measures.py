"""The small model, its training under a mask, and what is measured of it.

    claimed     bits a letter on new documents, under the mask of the training: what a learner sees
    true        bits a letter when every prefix stands alone, as at generation: no future is there,
                no other document; the mask is made by the same code
    leak        of the gradients d output_t / d input_s, the share where t must not look at s

R rows, T places, D width, V letters.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chapter_07_attention_mechanism.experiments.wrong_masks.task import (
    IGNORE,
    LETTERS,
    LONGEST,
    PAD,
    Documents,
    Rows,
    best_bits,
    draw,
    marginal_bits,
    padded_left,
    prefixes,
    rows,
)
from chapter_07_attention_mechanism.experiments.wrong_masks.variants import (
    CONTROL,
    VARIANTS,
    MaskOf,
    Variant,
    right,
    with_padding,
)
from chapter_07_attention_mechanism.masks import masked_softmax
from utils.seed import generator

WIDTH, RATE, BATCH = 32, 5e-3, 96  # D; learning rate; documents in a step


# --- The model ---


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, how: str) -> Tensor:
    """One head, (R, T, D). how: where the mask acts.

    "before": -inf in the scores, rows with nothing to see give zeros. "after": it multiplies the
    weights, whose sum then is below 1, by what the hidden scores took. "finite": -1e9 is added.
    """
    scores = query @ key.mT / math.sqrt(query.shape[-1])  # (R, T, T)
    if how == "after":
        return (scores.softmax(-1) * mask) @ value  # (R, T, D)
    if how == "finite":
        return (scores - 1e9 * ~mask).softmax(-1) @ value
    return masked_softmax(scores, mask) @ value


class OneLayer(nn.Module):
    """Letters and places embedded, one attention layer, one hidden layer, logits of letters."""

    def __init__(self, width: int = WIDTH):
        super().__init__()
        self.letter = nn.Embedding(LETTERS + 2, width)
        self.place = nn.Embedding(LONGEST + 1, width)
        self.projections = nn.Linear(width, 3 * width)
        self.hidden = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU())
        self.out = nn.Linear(4 * width, LETTERS)

    def embed(self, part: Rows) -> Tensor:
        return self.letter(part.tokens) + self.place(part.places)  # (R, T, D)

    def forward(self, x: Tensor, mask: Tensor, how: str = "before") -> Tensor:
        """x (R, T, D), from `embed`; mask (R, T, T); logits (R, T, V)."""
        query, key, value = self.projections(x).chunk(3, dim=-1)  # (R, T, D) each
        return self.out(self.hidden(x + attend(query, key, value, mask, how)))  # (R, T, V)


def bits(model: OneLayer, part: Rows, mask: MaskOf, how: str) -> Tensor:
    """Bits of every letter that is to be predicted: (number of targets,)."""
    logits = model(model.embed(part), mask(part), how)  # (R, T, V)
    chosen = part.targets != IGNORE
    return F.cross_entropy(logits[chosen], part.targets[chosen], reduction="none") / math.log(2)


def train(variant: Variant, steps: int, seed: int) -> OneLayer:
    """New documents in every step: nothing can be learnt by heart."""
    torch.manual_seed(seed)
    model, rng = OneLayer(), generator(seed + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        part = rows(draw(BATCH, rng), variant.per_row)
        optimizer.zero_grad()
        bits(model, part, variant.mask, variant.how).mean().backward()
        optimizer.step()
        schedule.step()
    return model


# --- Three measures ---


@torch.no_grad()
def claimed_bits(model: OneLayer, variant: Variant, documents: Documents) -> float:
    part = rows(documents, variant.per_row)
    return float(bits(model, part, variant.mask, variant.how).mean())


@torch.no_grad()
def true_bits(model: OneLayer, variant: Variant, documents: Documents) -> float:
    """Every letter of the documents predicted from its prefix alone."""
    found = []
    for letters in range(LONGEST):
        part = prefixes(documents, letters)
        if variant.beside:
            part = padded_left(part)
        last = torch.full_like(part.targets, IGNORE)
        last[:, -1] = part.targets[:, -1]
        part = Rows(part.tokens, last, part.places, part.documents)
        found.append(bits(model, part, variant.at_generation, variant.how))
    return float(torch.cat(found).mean())


def where_it_looks(variant: Variant, documents: Documents) -> Rows:
    """The batch on which the leak is measured: the training's, or a generation's padded one."""
    few = Documents(documents.letters[:BATCH], documents.lengths[:BATCH])
    if variant.beside:
        return padded_left(prefixes(few, 7))
    return rows(few, variant.per_row)


def influence(model: OneLayer, variant: Variant, part: Rows) -> Tensor:
    """|d logits_t / d input_s| for all pairs, (R, T, T): what each place really sees.

    Along one random direction of the logits, the same for all: a random sum of the Jacobian's rows.
    """
    x = model.embed(part).detach().requires_grad_()  # (R, T, D)
    logits = model(x, variant.at_generation(part), variant.how)  # (R, T, V)
    along = logits @ torch.randn(LETTERS, generator=generator(0))  # (R, T)
    found = [
        torch.autograd.grad(along[:, t].sum(), x, retain_graph=True)[0].norm(dim=-1)  # (R, T)
        for t in range(along.shape[1])
    ]
    return torch.stack(found, dim=1)


def leak_share(found: Tensor, part: Rows) -> float:
    """The share of the influence on real places that comes from where they must not look."""
    found = found * (part.documents != PAD)[..., None]
    return float(found[~right(part)].sum() / found.sum())


def shown_row(part: Rows) -> tuple[int, int]:
    """For the figure: the row with the fewest real places, and how many places of it to show."""
    real = (part.documents != PAD).sum(1)  # (R,)
    row = int(real.argmin())
    first_pad = int((part.documents[row] != PAD).int().argmax())
    return row, min(first_pad + int(real[row]) + 3, part.tokens.shape[1])


@torch.no_grad()
def differences(model: OneLayer, documents: Documents) -> dict[str, float]:
    """Two faults that may do nothing: the largest change of a logit at a place that counts."""
    part = rows(documents)
    real, x = part.targets != IGNORE, model.embed(part)
    expected = model(x, right(part))[real]
    finite = model(x, right(part), "finite")[real]
    padding = model(x, with_padding(part))[real]  # behind the documents, not in front
    return {
        "finite_difference": float((finite - expected).abs().max()),
        "right_padding_difference": float((padding - expected).abs().max()),
    }


def measure_one(model: OneLayer, variant: Variant, documents: Documents) -> dict[str, Any]:
    """The three measures, and the matrix of one row: what each place sees, and may see."""
    part = where_it_looks(variant, documents)
    seen = influence(model, variant, part)  # (R, T, T)
    row, size = shown_row(part)
    return {
        "claimed": claimed_bits(model, variant, documents),
        "true": true_bits(model, variant, documents),
        "leak_percent": 100 * leak_share(seen, part),
        "seen": seen[row, :size, :size].tolist(),
        "may_see": right(part)[row, :size, :size].tolist(),
        "real": (part.documents[row, :size] != PAD).tolist(),
    }


def measure(steps: int, count: int, seed: int) -> dict[str, Any]:
    """Everything of one seed: {variant: measure_one, ...}, what is attainable, two differences."""
    documents = draw(count, generator(seed + 2))
    trained = {
        name: train(variant, steps, seed)
        for name, variant in VARIANTS.items()
        if not variant.trained_as
    }
    found = {
        name: measure_one(trained[variant.trained_as or name], variant, documents)
        for name, variant in VARIANTS.items()
    }
    limits = {"best": best_bits(documents), "no_context": marginal_bits(documents)}
    return {"variants": found, **limits, **differences(trained[CONTROL], documents)}
