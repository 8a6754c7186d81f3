"""Decoding without doing the same work again: keys and values of the past are kept.

What you learn: to write token t, a decoder needs the queries of token t alone, but keys and values
of all tokens before it. These never change (causal mask), so they are computed once and stored.
Without a cache step t runs over t tokens; with it over one:

    without   1 + 2 + ... + T tokens through the network        with   T tokens

What the decoder asks the source is projected once. Each row of a batch has its own length, because
texts of different lengths may be continued together: one position for the whole batch is a
well-known bug. A key at place s is seen by a query at place t if s <= t, which is the causal mask
and at once hides what a shorter row has not yet filled.

Both ways have one form, which decoding.py calls: `step(tokens (B,)) -> logits (B, V)`, and
`select(rows)`, which keeps, repeats or reorders rows. B rows, T new tokens, M places, S source,
h heads, d = D / h. The model must be in evaluation mode.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_07_attention_mechanism.masks import as_float
from chapter_07_attention_mechanism.multi_head import MultiheadAttention, merge_heads, split_heads
from chapter_08_transformer_vanilla.transformer import TranslationTransformer

GROWTH = 8  # places reserved at a time


class KVCache:
    """Keys and values of one attention: (B, h, M, d) each, M places reserved in every row."""

    def __init__(self, batch: int, heads: int, size: int, like: Tensor) -> None:
        self.keys = like.new_zeros(batch, heads, 0, size)
        self.values = like.new_zeros(batch, heads, 0, size)

    def reserve(self, places: int) -> None:
        """M is at least `places`. Zeros are new; a longer row is copied once in GROWTH steps."""
        missing = places - self.keys.shape[2]
        if missing > 0:
            pad = (0, 0, 0, missing + -places % GROWTH)
            self.keys, self.values = F.pad(self.keys, pad), F.pad(self.values, pad)

    def write(self, keys: Tensor, values: Tensor, places: Tensor | int) -> None:
        """New ones (B, h, T, d) to the places (B, T) of each row; a number: the first of all."""
        if isinstance(places, int):
            self.keys.narrow(2, places, keys.shape[2]).copy_(keys)
            self.values.narrow(2, places, keys.shape[2]).copy_(values)
            return
        rows = torch.arange(len(keys), device=keys.device)[:, None]  # (B, 1)
        self.keys[rows, :, places] = keys.transpose(1, 2).to(self.keys.dtype)  # (B, T, h, d)
        self.values[rows, :, places] = values.transpose(1, 2).to(self.values.dtype)

    def select(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was. (index_select copies faster than [rows].)"""
        self.keys, self.values = (x.index_select(0, rows) for x in (self.keys, self.values))


def projected(attention: MultiheadAttention, x: Tensor, parts: str) -> tuple[Tensor, ...]:
    """The `parts` "qkv", "q" or "kv" of x (B, T, D) in one product, each (B, h, T, d)."""
    width, count = attention.embed_dim, len(parts)
    rows = ("qkv".index(parts) * width, count * width)  # of the weight (3 D, D)
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    x = F.linear(x, weight.narrow(0, *rows), None if bias is None else bias.narrow(0, *rows))
    return split_heads(x, count * attention.num_heads).chunk(count, dim=1)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Chapter 7's attention where no query sees nothing: q (B, h, T, d), k, v (B, h, M, d),
    mask added to the scores (B, h, T, M) -> (B, T, D).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (B, h, T, M)
    if mask is not None:
        scores = scores + mask
    return merge_heads(scores.softmax(-1) @ v)


class CachedSteps:
    """The decoder of a translator, one token a call; the source (B, S) is read once."""

    @torch.no_grad()
    def __init__(self, model: TranslationTransformer, source: Tensor) -> None:
        self.model, self.layers = model, model.transformer.decoder.layers
        self.device, batch = source.device, len(source)
        memory, hidden = model.encode(source)
        empty = hidden.all(1)[:, None, None, None]  # (B, 1, 1, 1): a source of nothing but padding
        self.seen = as_float(~hidden[:, None, None] | empty, memory.dtype)  # (B, 1, 1, S)
        self.read = []  # for each layer keys and values of the source, (B, h, S, d) each
        for layer in self.layers:
            keys, values = projected(layer.multihead_attn, memory, "kv")
            self.read.append((keys.contiguous(), values.masked_fill(empty, 0).contiguous()))
        heads, size = self.layers[0].self_attn.num_heads, self.layers[0].self_attn.head_dim
        self.caches = [KVCache(batch, heads, size, memory) for _ in self.layers]
        self.lengths = torch.zeros(batch, dtype=torch.long, device=self.device)
        self.sources = torch.arange(batch, device=self.device)  # (B,): which of `read` a row asks

    def step(self, tokens: Tensor) -> Tensor:
        """The last token of each row (B,) -> logits (B, V) of the next one."""
        return self.extend(tokens[:, None])

    @torch.no_grad()
    def extend(self, tokens: Tensor, counts: Tensor | None = None) -> Tensor:
        """The next tokens of each row (B, T) -> logits (B, V) of what follows the last of them.

        counts (B,): how many of a row's T are real, at least 1; without it all are. What stands
        behind them is overwritten by the tokens that come next, and nobody sees it before.
        """
        model, (batch, steps) = self.model, tokens.shape
        shortest, longest = (int(length) for length in self.lengths.aminmax())
        alike = shortest == longest
        starts = self.lengths[:1] if alike else self.lengths  # (1,) or (B,)
        places = starts[:, None] + torch.arange(steps, device=self.device)  # (1 or B, T)
        for cache in self.caches:
            cache.reserve(longest + steps)
        mask = self.mask(places)
        x = model.placed(tokens, places, model.target_positions)  # (B, T, D)
        for layer, cache, read in zip(self.layers, self.caches, self.read, strict=True):
            look = partial(self.look, layer.self_attn, cache, longest if alike else places, mask)
            x = layer.through(x, look, partial(self.ask, layer.multihead_attn, *read))
        if counts is None:
            self.lengths, last = self.lengths + steps, x[:, -1]  # (B,), (B, D)
        else:
            self.lengths = self.lengths + counts
            last = x[torch.arange(batch, device=self.device), counts - 1]
        return model.logits(model.transformer.decoder.norm(last))

    def mask(self, places: Tensor) -> Tensor:
        """Added to the scores of queries at places (1 or B, T): (1 or B, 1 or h, T, M)."""
        every = torch.arange(self.caches[0].keys.shape[2], device=self.device)  # (M,)
        past = (every <= places.unsqueeze(-1)).unsqueeze(1)  # (1 or B, 1, T, M)
        bias = self.model.target_positions.bias(places, every.expand(len(places), -1))
        return torch.where(past, 0.0 if bias is None else bias, -torch.inf)

    @staticmethod
    def look(
        attention: MultiheadAttention, cache: KVCache, places: Tensor | int, mask: Tensor, x: Tensor
    ) -> Tensor:
        """Self-attention of the new tokens (B, T, D) to all so far, themselves included."""
        q, k, v = projected(attention, x, "qkv")  # (B, h, T, d)
        cache.write(k, v, places)
        return attention.out_proj(attend(q, cache.keys, cache.values, mask))

    def ask(self, attention: MultiheadAttention, keys: Tensor, values: Tensor, x: Tensor) -> Tensor:
        """Cross-attention (B, T, D). Rows that read one source (a beam) stand as its queries."""
        (q,) = projected(attention, x.reshape(len(keys), -1, x.shape[-1]), "q")  # (., h, k T, d)
        found = attention.out_proj(attend(q, keys, values, self.seen))
        return found.reshape(x.shape)

    def select(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] was; rows (B',) may repeat and leave out."""
        self.lengths = self.lengths[rows]
        for cache in self.caches:
            cache.select(rows)
        asked = self.sources[rows]
        kept, counts = asked.unique_consecutive(return_counts=True)
        if (counts != counts[0]).any():  # no equal number of rows each: every row its own copy
            kept, counts = asked, torch.ones_like(asked)
        self.sources = torch.arange(len(kept), device=self.device).repeat_interleave(counts[0])
        if len(kept) != len(self.seen) or not torch.equal(kept, self.sources[:: counts[0]]):
            self.seen = self.seen[kept]
            self.read = [tuple(x.index_select(0, kept) for x in pair) for pair in self.read]


class FullSteps:
    """The same steps without a cache: every call runs over all tokens so far. For comparison."""

    @torch.no_grad()
    def __init__(self, model: TranslationTransformer, source: Tensor) -> None:
        self.model, (self.memory, self.hidden) = model, model.encode(source)
        self.device = source.device
        self.written = source.new_zeros(len(source), 0)  # (B, T)

    @torch.no_grad()
    def step(self, tokens: Tensor) -> Tensor:
        self.written = torch.cat([self.written, tokens[:, None]], dim=1)
        states = self.model.decode(self.written, self.memory, self.hidden)  # (B, T, D)
        return self.model.logits(states[:, -1])

    def select(self, rows: Tensor) -> None:
        self.memory, self.hidden = self.memory[rows], self.hidden[rows]
        self.written = self.written[rows]
