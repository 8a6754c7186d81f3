"""The recurrence of a whole layer as one operation, with backpropagation through time by hand.

What you learn: why the framework's RNN is several times faster than the loop over a cell, and how
to be as fast. Three ideas:

    1. W_ih x_t does not depend on the state: one matrix product for all steps at once, before the
       loop (recurrent.py does it). Inside stays h W_hh^T, with all gates in one product.
    2. The gradient of W_hh is a sum over time, sum_t da_t^T h_{t-1}: keep all da_t, (N, G H), and
       make it one product behind the loop.
    3. Autograd would note every small operation of every step. An autograd.Function notes one, and
       its backward pass walks back through time as in bptt_numpy.py.

The steps come as a list of (start, rows): step t works on rows start .. start + rows of the packed
data. A padded batch is the special case in which every step has all B rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Steps = Sequence[tuple[int, int]]  # (first row, rows) of each time step, in the order of the work


def carried(state: Tensor, rows: int, initial: Tensor) -> Tensor:
    """The state for the next step: ended sequences drop out, new ones bring their initial state.

    state (rows before, H), initial (B, H) -> (rows, H). Forward in time the rows only get fewer.
    """
    have = len(state)
    return state[:rows] if rows <= have else torch.cat([state, initial[have:rows]])


def shrinks(steps: Steps, index: int) -> bool:
    """Whether some row is worked on for the last time at this step."""
    return index + 1 == len(steps) or steps[index + 1][1] < steps[index][1]


def previous(values: Tensor, initial: Tensor, steps: Steps) -> Tensor:
    """The state *before* each step, (N, H), from the states after them, in the rows of the data."""
    before = torch.empty_like(values)
    state = initial
    for start, rows in steps:
        before[start : start + rows] = carried(state, rows, initial)
        state = values[start : start + rows]
    return before


class RNNLayer(torch.autograd.Function):
    """h_t = phi(a_t + W_hh h_{t-1}), a_t given. Returns all h_t (N, H) and the last ones (B, H)."""

    @staticmethod
    def forward(ctx, a: Tensor, h0: Tensor, weight_hh: Tensor, steps: Steps, relu: bool):
        out, last, h = torch.empty_like(a), h0.clone(), h0
        w = weight_hh.T  # (H, H)
        for index, (start, rows) in enumerate(steps):
            h_t = out[start : start + rows]
            torch.addmm(a[start : start + rows], carried(h, rows, h0), w, out=h_t)
            h = h_t.clamp_(min=0) if relu else h_t.tanh_()  # (rows, H)
            if shrinks(steps, index):
                last[:rows] = h
        ctx.save_for_backward(h0, weight_hh, out)
        ctx.steps, ctx.relu = steps, relu
        return out, last

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out: Tensor, d_last: Tensor):
        h0, weight_hh, out = ctx.saved_tensors
        back = ctx.steps[::-1]
        slope = (out > 0).to(out.dtype) if ctx.relu else 1 - out * out  # phi'(a), (N, H)
        da, d_h0, dh = torch.empty_like(out), d_last.clone(), d_last
        for index, (start, rows) in enumerate(back):
            at = slice(start, start + rows)
            dh = carried(dh, rows, d_last) + d_out[at]  # from later steps, and from the outputs
            torch.mul(dh, slope[at], out=da[at])
            dh = da[at] @ weight_hh  # (rows, H)
            if shrinks(back, index):
                d_h0[:rows] = dh
        return da, d_h0, da.T @ previous(out, h0, ctx.steps), None, None


class LSTMLayer(torch.autograd.Function):
    """The LSTM's recurrence, a = W_ih x + b_ih + b_hh given, (N, 4H) in the order i, f, g, o.

    Returns all h_t (N, P), the last h (B, P) and the last c (B, H).
    """

    @staticmethod
    def forward(ctx, a, h0, c0, weight_hh, weight_hr, steps: Steps):
        size = c0.shape[1]  # H
        gates = torch.empty_like(a)  # i, f, g, o behind their nonlinearities
        cells, squashed = a.new_empty(len(a), size), a.new_empty(len(a), size)  # c_t, tanh(c_t)
        out = a.new_empty(len(a), h0.shape[1])
        last_h, last_c, h, c = h0.clone(), c0.clone(), h0, c0
        w = weight_hh.T  # (P, 4H)
        for index, (start, rows) in enumerate(steps):
            at = slice(start, start + rows)
            gate = torch.addmm(a[at], carried(h, rows, h0), w, out=gates[at])  # (rows, 4H)
            gate[:, : 2 * size].sigmoid_()
            gate[:, 2 * size : 3 * size].tanh_()
            gate[:, 3 * size :].sigmoid_()
            i, f, g, o = gate.chunk(4, dim=1)  # 4 of (rows, H)
            c = torch.mul(f, carried(c, rows, c0), out=cells[at]).addcmul_(i, g)
            torch.tanh(c, out=squashed[at])
            if weight_hr is None:
                h = torch.mul(o, squashed[at], out=out[at])
            else:
                h = torch.mm(o * squashed[at], weight_hr.T, out=out[at])  # (rows, P)
            if shrinks(steps, index):
                last_h[:rows], last_c[:rows] = h, c
        ctx.save_for_backward(h0, c0, weight_hh, weight_hr, gates, cells, squashed, out)
        ctx.steps = steps
        return out, last_h, last_c

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out, d_last_h, d_last_c):
        h0, c0, weight_hh, weight_hr, gates, cells, squashed, out = ctx.saved_tensors
        size, back = c0.shape[1], ctx.steps[::-1]
        before = previous(cells, c0, ctx.steps)  # c_{t-1} in the row of t, (N, H)
        da, d_out = torch.empty_like(gates), d_out.clone()
        d_h0, d_c0, dh, dc = d_last_h.clone(), d_last_c.clone(), d_last_h, d_last_c
        for index, (start, rows) in enumerate(back):
            at = slice(start, start + rows)
            i, f, g, o = gates[at].chunk(4, dim=1)
            d_i, d_f, d_g, d_o = da[at].chunk(4, dim=1)
            tanh_c = squashed[at]
            dh = d_out[at].add_(carried(dh, rows, d_last_h))  # (rows, P), kept for weight_hr
            d_m = dh if weight_hr is None else dh @ weight_hr  # of o * tanh(c), (rows, H)
            d_oc = d_m * o
            dc = carried(dc, rows, d_last_c) + torch.addcmul(d_oc, d_oc * tanh_c, tanh_c, value=-1)
            torch.mul(d_m, tanh_c, out=d_o)
            torch.mul(dc, g, out=d_i)
            torch.mul(dc, before[at], out=d_f)
            torch.mul(dc, i, out=d_g)
            _times_slopes(da[at], gates[at], size)  # to the gates' pre-activations
            dh, dc = da[at] @ weight_hh, dc * f  # (rows, P), (rows, H)
            if shrinks(back, index):
                d_h0[:rows], d_c0[:rows] = dh, dc
        d_weight_hh = da.T @ previous(out, h0, ctx.steps)  # (4H, N) @ (N, P)
        d_weight_hr = None
        if weight_hr is not None:
            d_weight_hr = d_out.T @ (gates[:, 3 * size :] * squashed)  # (P, N) @ (N, H)
        return da, d_h0, d_c0, d_weight_hh, d_weight_hr, None


def _times_slopes(d: Tensor, gates: Tensor, size: int) -> None:
    """d *= derivative of each gate, from its value: s (1 - s) for sigmoid, 1 - g^2 for tanh."""
    for part in (slice(0, 2 * size), slice(3 * size, 4 * size)):
        s = gates[:, part]
        d[:, part].mul_(torch.addcmul(s, s, s, value=-1))
    g, d_g = gates[:, 2 * size : 3 * size], d[:, 2 * size : 3 * size]
    d_g.addcmul_(d_g * g, g, value=-1)


class GRULayer(torch.autograd.Function):
    """The GRU's recurrence, a = W_ih x + b_ih given, (N, 3H) in the order r, z, n.

    Returns all h_t (N, H) and the last ones (B, H).
    """

    @staticmethod
    def forward(ctx, a: Tensor, h0: Tensor, weight_hh: Tensor, bias_hh: Tensor, steps: Steps):
        size = h0.shape[1]
        gates = torch.empty_like(a)  # r, z, n
        hidden_n, out = a.new_empty(len(a), size), a.new_empty(len(a), size)  # W_hn h + b_hn; h_t
        last, h = h0.clone(), h0
        w = weight_hh.T  # (H, 3H)
        for index, (start, rows) in enumerate(steps):
            at = slice(start, start + rows)
            h = carried(h, rows, h0)
            u = torch.addmm(bias_hh, h, w)  # (rows, 3H)
            rz = torch.add(a[at, : 2 * size], u[:, : 2 * size], out=gates[at, : 2 * size])
            r, z = rz.sigmoid_().chunk(2, dim=1)  # 2 of (rows, H)
            hidden_n[at] = u[:, 2 * size :]
            n = torch.addcmul(a[at, 2 * size :], r, hidden_n[at], out=gates[at, 2 * size :]).tanh_()
            h = torch.lerp(n, h, z, out=out[at])  # n + z (h - n)
            if shrinks(steps, index):
                last[:rows] = h
        ctx.save_for_backward(h0, weight_hh, gates, hidden_n, out)
        ctx.steps = steps
        return out, last

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out: Tensor, d_last: Tensor):
        h0, weight_hh, gates, hidden_n, out = ctx.saved_tensors
        size, back = h0.shape[1], ctx.steps[::-1]
        before = previous(out, h0, ctx.steps)
        da, du = torch.empty_like(gates), torch.empty_like(gates)  # of a, and of W_hh h + b_hh
        d_h0, dh = d_last.clone(), d_last
        for index, (start, rows) in enumerate(back):
            at = slice(start, start + rows)
            r, z, n = gates[at].chunk(3, dim=1)
            d_r, d_z, d_n = da[at].chunk(3, dim=1)
            dh = carried(dh, rows, d_last) + d_out[at]  # (rows, H)
            dh_z = dh * z
            torch.mul(dh - dh_z, torch.addcmul(torch.ones_like(n), n, n, value=-1), out=d_n)
            torch.mul(dh_z - dh_z * z, before[at] - n, out=d_z)  # dh (h - n) z (1 - z)
            torch.mul(d_n * hidden_n[at], torch.addcmul(r, r, r, value=-1), out=d_r)
            du[at, : 2 * size] = da[at, : 2 * size]
            torch.mul(d_n, r, out=du[at, 2 * size :])
            dh = torch.addmm(dh_z, du[at], weight_hh)  # (rows, 3H) @ (3H, H)
            if shrinks(back, index):
                d_h0[:rows] = dh
        return da, d_h0, du.T @ before, du.sum(0), None
