"""A Transformer in eight steps, from one look to a translator; the changed lines are marked NEW.

What you learn: attention lets the places of a line exchange what they know. Everything else in a
Transformer answers a question that attention alone leaves open:

    block_v1        attention alone       What do the others know that this place needs?
    block_v2        + residual            Where does the place keep what it knew itself?
    block_v3        + feed-forward        Who computes with what was found?
    block_v4        + norms               How large may the sum grow? The encoder's block
    block_v5        + a causal mask       What if the next token is the answer?
    block_v6        + cross-attention     How does the other line come in? The decoder's block
    stacks_v7       + a stack of each     What if one look is not enough?
    transformer_v8  + tokens and places   How do words come in and out?

The weights w are a plain dictionary with the names of a state dict: `transformer_v8` runs on those
of a trained `TranslationTransformer` (transformer.py; pre-norm, sinusoidal positions), and a test
shows the two equal. Each version equals the one before where both apply.

B batch, T places that ask, S places that are seen, D width, h heads, d = D / h, F width of the
feed-forward, V words. Masks as in chapter 7's minimal.py: True = may look. No dropout here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def under(w: Weights, name: str) -> Weights:
    """The weights whose name begins with `name.`, without it."""
    return {key[len(name) + 1 :]: value for key, value in w.items() if key.startswith(name + ".")}


def attention(x: Tensor, seen: Tensor, w: Weights, heads: int, mask: Tensor | None) -> Tensor:
    """Chapter 7 in ten lines: places of x (B, T, D) look at those of seen (B, S, D) -> (B, T, D).

    mask: (T, S) or (B, 1, 1, S), True = may look.
    """
    w_q, w_k, w_v = w["in_proj_weight"].chunk(3)  # (D, D) each
    b_q, b_k, b_v = w["in_proj_bias"].chunk(3)  # (D) each
    q, k, v = x @ w_q.T + b_q, seen @ w_k.T + b_k, seen @ w_v.T + b_v  # (B, T or S, D)
    q, k, v = (y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in (q, k, v))  # (B, h, ., d)
    scores = q @ k.mT / math.sqrt(q.shape[-1])  # (B, h, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    found = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)  # (B, T, D), head by head
    return found @ w["out_proj.weight"].T + w["out_proj.bias"]


def block_v1(x: Tensor, w: Weights, heads: int, mask: Tensor | None = None) -> Tensor:
    """Attention alone: (B, T, D) -> (B, T, D). Each place becomes a mean of the values."""
    return attention(x, x, under(w, "self_attn"), heads, mask)


def block_v2(x: Tensor, w: Weights, heads: int, mask: Tensor | None = None) -> Tensor:
    """With a residual connection: what is found is added to what was there."""
    return x + attention(x, x, under(w, "self_attn"), heads, mask)  # NEW: x +


def feed_forward(x: Tensor, w: Weights) -> Tensor:  # NEW
    """Every place by itself, all with the same weights: (B, T, D) -> (B, T, D)."""
    hidden = (x @ w["linear1.weight"].T + w["linear1.bias"]).relu()  # (B, T, F)
    return hidden @ w["linear2.weight"].T + w["linear2.bias"]


def block_v3(x: Tensor, w: Weights, heads: int, mask: Tensor | None = None) -> Tensor:
    """With a feed-forward, in a residual connection of its own."""
    x = x + attention(x, x, under(w, "self_attn"), heads, mask)
    return x + feed_forward(x, w)  # NEW


def norm(x: Tensor, w: Weights, eps: float = 1e-5) -> Tensor:  # NEW
    """Chapter 3's LayerNorm: each place's D numbers to mean 0, variance 1; gain and bias."""
    away = x - x.mean(-1, keepdim=True)
    size = (away.square().mean(-1, keepdim=True) + eps).sqrt()  # (B, T, 1)
    return away / size * w["weight"] + w["bias"]


def block_v4(x: Tensor, w: Weights, heads: int, mask: Tensor | None = None) -> Tensor:
    """With norms in front of both parts: the block of the encoder."""
    n = norm(x, under(w, "norm1"))  # NEW
    x = x + attention(n, n, under(w, "self_attn"), heads, mask)
    return x + feed_forward(norm(x, under(w, "norm2")), w)  # NEW: norm


def block_v5(y: Tensor, w: Weights, heads: int) -> Tensor:
    """With a causal mask: place t sees 1 to t, so that it may be asked for what comes next."""
    causal = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool, device=y.device).tril()  # NEW
    n = norm(y, under(w, "norm1"))
    y = y + attention(n, n, under(w, "self_attn"), heads, causal)  # NEW: causal
    return y + feed_forward(norm(y, under(w, "norm2")), w)


def block_v6(
    y: Tensor, memory: Tensor, w: Weights, heads: int, mask: Tensor | None = None
) -> Tensor:
    """With a look at memory (B, S, D), what the encoder made of its line: the decoder's block."""
    causal = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool, device=y.device).tril()
    n = norm(y, under(w, "norm1"))
    y = y + attention(n, n, under(w, "self_attn"), heads, causal)
    n = norm(y, under(w, "norm2"))  # NEW
    y = y + attention(n, memory, under(w, "multihead_attn"), heads, mask)  # NEW: asks memory
    return y + feed_forward(norm(y, under(w, "norm3")), w)  # NEW: the third norm


def stacks_v7(
    x: Tensor, y: Tensor, w: Weights, heads: int, layers: int, mask: Tensor | None = None
) -> Tensor:
    """With a stack of each block: x (B, S, D) and y (B, T, D) -> states of the target (B, T, D)."""
    for n in range(layers):  # NEW: the same function, other weights
        x = block_v4(x, under(w, f"encoder.layers.{n}"), heads, mask)
    memory = norm(x, under(w, "encoder.norm"))  # NEW: pre-norm leaves the last sum as it is
    for n in range(layers):  # NEW: every block of the decoder reads the same memory
        y = block_v6(y, memory, under(w, f"decoder.layers.{n}"), heads, mask)
    return norm(y, under(w, "decoder.norm"))  # NEW


def places(length: int, width: int) -> Tensor:  # NEW
    """Sines and cosines of each place, (T, D): page 2."""
    pairs = torch.arange(0, width, 2)  # (D / 2)
    waves = torch.exp(-math.log(10_000) * pairs / width)  # (D / 2): 10000^(-2i/D)
    angles = torch.arange(length)[:, None] * waves  # (T, D / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (T, D)


def transformer_v8(
    source: Tensor, target: Tensor, w: Weights, heads: int, layers: int, pad: int = 0
) -> Tensor:
    """Ids (B, S) and (B, T) -> logits (B, T, V) of what follows each token of the target."""
    table = w["embedding.weight"]  # NEW: (V, D), used three times
    width = table.shape[1]
    x, y = (
        math.sqrt(width) * table[ids] + places(ids.shape[1], width).to(table)  # NEW: (B, ., D)
        for ids in (source, target)
    )
    mask = (source != pad)[:, None, None, :]  # NEW: (B, 1, 1, S), padding is seen by nobody
    states = stacks_v7(x, y, under(w, "transformer"), heads, layers, mask)
    return states @ table.T  # NEW: (B, T, V)
