"""What the grader of chapter 7 compares with: right results, and those of the usual mistakes.

Comparing and naming a mistake (`same`) is that of chapter 3, watching operations that of chapter 6.
The results here come from torch or from a formula other than that of the hints: most are loops over
single numbers.
"""

import math

import torch
from torch.nn import functional as F

# --- additive_score ---


def additive(query, key, w_query, w_key, v, mistake=""):
    """Pair by pair; or with one thing wrong, None if the shapes forbid it."""
    if mistake == "exchanged":
        w_query, w_key = w_key, w_query
    if mistake == "turned":
        w_query, w_key = w_query.mT, w_key.mT
    if mistake == "no matrices":
        w_query, w_key = (torch.eye(len(v), dtype=v.dtype) for _ in "qk")
    if query.shape[-1] != w_query.shape[1] or key.shape[-1] != w_key.shape[1]:
        return None
    if w_query.shape[0] != w_key.shape[0] or w_key.shape[0] != len(v):
        return None
    activation = {"relu": torch.relu, "sigmoid": torch.sigmoid, "linear": lambda x: x}.get(
        mistake, torch.tanh
    )
    scores = query.new_zeros(query.shape[0], query.shape[1], key.shape[1])
    for b, t, s in torch.cartesian_prod(*map(torch.arange, scores.shape)).tolist():
        q, k = w_query @ query[b, t], w_key @ key[b, s]  # (A,)
        if mistake == "product":
            scores[b, t, s] = torch.dot(q, k)
        elif mistake == "tanh early":
            scores[b, t, s] = torch.dot(v, torch.tanh(q) + torch.tanh(k))
        elif mistake == "no v":
            scores[b, t, s] = activation(q + k).sum()
        elif mistake == "difference":
            scores[b, t, s] = torch.dot(v, activation(q - k))
        else:
            scores[b, t, s] = torch.dot(v, activation(q + k))
    if mistake == "scaled":
        return scores / math.sqrt(len(v))
    return scores.softmax(-1) if mistake == "softmax" else scores


ADDITIVE_MISTAKES = {
    "softmax": "these are weights: the scores are asked for, before the softmax",
    "linear": "tanh is missing: without it the query shifts all scores alike and changes no weight",
    "relu": "it is tanh, not relu",
    "sigmoid": "it is tanh, not a sigmoid",
    "no v": "v is missing: this is the plain sum over the A units",
    "product": "the two are added inside tanh, not multiplied with each other",
    "tanh early": "tanh goes around the sum of the two, not around each",
    "difference": "the two are added, not subtracted",
    "scaled": "this score is not divided by a root",
    "exchanged": "w_query and w_key are exchanged",
    "turned": "multiply with the matrices as they are, x @ w.T: here they were transposed",
    "no matrices": "w_query and w_key are not used",
}


# --- in_heads ---


def cut(x, heads):
    """The parts of the heads as a list of slices, one below the other: (B, h, T, d)."""
    return torch.stack(x.tensor_split(heads, dim=-1), dim=1)


def wrong_cuts(x, heads):
    """Pairs (words, what a head would get) of wrong ways to cut (B, T, D)."""
    batch, steps, width = x.shape
    each = width // heads
    strided = torch.stack([x[..., i::heads] for i in range(heads)], dim=1)
    blocks = x.reshape(batch, heads, steps, each)
    yield "a reshape straight to (B, heads, T, d) mixes places with heads: transpose", blocks
    yield "head i gets d neighbours, not every heads-th number: the form is (heads, d)", strided
    yield "the axes of places and heads are still exchanged", cut(x, heads).transpose(1, 2)
    yield "nothing was cut: each head gets all of the width", torch.stack([x] * heads, dim=1)
    yield "the axes d and T are exchanged", cut(x, heads).mT


def wrong_joins(result, heads):
    """Pairs (words, (B, T, E)) of wrong ways to join (B, h, T, e)."""
    batch, _, steps, each = result.shape
    yield (
        "back, too, a reshape alone mixes places with heads: transpose first",
        result.reshape(batch, steps, heads * each),
    )
    columns = torch.stack(list(result.unbind(1)), dim=-1).flatten(-2)
    yield "the heads stand side by side, not number by number in turn", columns
    yield "the heads are joined, not added", result.sum(1)
    yield "the heads are joined, not averaged", result.mean(1)
    yield "head 0 comes first", torch.cat(list(result.unbind(1))[::-1], dim=-1)
    yield "this is what `attend` returned: join the heads", result


# --- sharpen ---


def sharpened(weights, temperature):
    """(sharp, entropy) row by row, with plain numbers."""
    flat, rows, spread = weights.reshape(-1, weights.shape[-1]), [], []
    for row in flat.tolist():
        logs = [math.log(w) / temperature if w else -math.inf for w in row]
        top = max(logs)
        parts = [math.exp(x - top) if x > -math.inf else 0.0 for x in logs]
        total = sum(parts) or 1.0
        parts = [x / total for x in parts]
        rows.append(parts)
        spread.append(-sum(p * math.log(p) for p in parts if p))
    like = {"dtype": weights.dtype}
    return (
        torch.tensor(rows, **like).reshape(weights.shape),
        torch.tensor(spread, **like).reshape(weights.shape[:-1]),
    )


def wrong_sharp(weights, temperature):
    """Pairs (words, sharp) of the usual mistakes."""
    power = weights ** (1 / temperature)
    yield "the powers do not add up to 1: divide by their sum", power
    other = sharpened(weights, 1 / temperature)[0]
    yield "the temperature acts the other way round: scores / temperature", other
    yield "the temperature is not used", weights
    yield (
        "these are weights, not scores: take their log first",
        (weights / temperature).softmax(-1),
    )
    yield (
        "these are weights, not scores: take their log first (what was 0 stays 0)",
        (weights / temperature).masked_fill(weights == 0, -math.inf).softmax(-1),
    )
    wrong = (weights / temperature).softmax(-1) * (weights > 0)
    yield "these are weights, not scores: take their log first", wrong
    yield "this softmax runs over all rows at once", power / power.sum()


def wrong_entropy(sharp, weights):
    """Pairs (words, entropy) of the usual mistakes."""
    right = torch.special.entr(sharp).sum(-1)
    before = torch.special.entr(weights).sum(-1)
    yield "this is the entropy at temperature 1: take that of `sharp`", before
    yield "in nats: the natural logarithm, not log2", right / math.log(2)
    yield "this is divided by log S; plain nats are asked for", right / math.log(sharp.shape[-1])
    yield "this is exp(entropy), the perplexity", right.exp()
    yield "the sum over S is asked for, not the mean", right / sharp.shape[-1]
    yield "this is one number: each row has its entropy", right.sum()
    yield "the minus sign is missing", -right


# --- luong_step ---


def luong(state, states, mask, w_score, w_combine, mistake=""):
    """(attentional, weights) row by row; or with one thing wrong, None if the shapes forbid it."""
    if mistake == "turned":
        w_score = w_score.mT
    if mistake == "dot":
        w_score = torch.eye(*w_score.shape, dtype=w_score.dtype)
    if w_score.shape != (state.shape[1], states.shape[2]):
        return None
    results, shares = [], []
    for h, words, real in zip(state, states, mask, strict=True):
        scores = torch.stack([torch.dot(h, w_score @ word) for word in words])
        if mistake == "scaled":
            scores = scores / math.sqrt(words.shape[1])
        allowed = {"no mask": torch.ones_like(real), "turned mask": ~real}.get(mistake, real)
        share = torch.zeros_like(scores)
        if mistake in ("after", "zero score"):
            share = (scores if mistake == "after" else scores * real).softmax(0)
            share = share * real if mistake == "after" else share
        elif bool(allowed.any()):
            share[allowed] = scores[allowed].softmax(0)
        context = share @ words
        if mistake == "mean":
            context = words[real].mean(0)
        parts = (h, context) if mistake == "h first" else (context, h)
        combined = torch.cat(parts) @ w_combine.mT
        if mistake == "no h":
            combined = w_combine[:, : len(context)] @ context
        if mistake == "scores":
            share = scores
        results.append(combined if mistake == "linear" else torch.tanh(combined))
        shares.append(share)
    return torch.stack(results), torch.stack(shares)


LUONG_MISTAKES = {
    "scores": "these are scores: take the softmax",
    "no mask": "the padding gets a share: the mask is not used",
    "turned mask": "the mask is the other way round: True stands at words",
    "after": "the mask comes before the softmax: these rows no longer add up to 1",
    "zero score": "a score of 0 is no mask, it still gets e^0: take -inf",
    "scaled": "this score is not divided by a root",
    "dot": "w_score is not used: this is the plain dot score",
    "turned": "w_score is transposed: h @ w_score, then the product with the states",
    "h first": "the order is [c; h]: c stands first",
    "linear": "tanh is missing",
    "no h": "h is missing beside c",
    "mean": "c is the mean of the words here: weigh them",
}


# --- masked_weights ---


def left_padded(scores, lengths, mistake=""):
    """The weights query by query; or with one thing wrong."""
    batch, size, _ = scores.shape
    result = torch.zeros_like(scores)
    for b in range(batch):
        first, count = size - int(lengths[b]), int(lengths[b])
        for t in range(size):
            low, high = first, t + 1  # the keys low ... high - 1
            if mistake == "only causal":
                low = 0
            elif mistake == "only padding":
                high = size
            elif mistake == "padding behind":
                low, high = 0, min(t + 1, count)
            elif mistake == "strict":
                high = t
            elif mistake == "one ahead":
                high = min(t + 2, size)
            elif mistake == "one more":
                low = max(first - 1, 0)
            elif mistake == "one less":
                low = first + 1
            elif mistake == "future":
                low, high = max(first, t), size
            keys = torch.arange(low, max(low, high))
            if mistake == "either":
                s = torch.arange(size)
                keys = s[(s <= t) | (s >= first)]
            if len(keys):
                result[b, t, keys] = scores[b, t, keys].softmax(0)
            elif mistake == "uniform":
                result[b, t] = 1 / size
    return result


PADDED_MISTAKES = {
    "uniform": "a query that may look at nothing has weights of 0, not 1 / T: -1e9 is not -inf",
    "only causal": "the padding in front gets a share: only the causal mask acts",
    "only padding": "a query sees later keys: the causal mask is missing",
    "padding behind": "the padding stands in front: the text is the last lengths[b] places",
    "strict": "a query may look at itself: s <= t",
    "one ahead": "a query sees the key behind it: s <= t",
    "one more": "one place of the padding is taken for text: s >= T - length",
    "one less": "the first place of the text is taken for padding: s >= T - length",
    "future": "it looks at later keys only: the causal mask is the other way round",
    "either": "both conditions have to hold: & instead of |",
}


def wrong_padded(scores, lengths):
    """Pairs (words, weights) of mistakes that act on the whole table at once."""
    place = torch.arange(scores.shape[-1])
    sees = (place <= place[:, None]) & (place >= (len(place) - lengths)[:, None, None])
    yield (
        "the mask comes before the softmax: these rows no longer add up to 1",
        scores.softmax(-1) * sees,
    )
    yield (
        "the softmax runs along the keys, the last axis",
        F.softmax(scores.masked_fill(~sees, -math.inf), dim=1).nan_to_num(0),
    )
    yield "a score of 0 is no mask, it still gets e^0: take -inf", (scores * sees).softmax(-1)
