"""Scaled dot-product attention forward and backward by hand, in NumPy.

What you learn: the backward pass of an attention is four matrix products and one formula, the
softmax's. With P the weights and dX = dloss/dX:

    forward    A = s Q K^T + m        P = softmax(A)        O = P V          s = 1 / sqrt(d)
    backward   dV = P^T dO            dP = dO V^T
               dA = P * (dP - sum_j dP_j P_j)                row by row: the softmax's Jacobian
               dQ = s dA K            dK = s dA^T Q

The Jacobian of one row is diag(p) - p p^T, an (S, S) matrix. It is never made: its product with a
vector is the third line. A row of P that is one 1 and else 0 passes nothing on: dA = 0 there.
Masked places have P = 0, hence dA = 0: no special case.

T queries, S keys, d width of keys, v of values; leading axes (B, h) are carried along.
Paper: Vaswani et al. 2017.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def softmax(scores: Array) -> Array:
    """Over the last axis; a row of nothing but -inf gives zeros."""
    highest = scores.max(axis=-1, keepdims=True)  # (..., T, 1)
    exps = np.exp(scores - np.where(np.isneginf(highest), 0, highest))
    total = exps.sum(axis=-1, keepdims=True)  # (..., T, 1)
    return exps / np.where(total == 0, 1, total)


def softmax_jacobian(p: Array) -> Array:
    """dp_i / da_j = p_i (1[i = j] - p_j) of one row: (S,) -> (S, S)."""
    return np.diag(p) - np.outer(p, p)


def softmax_backward(p: Array, dp: Array) -> Array:
    """The Jacobian's product with dp, for all rows: (..., T, S), (..., T, S) -> (..., T, S)."""
    return p * (dp - (dp * p).sum(axis=-1, keepdims=True))


def forward(
    q: Array, k: Array, v: Array, mask: Array | None = None, scale: float | None = None
) -> tuple[Array, Array]:
    """Output (..., T, v) and weights (..., T, S) of q (..., T, d), k (..., S, d), v (..., S, v).

    mask: boolean, True = may look, broadcasts to (..., T, S).
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    a = scale * q @ k.swapaxes(-1, -2)  # (..., T, S)
    p = softmax(a if mask is None else np.where(mask, a, -np.inf))
    return p @ v, p


def backward(
    d_out: Array, q: Array, k: Array, v: Array, p: Array, scale: float | None = None
) -> tuple[Array, Array, Array]:
    """dq, dk, dv from d_out (..., T, v), what went in, and the weights p (..., T, S)."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    dv = p.swapaxes(-1, -2) @ d_out  # (..., S, T) (..., T, v) -> (..., S, v)
    dp = d_out @ v.swapaxes(-1, -2)  # (..., T, v) (..., v, S) -> (..., T, S)
    da = softmax_backward(p, dp)
    return scale * da @ k, scale * da.swapaxes(-1, -2) @ q, dv  # as q, as k, as v
