"""Decoding without doing the same work again: keys and values of the past are kept.

What you learn: to write token t, a decoder needs the queries of token t alone, but keys and values
of all tokens before it. These never change (causal mask), so they are computed once and stored.
Without a cache step t runs over t tokens; with it over one:

    without   1 + 2 + ... + T tokens through the network        with   T tokens

Each row of a batch has its own length in the cache, because texts of different lengths may be
continued together: one position for the whole batch is a well-known bug. What the decoder asks the
source is projected once.

Both ways have one form, which decoding.py calls: `step(tokens (B,)) -> logits (B, V)`, and
`select(rows)`, which keeps, repeats or reorders rows. B rows, T tokens so far, S source, h heads,
d = D / h.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_07_attention_mechanism.masks import combined
from chapter_07_attention_mechanism.multi_head import MultiheadAttention, merge_heads, split_heads
from chapter_07_attention_mechanism.scaled_dot_product import attention_weights
from chapter_08_transformer_vanilla.transformer import TranslationTransformer

GROWTH = 64  # places reserved at a time


class KVCache:
    """Keys and values of one attention: (B, h, M, d), the first `lengths` (B,) of each row real."""

    def __init__(self, batch: int, heads: int, size: int, like: Tensor) -> None:
        self.keys = like.new_zeros(batch, heads, 0, size)
        self.values = like.new_zeros(batch, heads, 0, size)
        self.lengths = torch.zeros(batch, dtype=torch.long, device=like.device)

    def append(self, keys: Tensor, values: Tensor) -> None:
        """One more place a row, each behind its own end: (B, h, 1, d) each."""
        if int(self.lengths.max()) >= self.keys.shape[2]:
            self.keys, self.values = (F.pad(x, (0, 0, 0, GROWTH)) for x in (self.keys, self.values))
        rows = torch.arange(len(self.lengths), device=self.lengths.device)
        self.keys[rows, :, self.lengths] = keys.squeeze(2)  # (B, h, d)
        self.values[rows, :, self.lengths] = values.squeeze(2)
        self.lengths = self.lengths + 1

    def filled(self) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values up to the longest row (B, h, T, d), and who is real (B, 1, 1, T)."""
        longest = int(self.lengths.max())
        places = torch.arange(longest, device=self.lengths.device)
        real = (places < self.lengths[:, None])[:, None, None]  # (B, 1, 1, T)
        return self.keys[:, :, :longest], self.values[:, :, :longest], real

    def select(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was."""
        self.keys, self.values = self.keys[rows], self.values[rows]
        self.lengths = self.lengths[rows]


def projected(attention: MultiheadAttention, x: Tensor, parts: str) -> list[Tensor]:
    """Some of "q", "k", "v" of x (B, T, D), each (B, h, T, d)."""
    width, found = attention.embed_dim, []
    for part in parts:
        rows = slice("qkv".index(part) * width, ("qkv".index(part) + 1) * width)
        bias = None if attention.in_proj_bias is None else attention.in_proj_bias[rows]
        found.append(F.linear(x, attention.in_proj_weight[rows], bias))
    return [split_heads(x, attention.num_heads) for x in found]


def attend(
    attention: MultiheadAttention, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
) -> Tensor:
    """q (B, h, 1, d), k and v (B, h, T, d), mask to (B, h, 1, T), True = may look -> (B, 1, D)."""
    weights = attention_weights(q, k, mask)  # (B, h, 1, T)
    return attention.out_proj(merge_heads(weights @ v))


class CachedSteps:
    """The decoder of a translator, one token a call; the source (B, S) is read once."""

    def __init__(self, model: TranslationTransformer, source: Tensor) -> None:
        self.model, layers = model, model.transformer.decoder.layers
        memory, hidden = model.encode(source)
        self.seen = ~hidden[:, None, None]  # (B, 1, 1, S), True = may look
        self.read = [projected(layer.multihead_attn, memory, "kv") for layer in layers]
        heads, width = layers[0].self_attn.num_heads, layers[0].self_attn.head_dim
        self.caches = [KVCache(len(source), heads, width, memory) for _ in layers]

    def step(self, tokens: Tensor) -> Tensor:
        """The last token of each row (B,) -> logits (B, V) of the next one."""
        model, decoder = self.model, self.model.transformer.decoder
        places = self.caches[0].lengths[:, None]  # (B, 1): every row has its own
        x = model.placed(tokens[:, None], places, model.target_positions)  # (B, 1, D)
        for layer, cache, read in zip(decoder.layers, self.caches, self.read, strict=True):
            x = layer.through(x, self.look(layer.self_attn, cache), self.ask(layer, *read))
        return model.logits(decoder.norm(x).squeeze(1))

    def look(self, attention: MultiheadAttention, cache: KVCache):
        def look(x: Tensor) -> Tensor:
            q, k, v = projected(attention, x, "qkv")
            places = cache.lengths[:, None]  # (B, 1)
            cache.append(k, v)
            keys, values, real = cache.filled()
            every = torch.arange(keys.shape[2], device=x.device).expand(len(x), -1)  # (B, T)
            bias = self.model.target_positions.bias(places, every)  # (B, h, 1, T)
            return attend(attention, q, keys, values, combined(bias, real))

        return look

    def ask(self, layer: nn.Module, keys: Tensor, values: Tensor):
        def ask(x: Tensor) -> Tensor:
            (q,) = projected(layer.multihead_attn, x, "q")
            return attend(layer.multihead_attn, q, keys, values, self.seen)

        return ask

    def select(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] was; rows (B',) may repeat and leave out."""
        self.seen = self.seen[rows]
        self.read = [[part[rows] for part in read] for read in self.read]
        for cache in self.caches:
            cache.select(rows)


class FullSteps:
    """The same steps without a cache: every call runs over all tokens so far. For comparison."""

    def __init__(self, model: TranslationTransformer, source: Tensor) -> None:
        self.model, (self.memory, self.hidden) = model, model.encode(source)
        self.written = source.new_zeros(len(source), 0)  # (B, T)

    def step(self, tokens: Tensor) -> Tensor:
        self.written = torch.cat([self.written, tokens[:, None]], dim=1)
        states = self.model.decode(self.written, self.memory, self.hidden)  # (B, T, D)
        return self.model.logits(states[:, -1])

    def select(self, rows: Tensor) -> None:
        self.memory, self.hidden = self.memory[rows], self.hidden[rows]
        self.written = self.written[rows]
