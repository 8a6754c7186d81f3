"""Where a token stands: five ways to tell a Transformer.

What you learn: attention is blind to order (chapter 7: permute the tokens, and the answers are
permuted). The place must come from outside, in one of two ways:

    added to the token       x_t + p_t            sinusoidal, learned
    added to the scores      q_t k_s + b(s - t)   ALiBi, T5: only the signed distance counts

    sinusoidal  p_t = (sin w_0 t, cos w_0 t, sin w_1 t, ...),   w_i = 10000^(-2i/D)
    learned     p_t = row t of a table; a place behind its end does not exist
    alibi       b = -m_h |s - t|, one slope m_h a head, nothing learnt; in an encoder half as
                steep for keys ahead, else it could not tell a text from its mirror image
    t5          b = a learnt number for a head and a bucket of distances; far ones share a bucket

A step of n places turns each pair (sin w t, cos w t) by the angle w n, whatever t is: a fixed
matrix, so "n places back" can be learnt as one linear map (page 2; a test proves it).

Papers: Vaswani et al. 2017 (sinusoidal), Gehring et al. 2017 (learned), Press, Smith & Lewis 2022
(ALiBi), Raffel et al. 2020 (T5). B batch, T queries, S keys, D width, h heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

KINDS = ("sinusoidal", "learned", "alibi", "t5", "none")


def sinusoids(places: Tensor, width: int, base: float = 10_000.0) -> Tensor:
    """Sine and cosine in turns: places (...) -> (..., D), in their dtype if it is a float's.

    ValueError: an odd width.
    """
    if width % 2:
        raise ValueError(f"sines and cosines come in pairs: the width {width} must be even")
    kind = places.dtype if places.is_floating_point() else torch.get_default_dtype()
    pairs = torch.arange(0, width, 2, device=places.device, dtype=kind)  # (D / 2,)
    waves = torch.exp(-math.log(base) * pairs / width)  # (D / 2,): w_i
    angles = places.unsqueeze(-1) * waves  # (..., D / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)  # (..., D)


class Positions(nn.Module):
    """No positions at all: adds nothing. The base of the others.

    `added` and `bias` say what this kind adds, given places that count from 0.
    """

    def added(self, places: Tensor) -> Tensor | None:
        """What comes to the token at each place: (...) -> (..., D), or None."""
        return None

    def bias(self, queries: Tensor, keys: Tensor) -> Tensor | None:
        """What comes to the scores: places (..., T) and (..., S) -> (..., h, T, S), or None."""
        return None


class Sinusoidal(Positions):
    """Vaswani et al. 2017, section 3.5: no weights and no longest text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def added(self, places: Tensor) -> Tensor:
        return sinusoids(places, self.width)  # (..., D)


class Learned(Positions):
    """A table (longest, D), as in BERT and GPT-2. ValueError for a place behind its end."""

    def __init__(self, width: int, longest: int) -> None:
        super().__init__()
        self.table = nn.Embedding(longest, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def added(self, places: Tensor) -> Tensor:
        longest = self.table.num_embeddings
        if places.numel() and int(places.max()) >= longest:
            raise ValueError(f"place {int(places.max())}: the table ends at {longest - 1}")
        return self.table(places)  # (..., D)


def alibi_slopes(heads: int) -> Tensor:
    """2^(-8/h), 2^(-16/h), ..., 2^-8: (h,). No power of 2 borrows from the next one's slopes."""
    power = 2 ** (heads.bit_length() - 1)  # the largest that is not above h
    slopes = [2.0 ** (-8 * n / power) for n in range(1, power + 1)]
    between = [2.0 ** (-4 * n / power) for n in range(1, 2 * power, 2)]  # of twice as many heads
    return torch.tensor((slopes + between)[:heads])


class ALiBi(Positions):
    """A penalty that grows with the distance; each head has its own slope.

    bidirectional: a step ahead costs half of a step back. The paper's models are causal and see
    nothing ahead; with one slope for both sides an encoder is blind to left and right.
    """

    def __init__(self, heads: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.register_buffer("slopes", alibi_slopes(heads), persistent=False)  # (h,)
        self.ahead = 0.5 if bidirectional else 1.0

    def bias(self, queries: Tensor, keys: Tensor) -> Tensor:
        steps = distances(queries, keys).unsqueeze(-3)  # (..., 1, T, S), negative behind
        slopes = self.slopes[:, None, None]
        return steps * torch.where(steps > 0, -self.ahead * slopes, slopes)  # (..., h, T, S)


class T5Bias(Positions):
    """A learnt number for each head and bucket. bidirectional: keys behind and ahead differ."""

    def __init__(
        self, heads: int, bidirectional: bool, buckets: int = 32, max_distance: int = 128
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(buckets, heads)
        nn.init.normal_(self.table.weight, std=0.02)
        self.bidirectional, self.max_distance = bidirectional, max_distance

    def bias(self, queries: Tensor, keys: Tensor) -> Tensor:
        buckets = t5_buckets(
            distances(queries, keys), self.bidirectional, self.table.num_embeddings,
            self.max_distance,
        )  # fmt: skip
        return self.table(buckets).movedim(-1, -3)  # (..., T, S, h) -> (..., h, T, S)


def distances(queries: Tensor, keys: Tensor) -> Tensor:
    """How far each key stands ahead of each query: (..., T), (..., S) -> (..., T, S)."""
    return keys.unsqueeze(-2) - queries.unsqueeze(-1)


def t5_buckets(
    distance: Tensor, bidirectional: bool, buckets: int = 32, max_distance: int = 128
) -> Tensor:
    """The bucket of each distance key - query, of any shape (Raffel et al. 2020).

    Half of the buckets hold one distance each, the other half ever wider ranges up to
    max_distance; whatever is farther shares the last. bidirectional: keys ahead of the query have
    the second half of the buckets; otherwise they all share that of distance 0.
    """
    first = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        first = buckets * (distance > 0)
        steps = distance.abs()
    else:
        steps = (-distance).clamp(min=0)
    exact = buckets // 2
    wide = torch.log(steps.clamp(min=1) / exact) / math.log(max_distance / exact)
    wide = exact + (wide * (buckets - exact)).long()  # towards zero
    return first + torch.where(steps < exact, steps, wide.clamp(max=buckets - 1))


def make_positions(
    kind: str, width: int, heads: int, longest: int, bidirectional: bool
) -> Positions:
    """One of KINDS; ValueError for another name. longest: of "learned"."""
    makers = {
        "sinusoidal": lambda: Sinusoidal(width),
        "learned": lambda: Learned(width, longest),
        "alibi": lambda: ALiBi(heads, bidirectional),
        "t5": lambda: T5Bias(heads, bidirectional),
        "none": Positions,
    }
    if kind not in makers:
        raise ValueError(f"positions must be one of {KINDS}, not {kind!r}")
    return makers[kind]()
