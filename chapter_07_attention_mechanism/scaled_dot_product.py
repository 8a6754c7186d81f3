"""Scaled dot-product attention, with the signature of `F.scaled_dot_product_attention`.

What you learn: one attention is two matrix products with a softmax between them.

    scores  = Q K^T / sqrt(d)        (..., T, d) (..., d, S) -> (..., T, S)
    weights = softmax(scores + m)    over the S keys; m from the mask        (masks.py)
    output  = weights V              (..., T, S) (..., S, v) -> (..., T, v)

Why the square root: the dot product of two vectors of d independent numbers of variance 1 has
variance d. Divided by sqrt(d) it has variance 1 whatever d is (exp_scaling.py).

Two traps that the framework's function has as well, kept here because this is a drop-in:

- `is_causal` is aligned top left: query t sees the keys 0 .. t. With a cache there is one new query
  and S keys, and the query stands at the *last* place; `is_causal=True` then shows it the first key
  alone (pytorch#144858). Decoding passes `causal_mask(T, S, "bottom_right")`, or no mask if T = 1.
- `dropout_p` acts always: nothing here knows whether a model is training. Pass 0 in evaluation.

B batch, h heads, T queries, S keys, d width of a query and key, v width of a value. "..." is any
number of leading axes, mostly (B, h). Paper: Vaswani et al. 2017, section 3.2.1.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # dropout, which chapter 3 built, in its fast form

from chapter_07_attention_mechanism.masks import causal_mask, masked_softmax


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """What each query finds: (..., T, d), (..., S, d), (..., S, v) -> (..., T, v).

    attn_mask: boolean, True = may look, or float, added to the scores; broadcasts to (..., T, S).
    scale: in place of 1 / sqrt(d). enable_gqa: key and value have fewer heads, each for several of
    the query's. A query that may see nothing gets zeros. ValueError: shapes that do not fit.
    """
    if enable_gqa:
        key, value = repeat_heads(key, query), repeat_heads(value, query)
    weights = attention_weights(query, key, attn_mask, is_causal, scale)  # (..., T, S)
    if dropout_p > 0:
        weights = F.dropout(weights, dropout_p)  # keys are dropped; the rows are not summed up anew
    return weights @ value  # (..., T, v)


def attention_weights(
    query: Tensor,
    key: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """How much each query takes of each key: (..., T, d), (..., S, d) -> (..., T, S).

    A row sums to 1, or to 0 if it may see nothing. ValueError: widths that differ, a mask that
    does not fit, a mask beside is_causal.
    """
    width = query.shape[-1]
    if key.shape[-1] != width:
        shapes = f"{tuple(query.shape)} and {tuple(key.shape)}"
        raise ValueError(f"query and key must have one width; their shapes are {shapes}")
    if is_causal:
        if attn_mask is not None:
            raise ValueError("is_causal is a mask itself; combine the two with masks.combined")
        attn_mask = causal_mask(query.shape[-2], key.shape[-2], device=query.device)  # (T, S)
    scale = width**-0.5 if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)  # (..., T, d) (..., d, S) -> (..., T, S)
    return masked_softmax(scores, attn_mask)


def repeat_heads(shared: Tensor, query: Tensor) -> Tensor:
    """Grouped heads: (..., g, S, d) -> (..., h, S, d), one head for h / g of the query's in a row.

    ValueError: h is no multiple of g (Ainslie et al. 2023).
    """
    heads, groups = query.shape[-3], shared.shape[-3]
    if heads % groups:
        raise ValueError(
            f"{heads} heads of the query cannot share {groups} of key and value evenly"
        )
    return shared.repeat_interleave(heads // groups, dim=-3)  # (..., h, S, d)
