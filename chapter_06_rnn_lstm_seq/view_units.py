"""Look into an LSTM: a page that colours a text by what one unit does, with its gates.

What you learn: some units of a trained character model follow something a reader can name, such as
"inside brackets" or "how far into the line"; most do not. The page (one HTML file, no network)
shows any unit on any character, and ranks units by their correlation with simple properties,
beside the best units of networks that were never trained: the control.

    python chapter_06_rnn_lstm_seq/view_units.py                          the shipped model, 20 s
    python chapter_06_rnn_lstm_seq/view_units.py --lang zh --start 3000
    python chapter_06_rnn_lstm_seq/view_units.py --text 'if x: print("hello (world)")'
    python chapter_06_rnn_lstm_seq/view_units.py --weights outputs/.../topics_lstm.pth

Expected: units.html in the run folder; open it with a browser. Paper: Karpathy, Johnson, Li 2015.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from chapter_06_rnn_lstm_seq.experiments.language_models import load_model
from chapter_06_rnn_lstm_seq.experiments.units import (
    collect,
    measure,
    read_units,
    tables,
    untrained_like,
)
from chapter_06_rnn_lstm_seq.figures.units_page import unit_figure, units_page
from chapter_06_rnn_lstm_seq.language_model import LanguageModel
from chapter_06_rnn_lstm_seq.tokenizer import CharTokenizer, Tokenizer
from utils import cli
from utils.datasets.text import load_text
from utils.errors import UserError
from utils.file_io_util import atomic_write
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "topics_lstm.pth"
QUICK_CHARACTERS = 3_000
MOST_CHARACTERS = 5_000  # shown on the page


@dataclass(frozen=True)
class Task:
    """A model, the text to measure it on, and the part (or other text) to show."""

    model: LanguageModel
    tokenizer: Tokenizer
    architecture: dict
    name: str
    measured: str
    shown: str


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/view_units.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --lang zh --start 3000"])
    group = parser.add_argument_group("model and text")
    words = "a checkpoint of an LSTM that train_language_model.py wrote (default: the shipped one)"
    group.add_argument("--weights", type=cli.path, help=words)
    words = "the text whose validation part is read (default: that of the checkpoint)"
    group.add_argument("--dataset", help=words)
    group.add_argument("--text", help="show this text instead")
    words = "character of the validation part where the shown text begins"
    group.add_argument("--start", type=cli.non_negative_int, default=0, help=words)
    words = "characters shown"
    most = cli.int_from(1, MOST_CHARACTERS)
    group.add_argument("--length", type=most, default=1500, help=words)
    group = parser.add_argument_group("measurement")
    words = "characters of the validation part for the correlations"
    group.add_argument("--characters", type=cli.int_from(200), default=10_000, help=words)
    words = "networks that were never trained, for the control"
    group.add_argument("--untrained", type=cli.positive_int, default=3, help=words)
    parser.add_argument("--lang", choices=["en", "zh"], default="en", help="language of the page")
    return parser


def load_data(args: argparse.Namespace) -> Task:
    """UserError: another cell than an LSTM, other tokens than characters, no text left to show."""
    model, tokenizer, checkpoint = load_model(args.weights or SHIPPED)
    cell = checkpoint["architecture"].get("cell", "lstm")
    if cell != "lstm":
        raise UserError(f"{args.weights} has a {cell}; the page shows the gates of an lstm.")
    if not isinstance(tokenizer, CharTokenizer):
        raise UserError(f"{args.weights} reads {tokenizer.kind}; the page shows single characters.")
    name = args.dataset or checkpoint["dataset"]
    val = load_text(name, args.data_dir).val
    shown = val[args.start : args.start + args.length] if args.text is None else args.text
    if not shown:
        raise UserError(
            f"there is no text to show: --text is empty, or --start {args.start} lies behind the "
            f"{len(val):,} characters of the validation part."
        )
    if len(shown) > MOST_CHARACTERS:
        raise UserError(
            f"--text has {len(shown):,} characters; the page shows {MOST_CHARACTERS:,}."
        )
    measured = val[: args.characters]
    return Task(model, tokenizer, checkpoint["architecture"], name, measured, shown)


def read(task: Task, text: str, model: LanguageModel | None = None) -> dict[str, np.ndarray]:
    """Gates, cell and output of each unit at each character; each (T, H)."""
    return read_units(model or task.model, torch.tensor(task.tokenizer.encode(text)))


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.characters, args.untrained = min(args.characters, QUICK_CHARACTERS), 1
    task = load_data(args)
    gates = read(task, task.shown)
    cells = read(task, task.measured)["c"]
    others = [untrained_like(task.architecture, args.seed + n) for n in range(args.untrained)]
    untrained = [read(task, task.measured, other)["c"] for other in others]
    rows = measure(cells, untrained, task.measured)
    report(args, run, task, gates, rows)


def report(args: argparse.Namespace, run: Run, task: Task, gates: dict, rows: list[dict]) -> None:
    seeds = range(args.seed, args.seed + args.untrained)
    run.save_result("view_units", collect(rows), tables(rows), seeds)
    page = run.folder / "units.html"
    with atomic_write(page) as file:
        file.write(units_page(task.shown, gates, rows, args.lang, task.name))
    unit = rows[0]["unit"] if rows else 0
    what = f"follows “{rows[0]['property']}”" if rows else "of the first layer"
    title = f"unit {unit}, which {what}; {task.name}"
    run.save_figure(unit_figure(task.shown, gates["c"][:, unit], title), "view_units")
    print(f"open {page.resolve().as_uri()} in a browser")
    found = {f"{row['property']}, unit {row['unit']}": row["r"] for row in rows}
    run.finish(found, 'python chapter_06_rnn_lstm_seq/view_units.py --text "a (bracket) here"')


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
