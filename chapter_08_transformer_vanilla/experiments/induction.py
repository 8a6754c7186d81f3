"""Texts that repeat passages of themselves, and networks that learn to notice it.

The first half of a text is random tokens. The second half is passages of the first, of about five
tokens, each from a random place. Inside a passage the next token is known to whoever finds the
place that is copied: the place behind an earlier occurrence of the present token. Nothing else
helps. Tokens are random, so no table of them is right; passages begin anywhere, so no distance is.

(A text that just goes round and round would not do: there "the token that I have not read for
longest" comes next, and is found without any match.)

The networks are GPT2s without their feed-forwards, as in Elhage et al. 2021: what is learnt, heads
have learnt. Their places start as sinusoids, so that "one back" is one matrix (page 2). A training
is measured as it goes; at its end every head is taken out by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # chapter 2's loss, in its fast form

from chapter_08_transformer_vanilla.experiments.ablations import without_feed_forward
from chapter_08_transformer_vanilla.gpt2 import GPT2
from chapter_08_transformer_vanilla.induction import (
    behind_a_match,
    copying,
    ov_circuit,
    prefix_matching,
    previous_token,
    without_head,
)
from chapter_08_transformer_vanilla.positions import sinusoids
from utils.results import mean_std, table
from utils.seed import generator

VOCABULARY, LENGTH = 32, 40
GO_ON = 0.85  # the probability that a passage goes on
WIDTH, HEADS = 64, 2
DEVIATION = 0.1  # of the starting weights: GPT-2's 0.02 belongs to a width of 768
SLOWEST = 20.0  # of the places, 1 / speed: with 10,000 few pairs tell neighbours apart
TEXTS, RATE, WARMUP = 32, 3e-3, 50  # of a step
MEASURED = 128  # texts, always the same


def texts(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(ids (B, T + 1), known (B, T)): whether token t + 1 goes on with the passage of token t."""
    half, steps = LENGTH // 2, LENGTH + 1
    ids = torch.randint(VOCABULARY, (count, steps), generator=rng)
    chance = torch.rand(count, steps, generator=rng)
    anywhere = torch.randint(half, (count, steps), generator=rng)
    known = torch.zeros(count, LENGTH, dtype=torch.bool)
    source = torch.full((count,), half)  # (B,), the place that is copied; none is there yet
    for t in range(half, steps):
        goes_on = (chance[:, t] < GO_ON) & (source + 1 < half)
        source = torch.where(goes_on, source + 1, anywhere[:, t])
        ids[:, t] = ids.gather(1, source[:, None]).squeeze(1)
        known[:, t - 1] = goes_on
    return ids, known


def build(layers: int) -> GPT2:
    """Attention alone, with a norm and a residual connection around each."""
    model = GPT2(VOCABULARY, WIDTH, HEADS, layers, LENGTH)
    model.apply(partial(GPT2.start, deviation=DEVIATION, layers=layers))
    with torch.no_grad():
        waves = sinusoids(torch.arange(LENGTH), WIDTH, base=SLOWEST)  # (T, D)
        model.places.weight.copy_(2 * DEVIATION * waves)
    for layer in model.layers:
        layer.through = partial(without_feed_forward, layer)
        for unused in (layer.linear1, layer.linear2, layer.norm2):
            unused.requires_grad_(False)
    return model


def losses(model: GPT2, ids: Tensor, kept: list[Tensor] | None = None) -> Tensor:
    """Nats at every place: (B, T + 1) -> (B, T)."""
    logits = model(ids[:, :-1], kept)  # (B, T, V)
    return F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")


@torch.no_grad()
def measure(model: GPT2, ids: Tensor, known: Tensor) -> dict[str, Any]:
    """Loss where the next token is known and elsewhere; both scores, a list of heads a layer."""
    kept: list[Tensor] = []
    nats = losses(model, ids, kept)
    return {
        "known": float(nats[known].mean()),
        "other": float(nats[~known].mean()),
        "matching": [prefix_matching(weights, ids[:, :-1]).tolist() for weights in kept],
        "previous": [previous_token(weights).tolist() for weights in kept],
    }


def train_one(
    layers: int, seed: int, steps: int, every: int, shown: Callable = iter
) -> dict[str, Any]:
    """One network, its curves and what its heads do at the end, as plain values."""
    torch.manual_seed(seed)
    model = build(layers)
    rng, held_out = generator(seed), texts(MEASURED, generator(seed + 1_000_000))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    curve = []
    for step in shown(range(steps + 1)):
        if step % every == 0 or step == steps:
            curve.append({"step": step} | measure(model, *held_out))
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARMUP)
        ids, _ = texts(TEXTS, rng)
        optimizer.zero_grad()
        losses(model, ids).mean().backward()
        optimizer.step()
    return {"curve": curve, "heads": heads_of(model, *held_out), "maps": maps(model, *held_out)}


def heads_of(model: GPT2, ids: Tensor, known: Tensor) -> list[dict[str, Any]]:
    """Every head, the first layer's first: its scores, and the loss without it."""
    found = measure(model, ids, known)
    return [
        {
            "layer": layer + 1,
            "head": head + 1,
            "previous": found["previous"][layer][head],
            "matching": found["matching"][layer][head],
            "copying": copying(ov_circuit(model, layer, head)),
            "without": measure(without_head(model, layer, head), ids, known)["known"],
        }
        for layer in range(len(model.layers))
        for head in range(HEADS)
    ]


@torch.no_grad()
def maps(model: GPT2, ids: Tensor, known: Tensor) -> dict[str, Any]:
    """The first text: the weights [layer][head][t][s] in two digits, and where a match is."""
    kept: list[Tensor] = []
    model(ids[:1, :-1], kept)
    weights = [
        [[[round(w, 2) for w in row] for row in head] for head in layer[0].tolist()]
        for layer in kept
    ]
    behind = behind_a_match(ids[:1, :-1])[0] & known[0, :, None]
    return {"weights": weights, "behind": behind.int().tolist()}


# --- Means over seeds, and tables ---

HEAD_KEYS = ("previous", "matching", "copying", "without")
ROLES = {
    "previous": {"en": "previous-token head, layer 1", "zh": "前一词元头，第 1 层"},
    "layer_1": {"en": "the others of layer 1, each alone", "zh": "第 1 层的其余各头（逐个）"},
    "induction": {"en": "induction head, layer 2", "zh": "归纳头，第 2 层"},
    "layer_2": {"en": "the others of layer 2, each alone", "zh": "第 2 层的其余各头（逐个）"},
}


def best(point: dict[str, Any], layer: int, score: str) -> float:
    """The highest score of a layer's heads; layer 1 is the first."""
    return max(point[score][layer - 1])


def found_heads(row: dict[str, Any]) -> list[tuple[int, int]]:
    """(layer, head) of the previous-token head and of the induction head: the highest scores."""
    roles = by_role(row)
    return [(roles[key]["layer"], roles[key]["head"]) for key in ("previous", "induction")]


def by_role(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The heads of a network with two layers, under the names of ROLES; of the others the means."""
    roles = {}
    for layer, score, name in ((1, "previous", "previous"), (2, "matching", "induction")):
        heads = sorted((h for h in row["heads"] if h["layer"] == layer), key=lambda h: -h[score])
        others = {key: fmean(h[key] for h in heads[1:]) for key in HEAD_KEYS}
        roles[name], roles[f"layer_{layer}"] = heads[0], others
    return roles


def first_step(row: dict[str, Any], reached: Callable[[dict], bool]) -> float:
    """The first measured step at which this holds; nan: never."""
    return next((point["step"] for point in row["curve"] if reached(point)), math.nan)


def collect(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and deviations over the seeds, by number of layers; of two layers more."""
    found: dict[str, Any] = {"layers": {}, "tokens": LENGTH}
    for layers in sorted({row["layers"] for row in rows}):
        mine = [row for row in rows if row["layers"] == layers]
        last = [row["curve"][-1] for row in mine]
        found["layers"][str(layers)] = {
            "known": mean_std(point["known"] for point in last),
            "other": mean_std(point["other"] for point in last),
            "previous": mean_std(best(point, 1, "previous") for point in last),
            "matching": mean_std(best(point, layers, "matching") for point in last),
        }
    deep = [row for row in rows if row["layers"] == 2]
    if deep:
        found["steps"] = {
            "loss": mean_std(first_step(row, lambda p: p["known"] < 1) for row in deep),
            "matching": mean_std(
                first_step(row, lambda p: best(p, 2, "matching") > 0.5) for row in deep
            ),
        }
        found["heads"] = {
            role: {key: mean_std(by_role(row)[role][key] for row in deep) for key in HEAD_KEYS}
            for role in ROLES
        }
    return found


def tables(metrics: dict[str, Any], seeds: int) -> dict[str, Any]:
    """main: a row a network; heads: a row a head of two layers, with the loss without it."""

    def cells(row: dict[str, Any], *keys: str) -> list[Any]:
        return [row[key] if seeds > 1 else row[key][0] for key in keys]

    columns = [
        ("Layers", "层数", "s"),
        ("Loss where the next token is known (nats)", "下一词元已知处的损失（奈特）", ".2f"),
        ("Elsewhere", "其他位置", ".2f"),
        ("Highest previous-token score, layer 1", "第 1 层最高的前一词元分数", ".2f"),
        ("Highest prefix matching, last layer", "最后一层最高的前缀匹配分数", ".2f"),
    ]
    keys = ("known", "other", "previous", "matching")
    rows = [[layers, *cells(row, *keys)] for layers, row in metrics["layers"].items()]
    found = {"main": table(columns, rows)}
    if "heads" in metrics:
        columns = [
            ("Head", "头", "s"),
            ("Previous token", "前一词元", ".2f"),
            ("Prefix matching", "前缀匹配", ".2f"),
            ("Copying", "复制", ".2f"),
            ("Loss without it (nats)", "去掉它之后的损失（奈特）", ".2f"),
        ]
        rows = [[ROLES[role], *cells(row, *HEAD_KEYS)] for role, row in metrics["heads"].items()]
        found["heads"] = table(columns, rows)
    return found
