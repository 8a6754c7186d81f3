"""Thirteen optimisers compared: on surfaces one can look at, on quadratics, and on a real task.

What you learn: what momentum and per-coordinate scaling do to the path, why the condition number
decides how long gradient descent takes, and how much of this is left on a network with mini-batch
noise. One rule everywhere: each optimiser runs at its own best learning rate.

1. Paths on Rosenbrock, Beale, an ill-conditioned quadratic and a saddle.
2. Steps against the condition number, with the theoretical rates:
       gradient descent (kappa - 1) / (kappa + 1), heavy ball (sqrt kappa - 1) / (sqrt kappa + 1),
       Nesterov 1 - 1 / sqrt kappa
3. The same quadratic with its eigenvectors along the axes and rotated.
4. Digits with an MLP and a CNN: a search for the learning rate on the
   validation split, then the loss over steps and over time with several seeds.

The surfaces have no gradient noise and no held-out data: they show mechanisms, not which optimiser
is best for a network. What is measured stands in experiments/optimization/.

    python chapter_03_optimization_regularization/exp_optimization.py       about 4 minutes, 2 cores

Papers: Polyak 1964; Nesterov 1983; Duchi et al. 2011; Kingma & Ba 2015; Schneider et al. 2019
(comparing optimisers); Choi et al. 2019 (the search decides the ranking).
"""

from __future__ import annotations

import argparse
import sys

from chapter_03_optimization_regularization.experiments.optimization import (
    networks,
    quadratics,
    surfaces,
    tables,
)
from chapter_03_optimization_regularization.figures import optimization as figures
from utils import cli
from utils.run import Run

ROTATION_STEPS = 1000  # at most


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_optimization.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --quick"])
    parser.set_defaults(threads=1)  # the tensors are too small for two
    parser.add_argument("--seeds", type=cli.positive_int, default=3, help="repetitions")
    return parser


def measure_networks(seeds: list[int], quick: bool) -> tuple[dict, dict]:
    """Metrics and what was measured, of both networks."""
    metrics, outcomes = {}, {}
    for setting in networks.settings(quick):
        name = setting.name
        found, bfloat16 = networks.compare_all(setting, seeds, rounds=1 if quick else 9)
        outcomes[name] = found
        window = found["Adam"].losses.shape[1] // setting.epochs  # the steps of an epoch
        metrics[name] = {
            "optimizers": tables.network_metrics(found, window),
            "epochs": setting.epochs,
            "steps_per_epoch": window,
            "muon_bfloat16_ms": bfloat16,
        }
    return metrics, outcomes


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.seeds = 1
    seeds = [args.seed + s for s in range(args.seeds)]
    paths = surfaces.run_surfaces(args.quick)
    kappas = [10.0, 1000.0] if args.quick else [10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 1e4]
    condition = quadratics.run_condition(seeds, kappas)
    rotation = quadratics.run_rotation(seeds, ROTATION_STEPS)
    report(args, run, paths, condition, rotation, *measure_networks(seeds, args.quick))


def report(
    args: argparse.Namespace,
    run: Run,
    paths: dict[str, dict[str, surfaces.Path]],
    condition: tuple[dict, dict, dict],
    rotation: dict[str, dict],
    network: dict[str, dict],
    outcomes: dict[str, dict[str, networks.Outcome]],
) -> None:
    seeds = [args.seed + s for s in range(args.seeds)]
    counts, rates, decays = condition
    steps = {n: {k: cell["steps"] for k, cell in by.items()} for n, by in rotation.items()}
    metrics = {
        "surfaces": tables.surface_metrics(paths),
        "condition": tables.condition_metrics(counts, rates),
        "rotation": rotation,
        "networks": network,
        "kappa_rotation": quadratics.ROTATION_KAPPA,
    }
    run.save_result("optimization", metrics, tables.tables(metrics, ROTATION_STEPS), seeds)
    for name, found in outcomes.items():
        figure = figures.training_figure(found, network[name]["steps_per_epoch"], name)
        run.save_figure(figure, f"optimization_{name.lower()}")
    run.save_figure(figures.sensitivity_figure(outcomes), "optimization_sensitivity")
    run.save_figure(figures.surfaces_figure(paths), "optimization_surfaces")
    run.save_gif(list(figures.race_frames(paths, 6 if args.quick else 36)), "optimization_race")
    figure = figures.condition_figure(counts, decays, quadratics.SHOWN_KAPPA, quadratics.TOLERANCE)
    run.save_figure(figure, "optimization_condition")
    run.save_figure(figures.rotation_figure(steps, ROTATION_STEPS), "optimization_rotation")
    shown = {
        f"{net}, {name}: test accuracy (%)": float(row["test_mean"])
        for net, found in network.items()
        for name, row in found["optimizers"].items()
    }
    folder = "python chapter_03_optimization_regularization"
    run.finish(shown, next_command=f"{folder}/exp_schedules.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
