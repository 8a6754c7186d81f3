"""The two blocks of the Transformer, drop-in for `nn.TransformerEncoderLayer/DecoderLayer`.

What you learn: a block is two or three sublayers, each with a residual connection around it.

    self-attention      places exchange what they know      (chapter 7's MultiheadAttention)
    cross-attention     decoder only: ask the source
    feed-forward        every place by itself:  W2 f(W1 x + b1) + b2,   D -> F -> D

Where the normalisation stands is the one choice. On the path (post-norm, Vaswani et al. 2017) or
in front of the sublayer (pre-norm, Xiong et al. 2020), so that the path itself stays untouched:

    post-norm   x <- norm(x + sublayer(x))
    pre-norm    x <- x + sublayer(norm(x))

`through` assembles a block from any functions that look: `forward` gives it attention over a whole
sequence, kv_cache.py attention of one new token, and whoever draws maps one that keeps the weights.

As in `nn.MultiheadAttention`, **boolean masks say True = hidden**. B batch, T target, S source,
D width, h heads, F width of the feed-forward. `nn.LayerNorm`, `nn.Linear` and `nn.Dropout` are
chapter 3's and 2's layers in their fast form.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_07_attention_mechanism.multi_head import MultiheadAttention

Look = Callable[[Tensor], Tensor]  # (B, T, D) -> what was found, (B, T, D)
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


class Block(nn.Module):
    """What both layers share: a feed-forward, residual connections, the place of the norm.

    d_model: D. nhead: h, divides D. dim_feedforward: F. activation: "relu", "gelu" or a function.
    norm_first: pre-norm. bias: of all linear maps and norms. batch_first: (B, T, D) in place of
    (T, B, D).
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Look = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {list(ACTIVATIONS)}, not {activation!r}")
        kind = {"device": device, "dtype": dtype}
        self.activation = ACTIVATIONS.get(activation, activation)
        self.norm_first = norm_first
        for name in ("self_attn", *self.more_attention):
            attention = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, **kind
            )
            self.add_module(name, attention)
        self.linear1 = nn.Linear(d_model, dim_feedforward, bias, **kind)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, d_model, bias, **kind)
        for n in range(1, 3 + len(self.more_attention)):  # one of each for a sublayer
            norm = nn.LayerNorm(d_model, layer_norm_eps, bias=bias, **kind)
            self.add_module(f"norm{n}", norm)
            self.add_module(f"dropout{n}", nn.Dropout(dropout))

    more_attention: tuple[str, ...] = ()

    def feed_forward(self, x: Tensor) -> Tensor:
        """Every place by itself: (..., D) -> (..., F) -> (..., D)."""
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def around(self, x: Tensor, number: int, sublayer: Look) -> Tensor:
        """x with what `sublayer` adds to it; norm and dropout `number`. Shapes stay (..., D)."""
        norm, drop = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            return x + drop(sublayer(norm(x)))
        return norm(x + drop(sublayer(x)))

    def through(self, x: Tensor, *looks: Look) -> Tensor:
        """The block, with `looks` in the place of its attentions: (B, T, D) -> (B, T, D)."""
        for number, sublayer in enumerate((*looks, self.feed_forward), start=1):
            x = self.around(x, number, sublayer)
        return x


class EncoderLayer(Block):
    """Self-attention and feed-forward; arguments as in `nn.TransformerEncoderLayer`."""

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """src (S, B, D), or (B, S, D) with batch_first -> the same shape.

        src_mask (S, S) or (B h, S, S), src_key_padding_mask (B, S). is_causal: no place sees a
        later one; a mask beside it must say the same.
        """
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask}
        look = looking(self.self_attn, is_causal=is_causal, **masks)
        return self.through(src, look)


class DecoderLayer(Block):
    """Self-attention, a look at `memory`, feed-forward; as in `nn.TransformerDecoderLayer`."""

    more_attention = ("multihead_attn",)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt (T, B, D) and memory (S, B, D), the encoder's output -> (T, B, D).

        tgt_mask (T, T), memory_mask (T, S), each also with (B h, ...); the padding masks (B, T)
        and (B, S).
        """
        own = {"attn_mask": tgt_mask, "key_padding_mask": tgt_key_padding_mask}
        read = {"attn_mask": memory_mask, "key_padding_mask": memory_key_padding_mask}
        return self.through(
            tgt,
            looking(self.self_attn, is_causal=tgt_is_causal, **own),
            looking(self.multihead_attn, memory, is_causal=memory_is_causal, **read),
        )


def looking(
    attention: nn.Module, memory: Tensor | None = None, kept: list[Tensor] | None = None, **masks
) -> Look:
    """The sublayer x -> attention of x to memory, or to itself. kept: receives (B, h, T, S)."""

    def look(x: Tensor) -> Tensor:
        seen = x if memory is None else memory
        out, weights = attention(
            x, seen, seen, need_weights=kept is not None, average_attn_weights=False, **masks
        )
        if kept is not None:
            kept.append(weights)
        return out

    return look
