"""What the grader of chapter 8 compares with: right results, and those of the usual mistakes.

Comparing and naming a mistake (`same`) is that of chapter 3. The results here come from torch or
from a formula other than that of the hints: most are loops over single numbers. Patches, imported
weights and the cache stand in `grading_parts.py`.
"""

import math

import torch
from torch.nn import functional as F

# --- shift_positions ---


def position(place, width, mistake=""):
    """Sines and cosines of one place, number by number: (D,) float64."""
    row = torch.zeros(width, dtype=torch.float64)
    for i in range(width // 2):
        exponent = {"slow": -i / width, "index": -2.0 * i}.get(mistake, -2 * i / width)
        angle = place * 10000.0**exponent
        row[2 * i], row[2 * i + 1] = math.sin(angle), math.cos(angle)
    return row


def shifted(p, n, mistake=""):
    """p times a matrix made of D / 2 blocks; or with one thing wrong."""
    width = p.shape[-1]
    if mistake == "added":
        return p + position(n, width).to(p.dtype)
    if mistake == "back":
        n = -n
    angles = position(n, width, mistake)
    matrix = torch.zeros(width, width, dtype=torch.float64)
    for i in range(width // 2):
        s, c = angles[2 * i], angles[2 * i + 1]
        if mistake == "all alike":
            s, c = angles[0], angles[1]
        places = (i, i + width // 2) if mistake == "halves" else (2 * i, 2 * i + 1)
        block = torch.stack([torch.stack([c, s]), torch.stack([-s, c])])
        if mistake == "cosine first":
            block = block.mT
        if mistake == "both plus":
            block = block.clone()
            block[1, 0] = s
        for a, row in zip(places, block, strict=True):
            matrix[a, places[0]], matrix[a, places[1]] = row
    result = (p.double() @ matrix.mT).to(p.dtype)
    if mistake == "laid":
        result = torch.cat([result[..., 0::2], result[..., 1::2]], dim=-1)
    return result


SHIFT_MISTAKES = {
    "back": "it goes n places back: the cosine's row has the minus sign",
    "halves": "sine and cosine of a pair stand side by side, 2 i and 2 i + 1, not in two halves",
    "laid": "the sines stand in front of all cosines here: lay them in pairs again",
    "slow": "w_i = 10000 ** (-2 i / D): the 2 is missing in the exponent",
    "index": "w_i = 10000 ** (-2 i / D): the exponent is not divided by D",
    "all alike": "each pair has a speed of its own: n w_i, not n",
    "both plus": "cos(a + b) = cos a cos b - sin a sin b: the sign is minus",
    "added": "the position n was added: positions of a sum are no sum of positions",
}


# --- residual_block ---


def normed(x, gain, bias, eps, mistake=""):
    """Layer norm by torch, or with one thing wrong."""
    if mistake == "unbiased":
        variance = x.var(-1, keepdim=True)
        return gain * (x - x.mean(-1, keepdim=True)) / (variance + eps).sqrt() + bias
    if mistake == "eps":
        spread = x.var(-1, keepdim=True, unbiased=False).sqrt()
        return gain * (x - x.mean(-1, keepdim=True)) / (spread + eps) + bias
    if mistake == "all places":
        return gain * F.layer_norm(x, x.shape[1:], eps=eps) + bias
    if mistake == "no root":
        variance = x.var(-1, keepdim=True, unbiased=False)
        return gain * (x - x.mean(-1, keepdim=True)) / (variance + eps) + bias
    if mistake == "no mean":
        return gain * x / (x.var(-1, keepdim=True, unbiased=False) + eps).sqrt() + bias
    if mistake == "no gain":
        return F.layer_norm(x, x.shape[-1:], eps=eps)
    return F.layer_norm(x, x.shape[-1:], gain, bias, eps)


def block(x, sublayers, gains, biases, pre, eps, mistake=""):
    """The stream behind all sublayers; or with one thing wrong."""
    if mistake == "exchanged":
        pre = not pre
    for k, sublayer in enumerate(sublayers):
        row = 0 if mistake == "first norm" else k

        def norm(x, row=row):
            return normed(x, gains[row], biases[row], eps, mistake)

        if mistake == "no residual":
            x = sublayer(norm(x)) if pre else norm(sublayer(x))
        elif mistake == "normed stream" and pre:
            x = norm(x) + sublayer(norm(x))
        elif mistake == ("behind" if pre else "inside"):
            x = x + norm(sublayer(x))
        elif pre:
            x = x + sublayer(norm(x))
        else:
            x = norm(x + sublayer(x))
    if mistake == "last norm":
        x = normed(x, gains[-1], biases[-1], eps)
    return x


BLOCK_MISTAKES = {
    "exchanged": "pre and post are exchanged: pre = True norms what the sublayer reads",
    "no residual": "the residual connection is missing: x + ...",
    "normed stream": "in pre-norm x itself runs through: only what the sublayer reads is normed",
    "behind": "in pre-norm the norm stands in front of the sublayer, not behind it",
    "inside": "post-norm norms the sum, x + sublayer(x), not the sublayer's result alone",
    "unbiased": "the variance divides by D, not by D - 1: unbiased=False",
    "eps": "eps stands inside the root, beside the variance",
    "all places": "mean and variance are those of each place, over D alone",
    "no root": "divide by the root of the variance",
    "no mean": "the mean is not subtracted",
    "no gain": "gains and biases are not used",
    "first norm": "each sublayer has a norm of its own: row k of gains and biases",
    "last norm": "there is one norm too many at the end",
}


# --- smoothed_loss ---


def smoothed(logits, target, epsilon, pad, mistake=""):
    """Token by token; or with one thing wrong."""
    rows, total, tokens = [], logits.sum() * 0, logits.shape[-1]
    for line, wanted in zip(logits, target, strict=True):
        found = []
        for scores, token in zip(line, wanted, strict=True):
            if int(token) == pad and mistake not in ("all places", "padding"):
                continue
            q = torch.full_like(scores, epsilon / tokens).detach()
            if mistake == "others":
                q = torch.full_like(scores, epsilon / (tokens - 1)).detach()
                q[token] = 1 - epsilon
            elif mistake == "without pad":
                q = torch.full_like(scores, epsilon / (tokens - 1)).detach()
                q[pad] = 0
                q[token] += 1 - epsilon
            elif mistake == "not added":
                q[token] = 1 - epsilon
            elif mistake == "plain":
                q = torch.zeros_like(q)
                q[token] = 1
            elif mistake == "turned":
                q = torch.full_like(scores, (1 - epsilon) / tokens).detach()
                q[token] += epsilon
            elif mistake == "sum":
                q = torch.full_like(scores, epsilon).detach()
                q[token] += 1 - epsilon
            else:
                q[token] += 1 - epsilon
            log_p = scores if mistake == "logits" else scores - torch.logsumexp(scores, 0)
            nats = -(q * log_p).sum()
            if mistake == "all places" and int(token) == pad:
                nats = nats * 0
            found.append(nats)
        rows.append(found)
    every = [nats for row in rows for nats in row]
    if not every:
        return total
    if mistake == "rows":
        means = [torch.stack(row).mean() for row in rows if row]
        return torch.stack(means).mean()
    if mistake == "total":
        return torch.stack(every).sum()
    result = torch.stack(every).mean()
    return -result if mistake == "sign" else result


SMOOTH_MISTAKES = {
    "padding": "padding counts as a token here: leave its places out",
    "all places": "divide by the number of real tokens, not by B * T",
    "rows": "this is a mean of the rows' means: each real token counts the same",
    "total": "this is the sum: take the mean over the real tokens",
    "plain": "epsilon is not used",
    "others": "epsilon / V goes to each of V tokens, the target too, not to the V - 1 others",
    "without pad": "epsilon / V goes to each of the V tokens, `pad` among them",
    "not added": "the target has 1 - epsilon + epsilon / V",
    "turned": "the target has 1 - epsilon, the others share epsilon: here it is turned round",
    "sum": "each token has epsilon / V, not epsilon: the mean over V",
    "logits": "these are logits: log_softmax first",
    "sign": "the minus sign is missing",
}


# --- rank_lines ---


def penalty(n, alpha):
    return math.pow((5 + n) / 6, alpha)


def ranked(log_p, lengths, running, longest, alpha, mistake=""):
    """(scores, best, stop) number by number; or with one thing wrong."""
    scores = []
    for p, n in zip(log_p.tolist(), lengths.tolist(), strict=True):
        lp = penalty(n, alpha)
        lp = {"length": n**alpha, "none": 1.0, "five": (5 + n) ** alpha}.get(mistake, lp)
        lp = {"no power": (5 + n) / 6, "factor": alpha * (5 + n) / 6 or 1.0}.get(mistake, lp)
        lp = penalty(n - 1, alpha) if mistake == "no eos" else lp
        scores.append(p * lp if mistake == "times" else p / lp)
    order = {"lowest": min, "by sum": max}.get(mistake, max)
    keys = log_p.tolist() if mistake == "by sum" else scores
    best = keys.index(order(keys))
    top, reach = max(scores), []
    for p in running.tolist():
        reach.append(p / penalty(longest, alpha))
        if mistake == "bare":
            reach[-1] = p
        if mistake == "short":
            reach[-1] = p / penalty(1, alpha)
        if mistake == "best length":
            reach[-1] = p / penalty(lengths.tolist()[best], alpha)
    stop = not reach or max(reach) <= top
    if mistake == "all":
        stop = not reach or min(reach) <= top
    if mistake == "turned":
        stop = not stop
    if mistake == "strict":
        stop = not reach or max(reach) < top
    if mistake == "never empty":
        stop = bool(reach) and max(reach) <= top
    return torch.tensor(scores, dtype=log_p.dtype), best, stop


SCORE_MISTAKES = {
    "none": "the penalty is missing: divide by lp(length)",
    "times": "divide by the penalty, do not multiply",
    "length": "lp(n) = ((5 + n) / 6) ** alpha, not n ** alpha",
    "five": "lp(n) = ((5 + n) / 6) ** alpha: the 6 is missing",
    "no power": "alpha is not used: it is the exponent",
    "factor": "alpha is the exponent, not a factor",
    "no eos": "the lengths count <eos> already",
}
BEST_MISTAKES = {
    "lowest": "the highest score is the best: this is the lowest",
    "by sum": "best is the one with the highest score, not with the highest log-probability",
}
STOP_MISTAKES = {
    "turned": "it is the other way round: True means that nothing better can come",
    "never empty": "with no beginning left nothing better can come: True",
    "strict": "a beginning that could only reach the best score is not above it: <=",
    "bare": "a sum has to be divided by a penalty before it is compared with a score",
    "short": "a beginning gets nearest to 0 by growing: a longer line is divided by more",
    "best length": "a beginning may still grow to `longest` tokens: that is its best case",
    "all": "the best of the beginnings decides, not the worst",
}


# --- widest ---


def gpt_parameters(width, vocabulary, layers, longest, mistake=""):
    """Tensor by tensor, as GPT2(...) has them; or with one thing wrong."""
    shapes = [(vocabulary, width), (longest, width)]
    each = [(width,)] * 4 + [(width, width)] * 4 + [(width,)] * 4
    each += [(width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    shapes += [shape for _ in range(layers) for shape in each] + [(width,)] * 2
    count = sum(map(math.prod, shapes))
    block = {"no biases": -9 * width, "no output": -(width**2) - width, "no norms": -4 * width,
             "one norm": -2 * width}  # fmt: skip
    count += layers * block.get(mistake, 0)
    whole = {"untied": vocabulary * width, "no places": -longest * width, "no last": -2 * width,
             "no table": -vocabulary * width, "output bias": vocabulary}  # fmt: skip
    return count + whole.get(mistake, 0)


COUNT_MISTAKES = {
    "untied": "the table of tokens is the output's, too: it counts once",
    "no table": "the table of tokens is missing",
    "no places": "the table of places is missing: M D",
    "output bias": "the output has no bias",
    "no last": "the norm behind the last block is missing: 2 D",
    "no norms": "the norms of the blocks are missing: 4 D in each",
    "one norm": "a block has two norms, each with a gain and a bias",
    "no biases": "the biases are missing: 4 D in attention, 5 D in the feed-forward",
    "no output": "the output map of attention is missing: four maps (D, D)",
}


def widest(budget, vocabulary, layers, longest, heads, mistake=""):
    """(D, parameters) by counting up; None where not even D = h is possible."""
    width, known = 0, None
    while True:
        width += heads
        count = gpt_parameters(width, vocabulary, layers, longest, mistake)
        if count > budget:
            return known
        known = width, count
