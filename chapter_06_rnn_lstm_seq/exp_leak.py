"""A text cut at random flatters the model: how much, in bits per character.

What you learn: neighbouring characters belong together, so a validation part must be one piece of
the text. Three ways to cut the same text:

    contiguous            one piece of a tenth is held out
    windows               pieces of 128 characters, shuffled, a tenth held out
    overlapping windows   the same, each piece beginning in the middle of the last one

Each gives a number on its own validation part: the claim. A tenth of the text that none of this has
touched gives the true number. A split leaks if its claim is better than the truth. Paragraphs that
the text repeats are left out first: they leak in any split.

    python chapter_06_rnn_lstm_seq/exp_leak.py                    half a minute: a 5-gram model
    python chapter_06_rnn_lstm_seq/exp_leak.py --lstm_runs 3      some minutes more: an LSTM too,
        on the first 33,000 characters; the epoch with the best claim is kept
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from chapter_06_rnn_lstm_seq.experiments.leak import (
    LSTM_CHARACTERS,
    STRIDES,
    collect,
    each_paragraph_once,
    measure,
    name_of,
    tables,
)
from chapter_06_rnn_lstm_seq.figures.leak import leak_figure
from chapter_06_rnn_lstm_seq.tokenizer import CharTokenizer
from utils import cli
from utils.datasets.text import TextData, load_text
from utils.errors import UserError
from utils.run import Run

QUICK_RUNS = 2
LEAST = 20_000  # characters


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/exp_leak.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --dataset tiny_shakespeare"])
    group = parser.add_argument_group("measurement")
    help_text = "topics, tiny_shakespeare, english_novels, names, or a UTF-8 file"
    group.add_argument("--dataset", default="topics", help=help_text)
    group.add_argument("--runs", type=cli.positive_int, default=10, help="cuts of each kind")
    help_text = "cuts of each kind for an LSTM too, one minute or two each"
    group.add_argument("--lstm_runs", type=cli.non_negative_int, default=0, help=help_text)
    return parser


def load_data(args: argparse.Namespace) -> tuple[TextData, np.ndarray]:
    """The text, and all of it as token ids (n,). UserError: too short to be cut."""
    data = load_text(args.dataset, args.data_dir)
    text = each_paragraph_once(data.train + data.val)
    if len(text) < LEAST:
        raise UserError(f"{data.name} has {len(text):,} characters; the cuts need {LEAST:,}.")
    return data, np.array(CharTokenizer.train(text).encode(text))


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.runs, args.lstm_runs = QUICK_RUNS, 0
    data, ids = load_data(args)
    shown = cli.progress(range(args.runs), "5-gram")
    found = measure(ids, "5-gram", args.runs, args.seed, shown)
    if args.lstm_runs:
        shown = cli.progress(range(args.lstm_runs), "LSTM")
        found += measure(ids[:LSTM_CHARACTERS], "LSTM", args.lstm_runs, args.seed, shown)
    metrics = collect(found) | {"text": {"name": data.name, **data.notes}}
    report(args, found, metrics, run)


def report(args: argparse.Namespace, found: list[dict], metrics: dict, run: Run) -> None:
    models = dict.fromkeys(row["model"] for row in found)
    seeds = range(args.seed, args.seed + args.runs)
    run.save_result("leak", metrics, tables(metrics, models), seeds)
    run.save_figure(leak_figure(found), "leak")
    shown = {
        f"{model}, {kind}, {name}": metrics[name_of(model)][name_of(kind)][f"{name}_mean"]
        for model in models
        for kind in STRIDES
        for name in ("claimed", "true")
    }
    run.finish(shown, "python chapter_06_rnn_lstm_seq/train_language_model.py --quick")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
