"""The data of a run of train_translation.py, and networks from their checkpoints."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from chapter_06_rnn_lstm_seq.experiments.translation import (
    Task,
    check_source,
    load_task,
    load_translator,
)
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils.datasets.number_words import NumberLists, load_number_lists
from utils.errors import UserError

TASK = "translation with attention"
LONGER = 2  # numbers more in a tested line than in any line of the training
MOST_TOKENS = 1_000  # of a text: the weights are a table of its length times the translation's


def load_data(args: argparse.Namespace) -> Task:
    """Byte-pair tokens, joint for both languages. Lists: the tested ones are longer, too."""
    options: dict[str, Any] = {"limit": 1000 if args.quick else None}
    if args.dataset == "numbers":
        options = {"most": args.most, "train": args.lines, **lists(args.quick)}
    task = load_task(args.dataset, args.source, args.target, "bpe", args.data_dir, **options)
    return with_longer_lists(task, args.most, args.quick) if args.dataset == "numbers" else task


def lists(quick: bool) -> dict[str, int]:
    """How large the numbers are, and how many lines are held out."""
    return {"below": 1000, "held_out": 240} if quick else {}


def with_longer_lists(task: Task, most: int, quick: bool = False) -> Task:
    """The test part has lists of 1 to most + LONGER numbers. Its numbers are in no other part."""
    source, target = task.data.notes["languages"].split("-")
    longer = load_number_lists(source, target, most=most + LONGER, train=10, **lists(quick))
    counts = replace(task.data.counts, test=longer.counts.test)
    return replace(task, data=replace(task.data, test=longer.test, counts=counts))


def load_looking(path: str | Path) -> tuple[Seq2SeqAttention, Task, dict[str, Any]]:
    """The network of a checkpoint of train_translation.py, its tokenizers, and all of it."""
    return load_translator(path, Seq2SeqAttention, TASK)


def shipped_task(task: Task, checkpoint: dict[str, Any]) -> Task:
    """The test part of a checkpoint's number lists."""
    source, target = checkpoint["languages"].split("-")
    options = checkpoint["options"]
    data: NumberLists = load_number_lists(source, target, train=10, **lists(options["quick"]))
    return with_longer_lists(replace(task, data=data), options["most"], options["quick"])


def check_text(task: Task, text: str) -> int:
    """The text's tokens; UserError for an empty one, and for one too long for a map."""
    check_source(task.source, text.strip())
    count = len(task.source.encode(text))
    if count > MOST_TOKENS:
        raise UserError(
            f"the text has {count} tokens, more than the {MOST_TOKENS} for which a map of weights "
            "is made; translate it in parts."
        )
    return count
