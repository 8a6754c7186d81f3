"""What the grader of chapter 6 compares with: right results, and those of the usual mistakes.

Comparing and naming a mistake (`same`, `number`) are those of chapters 3 and 4. The results here
come from torch or from a formula other than that of the hints.
"""

import math
from collections import Counter

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from chapter_03_optimization_regularization.exercises.grading import normal


class Watch(TorchFunctionMode):
    """with Watch() as seen: ...; then seen.calls of torch, their seen.names, and how many
    numbers the largest tensor has: seen.numbers.

    A function mode, unlike a dispatch mode, needs no torch._dynamo, whose import takes seconds.
    """

    calls = 0
    numbers = 0

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        self.names.add(getattr(func, "__name__", ""))
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor):
                self.numbers = max(self.numbers, math.prod(value.shape))
        return result


# --- gru_cell ---


def gru(x, h, w_ih, w_hh, b_ih, b_hh, mistake=""):
    """The GRU gate by gate, with a weight matrix each; or with one thing wrong, None if it cannot.

    `order` are the places of r, z and n among the rows.
    """
    size = h.shape[1]
    order = {"z, r, n": (1, 0, 2), "n first": (1, 2, 0)}.get(mistake, (0, 1, 2))
    w, u, b, c = ([t.split(size)[i] for i in order] for t in (w_ih, w_hh, b_ih, b_hh))
    if mistake == "no b_ih":
        b = [0 * part for part in b]
    if mistake == "no b_hh":
        c = [0 * part for part in c]
    r, z = (torch.sigmoid(x @ w[i].mT + b[i] + h @ u[i].mT + c[i]) for i in (0, 1))
    proposal = {
        "reset before": x @ w[2].mT + b[2] + (r * h) @ u[2].mT + c[2],
        "bias outside": x @ w[2].mT + b[2] + r * (h @ u[2].mT) + c[2],
        "no reset": x @ w[2].mT + b[2] + h @ u[2].mT + c[2],
        "reset both": r * (x @ w[2].mT + b[2] + h @ u[2].mT + c[2]),
        "update gate": x @ w[2].mT + b[2] + z * (h @ u[2].mT + c[2]),
    }.get(mistake, x @ w[2].mT + b[2] + r * (h @ u[2].mT + c[2]))
    n = torch.sigmoid(proposal) if mistake == "sigmoid" else torch.tanh(proposal)
    if mistake == "swapped":
        return z * n + (1 - z) * h
    return n if mistake == "only n" else n + z * (h - n)


GRU_MISTAKES = {
    "reset before": "r stands in front of W_hn h + b_hn; here it was multiplied with h itself",
    "bias outside": "r stands in front of b_hn too",
    "no reset": "the reset gate is not used in n",
    "reset both": "r stands in front of the part of h alone, not of that of x",
    "update gate": "z took the place of r in n",
    "sigmoid": "n comes from tanh, not from a sigmoid",
    "swapped": "z is the share of the past: (1 - z) * n + z * h",
    "only n": "this is n; mix it with h",
    "z, r, n": "the rows come in the order r, z, n, not z, r, n",
    "n first": "the rows come in the order r, z, n",
    "no b_ih": "b_ih is missing",
    "no b_hh": "b_hh is missing",
}


# --- forget_bias ---


def time_constant(steps):
    """(b, pairs of a mistake's words and its b); b by bisection of sigmoid(b)^steps = 1/e."""
    low, high = -50.0, 50.0
    for _ in range(200):
        b = (low + high) / 2
        log_share = -steps * math.log1p(math.exp(-b))  # log of sigmoid(b)^steps
        low, high = (b, high) if log_share < -1 else (low, b)
    share = math.exp(-1 / steps)
    half = 2 ** (-1 / steps)
    mistakes = [
        ("this is f; the bias is what the sigmoid turns into f", share),
        ("this is log(f), not log(f / (1 - f))", -1 / steps),
        ("the sign is the other way round: this forgets what should be kept", -b),
        ("this is an approximation for large `steps`", math.log(steps)),
        ("after `steps` steps 1/e is left, not one half", math.log(half / (1 - half))),
        ("after `steps` steps 1/e is left; here f itself is 1/e", math.log(1 / (math.e - 1))),
        ("this is the usual bias of 1, whatever `steps` is", 1.0),
    ]
    return b, [pair for pair in mistakes if not math.isclose(pair[1], b, abs_tol=1e-6)]


def biases(lstm):
    """[(layer and direction, bias_ih, bias_hh)] of an nn.LSTM, each (4, H): gates i, f, g, o."""
    ends = [f"l{k}{way}" for k in range(lstm.num_layers) for way in ("", "_reverse")]
    ends = [end for end in ends if lstm.bidirectional or "_" not in end]
    return [
        (
            end,
            *(
                getattr(lstm, f"bias_{w}_{end}").detach().unflatten(0, (4, -1))
                for w in ("ih", "hh")
            ),
        )
        for end in ends
    ]


# --- clipped_step ---


def stepping(scale):
    """Parameters (2, 3), (4,) without a gradient, (5,) and (), in float64."""
    parameters = [nn.Parameter(normal(*shape, seed=9)) for shape in [(2, 3), (4,), (5,), ()]]
    for seed, p in enumerate(parameters, start=1):
        p.grad = None if p.shape == (4,) else scale * normal(*p.shape, seed=seed)
    return parameters


def step_mistakes(w, grad, lr, max_norm, norm):
    """Pairs (words, w after the step) for one parameter; norm is that of all gradients."""
    own = grad.norm().item()
    yield "nothing was changed: write in place (was an iterator read twice?)", w
    yield "the gradient was not clipped", w - lr * grad
    yield "the gradient was scaled, but lr is missing", w - min(1, max_norm / norm) * grad
    yield "each was clipped by itself", w - lr * min(1, max_norm / own) * grad
    yield "small gradients were blown up to max_norm", w - lr * max_norm / norm * grad
    yield "each element was clipped", w - lr * grad.clamp(-max_norm, max_norm)
    yield "this goes uphill: subtract", w + lr * min(1, max_norm / norm) * grad
    yield "the root is missing in the norm", w - lr * min(1, max_norm / norm**2) * grad


# --- packed_mask ---


def padded(lengths, steps, size, seed=0):
    """Sequences of these lengths as a leaf (B, T, H) whose padding is nan."""
    outputs = normal(len(lengths), steps, size, seed=seed)
    for row, length in zip(outputs, lengths, strict=True):
        row[length:] = math.nan
    return outputs.requires_grad_()


# --- nucleus ---


def nuclei(logits, p, mistake=""):
    """Row by row: take the most likely tokens one after the other until the sum reaches p."""
    rows = []
    for row in logits.softmax(-1):
        sign = 1 if mistake == "least likely" else -1
        order = sorted(range(len(row)), key=lambda w: sign * row[w].item())
        kept, total = [], 0.0
        for token in order:
            if total >= p:
                break
            kept.append(token)
            total += row[token].item()
        if mistake == "one less":
            kept = kept[:-1] or kept
        if mistake == "one more":
            kept = order[: len(kept) + 1]
        if mistake == "threshold":
            kept = [token for token in order if row[token] >= p] or order[:1]
        if mistake == "complement":
            kept = [token for token in order if row[token] >= 1 - p] or order[:1]
        share = torch.zeros_like(row)
        share[kept] = row[kept]
        if mistake == "softmax twice":
            share[kept] = row[kept].softmax(-1)
        elif mistake != "unscaled":
            share = share / share.sum()
        rows.append(share[order] if mistake == "sorted" else share)
    return torch.stack(rows)


NUCLEUS_MISTAKES = {
    "one less": "the token with which the sum reaches p belongs to the kept ones",
    "one more": "one token too many: stop as soon as the sum has reached p",
    "least likely": "these are the least likely tokens: sort the other way round",
    "threshold": "p bounds the sum of the probabilities, not each of them",
    "complement": "1 - p is no bound for each probability: add them up",
    "softmax twice": "the kept ones are divided by their sum; a second softmax flattens them",
    "unscaled": "the kept probabilities do not add up to 1: divide by their sum",
    "sorted": "this is still in the sorted order: go back to that of the vocabulary",
}


# --- find_leak ---


def leaks(starts, length, is_val):
    """(leaked, clean) by the sets of tokens themselves."""
    tokens = {True: set(), False: set()}
    windows = [set(range(s, s + length)) for s in starts.tolist()]
    for window, held_out in zip(windows, is_val.tolist(), strict=True):
        tokens[held_out] |= window
    both = zip(windows, is_val.tolist(), strict=True)
    shared = torch.tensor(
        [bool(w & tokens[not held_out]) for w, held_out in both], dtype=torch.bool
    )
    return is_val & shared, ~is_val & ~shared


def near(starts, is_val, before, after):
    """(leaked, clean) if a leak were a start of the other kind from s - before to s + after."""
    distance = starts[None, :] - starts[:, None]  # (N, N)
    other = is_val[None, :] != is_val[:, None]
    hit = ((distance >= -before) & (distance <= after) & other).any(dim=1)
    return is_val & hit, ~is_val & ~hit


def leak_mistakes(starts, length, is_val):
    """Pairs (words, (leaked, clean)) of wrong ideas of what is near."""
    n = length - 1
    words = "windows that overlap in one single token leak too"
    for sides in [(n - 1, n - 1), (n - 1, n), (n, n - 1)]:
        yield words, near(starts, is_val, *sides)
    words = "windows that only touch share no token: less than `length` apart"
    for sides in [(n + 1, n + 1), (n + 1, n), (n, n + 1)]:
        yield words, near(starts, is_val, *sides)
    yield "windows that begin later overlap too", near(starts, is_val, n, 0)
    yield "windows that begin later overlap too", near(starts, is_val, n, -1)
    yield "windows that begin earlier overlap too", near(starts, is_val, 0, n)
    yield "windows that begin earlier overlap too", near(starts, is_val, -1, n)
    yield "only windows with equal starts were compared", near(starts, is_val, 0, 0)


# --- kneser_ney ---


def smoothed(tokens, size, discount, mistake=""):
    """The matrix of bigram probabilities, entry by entry from counters."""
    pairs = Counter(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))
    begins, occurs = Counter(u for u, _ in pairs.elements()), Counter(tokens.tolist())
    after, before = Counter(u for u, _ in pairs), Counter(w for _, w in pairs)
    ends = Counter(w for _, w in pairs.elements())
    table = torch.zeros(size, size, dtype=torch.float64)
    for u in range(size):
        total = occurs[u] if mistake == "occurrences" else begins[u]
        for w in range(size):
            q = {
                "unigram": occurs[w] / len(tokens),
                "second": ends[w] / (len(tokens) - 1),
                "followers": after[w] / len(pairs),
                "uniform": 1 / size,
                "types": before[w] / size,
            }.get(mistake, before[w] / len(pairs))
            kinds = {"one": 1, "all pairs": begins[u], "size": size}.get(mistake, after[u])
            rest = max(pairs[u, w] - discount, 0)
            if mistake == "negative":
                rest = pairs[u, w] - discount
            if not total:
                table[u, w] = {"zeros": 0.0, "flat": 1 / size}.get(mistake, q)
            elif mistake == "back-off" and rest:
                table[u, w] = rest / total
            else:
                table[u, w] = rest / total + discount * kinds / total * q * (mistake != "no q")
    return table.T if mistake == "turned" else table


KNESER_NEY_MISTAKES = {
    "zeros": "a u that begins no pair has the probabilities q, not 0",
    "flat": "a u that begins no pair has the probabilities q, not uniform ones",
    "turned": "row u holds what follows u: the table is the other way round",
    "unigram": "q counts how many different tokens precede w, not how often w occurs",
    "second": "q counts how many different tokens precede w, not how many pairs end with w",
    "followers": "q counts the tokens before w, not those after it",
    "uniform": "q is not uniform: it counts the different tokens before w",
    "types": "q is divided by the number of different pairs, not by `size`",
    "one": "k(u) is missing: each of the k(u) followers has given up the discount",
    "all pairs": "k(u) counts different followers, not all pairs that begin with u",
    "size": "k(u) counts the tokens that do follow u, not the whole vocabulary",
    "negative": "unseen pairs have no count to take the discount from: max(..., 0)",
    "occurrences": "c(u) counts pairs that begin with u: the text's last token begins none",
    "back-off": "q is added for seen pairs too: this is back-off, not interpolation",
    "no q": "the part with q is missing: the rows do not add up to 1",
}
