"""Learning rate schedules at equal budget, warm-up at large rates, one stable run decayed often.

What you learn: near a minimum, SGD with a constant rate does not stand still. The noise of the
batches keeps it at a distance that shrinks with the rate (on a quadratic the excess loss is
proportional to eta). A large rate is needed to get there in time, a small one to stay: hence

    eta(t) large first, then down to 0

and the schedules differ only in how. All are compared at the same number of steps, each at its own
best peak rate, chosen on validation.

1. Eight schedules x six peak rates x seeds: SGD with momentum 0.9, MLP, "noisy digits": shifted by
   up to a pixel, with normal noise, drawn anew in every epoch, so that a short training is far from
   fitting them. Control: constant against cosine on the clean digits.
2. Warm-up: a cosine with and without it, on the clean digits at growing rates: SGD, Adam, and Adam
   on a network with eight hidden layers.
3. WSD: one run at a constant rate, decayed from several points, against cosine runs of the same
   lengths, each trained from the start at the better of two peaks.

    python chapter_03_optimization_regularization/exp_schedules.py     about 4 minutes, 2 cores

Papers: Robbins & Monro 1951; Goyal et al. 2017; Loshchilov & Hutter 2017; Smith & Topin 2018;
Hu et al. 2024; Hägele et al. 2024.
"""

from __future__ import annotations

import argparse
import copy
import sys
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_02_nn_basics_mlp.model import MLP
from chapter_03_optimization_regularization import optimizers, schedulers
from chapter_03_optimization_regularization.experiments.tables.schedules import (
    collect,
    key,
    tables,
)
from chapter_03_optimization_regularization.experiments.tasks import (
    Task,
    accuracy,
    load_task,
    small_mlp,
)
from chapter_03_optimization_regularization.figures import schedules as figures
from chapter_03_optimization_regularization.training import (
    Batches,
    History,
    TrainingError,
    classification_loss,
    evaluate,
    fit,
)
from utils import cli
from utils.run import Run

BATCH = 16
NOISE = 0.7  # deviation of the noise; the pictures have deviation 1
RATES = [2.0**k for k in range(-7, -1)]
OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda parameters, lr: optimizers.SGD(parameters, lr, momentum=0.9),
    "Adam": lambda parameters, lr: optimizers.Adam(parameters, lr),
}
# The last is chapter 2's MLP with eight hidden layers and torch's usual first weights.
WARMUP_RATES = {
    "SGD": [2.0**k for k in range(-5, -1)],
    "Adam": [2.0**k for k in range(-8, -4)],
    "Adam, 8 layers": [2.0**k for k in range(-9, -5)],
}
# Each makes a schedule for S steps; the optimizer's rate is the peak.
SCHEDULES: dict[str, Any] = {
    "constant": lambda o, s: None,
    "step": lambda o, s: schedulers.MultiStepLR(o, [s // 2, 3 * s // 4], gamma=0.1),
    "exponential": lambda o, s: schedulers.ExponentialLR(o, gamma=0.01 ** (1 / s)),
    "cosine": lambda o, s: schedulers.CosineAnnealingLR(o, T_max=s),
    "warm-up + cosine": lambda o, s: schedulers.CosineWithWarmup(o, s // 10, s),
    "one cycle": lambda o, s: schedulers.OneCycleLR(o, o.param_groups[0]["lr"], total_steps=s),
    "WSD": lambda o, s: schedulers.WSD(o, s // 10, s, decay_steps=3 * s // 10),
    "plateau": lambda o, s: schedulers.ReduceLROnPlateau(o, factor=0.3, patience=0),
}
CONTROL = ("constant", "cosine")
LENGTHS = (4, 8, 16, 24)  # epochs, for the third part


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_schedules.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --epochs 20 --seeds 5"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, default=6, help="passes in each run")
    group.add_argument("--seeds", type=cli.positive_int, default=3, help="first weights tried")
    return parser


def disturb(batch: tuple, rng: torch.Generator) -> tuple:
    """Shift the pictures (B, 1, H, W) by up to a pixel (they wrap around) and add noise."""
    x, y = batch
    down, right = torch.randint(-1, 2, (2,), generator=rng).tolist()
    x = torch.roll(x, (down, right), dims=(2, 3))
    return x + NOISE * torch.randn(x.shape, generator=rng), y


def noisy_copies(examples: tuple, copies: int, seed: int) -> tuple:
    """Fixed disturbed copies of a split: (copies * N, 1, H, W) and (copies * N,)."""
    parts = []
    for c in range(copies):
        batches = Batches(*examples, batch_size=BATCH, seed=seed + c, transform=disturb)
        parts.extend(batches)
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


def load_data(quick: bool) -> Task:
    """The digits with disturbed validation and test pictures; training ones are drawn anew."""
    task = load_task("digits")
    copies = 1 if quick else 4
    val, test = noisy_copies(task.val, copies, 1), noisy_copies(task.test, copies, 1001)
    return Task("noisy digits", task.classes, task.train, val, test)


def train_batches(task: Task, seed: int) -> Batches:
    transform = disturb if task.name == "noisy digits" else None
    return Batches(*task.train, batch_size=BATCH, shuffle=True, seed=seed, transform=transform)


def train(
    model: nn.Module, optimizer: Any, scheduler: Any, task: Task, epochs: int, seed: int
) -> History | None:
    """None when the loss was no number any more."""
    val = Batches(*task.val, batch_size=1024)
    batches = train_batches(task, seed)
    try:
        return fit(
            model, classification_loss(), optimizer, batches, epochs=epochs, val=val,
            scheduler=scheduler,
        )  # fmt: skip
    except TrainingError:
        return None


def fresh(name: str, rate: float, seed: int) -> tuple[nn.Module, Any]:
    """A model and its optimizer; a seed gives the same first weights to all."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), MLP(64, 64, 10, 8)) if "layers" in name else small_mlp()
    return model, OPTIMIZERS[name.split(",")[0]](model.parameters(), rate)


def train_one(
    task: Task, schedule: Any, rate: float, seed: int, epochs: int, optimizer_name: str = "SGD"
) -> dict[str, Any]:
    """Validation loss by epoch (E,), test accuracy (%), rate after each epoch; nan if it failed."""
    model, optimizer = fresh(optimizer_name, rate, seed)
    steps = epochs * len(train_batches(task, seed))
    history = train(model, optimizer, schedule(optimizer, steps), task, epochs, seed)
    if history is None:
        return {"val": np.full(epochs, np.nan), "test": float("nan"), "lr": [], "worst": np.nan}
    return {
        "val": np.array([row["val_loss"] for row in history.epochs]),
        "test": 100 * accuracy(model, task.test),
        "lr": [row["lr"] for row in history.epochs],
        "worst": max(history.step_losses),
    }


def sweep(
    task: Task, schedule: Any, rates: list[float], args: argparse.Namespace, name: str = "SGD"
) -> dict[str, Any]:
    """All rates x seeds of one schedule, and the rate whose final validation loss is least."""
    seeds = range(args.seed, args.seed + args.seeds)
    runs = [
        [train_one(task, schedule, rate, s, args.epochs, name) for s in seeds] for rate in rates
    ]
    val = np.array([[run["val"] for run in row] for row in runs])  # (rates, seeds, E)
    test = np.array([[run["test"] for run in row] for row in runs])  # (rates, seeds)
    worst = np.array([[run["worst"] for run in row] for row in runs])  # (rates, seeds)
    final = np.nan_to_num(val[:, :, -1].mean(axis=1), nan=np.inf)  # a failed seed counts
    best = int(np.argmin(final))
    return {
        "rates": rates, "val": val, "test": test, "worst": worst, "best": best,
        "lr": [run["lr"] for run in runs[best]],
    }  # fmt: skip


def warmup_sweeps(task: Task, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """A cosine with and without a warm-up over a quarter of the steps, at growing rates."""
    kinds = {
        "no warm-up": SCHEDULES["cosine"],
        "warm-up": lambda o, s: schedulers.CosineWithWarmup(o, s // 4, s),
    }
    keep = 1 if args.quick else None
    return {
        name: {
            kind: sweep(task, schedule, WARMUP_RATES[name][:keep], args, name)
            for kind, schedule in kinds.items()
        }
        for name in cli.progress(WARMUP_RATES, "warm-up")
    }


def decayed_branches(
    task: Task, rates: dict[str, float], seed: int, lengths: tuple[int, ...]
) -> dict[str, list[Any]]:
    """One stable run; at each length (epochs, decay included) a copy of it is decayed to 0.

    Returns validation losses by length: of the stable run where the copy left it ("stable"), of the
    decayed copy ("WSD"), and of two cosine runs of that length from the start, with the given peak
    and with half of it ("cosine"): a longer run may want a smaller one.
    """
    model, optimizer = fresh("SGD", rates["WSD"], seed)
    per_epoch, done = len(train_batches(task, seed)), 0
    result: dict[str, list[Any]] = {"stable": [], "WSD": [], "cosine": []}
    for length in lengths:
        decay = max(1, length // 4)
        stable = schedulers.WSD(optimizer, 0, 10**9, 0)
        # New data order in each piece: `fit` counts the epochs of a piece from 0.
        train(model, optimizer, stable, task, length - decay - done, seed + 100 * length)
        done = length - decay
        branch, branch_optimizer = copy.deepcopy((model, optimizer))
        down = schedulers.WSD(branch_optimizer, 0, decay * per_epoch, decay * per_epoch)
        history = train(branch, branch_optimizer, down, task, decay, seed + 100 * length + 50)
        peaks = (rates["cosine"], rates["cosine"] / 2)
        whole = [train_one(task, SCHEDULES["cosine"], peak, seed, length) for peak in peaks]
        val = Batches(*task.val, batch_size=1024)
        result["stable"].append(evaluate(model, classification_loss(), val)["loss"])
        result["WSD"].append(history.epochs[-1]["val_loss"] if history else float("nan"))
        result["cosine"].append([float(run["val"][-1]) for run in whole])
    return result


def branches(task: Task, rates: dict[str, float], args: argparse.Namespace) -> dict[str, Any]:
    """`decayed_branches` for all seeds: arrays (seeds, lengths); cosine has the better peak."""
    lengths = (1, 2) if args.quick else LENGTHS
    runs = [
        decayed_branches(task, rates, args.seed + s, lengths)
        for s in cli.progress(range(args.seeds), "decay from several points")
    ]
    arrays = {key: np.array([run[key] for run in runs]) for key in runs[0]}
    better = arrays["cosine"].mean(axis=0).argmin(axis=1)  # (seeds, lengths, 2) -> (lengths,)
    arrays["cosine"] = arrays["cosine"][:, np.arange(len(lengths)), better]
    return {"lengths": lengths} | arrays


def experiment(args: argparse.Namespace, run: Run) -> None:
    rates = RATES
    if args.quick:
        args.epochs, args.seeds, rates = 1, 1, RATES[2:6:2]
    noisy, clean = load_data(args.quick), load_task("digits")
    sweeps = {
        name: sweep(noisy, SCHEDULES[name], rates, args)
        for name in cli.progress(SCHEDULES, "schedules")
    }
    control = {name: sweep(clean, SCHEDULES[name], rates[:4], args) for name in CONTROL}
    warm = warmup_sweeps(clean, args)
    best = {name: sweeps[name]["rates"][sweeps[name]["best"]] for name in ("WSD", "cosine")}
    several = branches(noisy, best, args)
    report(args, run, sweeps, control, warm, several, len(train_batches(noisy, 0)))


def report(
    args: argparse.Namespace,
    run: Run,
    sweeps: dict[str, dict],
    control: dict[str, dict],
    warm: dict[str, dict],
    several: dict[str, Any],
    per_epoch: int,
) -> None:
    metrics = collect(sweeps, control, warm, several)
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result("schedules", metrics, tables(metrics, list(SCHEDULES)), seeds)
    run.save_figure(
        figures.course_figure(sweeps, rate_courses(sweeps, args, per_epoch)), "schedules_compared"
    )
    run.save_figure(figures.rates_figure(sweeps), "schedules_rates")
    run.save_figure(figures.warmup_figure(warm), "schedules_warmup")
    run.save_figure(figures.branches_figure(several, per_epoch), "schedules_wsd")
    shown = {
        f"{n}: validation loss": float(metrics["schedules"][key(n)]["val_mean"]) for n in sweeps
    }
    run.finish(
        shown, next_command="python chapter_03_optimization_regularization/exp_batch_size.py"
    )


def rate_courses(
    sweeps: dict[str, Any], args: argparse.Namespace, per_epoch: int
) -> dict[str, np.ndarray]:
    """Share of the peak rate at every step, (S,); the plateau's is that of the first seed's run."""
    courses = {}
    for name, result in sweeps.items():
        optimizer = fresh("SGD", 1.0, 0)[1]
        scheduler = SCHEDULES[name](optimizer, args.epochs * per_epoch)
        if name == "plateau":
            peak = result["rates"][result["best"]]
            by_epoch = (
                np.array([peak, *result["lr"][0]]) / peak
            )  # set after each epoch's validation
            courses[name] = np.repeat(by_epoch[: args.epochs], per_epoch)
            continue
        shares = []
        for _ in range(args.epochs * per_epoch):
            shares.append(optimizer.param_groups[0]["lr"])
            if scheduler is not None:
                scheduler.step()
        courses[name] = np.array(shares)
    return courses


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
