"""Is attention an explanation? The evidence both ways, on a translator of number lists.

What you learn: a map of weights is a fact about the network, but not the answer to "which word made
it write this". The script changes the weights and the words, and looks at the output:

    other weights       permuted, all alike, without the largest; chosen by an adversary
    a word deleted      the one looked at most, beside a random one, the one of the largest
                        gradient, the one at the same place of the line, the one that matters most
    the states          how much of a state comes from its neighbours
    frozen weights      the control: two networks trained alike, one with uniform weights

    python chapter_07_attention_mechanism/exp_explanation.py              the shipped network
    python chapter_07_attention_mechanism/exp_explanation.py --weights a.pth b.pth c.pth
    python chapter_07_attention_mechanism/exp_explanation.py --control_epochs 0     nothing trained

Expected: explanation.json, explanation.png. Papers: Jain and Wallace 2019, Wiegreffe and Pinter
2019, Serrano and Smith 2019.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chapter_07_attention_mechanism.experiments.explanation import collect, measure, tables
from chapter_07_attention_mechanism.experiments.frozen import measure_control
from chapter_07_attention_mechanism.experiments.number_lines import (
    load_number_translator,
    some_lines,
)
from chapter_07_attention_mechanism.figures.explanation import explanation_figure
from utils import cli
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "translation_numbers.pth"
QUICK_LINES = 6
LENGTHS = range(1, 5)  # numbers in the lines that are asked about


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/exp_explanation.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --weights a.pth b.pth c.pth"])
    group = parser.add_argument_group("measurement")
    words = "checkpoints of train_translation.py --attention additive (default: the shipped one)"
    group.add_argument("--weights", type=cli.path, nargs="+", help=words)
    words = "test lines of each length, one to four numbers"
    group.add_argument("--lines", type=cli.positive_int, default=50, help=words)
    group = parser.add_argument_group("the control: a network trained with frozen weights")
    words = "passes of its small training, 0: no control"
    group.add_argument("--control_epochs", type=cli.non_negative_int, default=3, help=words)
    words = "trainings with frozen and with learned weights, each"
    group.add_argument("--control_seeds", type=cli.positive_int, default=1, help=words)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.lines, args.control_epochs = min(args.lines, QUICK_LINES), 0
    found = []
    for number, path in enumerate(args.weights or [SHIPPED], 1):
        model, task, _ = load_number_translator(path, "additive")
        lines = some_lines(task, "test", args.lines, LENGTHS)
        label = f"network {number}"
        found.append(measure(model, lines, args.seed, lambda work, w=label: cli.progress(work, w)))
    control = None
    if args.control_epochs:
        seeds = range(args.seed, args.seed + args.control_seeds)
        control = measure_control(seeds, args.control_epochs)
    report(args, run, found, control)


def report(args: argparse.Namespace, run: Run, found: list[dict], control: dict | None) -> None:
    metrics = collect(found, control)
    run.save_result("explanation", metrics, tables(found, metrics), [args.seed])
    run.save_figure(explanation_figure(metrics), "explanation")
    shown = {
        "weights permuted: change": metrics["changes"]["permuted"]["change"][0],
        "word looked at most deleted: change": metrics["changes"]["looked"]["change"][0],
        "random word deleted: change": metrics["changes"]["random"]["change"][0],
        "an adversary looks elsewhere (%)": metrics["adversary_elsewhere_percent"][0],
    }
    run.finish(shown, "python chapter_07_attention_mechanism/exp_heads.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
