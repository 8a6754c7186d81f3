"""How far a gradient reaches back in time: products of Jacobians, their bound, and two remedies.

What you learn: an error at step T reaches the state k steps before through a product of k matrices,

    dh_T / dh_(T-k) = J_T J_(T-1) ... J_(T-k+1)         RNN: J_t = diag(tanh'(a_t)) W_hh
    its norm       <= (sigma_max(W_hh) max tanh')^k     so it vanishes for sigma_max(W_hh) < 1

1. The norm over the distance for the three cells at their start: RNNs of several radii with their
   bound, LSTMs and GRUs by the bias of the gate that keeps the state.
2. The same before and after a training on the adding problem.
3. Truncated backpropagation: how wrong is the gradient of chunks of k steps? (bptt_numpy.py)
4. An RNN whose gradients explode, trained with and without clipping.

    python chapter_06_rnn_lstm_seq/exp_gradient_flow.py            two minutes on one core

Papers: Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013; Saxe,
McClelland & Ganguli 2014 (orthogonal); Williams & Peng 1990 (truncation).
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from typing import Any

import numpy as np

from chapter_06_rnn_lstm_seq.experiments import clipping, truncation
from chapter_06_rnn_lstm_seq.experiments.adding import Bias, Setting
from chapter_06_rnn_lstm_seq.experiments.gradient_flow import before_and_after, flow
from chapter_06_rnn_lstm_seq.experiments.tables.gradient_flow import NAMES, collect, tables
from chapter_06_rnn_lstm_seq.figures import gradient_flow as figures
from utils import cli
from utils.results import mean_std
from utils.run import Run

STARTS: dict[str, tuple[Bias, ...]] = {
    "rnn": (0.5, 0.9, 1.0, 1.5, "default"),
    "lstm": (0, 1, 4, "chrono", "default"),
    "gru": (0, 1, 4, "chrono", "default"),
}
TRAINED: dict[str, Bias] = {"rnn": 1.0, "lstm": 1, "gru": 1}
TRAINING = {"length": 20, "rate": 0.01, "steps": 800}
TRUNCATED = (("rnn", 0.5), ("rnn", 0.9), ("rnn", 1.0), ("lstm", 1.0), ("lstm", 4.0))
CHUNKS = [1, 2, 5, 10, 20, 50]
CLIPS = ((0.1, None), (0.1, 1.0), (0.3, None), (0.3, 1.0))  # (learning rate, clipped at)


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/exp_gradient_flow.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --length 200 --seeds 5"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("measurement")
    add = group.add_argument
    add("--length", type=cli.int_from(10), default=100, help="largest distance, in steps")
    add("--seeds", type=cli.positive_int, default=3, help="first weights tried")
    cli.add_resume_option(group, free=["seeds"])
    return parser


def measure_flow(args: argparse.Namespace, seeds: range) -> dict[str, dict[str, Any]]:
    """Cell -> start -> (norms by distance (seeds, T + 1), bound of a step)."""
    return {
        cell: {str(value): flow(cell, value, args.length, seeds) for value in values}
        for cell, values in cli.progress(STARTS.items(), "gradients at the start")
    }


def measure_trained(args: argparse.Namespace, run: Run, seeds: range) -> dict[str, list]:
    length, steps = TRAINING["length"], TRAINING["steps"]
    if run.quick:
        length, steps = 10, 200
    setting, results = Setting(length, steps=steps), {}
    for cell, value in cli.progress(TRAINED.items(), "trainings"):
        results[cell] = []
        for seed in seeds:
            work = partial(before_and_after, cell, value, seed, TRAINING["rate"], setting)
            row = run.once(work, dataset=f"adding {length}", cell=cell, seed=seed)
            results[cell].append(row)
    return results


def measure_truncation(args: argparse.Namespace, seeds: range) -> dict[str, Any]:
    """Relative error and cosine of the truncated gradient by k: (mean, deviation) over seeds."""
    networks = {}
    for cell, value in TRUNCATED:
        pairs = np.array(
            [truncation.differences(cell, value, CHUNKS, args.length, seed) for seed in seeds]
        )  # (seeds, k, 2)
        error, cosine = (
            [mean_std(column) for column in part.T] for part in np.moveaxis(pairs, 2, 0)
        )
        facts = {"cell": cell, "value": value, "error": error, "cosine": cosine}
        networks[f"{cell}_{value:g}".replace(".", "_")] = facts
    return {"k": CHUNKS, "networks": networks}


def measure_clipping(args: argparse.Namespace, run: Run, seeds: range) -> dict[str, list]:
    pairs, steps = (CLIPS[2:], 60) if run.quick else (CLIPS, 200)
    results: dict[str, list] = {}
    for rate, clip in cli.progress(pairs, "clipping"):
        name = f"rate_{rate:g}_{'free' if clip is None else 'clipped'}".replace(".", "_")
        limit, facts = math.inf if clip is None else clip, {"rate": rate, "clip": clip}
        results[name] = [facts | clipping.train_echo(rate, limit, steps, seed) for seed in seeds]
    return results


def experiment(args: argparse.Namespace, run: Run) -> None:
    if run.quick:
        args.length, args.seeds = 60, 1
    seeds = range(args.seed, args.seed + args.seeds)
    flows = measure_flow(args, seeds)
    trained = measure_trained(args, run, seeds)
    cut = measure_truncation(args, seeds)
    clipped = measure_clipping(args, run, seeds)
    report(run, list(seeds), flows, trained, cut, clipped)


def report(
    run: Run, seeds: list[int], flows: dict, trained: dict, cut: dict, clipped: dict
) -> None:
    metrics = collect(flows, trained, cut, clipped)
    run.save_result("gradient_flow", metrics, tables(metrics), seeds)
    run.save_figure(figures.flow_figure(flows), "gradient_flow")
    words = {
        cell: f"{NAMES[cell]}: {row['solved']} of {row['seeds']} solved"
        for cell, row in metrics["trained"].items()
    }
    run.save_figure(figures.trained_figure(trained, words), "gradient_flow_trained")
    run.save_figure(figures.truncation_figure(cut), "gradient_flow_truncated")
    run.save_figure(figures.clipping_figure(clipped, clipping.BASELINE), "gradient_flow_clipping")
    shown = {
        f"{NAMES[cell]}, {value}: factor a step": row["factor"]
        for cell, starts in metrics["flow"].items()
        for value, row in starts.items()
    }
    run.finish(shown, "python chapter_06_rnn_lstm_seq/exp_long_memory.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
