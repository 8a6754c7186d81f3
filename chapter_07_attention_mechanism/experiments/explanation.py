"""Is attention an explanation? What exp_explanation.py measures.

Three questions about a translator that has learned its task, at every word that it writes:

1. Do the *weights* matter? Other weights at this step, everything else as it was: permuted,
   uniform, the largest one taken away, or chosen by an adversary to look elsewhere and change
   little (Jain and Wallace 2019).
2. Does the *word* matter that is looked at most? It is deleted from the source, the line is read
   anew. The controls: another word at random, the word at the same relative place of the line, the
   word with the largest gradient, and, trying all, the word that matters most.
3. What is in a *state*? The encoder reads in both directions, so the state at a word contains its
   neighbours: how much of a state changes when a word some places away is exchanged.

The change of an output is the total variation distance of the two distributions over the next
word, half the sum of |p - q|: 0 the same, 1 nothing in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from chapter_06_rnn_lstm_seq.experiments.batching import padded
from chapter_07_attention_mechanism.experiments.number_lines import Lines
from utils.modes import evaluating
from utils.seed import generator

NEAR = 6  # words: how far a change of the states is followed
PERMUTATIONS = 10
CLOSE = 0.05  # an adversary may change the output by this
ADVERSARY_STEPS, ADVERSARY_RATE = 80, 0.3


@dataclass(frozen=True)
class Steps:
    """All steps of the decoder over some lines, fed with the truth, ready to be done again.

    inputs (B, T, E) embedded last words, before (B, T, H) states before the step, states (B, S, C)
    of the encoder, weights (B, T, S), p (B, T, V), target (B, T) what is to be written, and the
    masks of the real tokens: words (B, T), read (B, S).
    """

    inputs: Tensor
    before: Tensor
    states: Tensor
    weights: Tensor
    p: Tensor
    target: Tensor
    words: Tensor
    read: Tensor


def walk(model: nn.Module, source: Tensor, target: Tensor) -> Steps:
    """The steps of lines: source (B, S), target (B, T + 1) from <bos> on."""
    encoded = model.encode(source)
    state = model.decoder.first_state(encoded)  # (1, B, H)
    before, p = [], []
    for token in target[:, :-1].unbind(1):
        before.append(state[0])
        logits, state = model.decoder.step(token, state, encoded)
        p.append(logits.softmax(-1))
    return Steps(
        inputs=model.decoder.embedding(target[:, :-1]),
        before=torch.stack(before, 1),
        states=encoded.states,
        weights=model.attend(source, target[:, :-1]),
        p=torch.stack(p, 1),
        target=target[:, 1:],
        words=target[:, 1:] != model.pad,
        read=encoded.mask,
    )


def again(model: nn.Module, steps: Steps, weights: Tensor) -> Tensor:
    """Every step once more, with these weights (B, T, S) at this step alone: p (B, T, V)."""
    context = weights @ steps.states  # (B, T, C)
    inputs = torch.cat([steps.inputs, context], dim=-1).flatten(0, 1)  # (B T, E + C)
    states, _ = model.decoder.rnn(inputs.unsqueeze(1), steps.before.flatten(0, 1).unsqueeze(0))
    p = model.decoder.scores(states.squeeze(1)).softmax(-1)  # (B T, V)
    return p.unflatten(0, weights.shape[:2])  # (B, T, V)


# --- distances ---


def variation(p: Tensor, q: Tensor) -> Tensor:
    """Total variation distance over the last axis: from 0 to 1."""
    return 0.5 * (p - q).abs().sum(-1)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence over the last axis in bits: from 0 to 1."""
    middle = 0.5 * (p + q)

    def bits(a: Tensor) -> Tensor:
        return (a * ((a + 1e-12) / (middle + 1e-12)).log2()).sum(-1)

    return 0.5 * (bits(p) + bits(q))


# --- 1. other weights ---


def permuted(weights: Tensor, read: Tensor, random: torch.Generator) -> Tensor:
    """The weights of each step in another order among the real words: (B, T, S)."""
    noise = torch.rand(weights.shape, generator=random).masked_fill(~read[:, None], 2.0)
    order = noise.argsort(-1)  # real words first, in random order
    back = read.long().argsort(dim=-1, descending=True, stable=True)  # places of the real words
    places = back[:, None].expand_as(order)
    return torch.zeros_like(weights).scatter(-1, places, weights.gather(-1, order))


def uniform(weights: Tensor, read: Tensor) -> Tensor:
    share = read / read.sum(-1, keepdim=True)  # (B, S)
    return share[:, None].expand_as(weights)


def without_largest(weights: Tensor, read: Tensor) -> Tensor:
    """The largest weight is 0, the others grow to a sum of 1 (all alike where nothing is left)."""
    rest = weights.scatter(-1, weights.argmax(-1, keepdim=True), 0.0)
    left = rest.sum(-1, keepdim=True)
    return torch.where(left > 1e-6, rest / left.clamp(min=1e-6), uniform(weights, read))


def adversarial(
    model: nn.Module, steps: Steps, random: torch.Generator, close: float = CLOSE
) -> tuple[Tensor, Tensor]:
    """The most different weights that change each output by at most `close`, as far as some steps
    of Adam from a random start find them: their divergence in bits (B, T), 0 where none were
    found, and how many words away from the old place they look most (B, T), 0: at the same.
    """
    looked = steps.weights.argmax(-1)  # (B, T)
    scores = torch.randn(steps.weights.shape, generator=random)
    scores.scatter_(-1, looked.unsqueeze(-1), -2.0).requires_grad_()  # begins elsewhere
    optimizer = torch.optim.Adam([scores], lr=ADVERSARY_RATE)
    best = torch.zeros(steps.weights.shape[:2])
    away = torch.zeros_like(looked)
    for _ in range(ADVERSARY_STEPS):
        weights = scores.masked_fill(~steps.read[:, None], -torch.inf).softmax(-1)
        change = variation(again(model, steps, weights), steps.p)  # (B, T)
        different = divergence(weights, steps.weights)
        with torch.no_grad():
            better = (change <= close) & (different > best)
            best = torch.where(better, different, best)
            away = torch.where(better, (weights.argmax(-1) - looked).abs(), away)
        loss = (20 * (change - 0.8 * close).clamp(min=0) - different) * steps.words
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    return best, away


# --- 2. words taken from the source ---


@torch.no_grad()
def erased(model: nn.Module, source: Tensor, target: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """How the output of each step changes without each word: (T, S), and whether another word
    would be written. source (S,), target (T + 1,), p (T, V) of one line.
    """
    size = len(source)
    if size == 1:
        raise ValueError("a line of one word has nothing left without it")
    kept = ~torch.eye(size, dtype=torch.bool)
    shorter = source.expand(size, size)[kept].view(size, size - 1)  # row s: without word s
    q = model(shorter, target[:-1].expand(size, -1)).softmax(-1)  # (S, T, V)
    return variation(q, p).T, (q.argmax(-1) != p.argmax(-1)).T


def gradients(model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """Norm of the gradient of each step's log-probability with respect to each word: (B, T, S)."""
    kept: list[Tensor] = []

    def catch(_: nn.Module, __: Any, output: Tensor) -> Tensor | None:
        if kept:  # the decoder's, where both languages share the table
            return None
        kept.append(output.detach().requires_grad_())
        return kept[0]

    hook = model.encoder.embedding.register_forward_hook(catch)
    try:
        said = model(source, target[:, :-1]).log_softmax(-1)  # (B, T, V)
    finally:
        hook.remove()
    said = said.gather(-1, target[:, 1:].unsqueeze(-1)).squeeze(-1)  # (B, T)
    rows = [
        torch.autograd.grad(column.sum(), kept[0], retain_graph=True)[0].norm(dim=-1)
        for column in said.unbind(1)
    ]
    return torch.stack(rows, 1)


# --- 3. what a state contains ---


@torch.no_grad()
def neighbours(model: nn.Module, source: Tensor, random: torch.Generator) -> list[Tensor]:
    """Each word of a line (S,) exchanged for another: the change of the states at a distance of
    0 ... NEAR words, relative to their size; one tensor of values a distance.
    """
    size = len(source)
    others = source[torch.randint(size, (size,), generator=random)]  # words that do occur
    rows = source.repeat(size, 1)
    rows.diagonal().copy_(others)
    states = model.encoder(source.unsqueeze(0)).states  # (1, S, C)
    change = (model.encoder(rows).states - states).norm(dim=-1) / states.norm(dim=-1)  # (S, S)
    distance = (torch.arange(size)[:, None] - torch.arange(size)).abs()
    exchanged = (others != source)[:, None]
    return [change[(distance == d) & exchanged] for d in range(NEAR + 1)]


# --- one network ---

WEIGHTS = ("permuted", "uniform", "no_largest")
ERASED = ("looked", "gradient", "best", "diagonal", "random")


def measure(
    model: nn.Module,
    lines: Lines,
    seed: int,
    progress: Callable[[Iterable], Iterable] = lambda batches: batches,
    batch: int = 25,
) -> dict[str, float]:
    """Means over all written words of the lines (those of one word are left out)."""
    random, found = generator(seed), []
    near: list[list[Tensor]] = []
    order = [row for row, ids in enumerate(lines.sources) if len(ids) > 1]
    order.sort(key=lambda row: len(lines.sources[row]))
    with evaluating(model):
        for start in progress(range(0, len(order), batch)):
            rows = order[start : start + batch]
            sides = (lines.sources, lines.targets)
            source, target = (padded([ids[row] for row in rows])[0] for ids in sides)
            found.append(_measure_batch(model, source, target, random))
            near += [neighbours(model, line[line != model.pad], random) for line in source]
    columns = {name: torch.cat([row[name] for row in found]) for name in found[0]}
    means = {name: float(values.float().mean()) for name, values in columns.items()}
    at = [float(torch.cat(values).mean()) for values in zip(*near, strict=True)]
    return means | {f"state_change_{d}": value for d, value in enumerate(at)}


def _measure_batch(
    model: nn.Module, source: Tensor, target: Tensor, random: torch.Generator
) -> dict[str, Tensor]:
    """The measures of every written word of a batch, (words,) each."""
    with torch.no_grad():
        steps = walk(model, source, target)
        found = _other_weights(model, steps, random)
    best, away = adversarial(model, steps, random)
    found |= {"adversary_bits": best, "adversary_elsewhere_percent": 100.0 * (away > 0)}
    found |= {"adversary_near_percent": 100.0 * ((away > 0) & (away <= 2))}
    found |= _without_words(model, source, target, steps, random)
    found["right_percent"] = 100.0 * (steps.p.argmax(-1) == steps.target)
    return {name: values[steps.words] for name, values in found.items()}


def _other_weights(model: nn.Module, steps: Steps, random: torch.Generator) -> dict[str, Tensor]:
    """Change of the output (B, T) and whether another word is written, in per cent."""
    trials = {
        "permuted": [permuted(steps.weights, steps.read, random) for _ in range(PERMUTATIONS)],
        "uniform": [uniform(steps.weights, steps.read)],
        "no_largest": [without_largest(steps.weights, steps.read)],
    }
    found = {"largest": steps.weights.amax(-1)}
    said = steps.p.argmax(-1)
    for name, many in trials.items():
        p = [again(model, steps, weights) for weights in many]
        found[name] = torch.stack([variation(q, steps.p) for q in p]).mean(0)
        other = torch.stack([q.argmax(-1) != said for q in p])
        found[f"{name}_other_percent"] = 100 * other.float().mean(0)
    return found


def _without_words(
    model: nn.Module, source: Tensor, target: Tensor, steps: Steps, random: torch.Generator
) -> dict[str, Tensor]:
    """What deleting words does (B, T), and how the three orders of the words agree."""
    shape = steps.words.shape
    found = {name: torch.zeros(shape) for name in ERASED}
    found |= {f"{name}_other_percent": torch.zeros(shape) for name in ERASED}
    found |= {name: torch.zeros(shape) for name in AGREEMENT}
    gradient = gradients(model, source, target)
    for row, (line, wanted) in enumerate(zip(source, target, strict=True)):
        line, wanted = line[line != model.pad], wanted[wanted != model.pad]
        size, length = len(line), len(wanted) - 1
        change, other = erased(model, line, wanted, steps.p[row, :length])  # (T, S)
        maps = steps.weights[row, :length, :size], gradient[row, :length, :size]
        chosen = choices(*maps, change, random)
        for name, place in chosen.items():
            place = place.unsqueeze(1)  # (T, 1)
            found[name][row, :length] = change.gather(1, place).squeeze(1)
            found[f"{name}_other_percent"][row, :length] = 100.0 * other.gather(1, place).squeeze(1)
        for name, values in agreement(*maps, change, chosen).items():
            found[name][row, :length] = values
    return found


def choices(
    weights: Tensor, gradient: Tensor, change: Tensor, random: torch.Generator
) -> dict[str, Tensor]:
    """The place of the word to delete at each step, (T,), for each way to choose it."""
    length, size = weights.shape
    looked = weights.argmax(-1)
    steps = torch.arange(length)
    return {
        "looked": looked,
        "gradient": gradient.argmax(-1),
        "best": change.argmax(-1),
        "diagonal": ((steps + 0.5) * size / length).long().clamp(max=size - 1),
        # any but the one looked at
        "random": (looked + torch.randint(1, size, (length,), generator=random)) % size,
    }


AGREEMENT = (
    "looked_is_best_percent", "looked_near_best_percent", "gradient_is_best_percent",
    "tau_change", "tau_gradient", "tau_control",
)  # fmt: skip


def agreement(
    weights: Tensor, gradient: Tensor, change: Tensor, chosen: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Whether the word looked at most is the one that matters most, or its neighbour; Kendall's
    tau of the weights with the changes, with the gradients, and with the changes of another step.
    """
    away = (chosen["looked"] - chosen["best"]).abs()
    return {
        "looked_is_best_percent": 100.0 * (away == 0),
        "looked_near_best_percent": 100.0 * (away == 1),
        "gradient_is_best_percent": 100.0 * (chosen["gradient"] == chosen["best"]),
        "tau_change": kendall(weights, change),
        "tau_gradient": kendall(weights, gradient),
        "tau_control": kendall(weights, change.roll(len(change) // 2, 0)),
    }


def kendall(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's rank correlation of each row of (T, S) with that of the other, (T,).

    (pairs in the same order - pairs in the other order) / pairs; ties do not occur in practice.
    """
    size = a.shape[1]
    order_a, order_b = ((x[:, :, None] - x[:, None]).sign() for x in (a, b))  # (T, S, S)
    return (order_a * order_b).sum((1, 2)) / (size * (size - 1))
