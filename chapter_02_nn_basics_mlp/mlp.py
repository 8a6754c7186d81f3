"""Fit noisy points with an MLP: a curve, a surface, and the world outside the data.

What you learn: an MLP of our own layers recovers a function from noisy points almost as well as
noise allows; how well "noise allows" is a number that can be computed; and outside the range of
the data the fit follows the activation function, not the truth.

    loss = 1/N sum_i (MLP(x_i) - y_i)^2          y_i = f(x_i) + noise * e_i,  e_i normal

The yardstick is the noise-limited optimum of noise_floor.py: the expected RMSE against the true f
of the best linear smoother of *all* the points, its width and ridge tuned by looking at f. The
network gets nine tenths of the points. A draw of noise can be kinder or harder than the average
one, so the result also has the error of that smoother on the very points the network saw.
No run selects anything: the last weights are kept, because the learning rate ends at 0. Learning
rate and epochs were chosen by validation error on other draws (seeds 100 and up). All networks
stay within 1.5 times the optimum, except ReLU's (extrapolate): a smooth curve out of straight
pieces costs it about half as much again.

    python chapter_02_nn_basics_mlp/mlp.py --mode standard        about 25 s
    python chapter_02_nn_basics_mlp/mlp.py --mode 2d_surface      about 45 s
    python chapter_02_nn_basics_mlp/mlp.py --mode extrapolate     about 70 s
    python chapter_02_nn_basics_mlp/mlp.py --mode standard --load   the shipped networks, at once

`--input_dim` is the number of numbers that the network sees. 2d_surface has 2 and extrapolate 1.
In standard, d > 1 gives it the powers x/pi, (x/pi)^2 .. (x/pi)^d, as in polynomial regression.

Papers: Hornik, Stinchcombe & White 1989; Xu et al. 2021 (how networks extrapolate);
Ziyin, Hartwig & Ueda 2020 (networks fail to learn periodic functions).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_02_nn_basics_mlp import mlp_figures as figures
from chapter_02_nn_basics_mlp.losses import MSELoss
from chapter_02_nn_basics_mlp.mlp_data import (
    MODES,
    PROBLEMS,
    Points,
    Problem,
    as_input,
    predict,
    rmse,
)
from chapter_02_nn_basics_mlp.mlp_measure import Fit, measure, result_table
from chapter_02_nn_basics_mlp.model import ACTIVATIONS, MLP
from utils import cli
from utils.checkpoint import CheckpointError, load_checkpoint, load_state
from utils.cli import UserError
from utils.run import Run

__all__ = ["MLP", "evaluate_checkpoint", "main"]  # MLP is defined in model.py

FOLDER = Path(__file__).parent
EPOCHS = {"standard": 1500, "2d_surface": 1000, "extrapolate": 1500}
RATES = {"standard": 2e-2, "2d_surface": 5e-3, "extrapolate": 2e-2}
EXTRAPOLATORS = ("relu", "tanh", "silu", "sin", "sin_features")
SIN_FREQUENCIES = 3
WEIGHT_DECAY = 0.1
LOG_EVERY = 10


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_02_nn_basics_mlp/mlp.py"
    parser = cli.make_parser(
        __doc__,
        [f"{path} --mode standard", f"{path} --mode 2d_surface --load"],
        device=True,
    )
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("problem and network")
    add = group.add_argument
    add("--mode", choices=MODES, default="standard", help="the problem")
    add("--input_dim", type=cli.positive_int, help="inputs (default: 1; 2d_surface: 2)")
    add("--hidden_dim", type=cli.positive_int, default=64, help="units in a hidden layer")
    add("--depth", type=cli.positive_int, default=2, help="number of hidden layers")
    choices = [*ACTIVATIONS, "sin_features"]
    text = "non-linearity (default: silu; extrapolate: compares five); sin_features: inputs sin(kx)"
    add("--activation", choices=choices, metavar="NAME", help=f"{text}; of {', '.join(choices)}")
    defaults = ", ".join(f"{mode} {n}" for mode, n in EPOCHS.items())
    add("--epochs", type=cli.positive_int, help=f"steps, each on all points (default: {defaults})")
    rates = ", ".join(f"{mode} {rate:g}" for mode, rate in RATES.items())
    text = f"AdamW's first learning rate (default: {rates})"
    add("--lr", type=cli.positive_float, help=text)
    add(
        "--seeds", type=cli.positive_int, help="repetitions, new points each (default: 5; quick: 1)"
    )
    text = "show trained networks without training (without PATH: the shipped ones of the mode)"
    add("--load", type=cli.path, nargs="?", const=False, metavar="PATH", help=text)
    return parser


def complete(args: argparse.Namespace) -> None:
    """Fill in the options that follow from the mode; UserError where they contradict it."""
    natural = 2 if args.mode == "2d_surface" else 1
    if args.input_dim is None:
        args.input_dim = natural
    if args.input_dim != natural and args.mode != "standard":
        raise UserError(
            f"--mode {args.mode} learns a function of {natural} number{'s' * (natural > 1)}, "
            f"so --input_dim must be {natural}, not {args.input_dim}; leave the option out."
        )
    if args.activation == "sin_features" and args.mode == "2d_surface":
        raise UserError("sin_features are for the curves; choose another --activation.")
    args.lr = args.lr or RATES[args.mode]
    args.epochs = args.epochs or EPOCHS[args.mode] // (3 if args.quick else 1)
    args.seeds = args.seeds or (1 if args.quick else 5)


def build_model(kind: str, args: argparse.Namespace) -> MLP:
    """A network of the given kind: an activation's name, or sin_features (one layer, silu).

    The features are non-linear already: a second hidden layer would only fit more of the noise.
    """
    if kind == "sin_features":
        return MLP(1, args.hidden_dim, 1, 1, "silu", sin_features=SIN_FREQUENCIES)
    return MLP(args.input_dim, args.hidden_dim, 1, args.depth, kind)


def train(model: MLP, points: Points, args: argparse.Namespace, device: torch.device) -> Fit:
    """Full-batch gradient descent, written out. The optimiser is torch's: chapter 3 builds it."""
    x, y = as_input(points.x, args.input_dim).to(device), torch.tensor(points.y).float().to(device)
    cut, loss_fn, fit = points.cut, MSELoss(), Fit(model.to(device))
    # On sin features the curve is learnt at once, and what more steps learn is the noise.
    epochs = max(1, args.epochs // 5) if model.architecture["sin_features"] else args.epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)  # lr -> 0
    best = float("inf")
    for epoch in range(1, epochs + 1):
        loss = loss_fn(model(x[:cut]), y[:cut])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if epoch % LOG_EVERY == 0 or epoch == epochs:
            with torch.no_grad():
                val = loss_fn(model(x[cut:]), y[cut:]).item()
            if not np.isfinite(val):
                raise UserError(f"the loss is not finite at epoch {epoch}; lower --lr.")
            fit.history.append((epoch, loss.item() ** 0.5, val**0.5))
            if val < best:
                best, fit.early = val, {k: v.clone() for k, v in model.state_dict().items()}
    return fit


def fit_all(args: argparse.Namespace, run: Run) -> dict[tuple[str, int], Fit]:
    """Train each kind of network for each seed; both points and first weights follow the seed."""
    problem, fits = PROBLEMS[args.mode], {}
    compare = args.mode == "extrapolate" and not args.activation
    kinds = EXTRAPOLATORS if compare else (args.activation or "silu",)
    jobs = [(kind, args.seed + i) for kind in kinds for i in range(args.seeds)]
    for kind, seed in cli.progress(jobs, f"training {len(jobs)} networks"):
        torch.manual_seed(seed)
        fit = train(build_model(kind, args), problem.sample(seed), args, run.device)
        for epoch, train_rmse, val_rmse in fit.history:
            run.log(kind=kind, seed=seed, epoch=epoch, train_rmse=train_rmse, val_rmse=val_rmse)
        fits[kind, seed] = fit
    return fits


def draw(run: Run, problem: Problem, fits: dict, metrics: dict[str, Any], input_dim: int) -> None:
    """Save the mode's figures."""
    kinds = list(dict.fromkeys(kind for kind, _ in fits))
    points = problem.sample(min(seed for _, seed in fits))
    side = 41
    outside = problem.mode == "extrapolate"
    x = figures.everywhere(problem) if outside else problem.grid(side)

    def stack(kind: str) -> np.ndarray:
        return np.stack([predict(f.model, x, input_dim) for (k, _), f in fits.items() if k == kind])

    if problem.mode == "standard":
        fig = figures.fit_figure(problem, points, stack(kinds[0]), metrics["optimum"])
    elif problem.is_surface:
        fig = figures.surface_figure(problem, side, stack(kinds[0]))
    else:
        fig = figures.outside_figure(
            problem, points, {k: (stack(k), inside_outside(k, metrics["kinds"][k])) for k in kinds}
        )
    run.save_figure(fig, problem.mode)
    if next(iter(fits.values())).history:
        histories = {
            kind: np.array([f.history for (k, _), f in fits.items() if k == kind]) for kind in kinds
        }
        fig = figures.curve_figure(histories, problem.noise)
        run.save_figure(fig, f"{problem.mode}_training")


def inside_outside(kind: str, row: dict[str, Any]) -> str:
    """The title of a panel: the network with its two errors."""
    inside, outside = row["rmse_mean"], row["rmse_outside_mean"]
    return f"{kind.replace('_', ' ')}: RMSE {inside:.2g} inside, {outside:.2g} outside"


def load_fits(path: Path, mode: str) -> tuple[dict[tuple[str, int], Fit], dict[str, Any]]:
    """The networks of a checkpoint, and all of it; CheckpointError if they are not ours."""
    checkpoint = load_checkpoint(path)
    architecture = checkpoint["architecture"]
    if architecture.get("mode") != mode or mode not in MODES:
        raise CheckpointError(f"{path} holds no networks of --mode {mode}.")
    try:
        models = nn.ModuleDict({name: MLP(**kw) for name, kw in architecture["models"].items()})
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{path} describes no network of this chapter: {error}.") from None
    load_state(models, checkpoint["state"], path)
    fits = {}
    for name, model in models.items():
        kind, _, seed = name.rpartition("-")
        fits[kind, int(seed)] = Fit(model)
    return fits, checkpoint


def save(run: Run, problem: Problem, fits: dict[tuple[str, int], Fit], metrics: dict) -> None:
    """All networks of the run in one checkpoint; with --publish also the points, as text."""
    models = nn.ModuleDict({f"{kind}-{seed}": fit.model for (kind, seed), fit in fits.items()})
    described = {name: model.architecture for name, model in models.items()}
    sizes = {
        f"{kind}_{key}": row[f"{key}_mean"]
        for kind, row in metrics["kinds"].items()
        for key in ("rmse", "rmse_outside")
        if f"{key}_mean" in row
    }
    run.save_checkpoint(
        f"{problem.mode}.pth",
        {name: value.cpu() for name, value in models.state_dict().items()},
        architecture={"mode": problem.mode, "models": described},
        folder="models",
        dataset=f"utils.datasets.toy, {problem.mode}",
        metrics=sizes,
        task=f"regression, mlp.py --mode {problem.mode}: {len(models)} networks",
        card_note="RMSE against the noise-free function, mean over seeds",
        noise_limit={k: v for k, v in metrics.items() if isinstance(v, float)},
    )
    if run.args.publish:
        problem.write_points(FOLDER / "data", problem.sample(run.args.seed))


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """Measure a shipped checkpoint again: the metrics of its card."""
    mode = load_checkpoint(path)["architecture"].get("mode", "")
    fits, checkpoint = load_fits(path, mode)
    described = checkpoint["architecture"]["models"]
    problem, values = PROBLEMS[mode], {}
    for (kind, seed), fit in fits.items():
        input_dim = described[f"{kind}-{seed}"]["input_dim"]
        values.setdefault(f"{kind}_rmse", []).append(
            rmse(problem, fit.model, problem.grid(), input_dim)
        )
        if mode == "extrapolate":
            outside = rmse(problem, fit.model, problem.outside(), input_dim)
            values.setdefault(f"{kind}_rmse_outside", []).append(outside)
    return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def experiment(args: argparse.Namespace, run: Run) -> None:
    complete(args)
    problem = PROBLEMS[args.mode]
    if args.load is not None:
        path = Path(args.load or FOLDER / "models" / f"{args.mode}.pth")
        fits, checkpoint = load_fits(path, args.mode)
        args.input_dim = next(iter(checkpoint["architecture"]["models"].values()))["input_dim"]
        known = checkpoint.get("noise_limit")
        if not args.load:  # the shipped points belong to the shipped networks
            problem.read_points(FOLDER / "data", min(seed for _, seed in fits))
    else:
        fits, known = fit_all(args, run), None
    metrics = measure(problem, fits, args.input_dim, known)
    tables = {"main": result_table(metrics)}
    run.save_result(args.mode, metrics, tables, seeds=sorted({seed for _, seed in fits}))
    if args.load is None:
        save(run, problem, fits, metrics)
    draw(run, problem, fits, metrics, args.input_dim)
    following = MODES[(MODES.index(args.mode) + 1) % len(MODES)]
    shown = {"noise-limited optimum": metrics["optimum"]}
    for kind, row in metrics["kinds"].items():
        shown |= {f"{kind} RMSE": float(row["rmse_mean"]), f"{kind} ratio": float(row["ratio"])}
        if "rmse_outside_mean" in row:
            shown[f"{kind} RMSE outside"] = float(row["rmse_outside_mean"])
    run.finish(shown, next_command=f"python chapter_02_nn_basics_mlp/mlp.py --mode {following}")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
