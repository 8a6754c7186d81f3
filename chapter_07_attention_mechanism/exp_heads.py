"""What does each head do, and how many are needed? A trained translator without its heads.

What you learn: how much one head matters can be measured by taking it away, from a network that was
trained with it. The controls: a removed head that says its mean instead of nothing, a random order
of removal beside "the least important first".

    python chapter_07_attention_mechanism/exp_heads.py                     the shipped network
    python chapter_07_attention_mechanism/exp_heads.py --trainings 3       and three small ones
    python chapter_07_attention_mechanism/exp_heads.py --weights a.pth b.pth c.pth

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
from chapter_07_attention_mechanism.experiments.small import lines_of, small_task, train_one
from chapter_07_attention_mechanism.figures.heads import heads_removed_figure
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils import cli
from utils.errors import UserError
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "translation_numbers_multihead.pth"
QUICK_LINES = 12
EPOCHS = 8  # of a small network: 700 steps
MOST_HEADS = 6  # all subsets are measured: 64 of 6 heads


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/exp_heads.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --trainings 3"])
    group = parser.add_argument_group("measurement")
    words = "checkpoints of train_translation.py --attention multihead (default: the shipped one)"
    group.add_argument("--weights", type=cli.path, nargs="+", help=words)
    words = "lines of each length, of the test part and of the validation part"
    group.add_argument("--lines", type=cli.positive_int, default=100, help=words)
    words = "small networks that are trained and asked too, half a minute each; 0: none"
    group.add_argument("--trainings", type=cli.non_negative_int, default=0, help=words)
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
        args.lines, args.trainings = min(args.lines, QUICK_LINES), 0
    shipped = []
    for number, path in enumerate(args.weights or [SHIPPED], 1):
        shipped.append(measured(*load_data(path, args.lines), f"network {number}"))
    report(args, run, shipped, train_small(args))


def measured(model: Seq2SeqAttention, val: Lines, test: Lines, label: str) -> dict:
    return measure(model, val, test, lambda work: cli.progress(work, label))


def train_small(args: argparse.Namespace) -> list[dict]:
    """The same measures of small networks with four heads."""
    seeds = range(args.seed, args.seed + args.trainings)
    if not seeds:
        return []
    task = small_task()
    parts = [lines_of(task, part) for part in ("val", "test")]
    return [
        measured(train_one(task, "multihead", seed, EPOCHS), *parts, f"small network, seed {seed}")
        for seed in seeds
    ]


def report(args: argparse.Namespace, run: Run, shipped: list[dict], small: list[dict]) -> None:
    metrics = {"shipped": collect(shipped)} | ({"small": collect(small)} if small else {})
    found = tables(metrics["shipped"])
    if small:
        found |= {f"small_{name}": rows for name, rows in tables(metrics["small"]).items()}
    seeds = range(args.seed, args.seed + max(1, len(small)))
    run.save_result("heads", metrics, found, seeds)
    run.save_figure(heads_removed_figure(metrics["shipped"]), "heads")
    shown = {"lines right (%)": metrics["shipped"]["all_heads"][0]}
    for number, row in enumerate(metrics["shipped"]["heads"], 1):
        shown[f"without the head of rank {number} (%)"] = row["without_zero"][0]
    run.finish(shown, "python chapter_07_attention_mechanism/view_attention.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
