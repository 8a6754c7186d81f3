"""One small model under the right mask and under eight wrong ones (exp_masks.py).

Every variant is measured in three ways:

    claimed     bits a letter on new documents, under the mask of the training: what a learner sees
    true        bits a letter when every prefix stands alone, as at generation: no future is there,
                no other document; the mask is made by the same code
    leak        gradients: the share of d output_t / d input_s that lies where t must not look

R rows, T places, D width. The mask convention is the chapter's: True = may look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chapter_07_attention_mechanism.experiments.topics import (
    IGNORE,
    LETTERS,
    LONGEST,
    PAD,
    Documents,
    Rows,
    draw,
    padded_left,
    prefixes,
    rows,
)
from chapter_07_attention_mechanism.masks import block_diagonal_mask, causal_mask, masked_softmax
from utils.seed import generator

WIDTH, RATE, DOCUMENTS = 32, 5e-3, 96  # D; learning rate; documents in a step
CONTROL, PACKED = "right", "right, packed"
MaskOf = Callable[[Rows], Tensor]


# --- The masks, of the tokens' documents (R, T): each (R, T, T) ---


def right(part: Rows) -> Tensor:
    """Only what came before, only of one's own document; padding sees nothing, and is not seen."""
    real = part.documents != PAD
    same = block_diagonal_mask(part.documents) & real[:, None]
    return same & causal_mask(part.tokens.shape[1])


def own_target(part: Rows) -> Tensor:
    """Shifted by one: place t sees t + 1, the letter it is to predict."""
    size = part.tokens.shape[1]
    return block_diagonal_mask(part.documents) & causal_mask(size + 1)[1:, :size]


def future(part: Rows) -> Tensor:
    """No causal mask: the padding is hidden, and nothing else."""
    return block_diagonal_mask(part.documents) & (part.documents != PAD)[:, None]


def inverted(part: Rows) -> Tensor:
    """The mask of a library in which True means hidden."""
    return ~right(part)


def no_blocks(part: Rows) -> Tensor:
    """Causal, without padding, but the documents of a row see each other."""
    return causal_mask(part.tokens.shape[1]) & (part.documents != PAD)[:, None]


def with_padding(part: Rows) -> Tensor:
    """Causal, and nothing else: padding in front of a document is seen."""
    return causal_mask(part.tokens.shape[1]).expand(len(part.tokens), -1, -1)


def first_only(part: Rows) -> Tensor:
    """is_causal with a cache: one query, T keys, aligned at the top left. It sees key 0."""
    size = part.tokens.shape[1]
    return causal_mask(1, size, align="top_left").expand(len(part.tokens), size, -1)


@dataclass(frozen=True)
class Variant:
    """A mask in training and, where another, at generation.

    per_row: documents packed in a row. how: see `attend`. trained_as: the variant whose weights it
    has, where the fault shows at generation only. beside: prefixes are generated in a batch, padded
    on the left to the longest.
    """

    mask: MaskOf
    zh: str
    generation: MaskOf | None = None
    per_row: int = 1
    how: str = "before"
    trained_as: str = ""
    beside: bool = False

    @property
    def at_generation(self) -> MaskOf:
        return self.generation or self.mask


VARIANTS = {
    CONTROL: Variant(right, "正确的掩码"),
    "shifted by one": Variant(own_target, "错开一位"),
    "no causal mask": Variant(future, "没有因果掩码"),
    "after the softmax": Variant(right, "在 softmax 之后", how="after"),
    "inverted": Variant(inverted, "极性相反"),
    "padding seen": Variant(
        right, "看得见填充", generation=with_padding, trained_as=CONTROL, beside=True
    ),
    PACKED: Variant(right, "正确的掩码，打包", per_row=3),
    "no blocks": Variant(no_blocks, "打包时没有分块", per_row=3),
    "top left, cached": Variant(right, "缓存时左上对齐", generation=first_only, trained_as=CONTROL),
    "-1e9 for -inf": Variant(right, "用 -1e9 代替 -inf", how="finite", trained_as=CONTROL),
}


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
        self.letter = nn.Embedding(LETTERS + 1, width)
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
        part = rows(draw(DOCUMENTS, rng), variant.per_row)
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
    if variant.beside:
        return padded_left(prefixes(documents, 7))
    return rows(documents, variant.per_row)


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


def measure(steps: int, count: int, seed: int, shown: Iterable[str]) -> list[dict[str, Any]]:
    """All variants of one seed: a dict each, with the matrix (T, T) of what a place sees."""
    documents, models, found = draw(count, generator(seed + 2)), {}, []
    for name in shown:
        variant = VARIANTS[name]
        source = variant.trained_as or name
        if source not in models:
            models[source] = train(VARIANTS[source], steps, seed)
        model = models[source]
        part = where_it_looks(variant, documents)
        seen = influence(model, variant, part)
        facts = {
            "claimed": claimed_bits(model, variant, documents),
            "true": true_bits(model, variant, documents),
            "leak": leak_share(seen, part),
        }
        found.append({"name": name, "seed": seed, **facts, "seen": seen[0].tolist()})
    return found
