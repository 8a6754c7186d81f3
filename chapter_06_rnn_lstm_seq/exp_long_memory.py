"""The adding problem: which network remembers for T steps, and why the gate's bias decides it.

What you learn: "the LSTM remembers" is not the whole story. Its forget gate keeps the share
sigmoid(b) of the state a step: at b = 1 a third is left after three steps, and of the gradient no
more. A bias chosen for the length of the task makes the same network solve it:

    time constant   tau = -1 / ln sigmoid(b)      b = 1: 3 steps    b = 4: 55 steps

Two marked numbers in a sequence of T have to be added at its end (experiments/adding.py). Three
cells, three biases, three seeds, one recipe: 32 units, orthogonal recurrent matrices, Adam, norm of
the gradient at most 1. A training stops when it has solved the task on held-out sequences; its
error is that on fresh ones. Always answering 1 gives 0.167. The RNN, which has no gate, gets two
learning rates.

    python chapter_06_rnn_lstm_seq/exp_long_memory.py                    T = 50, 3 minutes
    python chapter_06_rnn_lstm_seq/exp_long_memory.py --seeds 1          the same in one
    python chapter_06_rnn_lstm_seq/exp_long_memory.py --length 200       half an hour on one core
    python chapter_06_rnn_lstm_seq/exp_long_memory.py --resume RUN_FOLDER

Papers: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba &
Sutskever 2015; Tallec & Ollivier 2018.
"""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from typing import Any

from chapter_06_rnn_lstm_seq.experiments.adding import CELLS, Bias, Setting, train_one
from chapter_06_rnn_lstm_seq.experiments.tables.long_memory import NAMES, collect, tables
from chapter_06_rnn_lstm_seq.figures.long_memory import figure
from utils import cli
from utils.run import Run

RATE = 0.005
RNN_RATES = (0.001, 0.005)  # the cell that fails gets a second chance
QUICK = {"length": 20, "steps": 500, "seeds": 1, "biases": ["chrono"]}


def bias_word(text: str) -> str:
    """A number, two with a stroke, or "chrono": kept as typed, for names and tables."""
    try:
        known = text == "chrono" or all(map(math.isfinite, map(float, text.split("/", 1))))
    except ValueError:
        known = False
    if not known:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor chrono")
    return text


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/exp_long_memory.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --length 200 --cells lstm --biases 0 2 6"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("task and training")
    add = group.add_argument
    add("--length", type=cli.int_from(2), default=50, help="steps T of a sequence")
    add("--cells", nargs="+", choices=[*CELLS], default=[*CELLS], help="networks")
    help_text = (
        "of the gate that keeps the state: numbers, 4/-4 (LSTM: -4 for its input gate), or chrono"
    )
    add("--biases", nargs="+", type=bias_word, default=["1", "4", "chrono"], help=help_text)
    add("--steps", type=cli.positive_int, default=1500, help="of a training that does not solve it")
    add("--seeds", type=cli.positive_int, default=3, help="trainings of each row")
    cli.add_resume_option(group, free=["cells", "biases", "seeds"])
    return parser


def variants(args: argparse.Namespace) -> dict[str, tuple[str, Bias, float]]:
    """Name of a row -> (cell, bias, learning rate)."""
    rows: dict[str, tuple[str, Bias, float]] = {}
    for cell in args.cells:
        if cell == "rnn":
            rows |= {f"rnn_{rate:g}": (cell, None, rate) for rate in RNN_RATES}
        else:
            known = [b for b in args.biases if cell == "lstm" or "/" not in b]
            rows |= {f"{cell}_{bias}": (cell, bias, RATE) for bias in known}
    return rows


def experiment(args: argparse.Namespace, run: Run) -> None:
    if run.quick:
        vars(args).update(QUICK)
    setting = Setting(args.length, steps=args.steps)
    results: dict[str, list[dict[str, Any]]] = {}
    for key, (cell, bias, rate) in cli.progress(variants(args).items(), "adding problem"):
        results[key] = []
        for seed in range(args.seed, args.seed + args.seeds):
            work = partial(train_one, cell, bias, rate, seed, setting)
            facts = {"cell": cell, "bias": bias, "rate": rate, "seed": seed}
            results[key].append(run.once(work, dataset=f"adding {args.length}", **facts))
    report(args, run, results)


def report(args: argparse.Namespace, run: Run, results: dict[str, list[dict[str, Any]]]) -> None:
    name, metrics = f"long_memory_{args.length}", collect(results, args.length)
    seeds = range(args.seed, args.seed + args.seeds)
    run.save_result(name, metrics, tables(metrics), seeds)
    run.save_figure(figure(metrics), name)
    shown = {f"always answering 1, T = {args.length}": metrics["baseline"]}
    for row in metrics["rows"].values():
        words = f"bias {row['bias']}" if row["bias"] is not None else f"rate {row['rate']:g}"
        shown[f"{NAMES[row['cell']]}, {words}"] = row["mse_mean"]
    run.finish(shown, "python chapter_06_rnn_lstm_seq/exp_gradient_flow.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
