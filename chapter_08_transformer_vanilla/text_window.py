"""A text longer than the network's places: written with a cache, and measured.

What you learn: GPT-2 has places for M tokens and no more, so over a longer text a window moves. One
rule serves for writing and for measuring: a full window drops its older half, so that every token
behind the first M is predicted from at least M/2 before it.

    M = 4        a b c d            predicts b c d e
                     c d e f                     f g        the two that are new
                         e f g h                     h i

How far the window moves is a part of the number: moved by M, the first token of every window is
predicted from nothing. B rows, T new tokens, n tokens so far, M places, V tokens, h heads, d = D/h.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_06_rnn_lstm_seq.sampling import sample
from chapter_07_attention_mechanism.masks import as_float, causal_mask
from chapter_07_attention_mechanism.multi_head import MultiheadAttention
from chapter_08_transformer_vanilla.gpt2 import GPT2
from chapter_08_transformer_vanilla.kv_cache import KVCache, attend, projected
from utils.modes import evaluating


def window_start(length: int, longest: int) -> int:
    """Of `length` tokens, the first that the prediction of the next one sees.

    A full window drops its older half, so starts are multiples of M/2. (A window that moved by one
    would give every token another place, and every key and value would be computed anew.)
    """
    step = max(1, longest // 2)
    return -(-max(0, length - longest) // step) * step


class CachedText:
    """Texts that a GPT2 reads and writes: `step` and `select` as in kv_cache.py, no source.

    All rows have the same length. While the window does not slide, a token costs one token's work;
    when it does, the kept half is read again at its new places.
    """

    def __init__(self, model: GPT2, batch: int) -> None:
        self.model, self.device = model, model.tokens.weight.device
        self.ids = torch.zeros(batch, 0, dtype=torch.long, device=self.device)  # (B, n)
        self.clear(0)

    def clear(self, start: int) -> None:
        """Nothing is kept; the window begins at token `start`."""
        self.start, like = start, self.model.tokens.weight
        attention = self.model.layers[0].self_attn
        self.caches = [KVCache(len(self.ids), attention.num_heads, attention.head_dim, like)
                       for _ in self.model.layers]  # fmt: skip

    def step(self, tokens: Tensor) -> Tensor:
        """The last token of each row (B,) -> logits (B, V) of the next one."""
        return self.extend(tokens[:, None])

    @torch.no_grad()
    def extend(self, tokens: Tensor) -> Tensor:
        """The next tokens of each row (B, T) -> logits (B, V) of what follows."""
        read = self.ids.shape[1]
        self.ids = torch.cat([self.ids, tokens], dim=1)
        start = window_start(self.ids.shape[1], self.model.longest)
        if start != self.start:
            self.clear(start)
            read = start
        first, end = read - start, self.ids.shape[1] - start
        x = self.model.placed(self.ids[:, read:], first)  # (B, T, D)
        future = causal_mask(end - first, end, "bottom_right", self.device)  # (T, M)
        for layer, cache in zip(self.model.layers, self.caches, strict=True):
            look = partial(self.look, layer.self_attn, cache, first, as_float(future, x.dtype))
            x = layer.through(x, look)
        return self.model.logits(x[:, -1])

    @staticmethod
    def look(
        attention: MultiheadAttention, cache: KVCache, first: int, mask: Tensor, x: Tensor
    ) -> Tensor:
        """The new tokens (B, T, D), at places from `first` on, look at all so far."""
        end = mask.shape[1]
        q, k, v = projected(attention, x, "qkv")  # (B, h, T, d)
        cache.reserve(end)
        cache.write(k, v, first)
        keys, values = (part[:, :, :end] for part in (cache.keys, cache.values))
        return attention.out_proj(attend(q, keys, values, mask))

    def select(self, rows: Tensor) -> None:
        self.ids = self.ids[rows]
        for cache in self.caches:
            cache.select(rows)


class FullText(CachedText):
    """The same without a cache: every step reads the whole window. For comparison."""

    @torch.no_grad()
    def extend(self, tokens: Tensor) -> Tensor:
        self.ids = torch.cat([self.ids, tokens], dim=1)
        start = window_start(self.ids.shape[1], self.model.longest)
        return self.model(self.ids[:, start:])[:, -1]


@torch.no_grad()
def write(model: GPT2, prompt: Tensor, count: int, cached: bool = True, **how: Any) -> Tensor:
    """`count` tokens after each prompt (B, T) -> (B, count).

    how: the options of chapter 6's `sample`; temperature=0 is greedy. ValueError: no prompt, or
    nothing to write.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if prompt.shape[1] == 0:
        raise ValueError("the prompt is empty: the network needs a first token to go on from")
    with evaluating(model):
        text = (CachedText if cached else FullText)(model, len(prompt))
        tokens, written = prompt, []
        for _ in range(count):
            tokens = sample(text.extend(tokens), **how)[:, None]  # (B, 1)
            written.append(tokens)
    return torch.cat(written, dim=1)


@torch.no_grad()
def nats_per_token(model: GPT2, ids: Tensor, step: int | None = None, batch: int = 64) -> float:
    """Mean of -log p over tokens 2 ... n of `ids` (n,), the window moved by `step` tokens.

    step: M/2 where it is None, the rule of `window_start`; M cuts the text into windows that know
    nothing of each other; 1 gives every token all M before it, for M times the work.
    """
    if len(ids) < 2:
        raise ValueError("a text needs two tokens before one can be predicted")
    longest = model.longest
    step = max(1, longest // 2) if step is None else step
    if not 1 <= step <= longest:
        raise ValueError(f"a window of {longest} moves by 1 to {longest} tokens, not {step}")
    inputs, targets = ids[:-1], ids[1:]

    def total(starts: Tensor, length: int, new: int) -> float:
        """-log p of the last `new` targets of windows (N,) of `length` tokens, summed."""
        rows = starts[:, None] + torch.arange(length)  # (N, T)
        logits = model(inputs[rows])[:, -new:]  # (N, new, V)
        return float(F.cross_entropy(logits.transpose(1, 2), targets[rows][:, -new:],
                                     reduction="sum"))  # fmt: skip

    first = min(longest, len(inputs))
    whole = torch.tensor(range(step, len(inputs) - longest + 1, step), dtype=torch.long)  # (N,)
    with evaluating(model):
        found = total(torch.zeros(1, dtype=torch.long), first, first)
        found += sum(total(starts, longest, step) for starts in whole.split(batch) if len(starts))
        read = first + step * len(whole)  # tokens predicted so far
        if read < len(inputs):
            start = torch.tensor([step * (len(whole) + 1)])
            found += total(start, len(inputs) - int(start), len(inputs) - read)
    return found / len(inputs)
