"""Is attention an explanation? The evidence both ways, on a translator of number lists.

What you learn: a map of weights is a fact about the network, but not the answer to "which word made
it write this". The script changes the weights and the words, and looks at the output:

    other weights       permuted, all alike, without the largest; chosen by an adversary
    a word deleted      the one looked at most, beside a random one, the one of the largest
                        gradient, the one at the same place of the line, the one that matters most
    the states          how much of a state comes from its neighbours
    frozen weights      the control: small networks trained alike, with uniform weights and without;
                        the other measures are repeated on them

    python chapter_07_attention_mechanism/exp_explanation.py              the shipped network
    python chapter_07_attention_mechanism/exp_explanation.py --control_seeds 3
    python chapter_07_attention_mechanism/exp_explanation.py --control_epochs 0     nothing trained

Expected: explanation.json, explanation.png. Papers: Jain and Wallace 2019, Wiegreffe and Pinter
2019, Serrano and Smith 2019.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chapter_07_attention_mechanism.experiments.explanation import measure
from chapter_07_attention_mechanism.experiments.explanation_tables import collect, tables
from chapter_07_attention_mechanism.experiments.number_lines import (
    Lines,
    load_number_translator,
    some_lines,
)
from chapter_07_attention_mechanism.experiments.small import (
    measure_control,
    small_task,
    train_one,
)
from chapter_07_attention_mechanism.figures.explanation import explanation_figure
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils import cli
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "translation_numbers.pth"
QUICK_LINES = 6
LENGTHS = range(1, 5)  # numbers in the lines that are asked about


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/exp_explanation.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --control_seeds 3"])
    group = parser.add_argument_group("measurement")
    words = "checkpoints of train_translation.py --attention additive (default: the shipped one)"
    group.add_argument("--weights", type=cli.path, nargs="+", help=words)
    words = "test lines of each length, one to four numbers"
    group.add_argument("--lines", type=cli.positive_int, default=50, help=words)
    group = parser.add_argument_group("the control: a network trained with frozen weights")
    words = "passes of its small training, 0: no control"
    group.add_argument("--control_epochs", type=cli.non_negative_int, default=3, help=words)
    words = "small networks with learned and with frozen weights, each"
    group.add_argument("--control_seeds", type=cli.positive_int, default=1, help=words)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.lines, args.control_epochs = min(args.lines, QUICK_LINES), 0
    shipped = []
    for number, path in enumerate(args.weights or [SHIPPED], 1):
        model, task, _ = load_number_translator(path, "additive")
        lines = some_lines(task, "test", args.lines, LENGTHS)
        shipped.append(measured(model, lines, args.seed, f"network {number}"))
    small, control = train_small(args) if args.control_epochs else ([], None)
    report(args, run, shipped, small, control)


def measured(model: Seq2SeqAttention, lines: Lines, seed: int, label: str) -> dict[str, float]:
    return measure(model, lines, seed, lambda work: cli.progress(work, label))


def train_small(args: argparse.Namespace) -> tuple[list[dict[str, float]], dict]:
    """The same measures of small networks; right lines with learned and with frozen weights."""
    task, seeds = small_task(), range(args.seed, args.seed + args.control_seeds)
    networks = {
        kind: [train_one(task, kind, seed, args.control_epochs) for seed in seeds]
        for kind in ("additive", "uniform")
    }
    lines = some_lines(task, "test", args.lines, range(2, 4))
    small = [measured(model, lines, args.seed, "small network") for model in networks["additive"]]
    return small, measure_control(task, networks)


def report(
    args: argparse.Namespace, run: Run, shipped: list[dict], small: list[dict], control: dict | None
) -> None:
    metrics = {"shipped": collect(shipped)}
    metrics |= {"small": collect(small), "control": control} if small else {}
    seeds = range(args.seed, args.seed + max(1, len(small)))
    run.save_result("explanation", metrics, tables(shipped, small, control), seeds)
    run.save_figure(explanation_figure(metrics), "explanation")
    found = metrics["shipped"]
    shown = {
        "weights permuted: change": found["changes"]["permuted"]["change"][0],
        "word looked at most deleted: change": found["changes"]["looked"]["change"][0],
        "random word deleted: change": found["changes"]["random"]["change"][0],
        "an adversary looks elsewhere (%)": found["adversary_elsewhere_percent"][0],
    }
    run.finish(shown, "python chapter_07_attention_mechanism/exp_heads.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
