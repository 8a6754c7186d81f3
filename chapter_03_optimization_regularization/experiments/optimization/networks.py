"""The optimisers on a real task: a search for each one's learning rate, then the comparison.

    search      a factor of about 3 apart, from a usual value to both sides; a best value at the
                edge moves the edge. The median of the validation losses of the last half of
                the epochs decides: one bad epoch should not.
    comparison  at its best rate, several seeds (weights and order of the data)
    time        all optimisers take turns in one process, so that a slow minute slows all of them

Digits, batches of 64, a constant learning rate, no regularisation but AdamW's decay.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_03_optimization_regularization.experiments.optimization.choices import (
    NAMES,
    MuonWithAdamW,
    for_network,
    state_bytes,
)
from chapter_03_optimization_regularization.experiments.tasks import (
    Task,
    accuracy,
    load_task,
    small_cnn,
    small_mlp,
)
from chapter_03_optimization_regularization.regularization import update_bn
from chapter_03_optimization_regularization.training import (
    Batches,
    History,
    TrainingError,
    classification_loss,
    evaluate,
    fit,
)
from utils.cli import progress

BATCH = 64
GRID = tuple(float(f"{digit}e{power}") for power in range(-6, 3) for digit in (1, 3))
# Where the search begins: a value one would try first.
USUAL = {"SGD": 0.3, "momentum": 0.03, "Nesterov": 0.03, "Adagrad": 0.03, "Adadelta": 3.0}
USUAL |= {"RMSprop": 3e-3, "Lion": 1e-3}
USUAL_ELSE = 1e-2


@dataclass(frozen=True)
class Setting:
    """A network and how long it trains."""

    name: str
    make: Callable[[], nn.Module]
    epochs: int
    reach: int  # grid values on each side of the usual one, at first; 0: no search
    search_seeds: int  # the search takes the mean over the first so many seeds


def settings(quick: bool = False) -> tuple[Setting, Setting]:
    if quick:
        short = Setting("CNN", lambda: small_cnn("batch", width=8), 4, 0, 1)
        return Setting("MLP", lambda: small_mlp(hidden=32), 3, 1, 1), short
    cnn = Setting("CNN", lambda: small_cnn("batch", width=8), 6, 1, 1)
    return Setting("MLP", small_mlp, 10, 2, 2), cnn


@dataclass
class Outcome:
    """What an optimiser did on one network."""

    rate: float
    curve: dict[float, float]  # learning rate -> validation loss; inf where training diverged
    at_edge: bool
    losses: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (seeds, steps)
    final: dict[str, list[float]] = field(default_factory=dict)  # by split, one value a seed
    milliseconds: float = float("nan")  # a whole training step
    bytes_per_parameter: float = float("nan")


@dataclass
class Trained:
    """A finished training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    history: History


def train(name: str, setting: Setting, task: Task, rate: float, seed: int) -> Trained | None:
    """A training from scratch; None if the loss became not-a-number or infinite."""
    torch.manual_seed(seed)
    model = setting.make()
    optimizer = for_network(name, model, rate)
    batches = Batches(*task.train, batch_size=BATCH, shuffle=True, seed=seed)
    val = Batches(*task.val, batch_size=2048)
    try:
        history = fit(
            model, classification_loss(), optimizer, batches, epochs=setting.epochs, val=val
        )
    except TrainingError:
        return None
    return Trained(model, optimizer, history)


def validation_loss(trained: Trained | None) -> float:
    """The median of the last half of the epochs; inf after a divergence."""
    if trained is None:
        return float("inf")
    losses = [row["val_loss"] for row in trained.history.epochs]
    loss = float(np.median(losses[len(losses) // 2 :]))
    return loss if np.isfinite(loss) else float("inf")


def split_loss(model: nn.Module, examples: tuple[Tensor, Tensor]) -> float:
    return evaluate(model, classification_loss(), Batches(*examples, batch_size=2048))["loss"]


def search(score: Callable[[float], float], start: float, reach: int) -> Outcome:
    """Scores around `start` on GRID, and on until the best has a neighbour on both sides.

    `reach=0` takes `start` without a search.
    """
    if reach == 0:
        return Outcome(start, {start: score(start)}, at_edge=False)
    centre = GRID.index(start)
    low, high = max(centre - reach, 0), min(centre + reach, len(GRID) - 1)
    curve = {rate: score(rate) for rate in GRID[low : high + 1]}
    while True:
        best = min(curve, key=curve.__getitem__)
        if best == GRID[low] and low > 0:
            low -= 1
            curve[GRID[low]] = score(GRID[low])
        elif best == GRID[high] and high < len(GRID) - 1:
            high += 1
            curve[GRID[high]] = score(GRID[high])
        else:
            break
    return Outcome(best, dict(sorted(curve.items())), at_edge=best in (GRID[low], GRID[high]))


def compare(name: str, setting: Setting, task: Task, seeds: Sequence[int]) -> Outcome:
    """Search with the first seeds, then train at the best rate with every seed."""

    @functools.cache  # the comparison needs some trainings of the search again
    def trained(rate: float, seed: int) -> Trained | None:
        return train(name, setting, task, rate, seed)

    def score(rate: float) -> float:
        few = seeds[: setting.search_seeds]
        return float(np.mean([validation_loss(trained(rate, seed)) for seed in few]))

    outcome = search(score, USUAL.get(name, USUAL_ELSE), setting.reach)
    # A seed may diverge where those of the search did not: the result then has fewer rows.
    done = [t for seed in seeds if (t := trained(outcome.rate, seed)) is not None]
    outcome.losses = np.array([t.history.step_losses for t in done])  # (S, T)
    outcome.final = {
        "train": [split_loss(t.model, task.train) for t in done],
        "val": [validation_loss(t) for t in done],
        "test": [100 * accuracy(t.model, task.test) for t in done],
    }
    for t in done:
        refresh_statistics(t.model, task.train[0])
    outcome.final["fresh"] = [100 * accuracy(t.model, task.test) for t in done]
    outcome.bytes_per_parameter = state_bytes(done[0].optimizer)
    return outcome


def refresh_statistics(model: nn.Module, x: Tensor) -> None:
    """BatchNorm's running statistics anew, as plain means over the batches of x (N, 1, H, W).

    Those of the training lag behind the weights; at a large learning rate the lag matters.
    """
    update_bn(x.split(BATCH), model)


def smooth(losses: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` steps (of all so far at the start): (S, T) -> (S, T)."""
    total = np.cumsum(losses, axis=1)
    total[:, window:] = total[:, window:] - np.cumsum(losses, axis=1)[:, :-window]
    return total / np.minimum(np.arange(1, losses.shape[1] + 1), window)


def steps_to(losses: np.ndarray, target: float, window: int) -> np.ndarray:
    """First step with a smoothed loss at the target: (S, T) -> (S,), nan where it never is."""
    below = smooth(losses, window) <= target
    return np.where(below.any(axis=1), below.argmax(axis=1) + 1.0, np.nan)


def step_times(setting: Setting, task: Task, rounds: int, steps: int = 3) -> dict[str, float]:
    """Milliseconds of a training step for each optimiser: the median over rounds of turns.

    "Muon, bfloat16" is the same Muon with its products in bfloat16.
    """
    x, y = (t[:BATCH] for t in task.train)
    pairs = {}
    for name in (*NAMES, "Muon, bfloat16"):
        model = setting.make()
        if name in NAMES:
            optimizer = for_network(name, model, 1e-3)
        else:
            optimizer = MuonWithAdamW(model, 1e-3, ns_dtype=torch.bfloat16)
        pairs[name] = (model, optimizer)
    times: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(rounds):
        for name in np.random.permutation(list(pairs)):  # nobody always follows the slowest
            model, optimizer = pairs[name]
            take_steps(model, optimizer, x, y, 1)  # warm-up
            started = time.perf_counter()
            take_steps(model, optimizer, x, y, steps)
            times[name].append(1000 * (time.perf_counter() - started) / steps)
    return {name: float(np.median(values)) for name, values in times.items()}


def take_steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, steps: int
) -> None:
    for _ in range(steps):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()


def compare_all(
    setting: Setting, seeds: Sequence[int], rounds: int
) -> tuple[dict[str, Outcome], float]:
    """Every optimiser on one network of the digits; and the step time of Muon in bfloat16."""
    task = load_task("digits")
    outcomes = {n: compare(n, setting, task, seeds) for n in progress(NAMES, setting.name)}
    times = step_times(setting, task, rounds)
    for name, outcome in outcomes.items():
        outcome.milliseconds = times[name]
    return outcomes, times["Muon, bfloat16"]
