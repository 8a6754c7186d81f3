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
from typing import Any

import numpy as np
import torch

from chapter_03_optimization_regularization.experiments.optimization import (
    networks,
    quadratics,
    surfaces,
)
from chapter_03_optimization_regularization.experiments.optimization.choices import VECTOR_NAMES
from chapter_03_optimization_regularization.figures import optimization as figures
from utils import cli
from utils.results import table
from utils.run import Run

TOLERANCE = 1e-6  # of the distance, against the condition number
DIMENSION = 50
SHOWN_KAPPA = 1000.0
ROTATION_NAMES = ("SGD", "momentum", "Adagrad", "Adadelta", "RMSprop", "Adam", "Lion")
ROTATION_KAPPA = 300.0
ROTATION_TOLERANCE = 1e-4  # of the loss
TARGET_LOSS = 0.1


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_03_optimization_regularization/exp_optimization.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --quick"])
    parser.set_defaults(threads=1)  # the tensors are too small for two
    parser.add_argument("--seeds", type=cli.positive_int, default=3, help="repetitions")
    return parser


# --- surfaces ---


def run_surfaces(quick: bool) -> dict[str, dict[str, surfaces.Path]]:
    """The best path of every optimiser on every surface."""
    every, shorter = (6, 8) if quick else (1, 1)
    return {
        surface.name: {
            name: surfaces.best_path(
                name, surface, surfaces.rates_for(name)[::every], surface.steps // shorter
            )
            for name in VECTOR_NAMES
        }
        for surface in cli.progress(surfaces.SURFACES.values(), "surfaces")
    }


def surface_metrics(paths: dict[str, dict[str, surfaces.Path]]) -> dict[str, Any]:
    return {
        surface: {
            name: {
                "lr": path.rate,
                "at_edge": path.at_edge,
                "steps": path.settled,
                "gap": path.gap,
                "distance": path.distance,
                "run_for": len(path.points) - 1,
            }
            for name, path in by_name.items()
        }
        for surface, by_name in paths.items()
    }


def surface_table(metrics: dict[str, Any]) -> dict[str, Any]:
    """For each surface the rate, the steps to the tolerance, and f - f* at the end."""
    columns = [("Optimiser", "优化器", "s")]
    for surface, by_name in metrics.items():
        steps = by_name["SGD"]["run_for"]
        columns.append((f"{surface}: lr", f"{surface}：学习率", "g"))
        columns.append(("steps", "步数", ".0f"))
        columns.append((f"distance after {steps}", f"{steps} 步后的距离", ".0e"))
    rows = []
    for name in VECTOR_NAMES:
        cells = [metrics[s][name] for s in metrics]
        rows.append([name, *(c[key] for c in cells for key in ("lr", "steps", "distance"))])
    return table(columns, rows)


# --- quadratics ---


def run_condition(seeds: list[int], kappas: list[float]) -> tuple[dict, dict, dict]:
    """Steps and decay rates by method and condition number, and the distances at SHOWN_KAPPA."""
    start = quadratics.starts(seeds, DIMENSION)
    counts: dict[str, dict] = {name: {} for name in (*quadratics.METHODS, "conjugate gradients")}
    rates: dict[str, dict] = {name: {} for name in quadratics.METHODS}
    decays = {}
    for kappa in cli.progress(kappas, "condition numbers"):
        for name in counts:
            if name in rates:
                distance = quadratics.distances(name, kappa, start, TOLERANCE)
                rates[name][kappa] = quadratics.measured_rate(distance)
            else:
                distance = quadratics.conjugate_gradients(kappa, start, TOLERANCE)
            counts[name][kappa] = quadratics.steps_needed(distance, TOLERANCE)
            if kappa == SHOWN_KAPPA:
                decays[name] = distance
    return counts, rates, decays


def condition_metrics(counts: dict, rates: dict) -> dict[str, Any]:
    """Keys: the method with underscores, then k10, k100, ..."""
    metrics: dict[str, Any] = {}
    for name, by_kappa in counts.items():
        rows = metrics[name.replace(" ", "_")] = {}
        for kappa, steps in by_kappa.items():
            row = {"steps": steps, "mean": np.mean(steps), "std": np.std(steps)}
            if name in rates:
                row["rate"] = rates[name][kappa]
                row["theory_rate"] = quadratics.theoretical_rate(name, kappa)
                row["theory_steps"] = quadratics.theoretical_steps(name, kappa, TOLERANCE)
            rows[f"k{kappa:g}"] = row
    return metrics


def condition_table(metrics: dict[str, Any]) -> dict[str, Any]:
    chinese = {
        "gradient descent": "梯度下降", "heavy ball": "重球法",
        "Nesterov": "Nesterov", "conjugate gradients": "共轭梯度",
    }  # fmt: skip
    columns = [("Condition number", "条件数", "s")]
    for name, title in chinese.items():
        columns.append((f"{name}: steps", f"{title}：步数", ".0f"))
        if name in quadratics.METHODS:
            columns.append(("theory", "理论", ".0f"))
    rows = []
    for key in metrics["Nesterov"]:
        row: list[Any] = [key[1:]]
        for by_kappa in metrics.values():
            cell = by_kappa[key]
            row.append((cell["mean"], cell["std"]))
            row += [cell["theory_steps"]] if "theory_steps" in cell else []
        rows.append(row)
    return table(columns, rows)


def run_rotation(seeds: list[int], steps: int) -> dict[str, dict[str, dict[str, Any]]]:
    """By optimiser, aligned and rotated: the best rate and the steps of each seed."""
    start = quadratics.starts(seeds, DIMENSION)  # (S, D)
    diagonal = torch.diag(quadratics.spectrum(ROTATION_KAPPA, DIMENSION))
    turn = torch.stack([quadratics.rotation(DIMENSION, seed) for seed in seeds])  # (S, D, D)
    problems = {
        "aligned": (diagonal.expand_as(turn), start),
        # The start turns too: the same picture, seen from another side.
        "rotated": (turn @ diagonal @ turn.mT, torch.einsum("sij,sj->si", turn, start)),
    }
    results: dict[str, dict] = {}
    for name in cli.progress(ROTATION_NAMES, "rotation"):
        rates, results[name] = surfaces.rates_for(name), {}
        for kind, (matrices, point) in problems.items():
            settled = quadratics.settling_steps(
                name, matrices, point, rates, steps, ROTATION_TOLERANCE
            )  # (R, S)
            best = int(settled.mean(axis=1).argmin())
            edge = best in (0, len(rates) - 1)
            results[name][kind] = {"lr": rates[best], "at_edge": edge, "steps": settled[best]}
            with np.errstate(invalid="ignore"):  # a seed that never settles: inf, and no spread
                results[name][kind] |= {"mean": settled[best].mean(), "std": settled[best].std()}
    return results


def rotation_table(results: dict[str, Any], limit: int) -> dict[str, Any]:
    columns = [
        ("Optimiser", "优化器", "s"), ("Along the axes: lr", "沿坐标轴：学习率", "g"),
        ("steps", "步数", ".0f"), ("Rotated: lr", "旋转后：学习率", "g"), ("steps", "步数", ".0f"),
    ]  # fmt: skip
    rows = []
    for name, kinds in results.items():
        row: list[Any] = [name]
        for cell in kinds.values():
            done = np.isfinite(cell["steps"]).all()
            row.append(cell["lr"] if done else None)
            row.append((cell["mean"], cell["std"]) if done else f"> {limit}")
        rows.append(row)
    return table(columns, rows)


# --- networks ---


def network_metrics(outcomes: dict[str, networks.Outcome], window: int) -> dict[str, Any]:
    metrics = {}
    for name, outcome in outcomes.items():
        steps = networks.steps_to(outcome.losses, TARGET_LOSS, window)
        row: dict[str, Any] = {
            "lr": outcome.rate,
            "at_edge": outcome.at_edge,
            "curve": outcome.curve,
            "seeds_finished": len(outcome.losses),
            "steps": steps,
            "steps_mean": np.mean(steps),  # nan, shown as a dash, if a seed never gets there
            "steps_std": np.std(steps),
            "ms": outcome.milliseconds,
            "seconds_to_target": np.mean(steps) * outcome.milliseconds / 1000,
            "bytes": outcome.bytes_per_parameter,
        }
        for split, values in outcome.final.items():
            row |= {split: values, f"{split}_mean": np.mean(values), f"{split}_std": np.std(values)}
        metrics[name] = row
    return metrics


def network_table(metrics: dict[str, Any], with_fresh: bool) -> dict[str, Any]:
    """`with_fresh`: a column for the accuracy after BatchNorm's statistics are taken anew."""
    columns = [
        ("Optimiser", "优化器", "s"),
        ("lr", "学习率", "g"),
        (f"Steps to loss {TARGET_LOSS}", f"损失降到 {TARGET_LOSS} 的步数", ".0f"),
        ("Training loss", "训练损失", ".4f"),
        ("Validation loss", "验证损失", ".3f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
        ("ms a step", "每步毫秒", ".2f"),
        ("State (bytes a parameter)", "状态（字节/参数）", ".1f"),
    ]
    splits = ["train", "val", "test"]
    if with_fresh:
        columns.insert(6, ("with fresh statistics (%)", "重新统计 BatchNorm 后（%）", ".1f"))
        splits.append("fresh")
    rows = []
    for name, row in metrics.items():
        done = np.isfinite(row["steps_mean"])
        pairs = [(row[f"{split}_mean"], row[f"{split}_std"]) for split in splits]
        steps = (row["steps_mean"], row["steps_std"]) if done else None
        rows.append([name, row["lr"], steps, *pairs, row["ms"], row["bytes"]])
    return table(columns, rows)


def run_networks(seeds: list[int], quick: bool) -> tuple[dict, dict, dict]:
    """Metrics, tables and what was measured, of both networks."""
    metrics, tables, outcomes = {}, {}, {}
    for setting in networks.settings(quick):
        name = setting.name
        limit, rounds = (256, 1) if quick else (None, 9)
        found, bfloat16 = networks.compare_all(setting, seeds, limit, rounds)
        outcomes[name] = found
        window = found["Adam"].losses.shape[1] // setting.epochs  # the steps of an epoch
        metrics[name] = {"optimizers": network_metrics(found, window), "epochs": setting.epochs}
        metrics[name] |= {"steps_per_epoch": window, "muon_bfloat16_ms": bfloat16}
        tables[name.lower()] = network_table(metrics[name]["optimizers"], name == "CNN")
    return metrics, tables, outcomes


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.seeds = 1
    seeds = [args.seed + s for s in range(args.seeds)]
    paths = run_surfaces(args.quick)
    kappas = [10.0, 1000.0] if args.quick else [10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 1e4]
    counts, rates, decays = run_condition(seeds, kappas)
    limit = 100 if args.quick else 1000
    rotation = run_rotation(seeds, limit)
    steps = {n: {k: cell["steps"] for k, cell in by.items()} for n, by in rotation.items()}
    network, tables, outcomes = run_networks(seeds, args.quick)
    metrics = {"surfaces": surface_metrics(paths), "condition": condition_metrics(counts, rates)}
    metrics |= {"rotation": rotation, "networks": network, "kappa_rotation": ROTATION_KAPPA}
    tables["surfaces"] = surface_table(metrics["surfaces"])
    tables["condition"] = condition_table(metrics["condition"])
    tables["rotation"] = rotation_table(rotation, limit)
    run.save_result("optimization", metrics, tables, seeds)
    for name, found in outcomes.items():
        figure = figures.training_figure(found, network[name]["steps_per_epoch"], name)
        run.save_figure(figure, f"optimization_{name.lower()}")
    run.save_figure(figures.sensitivity_figure(outcomes), "optimization_sensitivity")
    run.save_figure(figures.surfaces_figure(paths), "optimization_surfaces")
    run.save_gif(list(figures.race_frames(paths, 6 if args.quick else 36)), "optimization_race")
    run.save_figure(
        figures.condition_figure(counts, decays, SHOWN_KAPPA, TOLERANCE), "optimization_condition"
    )
    run.save_figure(figures.rotation_figure(steps, limit), "optimization_rotation")
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
