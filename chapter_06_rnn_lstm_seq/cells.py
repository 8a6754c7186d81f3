"""One step of the three recurrent networks: RNN, LSTM, GRU.

What you learn: a recurrent network is one function applied at every time step,

    RNN    h' = tanh(W_ih x + b_ih + W_hh h + b_hh)                            (Elman 1990)

    LSTM   i, f, o = sigmoid(...)  g = tanh(...)      each of the RNN's form   (Hochreiter and
           c' = f * c + i * g      h' = o * tanh(c')            Schmidhuber 1997, Gers et al. 2000)

    GRU    r, z = sigmoid(...)     n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
           h' = (1 - z) * n + z * h                                            (Cho et al. 2014)

The gates of a cell stand one below the other in the same matrix: W_ih is (4H, I) for the LSTM, in
the order i, f, g, o, and (3H, I) for the GRU, in the order r, z, n. The classes are drop-in for
torch.nn.RNNCell, LSTMCell and GRUCell; recurrent.py repeats their steps over time.

B batch, I inputs, H hidden units, P = proj_size where there is a projection, else H.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]  # (h,) or, for the LSTM, (h, c)
Weights = dict[str, Tensor | None]  # weight_ih, weight_hh, bias_ih, bias_hh, weight_hr


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b: (B, I) and (G H, I) -> (B, G H)."""
    return x @ weight.T if bias is None else x @ weight.T + bias


def rnn_step(x: Tensor, state: State, w: Weights, nonlinearity: str = "tanh") -> State:
    """x (B, I), h (B, H) -> (h' (B, H),)."""
    (h,) = state
    a = _affine(x, w["weight_ih"], w["bias_ih"]) + _affine(h, w["weight_hh"], w["bias_hh"])
    return (torch.tanh(a) if nonlinearity == "tanh" else a.clamp(min=0),)


def lstm_step(x: Tensor, state: State, w: Weights) -> State:
    """x (B, I), h (B, P), c (B, H) -> (h' (B, P), c' (B, H))."""
    h, c = state
    a = _affine(x, w["weight_ih"], w["bias_ih"]) + _affine(h, w["weight_hh"], w["bias_hh"])
    i, f, g, o = a.chunk(4, dim=1)  # (B, 4H) -> 4 of (B, H)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    if w.get("weight_hr") is not None:
        h = h @ w["weight_hr"].T  # (B, H) -> (B, P)
    return h, c


def gru_step(x: Tensor, state: State, w: Weights) -> State:
    """x (B, I), h (B, H) -> (h' (B, H),)."""
    (h,) = state
    x_r, x_z, x_n = _affine(x, w["weight_ih"], w["bias_ih"]).chunk(3, dim=1)  # 3 of (B, H)
    h_r, h_z, h_n = _affine(h, w["weight_hh"], w["bias_hh"]).chunk(3, dim=1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)  # the reset gate acts behind the matrix, as in cuDNN
    return ((1 - z) * n + z * h,)


class _Cell(nn.Module):
    """Parameters, and what is the same in all cells: the state, unbatched input, errors."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        kind = {"device": device, "dtype": dtype}
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, **kind))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size, **kind))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, nn.Parameter(torch.empty(rows, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """U(-1/sqrt(H), 1/sqrt(H)) for everything, as in PyTorch."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def weights(self) -> Weights:
        return {
            name: getattr(self, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")

    def _step(self, x: Tensor, state: State) -> State:
        raise NotImplementedError

    def _forward(self, input: Tensor, hx: State | None, parts: int) -> State:
        """A step on (B, I), or on (I,) alone; a missing state is zero."""
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"input must be (B, {self.input_size}) or ({self.input_size},), "
                f"not {tuple(input.shape)}"
            )
        x = input if input.dim() == 2 else input.unsqueeze(0)  # (B, I)
        if hx is None:
            hx = (x.new_zeros(len(x), self.hidden_size),) * parts
        elif input.dim() == 1:
            hx = tuple(part.unsqueeze(0) for part in hx)
        for part in hx:
            if part.shape != (len(x), self.hidden_size):
                raise ValueError(
                    f"the state must be ({len(x)}, {self.hidden_size}), not {tuple(part.shape)}"
                )
        state = self._step(x, hx)
        return state if input.dim() == 2 else tuple(part.squeeze(0) for part in state)


class RNNCell(_Cell):
    """h' = nonlinearity(W_ih x + b_ih + W_hh h + b_hh); Elman 1990. Drop-in for torch's."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def _step(self, x: Tensor, state: State) -> State:
        return rnn_step(x, state, self.weights(), self.nonlinearity)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """input (B, I), hx (B, H) or None for zeros -> h' (B, H); also without the B."""
        return self._forward(input, None if hx is None else (hx,), 1)[0]


class LSTMCell(_Cell):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. Drop-in."""

    gates = 4

    def _step(self, x: Tensor, state: State) -> State:
        return lstm_step(x, state, self.weights())

    def forward(self, input: Tensor, hx: State | None = None) -> tuple[Tensor, Tensor]:
        """input (B, I), hx (h, c) of (B, H) each, or None for zeros -> (h', c')."""
        return self._forward(input, hx, 2)


class GRUCell(_Cell):
    """Cho et al. 2014, in the form of cuDNN and PyTorch: r acts behind W_hn. Drop-in."""

    gates = 3

    def _step(self, x: Tensor, state: State) -> State:
        return gru_step(x, state, self.weights())

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """input (B, I), hx (B, H) or None for zeros -> h' (B, H); also without the B."""
        return self._forward(input, None if hx is None else (hx,), 1)[0]
