"""Solutions of chapter 8's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 8 --solutions`.
"""

import math

import torch


def shift_positions(p, n):
    width = p.shape[-1]
    speeds = 10000.0 ** (-torch.arange(0, width, 2, dtype=p.dtype) / width)  # (D / 2,)
    s, c = torch.sin(n * speeds), torch.cos(n * speeds)
    sines, cosines = p[..., 0::2], p[..., 1::2]  # (..., D / 2)
    return torch.stack([sines * c + cosines * s, cosines * c - sines * s], dim=-1).flatten(-2)


def residual_block(x, sublayers, gains, biases, pre, eps=1e-5):
    def norm(x, k):
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        return gains[k] * (x - mean) / torch.sqrt(variance + eps) + biases[k]

    for k, sublayer in enumerate(sublayers):
        x = x + sublayer(norm(x, k)) if pre else norm(x + sublayer(x), k)
    return x


def smoothed_loss(logits, target, epsilon, pad):
    log_p = logits.log_softmax(-1)  # (B, T, V)
    right = log_p.gather(-1, target[..., None])[..., 0]  # (B, T)
    nats = -(1 - epsilon) * right - epsilon * log_p.mean(-1)
    real = target != pad
    return (nats * real).sum() / real.sum().clamp(min=1)


def rank_lines(log_p, lengths, running, longest, alpha):
    scores = log_p / ((5 + lengths) / 6) ** alpha  # (N,)
    bound = running / ((5 + longest) / 6) ** alpha  # (K,), the best that each could still get
    stop = len(running) == 0 or bool(bound.max() <= scores.max())
    return scores, int(scores.argmax()), stop


def widest(budget, vocabulary, layers, longest, heads):
    def parameters(width):
        block = 12 * width**2 + 13 * width
        return layers * block + (vocabulary + longest + 2) * width

    if parameters(heads) > budget:
        raise ValueError(f"{heads} heads need {parameters(heads)} parameters")
    low, high = 1, budget  # in multiples of heads: low is possible, high is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(heads * middle) <= budget else (low, middle)
    return heads * low, parameters(heads * low)


def patch_tokens(pictures, weight, bias, first, positions):
    size = weight.shape[-1]
    if pictures.shape[2] % size or pictures.shape[3] % size:
        raise ValueError(f"{size} does not divide {tuple(pictures.shape[2:])}")
    x = pictures.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (B, C, H/P, P, W/P, P)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, H/P, W/P, C, P, P)
    x = x.flatten(3).flatten(1, 2)  # (B, N, C P P)
    x = x @ weight.flatten(1).T + bias  # (B, N, D)
    return torch.cat([first.expand(len(x), 1, -1), x], dim=1) + positions


def from_conv1d(state, number):
    names = {
        "ln_1": "norm1.",
        "ln_2": "norm2.",
        "attn.c_attn": "self_attn.in_proj_",
        "attn.c_proj": "self_attn.out_proj.",
        "mlp.c_fc": "linear1.",
        "mlp.c_proj": "linear2.",
    }
    found = {}
    for theirs, ours in names.items():
        for kind in ("weight", "bias"):
            tensor = state[f"transformer.h.{number}.{theirs}.{kind}"]
            found[ours + kind] = tensor.clone() if tensor.dim() == 1 else tensor.T.clone()
    return found


def cache_step(query, key, value, keys, values, lengths):
    batch, most, width = keys.shape
    if bool((lengths >= most).any()):
        raise ValueError(f"a row has all of its {most} places filled")
    rows = torch.arange(batch)
    keys, values = keys.clone(), values.clone()
    keys[rows, lengths], values[rows, lengths] = key, value
    seen = torch.arange(most) <= lengths[:, None]  # (B, M)
    scores = (keys * query[:, None]).sum(-1) / math.sqrt(width)  # (B, M)
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    return (weights[:, :, None] * values).sum(1), keys, values, lengths + 1
