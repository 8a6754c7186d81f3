"""What the grader of chapter 7 compares a pointer, a gate and a gradient with: loops, as before."""

import math

import torch

# --- pointer_step ---


def pointed(state, memory, chosen, mistake=""):
    """(log_p, pick, seen, after) row by row; or with one thing wrong."""
    rows = []
    for h, things, gone in zip(state, memory, chosen, strict=True):
        scores = torch.stack([torch.dot(thing, h) for thing in things])
        scores = scores if mistake == "unscaled" else scores / math.sqrt(len(h))
        if mistake == "by N":
            scores = scores * math.sqrt(len(h)) / math.sqrt(len(things))
        left = {"no mask": torch.ones_like(gone), "turned mask": gone}.get(mistake, ~gone)
        log_p = torch.full_like(scores, -math.inf)
        total = torch.logsumexp(scores if mistake == "after" else scores[left], 0)
        log_p[left] = scores[left] - (0 if mistake == "scores" else total)
        pick = int(log_p.argmin() if mistake == "least" else log_p.argmax())
        if mistake == "among the left" and bool(left.any()):
            pick = int(log_p[left].argmax())
        after = gone.clone()
        after[pick] = True
        if mistake == "only pick":
            after = torch.zeros_like(gone)
            after[pick] = True
        if mistake == "not marked":
            after = gone.clone()
        seen = things[pick]
        if mistake == "mixed":
            seen = log_p.exp() @ things
        rows.append((log_p.exp() if mistake == "no log" else log_p, pick, seen, after))
    log_p, pick, seen, after = zip(*rows, strict=True)
    return torch.stack(log_p), torch.tensor(pick), torch.stack(seen), torch.stack(after)


POINTER_MISTAKES = {
    "no mask": "what was chosen can be chosen again: the mask is not used",
    "turned mask": "the mask is the other way round: chosen is True where the turn is over",
    "unscaled": "the scores are divided by sqrt(D)",
    "by N": "the root is that of D, not of N",
    "after": "the mask comes before the softmax: what is left has to share out all of 1",
    "scores": "these are scores: log_softmax turns them into log-probabilities",
    "no log": "these are probabilities: take log_softmax",
    "least": "this is the least likely place",
    "among the left": "pick is a place among all N, not among those that are left",
    "mixed": "a pointer takes one thing, memory[rows, pick]; it does not mix them",
    "only pick": "what was chosen before stays chosen",
    "not marked": "the new pick is not marked in it",
}


# --- squeeze_excite ---


def excited(x, query, w1, b1, w2, b2, mistake=""):
    """(y, weights) picture by picture and place by place; or with one thing wrong."""
    results, tables = [], []
    for picture in x:
        places = picture.flatten(1).mT  # (H W, C)
        scores = places @ query
        if mistake == "scaled":
            scores = scores / math.sqrt(len(query))
        weights = scores.softmax(0)
        if mistake in ("rows", "columns"):
            table = scores.reshape(x.shape[2:])
            weights = table.softmax({"rows": 1, "columns": 0}[mistake]).flatten()
        if mistake in ("sigmoid weights", "scores"):
            weights = scores if mistake == "scores" else torch.sigmoid(scores)
        if mistake == "mean":
            weights = torch.full_like(scores, 1 / len(scores))
        if mistake == "batch":
            alone = torch.stack([p.flatten(1).mT @ query for p in x]).softmax(0)
            weights = alone[len(results)]
        squeezed = sum(w * place for w, place in zip(weights, places, strict=True))
        if mistake == "plain squeeze":
            squeezed = places.mean(0)
        if mistake == "divided":
            squeezed = squeezed / len(places)
        hidden = w1 @ squeezed + b1
        hidden = hidden if mistake == "linear" else hidden.clamp(min=0)
        gate = w2 @ hidden + b2
        if mistake == "softmax":
            gate = gate.softmax(0)
        elif mistake == "no bias":
            gate = torch.sigmoid(w2 @ (w1 @ squeezed).clamp(min=0))
        elif mistake != "open":
            gate = 1 / (1 + (-gate).exp())
        gate = gate[:, None, None]
        scaled = {"only gate": gate.expand_as(picture), "added": picture + picture * gate}.get(
            mistake, picture * gate
        )
        if mistake == "spatial":
            scaled = picture * weights.reshape(1, *x.shape[2:])
        results.append(scaled)
        tables.append(weights.reshape(x.shape[2:]))
    return torch.stack(results), torch.stack(tables)


EXCITE_MISTAKES = {
    "scores": "these are scores: take the softmax",
    "mean": "every place has the same weight here: the query is not used",
    "plain squeeze": "the squeeze is still the mean over all places: weigh them",
    "divided": "the weights add up to 1 already: sum over the places, no mean",
    "rows": "the softmax runs over all H * W places as one axis, not along each row",
    "columns": "the softmax runs over all H * W places as one axis, not along each column",
    "batch": "the softmax runs over the places, not over the batch",
    "sigmoid weights": "the places share out 1: softmax, not a sigmoid for each",
    "scaled": "this score is not divided by a root",
    "linear": "the relu between w1 and w2 is missing",
    "no bias": "b1 and b2 are missing",
    "open": "the sigmoid is missing",
    "softmax": "the gates are independent of one another: sigmoid, not softmax",
    "only gate": "this is the gate alone; it has to scale x",
    "added": "x itself is not added here: y = x * g",
    "spatial": "the weights only make z; x is scaled by the gates, channel by channel",
}


# --- scores_gradient ---


def by_jacobian(weights, value, grad, mistake=""):
    """(d_scores, d_value) query by query, with the whole Jacobian; or with one thing wrong."""
    d_scores, d_value = torch.zeros_like(weights), torch.zeros_like(value)
    for b in range(len(weights)):
        for t in range(weights.shape[1]):
            a, g = weights[b, t], grad[b, t]
            d_value[b] += torch.outer(a, g)
            d_a = value[b] @ g
            jacobian = torch.diag(a) - torch.outer(a, a)
            if mistake == "diagonal":
                jacobian = torch.diag(a * (1 - a))
            if mistake == "no coupling":
                jacobian = torch.diag(a)
            if mistake == "plus":
                jacobian = torch.diag(a) + torch.outer(a, a)
            row = jacobian @ d_a
            if mistake == "no softmax":
                row = d_a
            if mistake == "unweighted":
                row = a * (d_a - d_a.sum())
            if mistake == "averaged":
                row = a * (d_a - d_a.mean())
            if mistake == "no weights":
                row = d_a - torch.dot(a, d_a)
            d_scores[b, t] = row
    if mistake == "over queries":
        d_a = torch.einsum("btv,bsv->bts", grad, value)
        d_scores = weights * (d_a - (weights * d_a).sum(1, keepdim=True))
    if mistake == "over all":
        d_a = torch.einsum("btv,bsv->bts", grad, value)
        d_scores = weights * (d_a - (weights * d_a).sum())
    return d_scores, d_value


JACOBIAN_MISTAKES = {
    "no softmax": "this is the gradient in the weights: it still has to go through the softmax",
    "diagonal": "this is the Jacobian's diagonal alone: each score changes all weights of its row",
    "no coupling": "the part - a_i a_j is missing: each score changes all weights of its row",
    "plus": "the sign of the part a_i a_j is minus",
    "unweighted": "what is subtracted is the sum of a_i d_a_i: the weights are missing in it",
    "averaged": "what is subtracted is the mean weighted by a_i, not the plain one",
    "no weights": "the factor a_j in front is missing",
    "over queries": "the sum runs along the keys, the last axis",
    "over all": "each query has its own sum, along the keys: dim=-1, keepdim=True",
}
