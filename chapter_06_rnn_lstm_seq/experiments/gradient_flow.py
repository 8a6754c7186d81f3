"""How far a gradient reaches back: the Jacobian of the last output by the state k steps before.

Every step maps a state s_(t-1) to s_t; s is h for the RNN and the GRU, (h, c) for the LSTM. With
J_t = ds_t / ds_(t-1) the chain rule gives a product of k matrices, one a step:

    dh_T / ds_(T-k) = [I 0] J_T J_(T-1) ... J_(T-k+1)                (H, S), S = H or 2H

Its largest singular value is the most by which a small change of the state k steps ago, or an error
sent back over k steps, can be stretched. The J_t come from autograd, step by step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.cells import Weights, gru_step, lstm_step, rnn_step
from chapter_06_rnn_lstm_seq.experiments.adding import (
    Adder,
    Bias,
    Setting,
    adding_batch,
    make_adder,
    train,
)
from utils.seed import generator

STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}
PARTS = {"rnn": 1, "lstm": 2, "gru": 1}  # tensors in a state


def flat_step(cell: str, w: Weights, x: Tensor, s: Tensor) -> Tensor:
    """One step with the whole state in one tensor: x (B, I), s (B, S) -> s' (B, S)."""
    state = s.chunk(PARTS[cell], dim=1)  # each (B, H)
    return torch.cat(STEPS[cell](x, state, w), dim=1)  # (B, S)


def jacobian(cell: str, w: Weights, x: Tensor, s: Tensor) -> Tensor:
    """ds' / ds of every row, (B, S, S): row i of it is the gradient of the i-th number of s'."""
    batch, size = s.shape
    copies = s.repeat_interleave(size, dim=0).requires_grad_()  # (B S, S): a copy for each row
    after = flat_step(cell, w, x.repeat_interleave(size, dim=0), copies)  # (B S, S)
    chosen = after.view(batch, size, size).diagonal(dim1=1, dim2=2)  # (B, S): i-th of the i-th copy
    return torch.autograd.grad(chosen.sum(), copies)[0].view(batch, size, size)


def norms(model: Adder, x: Tensor) -> Tensor:
    """Spectral norm of dh_T / ds_(T-k), k = 0 .. T: (T + 1,), geometric mean over x (B, T, I)."""
    size, parts = model.recurrent.hidden_size, PARTS[model.cell]
    given = model.recurrent.weights("l0").items()
    w = {name: value.detach().double() for name, value in given if value is not None}
    jacobians, s = [], torch.zeros(len(x), parts * size, dtype=torch.float64)  # s (B, S)
    for x_t in x.double().unbind(1):
        jacobians.append(jacobian(model.cell, w, x_t, s))
        s = flat_step(model.cell, w, x_t, s)
    product = torch.eye(parts * size, dtype=torch.float64)[:size]  # (H, S): h alone
    found = [product.expand(len(x), -1, -1)]  # (B, H, S)
    for one in reversed(jacobians):
        found.append(found[-1] @ one)  # one step further back
    return torch.linalg.matrix_norm(torch.stack(found), ord=2).log().mean(1).exp()  # (T + 1,)


def start(cell: str, value: Bias, setting: Setting, seed: int) -> Adder:
    """A network before training. `value`: the LSTM's or GRU's gate bias, the RNN's radius.

    An RNN of radius r has r times an orthogonal matrix: all its singular values, and the moduli of
    all its eigenvalues, are r. "default" is PyTorch's start, U(-1/sqrt(H), 1/sqrt(H)).
    """
    known = cell == "rnn" or value == "default"
    model = make_adder(cell, None if known else value, setting, seed)
    with torch.no_grad():
        if value == "default":
            model.recurrent.reset_parameters()
        elif cell == "rnn":
            model.recurrent.weight_hh_l0 *= float(value)
    return model


def bound(model: Adder) -> float:
    """Of one step of an RNN: the largest singular value of W_hh, times 1, the most of tanh'."""
    return float(torch.linalg.matrix_norm(model.recurrent.weight_hh_l0.detach(), ord=2))


def probe(length: int, count: int = 4) -> Tensor:
    """Inputs for the measurement, (B, T, 2): sequences of the adding problem."""
    return adding_batch(count, length, generator(7))[0]


def flow(cell: str, value: Bias, length: int, seeds: range) -> tuple[list[list[float]], float]:
    """Norms by distance, (seeds, T + 1), and the mean bound of a step."""
    models = [start(cell, value, Setting(length), seed) for seed in seeds]
    x = probe(length)
    return [norms(m, x).tolist() for m in models], sum(map(bound, models)) / len(models)


def before_and_after(cell: str, value: Bias, seed: int, rate: float, setting: Setting) -> dict:
    """The norms before and after a training on the adding problem, and how it went."""
    model, x = start(cell, value, setting, seed), probe(setting.length)
    before = norms(model, x).tolist()
    row = train(model, rate, seed, setting)
    return row | {"before": before, "after": norms(model, x).tolist()}
