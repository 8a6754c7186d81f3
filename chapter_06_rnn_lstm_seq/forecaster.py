"""A recurrent forecaster, and the fixed-window network it is measured against.

What you learn: a forecast of one row is a regression, a forecast of many rows is a network that
reads its own answers.

    one step        x_1 ... x_t are true          ->  the row x_{t+1}, at every t at once
    free-running    warm up on a true context, then feed each predicted row back as the next input

The state h_t (B, H) stands for all rows read so far, however many they were; the same weights act
at every step. `WindowMLP` sees the last W rows and nothing else, with separate weights for each.

Both predict the *change*: x_{t+1} = x_t + readout(...). At the start of training, readout near 0,
that is persistence ("as now"), a baseline that any forecaster has to beat.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.training import LossFunction
from chapter_06_rnn_lstm_seq.recurrent import GRU, LSTM, RNN

CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
State = Tensor | tuple[Tensor, Tensor] | None


class Forecaster(nn.Module):
    """A recurrent network from rows (B, T, C) to the rows that follow them."""

    def __init__(self, columns: int, hidden_size: int = 64, cell: str = "gru") -> None:
        super().__init__()
        self.recurrent = CELLS[cell](columns, hidden_size, batch_first=True)
        self.readout = nn.Linear(hidden_size, columns)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, T, C) -> predictions of the rows 2 ... T + 1, (B, T, C), and the state behind T."""
        h, state = self.recurrent(x, state)  # (B, T, H)
        return x + self.readout(h), state

    @torch.no_grad()
    def free_run(self, context: Tensor, steps: int) -> Tensor:
        """The `steps` rows after the context: (B, T, C) -> (B, steps, C)."""
        predicted, state = self(context)  # warm-up: the true rows set the state
        rows = [predicted[:, -1:]]
        for _ in range(steps - 1):
            row, state = self(rows[-1], state)  # its own answer is its next input
            rows.append(row)
        return torch.cat(rows, dim=1)  # (B, steps, C)


class WindowMLP(nn.Module):
    """A network that sees the last `window` rows: all of them side by side, as one long input."""

    def __init__(self, columns: int, window: int = 16, hidden_size: int = 128) -> None:
        super().__init__()
        self.window = window
        self.layers = nn.Sequential(
            nn.Linear(window * columns, hidden_size),
            nn.Tanh(),
            nn.Linear(hidden_size, hidden_size),
            nn.Tanh(),
            nn.Linear(hidden_size, columns),
        )

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, T, C) -> the rows behind each full window, (B, T - W + 1, C), and no state."""
        windows = x.unfold(1, self.window, 1).flatten(2)  # (B, T - W + 1, C W)
        return x[:, self.window - 1 :] + self.layers(windows), None

    @torch.no_grad()
    def free_run(self, context: Tensor, steps: int) -> Tensor:
        """The same as the Forecaster's; the window slides over its own predictions."""
        seen = context[:, -self.window :]  # (B, W, C)
        rows = []
        for _ in range(steps):
            row, _ = self(seen)  # (B, 1, C)
            rows.append(row)
            seen = torch.cat([seen[:, 1:], row], dim=1)
        return torch.cat(rows, dim=1)  # (B, steps, C)


def one_step_loss(skip: int = 0) -> LossFunction:
    """Mean squared error of the next row, for batches of windows (B, T + 1, C).

    skip: the first predictions are not counted; a state that has seen one row cannot know better.
    """

    def loss_fn(model: nn.Module, batch: tuple[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        (rows,) = batch
        predicted, _ = model(rows[:, :-1])  # (B, T', C)
        targets = rows[:, rows.shape[1] - predicted.shape[1] :]  # the last T' rows
        loss = (predicted[:, skip:] - targets[:, skip:]).square().mean()
        return loss, {}

    return loss_fn


def windows_of(values: Tensor, length: int, every: int = 1) -> Tensor:
    """Pieces of `length` rows, one beginning every `every` rows: (T, C) -> (N, length, C)."""
    return values.unfold(0, length, every).transpose(1, 2).contiguous()  # (N, length, C)
