"""RNN, LSTM and GRU over whole sequences: layers, directions, packed input, in two forms.

What you learn: a recurrent layer is the loop `for t: state = step(x[t], state)`. Layers stand on
top of each other (the outputs of one are the inputs of the next), a second direction reads from the
end and is put beside the first. Everything else is bookkeeping about lengths and layouts.

    form="loop"    the clear form: a Python loop over the steps of cells.py; autograd does the rest
    form="fused"   the fast one: input projections of all steps in one matrix product, gates in one,
                   backpropagation through time by hand (fused.py). The same numbers.

Drop-in for torch.nn.RNN, LSTM and GRU: arguments, parameter names, packed and unbatched input. In
addition the input may be token numbers, (T, B) int64, read as one-hot vectors of `input_size`: the
product W_ih x then is a column of W_ih, looked up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chapter_06_rnn_lstm_seq.cells import State, Weights, gru_step, lstm_step, rnn_step
from chapter_06_rnn_lstm_seq.fused import GRULayer, LSTMLayer, RNNLayer, Steps, carried, shrinks
from chapter_06_rnn_lstm_seq.variable_length import PackedSequence

FORMS = ("fused", "loop")
Step = Callable[[Tensor, State, Weights], State]


def loop_layer(step: Step, x: Tensor, state: State, w: Weights, steps: Steps):
    """One direction of one layer, step by step: x (N, I) -> (outputs (N, H), last state)."""
    initial, ended, outputs = state, [], {}
    for index, (start, rows) in enumerate(steps):
        now = tuple(carried(part, rows, first) for part, first in zip(state, initial, strict=True))
        state = step(x[start : start + rows], now, w)
        outputs[start] = state[0]  # (rows, H)
        if shrinks(steps, index):  # rows that end here; the longest sequences end last
            rest = 0 if index + 1 == len(steps) else steps[index + 1][1]
            ended.insert(0, tuple(part[rest:] for part in state))
    last = tuple(torch.cat(parts) for parts in zip(*ended, strict=True))
    return torch.cat([outputs[start] for start in sorted(outputs)]), last


class _Recurrent(nn.Module):
    """What the three networks share. A subclass has `gates`, `parts`, `_loop` and `_fused`."""

    gates, parts = 1, 1  # blocks in a weight matrix; tensors in a state

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        form: str = "fused",
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"form must be one of {FORMS}, not {form!r}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be from 0 to 1, not {dropout}")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size must be below hidden_size {hidden_size}, not {proj_size}")
        if proj_size and self.parts == 1:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size, self.form = bidirectional, proj_size, form
        self.output_size = proj_size or hidden_size  # P: of one direction
        kind = {"device": device, "dtype": dtype}
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                for name, shape in self._shapes(layer).items():
                    parameter = nn.Parameter(torch.empty(*shape, **kind))
                    self.register_parameter(f"{name}_{suffix}", parameter)
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        """The directions of a layer, as parameter names call them: l0, l0_reverse."""
        return [f"l{layer}", f"l{layer}_reverse"][: 1 + self.bidirectional]

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        rows, columns = self.gates * self.hidden_size, self.input_size
        if layer > 0:
            columns = self.output_size * (1 + self.bidirectional)
        shapes = {"weight_ih": (rows, columns), "weight_hh": (rows, self.output_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes |= {"weight_hr": (self.proj_size, self.hidden_size)}
        return shapes

    def reset_parameters(self) -> None:
        """U(-1/sqrt(H), 1/sqrt(H)) for everything, as in PyTorch."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}"]
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0}
        for name, value in (usual | {"bidirectional": False, "proj_size": 0}).items():
            if getattr(self, name) != value:
                words.append(f"{name}={getattr(self, name)}")
        return ", ".join([*words, f"form={self.form!r}"])

    def weights(self, suffix: str) -> Weights:
        """The parameters of one direction of one layer, under their cell's names."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return {name: getattr(self, f"{name}_{suffix}", None) for name in names}

    def _loop(self, x: Tensor, state: State, w: Weights) -> State:
        raise NotImplementedError

    def _fused(self, x: Tensor, state: State, w: Weights, steps: Steps) -> tuple[Tensor, State]:
        raise NotImplementedError

    def _run(self, x: Tensor, state: State, steps: Steps) -> tuple[Tensor, State]:
        """All layers: x (N, I), each part of the state (layers * directions, B, H)."""
        lasts = []
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                w, order = self.weights(suffix), steps[::-1] if direction else steps
                place = layer * (1 + self.bidirectional) + direction
                first = tuple(part[place] for part in state)
                if self.form == "fused":
                    out, last = self._fused(x, first, w, order)
                else:
                    if not x.is_floating_point():
                        x = F.one_hot(x[:, 0], self.input_size).to(state[0].dtype)  # (N, I)
                    out, last = loop_layer(self._loop, x, first, w, order)
                outputs.append(out)
                lasts.append(last)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)  # (N, directions P)
            if self.dropout and self.training and layer + 1 < self.num_layers:
                keep = torch.rand_like(x) >= self.dropout
                x = x * keep / (1 - self.dropout) if self.dropout < 1 else x * 0
        return x, tuple(torch.stack(parts) for parts in zip(*lasts, strict=True))

    def _forward(self, input: Tensor | PackedSequence, hx: State | None):
        """Any layout of the input -> packed rows -> the same layout of the output."""
        if hasattr(input, "batch_sizes"):  # ours, or torch's
            return self._forward_packed(input, hx)
        if not input.is_floating_point():
            input = input.unsqueeze(-1)  # token numbers (T, B) -> (T, B, 1)
        width = self.input_size if input.is_floating_point() else 1
        if input.dim() not in (2, 3) or input.shape[-1] != width:
            raise ValueError(
                f"input must have 2 or 3 dimensions, the last of {self.input_size}; "
                f"it is {tuple(input.shape)}"
            )
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(1)  # (T, B, I)
        if hx is not None and not batched:
            hx = tuple(part.unsqueeze(1) for part in hx)
        if batched and self.batch_first:
            x = x.transpose(0, 1)
        length, batch = x.shape[:2]
        if length == 0 or batch == 0:
            raise ValueError(f"input has no step or no sequence: it is {tuple(input.shape)}")
        state = self._checked(hx, batch)
        steps = [(t * batch, batch) for t in range(length)]
        out, last = self._run(x.reshape(length * batch, -1), state, steps)  # (T B, I)
        out = out.view(length, batch, -1)
        if not batched:
            return out.squeeze(1), tuple(part.squeeze(1) for part in last)
        return (out.transpose(0, 1) if self.batch_first else out), last

    def _forward_packed(self, packed: PackedSequence, hx: State | None):
        sizes = packed.batch_sizes.tolist()
        if not sizes or sizes[-1] < 1:
            raise ValueError("the packed sequences have no step")
        steps, start = [], 0
        for rows in sizes:
            steps.append((start, rows))
            start += rows
        state = self._checked(hx, sizes[0])
        if hx is not None and packed.sorted_indices is not None:
            state = tuple(part[:, packed.sorted_indices] for part in state)
        tokens = not packed.data.is_floating_point()
        out, last = self._run(packed.data.unsqueeze(-1) if tokens else packed.data, state, steps)
        if packed.unsorted_indices is not None:
            last = tuple(part[:, packed.unsorted_indices] for part in last)
        return packed._replace(data=out), last

    def _checked(self, hx: State | None, batch: int) -> State:
        """The initial state, zeros if none is given; ValueError for a wrong shape."""
        count = self.num_layers * (1 + self.bidirectional)
        sizes = (self.output_size, self.hidden_size)[: self.parts]
        if hx is None:
            zeros = self.weight_hh_l0.new_zeros
            return tuple(zeros(count, batch, size) for size in sizes)
        for part, size in zip(hx, sizes, strict=True):
            if part.shape != (count, batch, size):
                raise ValueError(
                    f"a state must be {(count, batch, size)}, not {tuple(part.shape)}: (layers x "
                    "directions, batch, units), also with batch_first"
                )
        return hx

    def _projected(self, x: Tensor, w: Weights, *biases: str) -> Tensor:
        """W_ih x + b for all steps at once: (N, I), or token numbers (N, 1), -> (N, G H)."""
        bias = sum(w[name] for name in biases) if self.bias else None
        if not x.is_floating_point():
            table = w["weight_ih"].T if bias is None else w["weight_ih"].T + bias  # (I, G H)
            return F.embedding(x[:, 0], table.contiguous())
        return x @ w["weight_ih"].T if bias is None else torch.addmm(bias, x, w["weight_ih"].T)


class RNN(_Recurrent):
    """Elman 1990; drop-in for torch.nn.RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **more,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **more
        )

    def _loop(self, x: Tensor, state: State, w: Weights) -> State:
        return rnn_step(x, state, w, self.nonlinearity)

    def _fused(self, x: Tensor, state: State, w: Weights, steps: Steps) -> tuple[Tensor, State]:
        a = self._projected(x, w, "bias_ih", "bias_hh")  # (N, H)
        out, h = RNNLayer.apply(a, state[0], w["weight_hh"], steps, self.nonlinearity == "relu")
        return out, (h,)

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None):
        """(T, B, I) -> (outputs (T, B, directions H), last h (layers directions, B, H))."""
        out, (h,) = self._forward(input, None if hx is None else (hx,))
        return out, h


class LSTM(_Recurrent):
    """Hochreiter and Schmidhuber 1997, Gers et al. 2000; drop-in for torch.nn.LSTM.

    proj_size: P, a linear map behind the output gate makes h smaller than c (Sak et al. 2014).
    """

    gates, parts = 4, 2

    def _loop(self, x: Tensor, state: State, w: Weights) -> State:
        return lstm_step(x, state, w)

    def _fused(self, x: Tensor, state: State, w: Weights, steps: Steps) -> tuple[Tensor, State]:
        a = self._projected(x, w, "bias_ih", "bias_hh")  # (N, 4H)
        out, h, c = LSTMLayer.apply(a, *state, w["weight_hh"], w["weight_hr"], steps)
        return out, (h, c)

    def forward(self, input: Tensor | PackedSequence, hx: State | None = None):
        """(T, B, I) -> (outputs (T, B, directions P), (last h, last c))."""
        return self._forward(input, hx)


class GRU(_Recurrent):
    """Cho et al. 2014, in the form of cuDNN; drop-in for torch.nn.GRU."""

    gates = 3

    def _loop(self, x: Tensor, state: State, w: Weights) -> State:
        return gru_step(x, state, w)

    def _fused(self, x: Tensor, state: State, w: Weights, steps: Steps) -> tuple[Tensor, State]:
        a = self._projected(x, w, "bias_ih")  # (N, 3H)
        bias = w["bias_hh"] if self.bias else a.new_zeros(3 * self.hidden_size)
        out, h = GRULayer.apply(a, state[0], w["weight_hh"], bias, steps)
        return out, (h,)

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | None = None):
        """(T, B, I) -> (outputs (T, B, directions H), last h (layers directions, B, H))."""
        out, (h,) = self._forward(input, None if hx is None else (hx,))
        return out, h
