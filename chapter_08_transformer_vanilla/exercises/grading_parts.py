"""Patches, imported weights and a cache, as the grader of chapter 8 has them, with the mistakes."""

import math

import torch
from torch.nn import functional as F

# --- patch_tokens ---


def patched(pictures, weight, bias, first, positions, mistake=""):
    """By a convolution; or with one thing wrong."""
    if mistake == "columns":
        grid = F.conv2d(pictures, weight, bias, stride=weight.shape[-1])
        tokens = grid.mT.flatten(2).mT
    elif mistake == "turned patches":
        tokens = F.conv2d(pictures, weight.mT, bias, stride=weight.shape[-1]).flatten(2).mT
    elif mistake in ("reshape", "channels last"):
        size, (batch, width) = weight.shape[-1], (len(pictures), len(bias))
        if mistake == "reshape":
            parts = pictures.reshape(batch, -1, weight[0].numel())
        else:
            parts = pictures.unflatten(3, (-1, size)).unflatten(2, (-1, size))
            parts = parts.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        tokens = parts @ weight.reshape(width, -1).mT + bias
    else:
        tokens = F.conv2d(pictures, weight, bias, stride=weight.shape[-1]).flatten(2).mT
    if mistake == "no bias":
        tokens = tokens - bias
    front = first.expand(len(tokens), 1, -1)
    if mistake == "no class":
        return tokens + positions[1:]
    if mistake == "class last":
        return torch.cat([tokens, front], dim=1) + positions
    if mistake == "moved":
        return torch.cat([front, tokens], dim=1) + positions.roll(-1, 0)
    result = torch.cat([front, tokens], dim=1)
    if mistake == "no positions":
        return result
    result = result + positions
    if mistake == "bare class":
        result = torch.cat([front, result[:, 1:]], dim=1)
    return result


PATCH_MISTAKES = {
    "reshape": "a reshape alone mixes rows of the picture: split H and W, then move the axes",
    "columns": "the patches go row by row of the grid, from left to right",
    "turned patches": "rows and columns inside a patch are exchanged",
    "channels last": "inside a patch the channel comes first, as in weight.flatten(1)",
    "no bias": "the bias is missing",
    "no class": "the class token in front is missing",
    "class last": "the class token stands in front",
    "no positions": "the positions are not added",
    "bare class": "the class token gets a position, too: positions[0]",
    "moved": "positions[0] is that of the class token; patch n has positions[1 + n]",
}


# --- from_conv1d ---

MAPS = {"attn.c_attn": "self_attn.in_proj_", "attn.c_proj": "self_attn.out_proj.",
        "mlp.c_fc": "linear1.", "mlp.c_proj": "linear2."}  # fmt: skip
NORMS = {"ln_1": "norm1.", "ln_2": "norm2."}


def state_of(width, ffn, layers, normal):
    """A state dict as Hugging Face writes it, with the mask that is no weight."""
    state = {"transformer.wte.weight": normal(5, width), "lm_head.weight": normal(5, width)}
    sizes = {"ln_1": (width,), "ln_2": (width,), "attn.c_attn": (width, 3 * width),
             "attn.c_proj": (width, width), "mlp.c_fc": (width, ffn),
             "mlp.c_proj": (ffn, width)}  # fmt: skip
    for n in range(layers):
        for i, (name, shape) in enumerate(sizes.items()):
            head = f"transformer.h.{n}.{name}"
            state[f"{head}.weight"] = normal(*shape, seed=20 * n + i)
            state[f"{head}.bias"] = normal(shape[-1], seed=20 * n + i + 10)
        state[f"transformer.h.{n}.attn.bias"] = torch.ones(1, 1, 4, 4).tril().bool()
        state[f"transformer.h.{n}.attn.masked_bias"] = torch.tensor(-1e4)
    return state


def imported(state, number):
    """The twelve tensors, each matrix turned number by number by torch.einsum."""
    found = {}
    for theirs, ours in (NORMS | MAPS).items():
        weight = state[f"transformer.h.{number}.{theirs}.weight"]
        found[f"{ours}weight"] = torch.einsum("ab->ba", weight) if weight.dim() == 2 else weight
        found[f"{ours}bias"] = state[f"transformer.h.{number}.{theirs}.bias"]
    return found


def wrong_imports(state, number, name):
    """Pairs (words, tensor) of what else may stand under `name`."""
    right = imported(state, number)[name]
    theirs = {ours: key for key, ours in (NORMS | MAPS).items()}
    ours = next(key for key in theirs if name.startswith(key))
    kind = name.removeprefix(ours)
    raw = state[f"transformer.h.{number}.{theirs[ours]}.{kind}"]
    if raw.dim() == 2:
        yield "Conv1D is x @ weight, nn.Linear x @ weight.T: this matrix is not turned", raw
        yield "a reshape is no transpose: the numbers are mixed", raw.reshape(right.shape)
    if name.startswith("self_attn.in_proj"):
        for words, order in (("keys, queries, values", (1, 0, 2)),
                             ("values, keys, queries", (2, 1, 0)),
                             ("queries, values, keys", (0, 2, 1))):  # fmt: skip
            parts = right.chunk(3)
            yield (
                f"the order is queries, keys, values; here it is {words}",
                torch.cat([parts[i] for i in order]),
            )
        if raw.dim() == 2:
            parts = torch.cat(raw.chunk(3, dim=1))  # one below the other, each as it was
            yield "each of the three parts has to be turned, too", parts
    for other in range(12):
        if other != number and f"transformer.h.{other}.ln_1.weight" in state:
            yield f"this is block {other}'s, not block {number}'s", imported(state, other)[name]
    twins = {"norm1.": "norm2.", "norm2.": "norm1.", "linear1.": "linear2.", "linear2.": "linear1.",
             "self_attn.out_proj.": "linear2."}  # fmt: skip
    if ours in twins:
        twin = imported(state, number)[twins[ours] + kind]
        yield f"this is what belongs to {twins[ours]}{kind}", twin


# --- cache_step ---


def cached(query, key, value, keys, values, lengths, mistake=""):
    """Row by row; or with one thing wrong."""
    keys, values, answers = keys.clone(), values.clone(), []
    for b, length in enumerate(lengths.tolist()):
        place = {"longest": int(lengths.max()), "shortest": int(lengths.min())}.get(mistake, length)
        place = min(place + 1, keys.shape[1] - 1) if mistake == "one on" else place
        place = max(place - 1, 0) if mistake == "one back" else place
        if mistake != "not kept":
            keys[b, place], values[b, place] = key[b], value[b]
        if mistake == "exchanged":
            keys[b, place], values[b, place] = value[b], key[b]
        stop = {"all": keys.shape[1], "not itself": max(length, 1)}.get(mistake, length + 1)
        stop = int(lengths.max()) + 1 if mistake == "longest mask" else stop
        scores = torch.stack([torch.dot(query[b], keys[b, s]) for s in range(stop)])
        if mistake != "unscaled":
            scores = scores / math.sqrt(keys.shape[2])
        if mistake == "places":
            scores = scores * math.sqrt(keys.shape[2]) / math.sqrt(keys.shape[1])
        weights = scores.softmax(0)
        if mistake == "zero":
            every = (keys[b] @ query[b] / math.sqrt(keys.shape[2])).clone()
            every[stop:] = 0
            answers.append(every.softmax(0) @ values[b])
            continue
        answers.append(weights @ values[b, :stop])
    after = lengths if mistake == "same lengths" else lengths + 1
    if mistake == "one length":
        after = torch.full_like(lengths, int(lengths.max()) + 1)
    return torch.stack(answers), keys, values, after


CACHE_MISTAKES = {
    "longest": "all rows write at the longest row's place: each has its own, lengths[b]",
    "shortest": "all rows write at the shortest row's place: each has its own, lengths[b]",
    "one on": "place lengths[b] is the first free one: counting begins at 0",
    "one back": "this overwrites the last filled place: lengths[b] is the first free one",
    "not kept": "the new key and value are not written",
    "exchanged": "key and value are exchanged",
    "all": "what stands behind the filled places is read: hide it",
    "longest mask": "shorter rows read behind their filled places: the mask is each row's own",
    "not itself": "the new token sees itself, too: s <= lengths[b]",
    "zero": "a score of 0 is no mask, it still gets e^0: take -inf",
    "unscaled": "the scores are divided by sqrt(D)",
    "places": "the root is that of D, not of M",
    "same lengths": "the lengths grow by one",
    "one length": "each row has a length of its own: lengths + 1",
}
