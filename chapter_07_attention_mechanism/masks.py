"""Masks: who may look where, and a softmax that survives a row with nothing to see.

What you learn: a mask is a table of yes and no, one row a query, one column a key. It changes the
scores before the softmax, never the weights behind it, so that what is left still sums to one:

    weights = softmax(scores + m)        m = 0 where the query may look, -inf where it may not

Convention of this course, and of `F.scaled_dot_product_attention`: **True = may look**.
`nn.MultiheadAttention` has it the other way round: there True = hidden.

A row of nothing but -inf is 0 / 0: softmax gives NaN, and so does its gradient, which then reaches
every weight of the network, although nobody uses that row. `nn.MultiheadAttention` returning its
weights still does this (pytorch#41508, open since 2020); newer `F.scaled_dot_product_attention`
gives zeros. So does `masked_softmax`, with gradient zero: who sees nothing takes nothing with him.

Every mask broadcasts to (..., T, S). B batch, T queries, S keys. With heads the scores are
(B, h, T, S): give such a mask its axis of heads with `mask.unsqueeze(1)`.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

Device = torch.device | str | None


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """Hides what lies behind the end of a row: lengths (B,) -> (B, 1, S), S = size.

    ValueError: a row longer than `size`.
    """
    if len(lengths) and not 0 <= lengths.min() <= lengths.max() <= size:
        raise ValueError(f"lengths must be 0 to {size}, not {lengths.tolist()}")
    return torch.arange(size, device=lengths.device) < lengths[:, None, None]  # (B, 1, S)


def causal_mask(
    queries: int, keys: int | None = None, align: str = "top_left", device: Device = None
) -> Tensor:
    """Hides the future: (T, S), query t sees the keys up to its own place.

    The two alignments differ where T != S. "top_left": query t stands at place t. This is what
    `is_causal` means in PyTorch. "bottom_right": the last query stands at the last key. This is
    what decoding with a cache needs: one new query, S keys seen so far, all visible.
    """
    keys = queries if keys is None else keys
    if align not in ("top_left", "bottom_right"):
        raise ValueError(f"align must be 'top_left' or 'bottom_right', not {align!r}")
    shift = keys - queries if align == "bottom_right" else 0
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(shift)  # (T, S)


def prefix_mask(size: int, prefix: int | Tensor) -> Tensor:
    """Causal, but the first `prefix` tokens see each other: (T, T), or (B, T, T) for (B,).

    The prefix is given (a question, a source line), so no answer leaks (Raffel et al. 2020).
    """
    prefix = torch.as_tensor(prefix)[..., None, None]  # (1, 1) or (B, 1, 1)
    given = torch.arange(size, device=prefix.device) < prefix  # (1, T) or (B, 1, T): keys
    return causal_mask(size, device=prefix.device) | given


def block_diagonal_mask(documents: Tensor) -> Tensor:
    """Several documents packed into one row do not see each other: ids (B, T) -> (B, T, T).

    New position numbers alone do not keep them apart. For a language model: `combined` with causal.
    """
    return documents[:, :, None] == documents[:, None, :]  # (B, T, T)


def combined(*masks: Tensor | None) -> Tensor | None:
    """May look only where all of them allow it. None allows everything.

    Boolean masks give a boolean one; if one is float (0 / -inf, or a bias), so is the result.
    ValueError: shapes that do not broadcast, with both shapes.
    """
    found = [mask for mask in masks if mask is not None]
    kinds = {mask.dtype for mask in found} - {torch.bool}
    if kinds:
        dtype = reduce(torch.promote_types, kinds)
        return reduce(torch.add, _checked([as_float(mask, dtype) for mask in found]))
    return reduce(torch.logical_and, _checked(found)) if found else None


def _checked(masks: list[Tensor]) -> list[Tensor]:
    try:
        torch.broadcast_shapes(*[mask.shape for mask in masks])
    except RuntimeError:
        shapes = " and ".join(str(tuple(mask.shape)) for mask in masks)
        raise ValueError(f"masks of shapes {shapes} do not fit together") from None
    return masks


def as_float(mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same mask to be added to scores: 0 where True, -inf where False. A float one stays."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)


def check_mask(mask: Tensor, shape: torch.Size) -> None:
    """ValueError: not boolean or float, or no fit to scores of this shape (..., T, S)."""
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ValueError(f"a mask is boolean (True = may look) or float, not {mask.dtype}")
    try:
        fits = torch.broadcast_shapes(mask.shape, shape) == shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} does not fit scores of shape {tuple(shape)}"
        )


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weights (..., T, S) that sum to 1 over the keys seen; a row that sees none is all zeros.

    mask: boolean, True = may look, or float, added to the scores; broadcasts to (..., T, S).
    `Tensor.softmax` is chapter 2's softmax in its fast form. An empty row must be made finite
    *before* it: what is NaN once stays NaN in the gradient, because 0 * NaN is NaN.
    """
    if mask is None:
        return scores.softmax(-1)
    check_mask(mask, scores.shape)
    if mask.dtype == torch.bool:
        empty = ~mask.any(-1, keepdim=True)  # (..., T, 1)
        scores = scores.masked_fill(~(mask | empty), -torch.inf)
    else:
        empty = mask.isneginf().all(-1, keepdim=True)  # (..., T, 1)
        scores = scores + mask.masked_fill(empty, 0).to(scores.dtype)
    return scores.softmax(-1).masked_fill(empty, 0)
