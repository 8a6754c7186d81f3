"""Which size is best for the same minutes? Short trainings, judged inside the training text.

    rows = compare(args, run, task, [parse("lstm/128/0/0.01"), parse("lstm/256/0/0.01")])

A small network reads the text many times in its minutes, a large one a few times. Which is better
depends on the minutes, so it is tried; on the training part cut again (`--inner`), because the
validation part must not choose what it is to judge.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import Any

from chapter_06_rnn_lstm_seq.experiments import language_models as lm
from chapter_06_rnn_lstm_seq.language_model import CELLS
from utils.model_summary import parameter_count
from utils.results import table
from utils.run import Run


@dataclass(frozen=True)
class Size:
    """What is tried: a cell, its units, dropout, the highest learning rate."""

    cell: str
    hidden_size: int
    dropout: float
    lr: float

    @property
    def key(self) -> str:
        """A name for folders and results."""
        return f"{self.cell}_{self.hidden_size}_{self.dropout:g}_{self.lr:g}"


def parse(text: str) -> Size:
    """A Size from `cell/units/dropout/rate`; argparse.ArgumentTypeError for anything else."""
    try:
        cell, units, dropout, rate = text.split("/")
        size = Size(cell, int(units), float(dropout), float(rate))
        if cell in CELLS and size.hidden_size > 0 and 0 <= size.dropout < 1 and size.lr > 0:
            return size
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is not cell/units/dropout/rate, such as lstm/256/0.2/0.01"
    )


def size_word(text: str) -> str:
    """A type for argparse: checked, and kept as typed."""
    parse(text)
    return text


def compare(
    args: argparse.Namespace, run: Run, task: lm.Task, sizes: list[Size]
) -> list[dict[str, Any]]:
    """A training each, one after the other, with as many epochs as fit into `--minutes`."""
    rows = []
    for size in sizes:
        one = argparse.Namespace(**vars(args) | asdict(size))
        folder = run.folder / size.key
        folder.mkdir(exist_ok=True)
        planned = lm.plan(one, folder, task)
        model, history = lm.train_one(one, run, task, planned["epochs"], args.seed, folder)
        facts = asdict(size) | planned | {"parameters": parameter_count(model)}
        rows.append(lm.measure(model, history, task) | facts)
    return rows


def tables(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A row a training; the best of each cell is marked by a word, not by colour."""
    columns = [
        ("Cell", "单元", "s"),
        ("Units", "单元数", "d"),
        ("Dropout", "丢弃率", "g"),
        ("Parameters", "参数量", ",d"),
        ("Epochs", "轮数", "d"),
        ("Nats per character", "每字符奈特数", ".3f"),
        ("Best of its cell", "同类最佳", "s"),
    ]
    best = {
        cell: min((row for row in rows if row["cell"] == cell), key=lambda row: row["nats"])
        for cell in {row["cell"] for row in rows}
    }
    cells = [
        [
            lm.CELL_NAMES[row["cell"]],
            *(row[key] for key in ("hidden_size", "dropout", "parameters", "epochs", "nats")),
            {"en": "yes", "zh": "是"} if row is best[row["cell"]] else "",
        ]
        for row in rows
    ]
    return {"main": table(columns, cells)}
