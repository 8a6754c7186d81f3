"""Is attention an explanation? What exp_explanation.py measures, at every word that is written.

The changes are those of interventions.py. Which word to delete is chosen in five ways: the one
looked at most, the one of the largest gradient, the one at the same relative place of the line,
another one at random and, trying all, the one that matters most: by definition no other deletion
changes the output more. Two orders of the words of a line are compared by Kendall's tau.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from chapter_06_rnn_lstm_seq.experiments.batching import padded
from chapter_07_attention_mechanism.experiments.interventions import (
    Steps,
    adversarial,
    again,
    erased,
    gradients,
    neighbours,
    permuted,
    uniform,
    variation,
    walk,
    without_largest,
)
from chapter_07_attention_mechanism.experiments.number_lines import Lines
from utils.modes import evaluating
from utils.seed import generator

PERMUTATIONS = 10
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
