"""What is changed in a translator to ask whether its attention explains it.

1. Other *weights* at one step, everything else as it was: permuted, uniform, without the largest,
   or chosen by an adversary to look elsewhere and change little (Jain and Wallace 2019).
2. A *word* deleted from the source: the line is read anew. Beside it the gradient of the output
   with respect to each word.
3. What is in a *state*: the encoder reads in both directions, so the state at a word contains its
   neighbours. How much of a state changes when a word some places away is exchanged?

The change of an output is the total variation distance of the two distributions over the next
word, half the sum of |p - q|: 0 the same, 1 nothing in common. explanation.py takes the means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

NEAR = 6  # words: how far a change of the states is followed
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
