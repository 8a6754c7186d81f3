"""What does each head do, and how many are needed? A trained translator without its heads.

What you learn: how much one head matters can be measured by taking it away, from a network that was
trained with it. The controls: a removed head that says its mean instead of nothing, a random order
of removal beside "the least important first".

    python chapter_07_attention_mechanism/exp_heads.py                     the shipped network
    python chapter_07_attention_mechanism/exp_heads.py --weights a.pth b.pth c.pth
        several trainings of one network: means and deviations

Expected: heads.json, heads.png. Papers: Michel et al. 2019, Voita et al. 2019.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chapter_07_attention_mechanism.experiments.heads import (
    attention_of,
    collect,
    measure,
    tables,
)
from chapter_07_attention_mechanism.experiments.number_lines import (
    Lines,
    load_number_translator,
    some_lines,
)
from chapter_07_attention_mechanism.figures.heads import heads_removed_figure
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils import cli
from utils.errors import UserError
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "translation_numbers_multihead.pth"
QUICK_LINES = 12
MOST_HEADS = 6  # all subsets are measured: 64 of 6 heads


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/exp_heads.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --weights a.pth b.pth c.pth"])
    group = parser.add_argument_group("measurement")
    words = "checkpoints of train_translation.py --attention multihead (default: the shipped one)"
    group.add_argument("--weights", type=cli.path, nargs="+", help=words)
    words = "lines of each length, of the test part and of the validation part"
    group.add_argument("--lines", type=cli.positive_int, default=100, help=words)
    return parser


def load_data(path: str | Path, per_length: int) -> tuple[Seq2SeqAttention, Lines, Lines]:
    """A network, lines to order its heads by, and lines to measure on, as long as in training."""
    model, task, checkpoint = load_number_translator(path, "multihead")
    if attention_of(model).num_heads > MOST_HEADS:
        raise UserError(
            f"{path} has {attention_of(model).num_heads} heads; all subsets are measured, "
            f"so at most {MOST_HEADS} can be."
        )
    lengths = range(1, checkpoint["options"]["most"] + 1)
    parts = [some_lines(task, part, per_length, lengths) for part in ("val", "test")]
    return model, *parts


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.lines = min(args.lines, QUICK_LINES)
    found = []
    for number, path in enumerate(args.weights or [SHIPPED], 1):
        model, val, test = load_data(path, args.lines)
        label = f"network {number}"
        found.append(measure(model, val, test, lambda work, w=label: cli.progress(work, w)))
    report(args, run, found)


def report(args: argparse.Namespace, run: Run, found: list[dict]) -> None:
    metrics = collect(found)
    run.save_result("heads", metrics, tables(metrics), [args.seed])
    run.save_figure(heads_removed_figure(metrics), "heads")
    shown = {"lines right (%)": metrics["all_heads"][0]}
    for number, row in enumerate(metrics["heads"], 1):
        shown[f"without the head of rank {number} (%)"] = row["without_zero"][0]
    run.finish(shown, "python chapter_07_attention_mechanism/view_attention.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
