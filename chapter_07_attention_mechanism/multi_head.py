"""Multi-head attention: h small attentions side by side, drop-in for `nn.MultiheadAttention`.

What you learn: one softmax gives each query one weighted mean, so it can follow one relation at a
time. Multi-head attention (Vaswani et al. 2017) projects the width D to h heads of d = D / h
numbers, lets each look on its own, lays their answers side by side, and mixes them:

    head_i = softmax(Q W_i^Q (K W_i^K)^T / sqrt(d)) V W_i^V        (B, T, d)
    out    = [head_1 ... head_h] W^O                               (B, T, D)

The h projections of a kind are one matrix product; a head is a view of d of its columns. In
self-attention (query, key and value are one tensor) the three kinds are one product as well.

The same parameter names, arguments and starting weights as PyTorch's. **Its masks say True =
hidden**, the other way round than the rest of this chapter: they are turned once, in `_mask`. Two
differences, both on purpose: a query that may see no key gets zeros (before `out_proj`) and finite
gradients, where PyTorch with `need_weights=True` gives NaN; `is_causal=True` needs no mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chapter_07_attention_mechanism.masks import causal_mask, combined
from chapter_07_attention_mechanism.scaled_dot_product import attention_weights


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) -> (B, h, T, D / h): head i is columns i d to (i + 1) d. A view, nothing moves."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, h, T, d) -> (B, T, h d): the answers of a place side by side again."""
    return x.transpose(1, 2).flatten(2)


class MultiheadAttention(nn.Module):
    """Multi-head attention, arguments as in `nn.MultiheadAttention`.

    embed_dim: D, width of queries and of the output. num_heads: h, must divide D.
    kdim, vdim: widths of keys and values where they are not D (then three weights in place of
    `in_proj_weight`). add_bias_kv: one learned key and value more. add_zero_attn: one more of
    zeros, so that a head may look at nothing. dropout: of the weights, in training.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"num_heads {num_heads} must divide embed_dim {embed_dim}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.add_zero_attn, self.batch_first = dropout, add_zero_attn, batch_first
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        kind = {"device": device, "dtype": dtype}
        for name, shape in self._shapes(bias, add_bias_kv).items():
            value = None if shape is None else nn.Parameter(torch.empty(*shape, **kind))
            self.register_parameter(name, value)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias, **kind)
        self._reset_parameters()

    def _shapes(self, bias: bool, bias_kv: bool) -> dict[str, tuple[int, ...] | None]:
        """The shape of each parameter; None for those that these options do without."""
        width, packed = self.embed_dim, self._qkv_same_embed_dim
        return {
            "q_proj_weight": None if packed else (width, width),
            "k_proj_weight": None if packed else (width, self.kdim),
            "v_proj_weight": None if packed else (width, self.vdim),
            "in_proj_weight": (3 * width, width) if packed else None,
            "in_proj_bias": (3 * width,) if bias else None,
            "bias_k": (1, 1, width) if bias_kv else None,
            "bias_v": (1, 1, width) if bias_kv else None,
        }

    def _reset_parameters(self) -> None:
        """Glorot's bounds for the weights, zeros for the biases: PyTorch's numbers for a seed."""
        weights = (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        for weight in weights:
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            nn.init.zeros_(self.in_proj_bias)
            nn.init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                nn.init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """query (T, B, D), key (S, B, kdim), value (S, B, vdim) -> output (T, B, D), weights.

        batch_first: (B, T, D) instead; without a batch (T, D). need_weights: the weights
        (B, T, S), means over the heads, or (B, h, T, S) with average_attn_weights=False; they are
        computed either way. key_padding_mask (B, S) and attn_mask (T, S) or (B h, T, S): boolean,
        **True = hidden**, or float, added to the scores. is_causal: attn_mask is causal; without
        attn_mask we make it, PyTorch refuses. ValueError: shapes that do not fit.
        """
        batched = query.dim() == 3
        query, key, value = self._batch_first(query, key, value)
        mask = self._mask(query, key, key_padding_mask, attn_mask, is_causal)
        q, k, v = self.projected(query, key, value)  # (B, T, D), (B, S, D), (B, S, D)
        k, v, mask = self._with_extra_keys(k, v, mask)
        q, k, v = (split_heads(x, self.num_heads) for x in (q, k, v))  # (B, h, T or S, d)
        weights = attention_weights(q, k, mask)  # (B, h, T, S): page 3's, with an axis of heads
        weights = F.dropout(weights, self.dropout, self.training)  # chapter 3's, in its fast form
        out = self.out_proj(merge_heads(weights @ v))  # (B, T, D)
        if not batched:
            out, weights = out.squeeze(0), weights.squeeze(0)  # (T, D), (h, T, S)
        elif not self.batch_first:
            out = out.transpose(0, 1)  # (T, B, D)
        if not need_weights:
            return out, None
        return out, weights.mean(-3) if average_attn_weights else weights

    def _batch_first(self, *inputs: Tensor) -> list[Tensor]:
        """Any of the three layouts -> (B, T, width), checked. What was one tensor stays one."""
        for x, width in zip(inputs, (self.embed_dim, self.kdim, self.vdim), strict=True):
            if x.dim() not in (2, 3) or x.dim() != inputs[0].dim() or x.shape[-1] != width:
                raise ValueError(
                    f"query, key and value must all have 2 or all 3 dimensions, the last "
                    f"{self.embed_dim}, {self.kdim} and {self.vdim}; they are {_shapes(*inputs)}"
                )
        found = {}
        for x in inputs:
            turned = x if self.batch_first else x.transpose(0, 1)
            found[id(x)] = turned if x.dim() == 3 else x.unsqueeze(0)  # (B, T, width)
        query, key, value = (found[id(x)] for x in inputs)
        if not (len(query) == len(key) == len(value) and key.shape[1] == value.shape[1]):
            raise ValueError(f"batch and steps of {_shapes(*inputs)} do not fit together")
        return [query, key, value]

    def projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Q W^Q, K W^K, V W^V for all heads; `F.linear` is chapter 2's Linear in its fast form."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if query is key is value and weight is not None:
            return F.linear(query, weight, bias).chunk(3, dim=-1)  # (B, T, 3D), cut in three
        weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights = weights if weight is None else weight.chunk(3)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        return tuple(map(F.linear, (query, key, value), weights, biases))

    def _mask(
        self,
        query: Tensor,
        key: Tensor,
        padding: Tensor | None,
        attention: Tensor | None,
        is_causal: bool,
    ) -> Tensor | None:
        """Both masks in one that broadcasts to (B, h, T, S), turned to True = may look."""
        batch, steps, keys, heads = len(query), query.shape[1], key.shape[1], self.num_heads
        if attention is not None:
            shapes = [(steps, keys), (batch * heads, steps, keys)]
            attention = _turned("attn_mask", attention, shapes)
            if attention.dim() == 3:
                attention = attention.unflatten(0, (batch, heads))  # (B, h, T, S)
        elif is_causal:
            attention = causal_mask(steps, keys, device=query.device)  # (T, S)
        if padding is not None:
            shapes = [(batch, keys)] if batch > 1 else [(batch, keys), (keys,)]
            padding = _turned("key_padding_mask", padding, shapes).reshape(batch, 1, 1, keys)
        return combined(attention, padding)

    def _with_extra_keys(self, k: Tensor, v: Tensor, mask: Tensor | None):
        """Behind the S real keys: the learned one, and the one of zeros. Everyone may see them."""
        batch, keys, width = k.shape
        if self.bias_k is not None:
            k = torch.cat([k, self.bias_k.expand(batch, 1, width)], dim=1)  # (B, S + 1, D)
            v = torch.cat([v, self.bias_v.expand(batch, 1, width)], dim=1)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))  # one row of zeros
        if mask is not None:
            visible = mask.dtype == torch.bool  # a float mask adds 0
            mask = F.pad(mask, (0, k.shape[1] - keys), value=visible)
        return k, v, mask


def _turned(name: str, mask: Tensor, shapes: list[tuple[int, ...]]) -> Tensor:
    """PyTorch's mask (True = hidden) as ours (True = may look); a float one stays as it is."""
    if tuple(mask.shape) not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must be {wanted}, not {tuple(mask.shape)}")
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ValueError(f"{name} is boolean (True = hidden) or float, not {mask.dtype}")
    return ~mask if mask.dtype == torch.bool else mask


def _shapes(*tensors: Tensor) -> str:
    return ", ".join(str(tuple(x.shape)) for x in tensors)
