"""What a truncated gradient leaves out: chunks of k steps against the whole, in NumPy.

The task is an echo: repeat at every step what came in some steps before. Nothing is trained; the
two gradients are those of one network on one batch, so that only the truncation differs.
"""

from __future__ import annotations

import numpy as np

from chapter_06_rnn_lstm_seq.bptt_numpy import (
    Array,
    Weights,
    difference,
    init_weights,
    loss_and_gradients,
    truncated_gradients,
    zero_state,
)

DELAY, BATCH, HIDDEN = 10, 16, 32


def echo(steps: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """x (T, B, 1) from U(-1, 1), and x DELAY steps late; zeros before it began."""
    x = rng.uniform(-1, 1, (steps, BATCH, 1))
    return x, np.concatenate([np.zeros((DELAY, BATCH, 1)), x])[:steps]


def make_weights(cell: str, value: float, rng: np.random.Generator) -> Weights:
    """Orthogonal recurrent matrices; `value` is the RNN's radius or the LSTM's forget bias."""
    w = init_weights(cell, 1, HIDDEN, 1, rng)
    blocks = len(w["weight_hh"]) // HIDDEN
    orthogonal = [np.linalg.qr(rng.normal(size=(HIDDEN, HIDDEN)))[0] for _ in range(blocks)]
    w["weight_hh"] = np.concatenate(orthogonal) * (value if cell == "rnn" else 1)  # (G H, H)
    if cell == "lstm":
        w["bias"][HIDDEN : 2 * HIDDEN] = value
    return w


def differences(
    cell: str, value: float, chunk_lengths: list[int], steps: int, seed: int
) -> list[tuple[float, float]]:
    """(relative error, cosine) of the gradient of W_hh for every k."""
    rng = np.random.default_rng(seed)
    w, (x, target) = make_weights(cell, value, rng), echo(steps, rng)
    state = zero_state(cell, BATCH, HIDDEN)
    full = loss_and_gradients(cell, w, x, target, state)[1]
    cut = [truncated_gradients(cell, w, x, target, state, k)[1] for k in chunk_lengths]
    return [difference(part, full) for part in cut]
