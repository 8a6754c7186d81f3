"""Sorting with a pointer network: the lists, one training, how it is judged (train_sort.py).

Lists of numbers from U(0, 1). The network is trained on lists of 5 to 10, drawn anew for every
step, and judged on lists of 5 to 20 that are the same for all networks. A list counts as sorted if
every place is right; the accuracy by place is kinder. Two answers that compare no two numbers stand
beside it: any order at random (chance 1/n! and 1/n), and the guess by value, which knows that the
t-th smallest of n such numbers lies at t/(n + 1) on average and points at the number nearest to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chapter_03_optimization_regularization.regularization import clip_grad_norm_
from chapter_03_optimization_regularization.schedulers import OneCycleLR
from chapter_07_attention_mechanism.pointer import PointerNetwork, pointer_loss, sorting_order
from utils.results import mean_std, table
from utils.seed import generator

TRAINED = (5, 10)  # fewest and most numbers of a training list
TASK = "sorting numbers from 0 to 1 with a pointer network"
# Name of a row -> (masked in training, masked in use, English, Chinese)
ROWS = {
    "masked": (True, True, "mask in training and in use", "训练和使用时都加掩码"),
    "mask_in_use": (False, True, "mask in use only", "仅使用时加掩码"),
    "free": (False, False, "no mask", "不加掩码"),
}


@dataclass(frozen=True)
class Setting:
    """What all trainings of a run share."""

    hidden: int = 64
    batch: int = 128
    steps: int = 1000
    lr: float = 0.01  # the highest rate of one cycle
    clip: float = 1.0
    lengths: tuple[int, ...] = (5, 8, 10, 12, 15, 20)
    lists: int = 1000  # of each length, for the judgement


def lists_of(count: int, size: int, seed: int) -> Tensor:
    """(count, size) numbers from U(0, 1)."""
    return torch.rand(count, size, generator=generator(seed))


def train(masked: bool, seed: int, setting: Setting) -> tuple[PointerNetwork, list[float]]:
    """One training: the network, and the loss by step (nats a step of the decoder)."""
    torch.manual_seed(seed)
    model, rng = PointerNetwork(setting.hidden, masked), generator(seed + 1_000_000)
    optimizer = torch.optim.Adam(model.parameters(), setting.lr)
    schedule = OneCycleLR(optimizer, max_lr=setting.lr, total_steps=setting.steps)
    losses = []
    for _ in range(setting.steps):
        size = int(torch.randint(TRAINED[0], TRAINED[1] + 1, (), generator=rng))
        loss = pointer_loss(model, torch.rand(setting.batch, size, generator=rng))
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), setting.clip)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return model, losses


def judge(places: Tensor, numbers: Tensor) -> dict[str, float]:
    """In per cent: lists sorted, places right, and lists in which a place was chosen twice."""
    right = places == sorting_order(numbers)  # (N, S)
    twice = places.sort(dim=1).values.diff(dim=1).eq(0).any(dim=1)  # (N,)
    return {
        "exact_percent": 100 * right.all(dim=1).float().mean().item(),
        "place_percent": 100 * right.float().mean().item(),
        "repeats_percent": 100 * twice.float().mean().item(),
    }


def measure(model: PointerNetwork, masked: bool, setting: Setting) -> dict[str, dict[str, float]]:
    """Length -> judgement; the lists do not depend on the network. Its own mask is put back."""
    before, model.masked = model.masked, masked
    found = {}
    for size in setting.lengths:
        numbers = lists_of(setting.lists, size, size)
        found[str(size)] = judge(model.point(numbers)[0], numbers)
    model.masked = before
    return found


def guess_by_value(numbers: Tensor) -> Tensor:
    """For each t the place of the number nearest to t / (n + 1): (B, S) -> (B, S)."""
    size = numbers.shape[1]
    expected = torch.arange(1, size + 1) / (size + 1)  # (T,)
    return (numbers[:, None, :] - expected[:, None]).abs().argmin(dim=2)  # (B, T, S) -> (B, T)


def baselines(setting: Setting) -> dict[str, dict[str, dict[str, float]]]:
    """What is right without comparing two numbers, by length."""
    chance, guess = {}, {}
    for size in setting.lengths:
        numbers = lists_of(setting.lists, size, size)
        shares = {"exact_percent": 100 / math.factorial(size), "place_percent": 100 / size}
        chance[str(size)] = shares
        guess[str(size)] = judge(guess_by_value(numbers), numbers)
    return {"chance": chance, "guess": guess}


def judged(
    model: PointerNetwork, losses: list[float], masked: bool, setting: Setting
) -> dict[str, Any]:
    """A training as a line of the log: its losses, thinned, and its judgement in every use."""
    row: dict[str, Any] = {"losses": [round(x, 4) for x in losses[:: max(1, len(losses) // 50)]]}
    for name, (trained, used, _, _) in ROWS.items():
        if trained == masked:
            row[name] = measure(model, used, setting)
    return row


def collect(results: Iterable[dict[str, Any]], setting: Setting) -> dict[str, Any]:
    """Means over the seeds: rows -> length -> name -> (mean, deviation)."""
    results = list(results)
    rows: dict[str, Any] = {}
    for name in ROWS:
        runs = [row[name] for row in results if name in row]
        rows[name] = {
            size: {key: mean_std(run[size][key] for run in runs) for key in runs[0][size]}
            for size in runs[0]
        }
    seconds = [row["cpu_seconds"] for row in results]
    facts = {"trained": list(TRAINED), "seconds_a_training": mean_std(seconds)}
    return {"rows": rows, "baselines": baselines(setting), **facts}


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """Lists sorted and places right, by length; lengths above the trained ones are marked."""
    rows, guesses = metrics["rows"], metrics["baselines"]
    sizes = list(rows["masked"])
    marked = [f"{n} *" if int(n) > metrics["trained"][1] else n for n in sizes]
    columns = [("Pointer network", "指针网络", "")]
    columns += [(f"n = {n}", f"n = {n}", ".1f") for n in marked]
    found = {}
    for table_name, key in (("main", "exact_percent"), ("places", "place_percent")):
        lines = [
            [{"en": en, "zh": zh}, *(rows[name][n][key] for n in sizes)]
            for name, (_, _, en, zh) in ROWS.items()
        ]
        for kind, en, zh in (
            ("guess", "guess by value", "按数值猜"),
            ("chance", "chance", "随机"),
        ):
            lines.append([{"en": en, "zh": zh}, *(guesses[kind][n][key] for n in sizes)])
        found[table_name] = table(columns, lines)
    return found
