"""Solutions of chapter 7's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 7 --solutions`.
"""

import math

import torch


def additive_score(query, key, w_query, w_key, v):
    queries = (query @ w_query.T)[:, :, None]  # (B, T, Q) -> (B, T, A) -> (B, T, 1, A)
    keys = (key @ w_key.T)[:, None]  # (B, S, K) -> (B, S, A) -> (B, 1, S, A)
    return torch.tanh(queries + keys) @ v  # (B, T, S, A) -> (B, T, S)


def in_heads(attend, query, key, value, heads):
    if query.shape[-1] % heads or value.shape[-1] % heads:
        raise ValueError(f"{heads} heads do not divide {query.shape[-1]} and {value.shape[-1]}")

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, h, T, d)

    result = attend(split(query), split(key), split(value))  # (B, h, T, e)
    return result.transpose(1, 2).flatten(-2)  # (B, h, T, e) -> (B, T, h, e) -> (B, T, E)


def sharpen(weights, temperature):
    sharp = (weights.log() / temperature).softmax(dim=-1)  # log(0) = -inf gives 0 again
    sharp = torch.where(weights > 0, sharp, 0.0)  # and nan in a row of zeros: 0
    return sharp, torch.special.entr(sharp).sum(dim=-1)  # (..., S) -> (...)


def luong_step(state, states, mask, w_score, w_combine):
    asked = (state @ w_score)[:, :, None]  # (B, H) -> (B, C, 1)
    scores = (states @ asked).squeeze(-1)  # (B, S, C) @ (B, C, 1) -> (B, S)
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)
    context = (weights[:, None] @ states).squeeze(1)  # (B, 1, S) @ (B, S, C) -> (B, C)
    both = torch.cat([context, state], dim=-1)  # (B, C + H)
    return torch.tanh(both @ w_combine.T), weights


def masked_weights(scores, lengths):
    size = scores.shape[-1]
    place = torch.arange(size)
    causal = place <= place[:, None]  # (T, T): key s, query t
    real = place >= (size - lengths)[:, None, None]  # (B, 1, T)
    hidden = ~(causal & real)  # (B, T, T)
    return scores.masked_fill(hidden, -math.inf).softmax(dim=-1).masked_fill(hidden, 0.0)


def pointer_step(state, memory, chosen):
    scores = (memory @ state[:, :, None]).squeeze(-1) / math.sqrt(state.shape[-1])  # (B, N)
    log_p = scores.masked_fill(chosen, -math.inf).log_softmax(dim=-1)
    pick = log_p.argmax(dim=-1)  # (B,)
    rows = torch.arange(len(pick))
    after = chosen.clone()
    after[rows, pick] = True
    return log_p, pick, memory[rows, pick], after


def squeeze_excite(x, query, w1, b1, w2, b2):
    places = x.flatten(2)  # (B, C, H, W) -> (B, C, H W)
    weights = (query @ places).softmax(dim=-1)  # (C,) @ (B, C, H W) -> (B, H W)
    squeezed = (places * weights[:, None]).sum(dim=-1)  # (B, C)
    gate = torch.sigmoid(torch.relu(squeezed @ w1.T + b1) @ w2.T + b2)  # (B, C)
    return x * gate[:, :, None, None], weights.unflatten(-1, x.shape[2:])  # (B, H, W)


def scores_gradient(weights, value, grad):
    d_value = weights.mT @ grad  # (B, S, T) @ (B, T, V) -> (B, S, V)
    d_weights = grad @ value.mT  # (B, T, V) @ (B, V, S) -> (B, T, S)
    shared = (weights * d_weights).sum(dim=-1, keepdim=True)  # (B, T, 1)
    return weights * (d_weights - shared), d_value
