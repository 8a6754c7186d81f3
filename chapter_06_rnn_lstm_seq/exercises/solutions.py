"""Solutions of chapter 6's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 6 --solutions`.
"""

import math

import torch


def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    x_r, x_z, x_n = (x @ w_ih.T + b_ih).chunk(3, dim=1)  # (B, D) -> (B, 3H) -> 3 x (B, H)
    h_r, h_z, h_n = (h @ w_hh.T + b_hh).chunk(3, dim=1)
    r = torch.sigmoid(x_r + h_r)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


@torch.no_grad()
def forget_bias(lstm, steps):
    b = -math.log(math.expm1(1 / steps))  # the logit of e^(-1 / steps)
    rows = slice(lstm.hidden_size, 2 * lstm.hidden_size)  # of f in i, f, g, o
    for name, parameter in lstm.named_parameters():
        if name.startswith("bias_ih"):
            parameter[rows] = b
        elif name.startswith("bias_hh"):
            parameter[rows] = 0.0
    return b


@torch.no_grad()
def clipped_step(parameters, lr, max_norm):
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    norm = math.sqrt(sum(parameter.grad.square().sum().item() for parameter in parameters))
    if not math.isfinite(norm):
        return norm
    factor = max_norm / norm if norm > max_norm else 1.0
    for parameter in parameters:
        parameter.sub_(lr * factor * parameter.grad)
    return norm


def packed_mask(outputs, lengths):
    batch, steps, _ = outputs.shape
    mask = torch.arange(steps) < lengths[:, None]  # (T,) and (B, 1) -> (B, T)
    sizes = mask.sum(dim=0)[: lengths.max()]  # (B, T) -> (longest,)
    last = outputs[torch.arange(batch), lengths - 1]  # (B, T, H) -> (B, H)
    return mask, sizes, last


def nucleus(logits, p):
    top, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)  # (B, V)
    before = top.cumsum(dim=-1) - top  # what is more likely than the token itself
    kept = top.where(before < p, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, order, kept)  # back to the vocabulary's order


def find_leak(starts, length, is_val):
    def overlaps(others):
        """(N,) of bool: does the window share a token with one of these?"""
        others = others.sort().values
        first = torch.searchsorted(others, starts - length + 1)
        behind = torch.searchsorted(others, starts + length - 1, right=True)
        return behind > first

    leaked = is_val & overlaps(starts[~is_val])
    clean = ~is_val & ~overlaps(starts[is_val])
    return leaked, clean


def kneser_ney(tokens, size, discount):
    pairs = torch.bincount(size * tokens[:-1] + tokens[1:], minlength=size * size)
    counts = pairs.reshape(size, size).double()  # c(u, w)
    seen = (counts > 0).double()
    q = seen.sum(dim=0) / seen.sum()  # (V,): tokens before w, as a share of all pairs
    total = counts.sum(dim=1, keepdim=True)  # c(u), (V, 1)
    followers = seen.sum(dim=1, keepdim=True)  # k(u), (V, 1)
    mixed = (counts - discount).clamp(min=0) + discount * followers * q
    return torch.where(total > 0, mixed / total.clamp(min=1), q)


def truncated_bptt(x, grad_h, h0, w_ih, w_hh, bias, chunk):
    states = [h0]
    for step in x:  # (B, D)
        states.append(torch.tanh(step @ w_ih.T + states[-1] @ w_hh.T + bias))
    d_ih, d_hh, d_bias = (torch.zeros_like(w) for w in (w_ih, w_hh, bias))
    back = torch.zeros_like(h0)
    for t in reversed(range(len(x))):
        da = (1 - states[t + 1] ** 2) * (grad_h[t] + back)  # (B, H)
        d_ih += da.T @ x[t]  # (H, B) @ (B, D)
        d_hh += da.T @ states[t]
        d_bias += da.sum(dim=0)
        back = torch.zeros_like(h0) if t % chunk == 0 else da @ w_hh
    return torch.stack(states[1:]), d_ih, d_hh, d_bias
