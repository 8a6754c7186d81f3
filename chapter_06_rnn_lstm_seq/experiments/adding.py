"""The adding problem: two marked numbers in a long sequence, to be added at its end.

A sequence of T steps has two inputs a step: a random number from [0, 1], and a mark that is 1 at
two steps and 0 elsewhere. The target is the sum of the two marked numbers, asked for after the
last step. One mark stands in the first half and one in the second, so the first number has to be
kept for T/2 steps or more while others pass by (Hochreiter & Schmidhuber 1997, in the
form of Le, Jaitly & Hinton 2015). Always answering 1, the mean, costs 2 * 1/12 = 0.167.

The variable is the bias of the gate that keeps the state: the forget gate of the LSTM, the update
gate of the GRU. At zero input it keeps the share sigmoid(b) a step; so it decides how far the
gradient reaches before anything is learnt. "chrono" draws it so that the time constants of the
units spread from 1 to T steps (Tallec & Ollivier 2018).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from chapter_03_optimization_regularization.regularization import clip_grad_norm_
from chapter_06_rnn_lstm_seq.recurrent import GRU, LSTM, RNN
from utils.errors import UserError
from utils.seed import generator

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
BASELINE = 1 / 6  # variance of the sum of two numbers from U(0, 1): what answering 1 costs
SOLVED = 0.005  # held-out squared error at which a training stops
HELD_OUT = 500  # sequences that decide when it stops; as many others give the reported error
Bias = float | str | None  # a number, "chrono", or nothing where the cell has no gate


@dataclass(frozen=True)
class Setting:
    """What all trainings of a run share."""

    length: int
    hidden: int = 32
    batch: int = 32
    steps: int = 1500  # after which a training that has not solved the task ends
    clip: float = 1.0
    check_every: int = 50


def adding_batch(count: int, length: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` sequences (count, T, 2), number and mark, and their sums (count,)."""
    if length < 2:
        raise UserError(f"the adding problem needs 2 steps or more, not {length}.")
    numbers, marks = torch.rand(count, length, generator=rng), torch.zeros(count, length)
    half, rows = length // 2, torch.arange(count)
    marks[rows, torch.randint(0, half, (count,), generator=rng)] = 1
    marks[rows, torch.randint(half, length, (count,), generator=rng)] = 1
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(dim=1)  # (B, T, 2), (B,)


class Adder(nn.Module):
    """A recurrent layer, and a linear read-out of its last output: (B, T, 2) -> (B,)."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.cell, self.recurrent = cell, CELLS[cell](2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.recurrent(x)  # (B, T, 2) -> (B, T, H)
        return self.head(outputs[:, -1]).squeeze(1)  # (B, H) -> (B,)


@torch.no_grad()
def set_start(model: Adder, bias: Bias, length: int, rng: torch.Generator) -> None:
    """Orthogonal recurrent matrices, no biases, then that of the gate that keeps the state."""
    net, size = model.recurrent, model.recurrent.hidden_size
    for block in net.weight_hh_l0.split(size):  # (H, H) each: one a gate
        nn.init.orthogonal_(block, generator=rng)
    for vector in (net.bias_ih_l0, net.bias_hh_l0, model.head.bias):
        vector.zero_()
    if model.cell == "rnn":
        return
    values = gate_bias(bias, size, length, rng)
    net.bias_ih_l0[size : 2 * size] = values  # the second block: LSTM i f g o, GRU r z n
    if model.cell == "lstm" and bias == "chrono":
        net.bias_ih_l0[:size] = -values  # what is kept long is written to seldom
    elif "/" in str(bias):
        net.bias_ih_l0[:size] = float(str(bias).split("/")[1])


def gate_bias(bias: Bias, size: int, length: int, rng: torch.Generator) -> Tensor:
    """(H,): the number for every unit, or log u with u from U(1, T - 1) for "chrono"."""
    if bias == "chrono":
        return torch.empty(size).uniform_(1, max(length - 1, 2), generator=rng).log()
    return torch.full((size,), keeping(bias or 0))


def keeping(bias: Bias) -> float:
    """The number of the gate that keeps the state: 4 of 4 and of "4/-4"."""
    return float(str(bias).split("/")[0])


def time_constant(bias: float) -> float:
    """Steps after which a gate of this bias, at zero input, has kept 1/e: -1 / ln sigmoid(b)."""
    return 1 / math.log1p(math.exp(-bias))


def make_adder(cell: str, bias: Bias, setting: Setting, seed: int) -> Adder:
    """The network before its training; a seed gives it and its data."""
    torch.manual_seed(seed)
    model = Adder(cell, setting.hidden)
    set_start(model, bias, setting.length, generator(seed))
    return model


@torch.no_grad()
def error(model: Adder, data: tuple[Tensor, Tensor]) -> float:
    """Mean squared error on (x, y)."""
    return mse_loss(model(data[0]), data[1]).item()


def train_one(cell: str, bias: Bias, rate: float, seed: int, setting: Setting) -> dict[str, Any]:
    """One training of one network: its curve, the steps taken and a fresh error."""
    model, began = make_adder(cell, bias, setting, seed), time.process_time()
    return train(model, rate, seed, setting) | {
        "mse": error(model, adding_batch(HELD_OUT, setting.length, generator(100))),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def train(model: Adder, rate: float, seed: int, setting: Setting) -> dict[str, Any]:
    """Train until solved or out of steps. Every batch is new: nothing can be learnt by heart.

    The sequences that decide when to stop are held out; judge the result on others again.
    """
    rng = generator(seed + 1_000_000)
    held_out = adding_batch(HELD_OUT, setting.length, generator(99))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    curve = [[0, error(model, held_out)]]
    for step in range(1, setting.steps + 1):
        train_step(model, optimizer, adding_batch(setting.batch, setting.length, rng), setting.clip)
        if step % setting.check_every == 0 or step == setting.steps:
            curve.append([step, error(model, held_out)])
            if curve[-1][1] < SOLVED:
                break
    return {"curve": curve, "steps": curve[-1][0], "solved": curve[-1][1] < SOLVED}


def train_step(model: nn.Module, optimizer: Any, batch: tuple[Tensor, Tensor], clip: float) -> None:
    loss = mse_loss(model(batch[0]), batch[1])
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
