"""Backpropagation through time by hand, in NumPy, for the RNN and the LSTM; whole and truncated.

What you learn: unrolled over T steps, a recurrent network is a feed-forward network of T layers
that share one set of weights. So the backward pass is chapter 2's, walked from the last step to the
first, with two additions: the error of a state comes from two sides, and a weight's gradient is a
sum over the steps.

    forward    a_t = W_ih x_t + W_hh h_(t-1) + b        h_t = tanh(a_t)      y_t = W_out h_t + b_out
    start      dy_t = dloss/dy_t                        (T, B, K)
    backward   dh_t = W_out^T dy_t + W_hh^T da_(t+1)    from above, and from the next step
               da_t = dh_t * (1 - h_t^2)
    weights    dW_hh = sum_t da_t h_(t-1)^T             dW_ih = sum_t da_t x_t^T     db = sum_t da_t

Truncated: the sequence is cut into chunks of k steps. The state is carried from chunk to chunk, the
error is not: W_hh^T da_(t+1) is left out where t is the last step of a chunk. Work and memory of a
chunk no longer grow with T, and no gradient reaches further back than k steps.

T steps, B batch, I inputs, H hidden units, K outputs. Weights carry PyTorch's names, with one bias
instead of its two. Papers: Rumelhart, Hinton & Williams 1986; Werbos 1990; Williams & Peng 1990.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chapter_02_nn_basics_mlp.backprop_numpy import LOSSES  # "mse", "cross_entropy"

Array = np.ndarray
Weights = dict[str, Array]  # weight_ih, weight_hh, bias; weight_out, bias_out
State = tuple[Array, ...]  # (h,) or (h, c), each (B, H)
GATES = {"rnn": 1, "lstm": 4}  # blocks in weight_ih, weight_hh and bias; the LSTM's are i, f, g, o


def init_weights(cell: str, inputs: int, hidden: int, outputs: int, rng: Any) -> Weights:
    """Normal numbers of variance 1 / fan-in; the forget gate's bias is 1."""
    rows = GATES[cell] * hidden
    shapes = {
        "weight_ih": (rows, inputs),
        "weight_hh": (rows, hidden),
        "weight_out": (outputs, hidden),
    }
    w = {name: rng.normal(0, shape[1] ** -0.5, shape) for name, shape in shapes.items()}
    w |= {"bias": np.zeros(rows), "bias_out": np.zeros(outputs)}
    if cell == "lstm":
        w["bias"][hidden : 2 * hidden] = 1
    return w


def zero_state(cell: str, batch: int, hidden: int) -> State:
    return tuple(np.zeros((batch, hidden)) for _ in range(2 if cell == "lstm" else 1))


def sigmoid(a: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * a))  # the same as 1 / (1 + exp(-a)), without its overflow


# --- RNN ---


def rnn_forward(w: Weights, x: Array, state: State) -> tuple[Array, State]:
    """All states h_0 .. h_T, (T + 1, B, H), from x (T, B, I); and the last one."""
    h = [state[0]]
    for x_t in x:
        h.append(np.tanh(x_t @ w["weight_ih"].T + h[-1] @ w["weight_hh"].T + w["bias"]))  # (B, H)
    return np.stack(h), (h[-1],)


def rnn_backward(w: Weights, h: Array, d_above: Array) -> Array:
    """da_t for all steps, (T, B, H), from d_above = W_out^T dy_t, (T, B, H)."""
    da = np.empty_like(d_above)
    from_later = np.zeros_like(d_above[0])  # nothing comes after the last step
    for t in reversed(range(len(d_above))):
        dh = d_above[t] + from_later  # (B, H): a state acts on its output and on the next state
        da[t] = dh * (1 - h[t + 1] ** 2)  # h[t + 1] is the state after step t
        from_later = da[t] @ w["weight_hh"]  # (B, H)
    return da


# --- LSTM ---


def lstm_forward(w: Weights, x: Array, state: State) -> tuple[dict[str, Array], State]:
    """h and c of all steps, (T + 1, B, H), and the gates i, f, g, o side by side, (T, B, 4H)."""
    h, c, gates = [state[0]], [state[1]], []
    for x_t in x:
        a = x_t @ w["weight_ih"].T + h[-1] @ w["weight_hh"].T + w["bias"]  # (B, 4H)
        i, f, g, o = np.split(a, 4, axis=1)  # 4 of (B, H)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        gates.append(np.concatenate([i, f, g, o], axis=1))  # (B, 4H)
    return {"h": np.stack(h), "c": np.stack(c), "gates": np.stack(gates)}, (h[-1], c[-1])


def lstm_backward(w: Weights, trace: dict[str, Array], d_above: Array) -> Array:
    """da_t of the four gates for all steps, (T, B, 4H), from d_above (T, B, H)."""
    c, da = trace["c"], np.empty_like(trace["gates"])
    from_later, dc_later = np.zeros_like(d_above[0]), np.zeros_like(d_above[0])  # of h, and of c
    for t in reversed(range(len(d_above))):
        i, f, g, o = np.split(trace["gates"][t], 4, axis=1)  # 4 of (B, H)
        dh, squashed = d_above[t] + from_later, np.tanh(c[t + 1])
        dc = dc_later + dh * o * (1 - squashed**2)
        behind = (dc * g, dc * c[t], dc * i, dh * squashed)  # of the gates i, f, g, o
        slopes = (i * (1 - i), f * (1 - f), 1 - g**2, o * (1 - o))
        da[t] = np.concatenate([d * s for d, s in zip(behind, slopes, strict=True)], axis=1)
        from_later = da[t] @ w["weight_hh"]  # (B, 4H) -> (B, H)
        dc_later = dc * f  # the carousel: no matrix, only the forget gate
    return da


# --- Loss and gradients ---


def loss_and_gradients(
    cell: str, w: Weights, x: Array, target: Array, state: State, loss: str = "mse"
) -> tuple[float, Weights, State]:
    """Mean loss over all steps, the gradient of every weight, and the last state.

    x (T, B, I); target (T, B, K), or for "cross_entropy" classes (T, B).
    """
    if cell == "rnn":
        h, last = rnn_forward(w, x, state)
        trace: Any = h
    else:
        trace, last = lstm_forward(w, x, state)
        h = trace["h"]
    y = h[1:] @ w["weight_out"].T + w["bias_out"]  # (T, B, H) -> (T, B, K)
    flat_target = target.reshape(-1, *target.shape[2:])  # the steps are so many more rows
    value, d_flat = LOSSES[loss](y.reshape(-1, y.shape[-1]), flat_target)
    dy = d_flat.reshape(y.shape)  # (T, B, K)
    backward = rnn_backward if cell == "rnn" else lstm_backward
    da = backward(w, trace, dy @ w["weight_out"])  # (T, B, G H)
    return value, weight_gradients(x, h, da, dy), last


def weight_gradients(x: Array, h: Array, da: Array, dy: Array) -> Weights:
    """Sums over steps and batch of the products of an error and what it was multiplied with."""
    return {
        "weight_ih": np.einsum("tbg,tbi->gi", da, x),
        "weight_hh": np.einsum("tbg,tbh->gh", da, h[:-1]),  # the state *before* step t
        "bias": da.sum(axis=(0, 1)),
        "weight_out": np.einsum("tbk,tbh->kh", dy, h[1:]),
        "bias_out": dy.sum(axis=(0, 1)),
    }


# --- Truncated ---


def chunks(x: Array, target: Array, k: int) -> Iterator[tuple[Array, Array]]:
    """Pieces of k steps, in order; the last may be shorter."""
    if k < 1:
        raise ValueError(f"a chunk needs 1 step or more, not {k}")
    for start in range(0, len(x), k):
        yield x[start : start + k], target[start : start + k]


def truncated_gradients(
    cell: str, w: Weights, x: Array, target: Array, state: State, k: int, loss: str = "mse"
) -> tuple[float, Weights, State]:
    """The same, with no error passed back between chunks of k steps: `detach` in PyTorch.

    The states are exact, and so is the loss; only the gradient is cut. A training takes a step of
    the optimizer behind each chunk; here the weights stay, so that the sum can be compared.
    """
    total = {name: np.zeros_like(value) for name, value in w.items()}
    mean = 0.0
    for x_part, target_part in chunks(x, target, k):
        value, gradients, state = loss_and_gradients(cell, w, x_part, target_part, state, loss)
        share = len(x_part) / len(x)  # of this chunk in the mean over all steps
        mean += share * value
        for name in total:
            total[name] += share * gradients[name]
    return mean, total, state


def difference(part: Weights, full: Weights) -> tuple[float, float]:
    """Of the recurrent gradients: relative error, and the cosine of the angle between them."""
    a, b = part["weight_hh"].ravel(), full["weight_hh"].ravel()
    length = np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / length), float(a @ b / (np.linalg.norm(a) * length))
