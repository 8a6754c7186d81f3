"""The tasks of finetune_bert.py: a sentence, or two, and a class; and how a BERT reads them.

A batch is (ids (B, T), lengths (B,), starts (B,), labels (B,)). `lengths` tells what is padding,
`starts` where the second text begins (at the end, where there is none): segments follow from it.
So chapter 6's batches by length take them as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.experiments.batching import padded
from chapter_06_rnn_lstm_seq.experiments.sentiment import shortened
from chapter_08_transformer_vanilla.wordpiece import WordPiece, split_words
from utils.datasets.number_pairs import load_number_pairs
from utils.datasets.sentence_pairs import LabelledPairs, load_sick, load_tsv
from utils.datasets.sentences import Labelled, SentenceData, load_sentences
from utils.errors import MissingDataError

Parts = tuple[Tensor, Tensor, Tensor, Tensor]
TASKS = ("pairs", "rt_polarity", "sst2", "trec", "sick")
# For --quick: smaller numbers; texts to train on, and to test on, with pretrained weights.
QUICK_PAIRS = {"below": 1_000, "train": 12_000, "held_out": 900}
QUICK_TEXTS = (400, 150)


def load_task(
    name: str, file: str | None = None, data_dir: str | None = None, quick: bool = False
) -> SentenceData:
    """A task by name, or from a tab-separated file. MissingDataError names `pairs`, embedded."""
    load: Callable[[], SentenceData] = {
        "pairs": lambda: load_number_pairs(**QUICK_PAIRS if quick else {}),
        "sick": lambda: load_sick(data_dir),
    }.get(name, lambda: load_sentences(name, data_dir))
    try:
        return load_tsv(Path(file)) if file else load()
    except MissingDataError as error:
        raise MissingDataError(error.sentence, (*error.alternatives, "pairs")) from None


def for_a_look(data: SentenceData) -> SentenceData:
    """The task with small parts, for --quick with a large network."""
    train, others = QUICK_TEXTS
    few = {
        name: part.take(np.arange(0, len(part), max(1, len(part) // others)))
        for name, part in (("val", data.val), ("test", data.test))
    }
    # its notes differ from the whole task's: no published number belongs beside it
    return dataclasses.replace(shortened(data, train), notes=data.notes | {"quick": True}, **few)


def lines_of(data: SentenceData) -> list[str]:
    """Every text of the training part, to learn a vocabulary from."""
    return [*data.train.texts, *(seconds_of(data.train) or ())]


def seconds_of(part: Labelled) -> list[str] | None:
    """The second sentences of pairs; None where there is one sentence."""
    return part.seconds if isinstance(part, LabelledPairs) else None


def encoded(part: Labelled, tokenizer: WordPiece, longest: int) -> tuple[Parts, int]:
    """-> (the part as tensors, how many of its texts were cut to `longest` tokens)."""
    rows, starts, cut = [], [], 0
    for text, second in zip(part.texts, seconds_of(part) or [None] * len(part), strict=True):
        ids, segments = tokenizer.encode(text, second)
        if len(ids) > longest:
            ids, segments = tokenizer.encode(text, second, longest)
            cut += 1
        rows.append(ids)
        starts.append(len(ids) - sum(segments))
    return (*padded(rows), torch.tensor(starts), torch.from_numpy(part.labels)), cut


def side(data: SentenceData, name: str) -> SentenceData:
    """One sentence of every pair alone: name "texts" or "seconds"."""
    parts = {
        part: Labelled(getattr(getattr(data, part), name), getattr(data, part).labels)
        for part in ("train", "val", "test")
    }
    return dataclasses.replace(data, **parts)


def marked(data: SentenceData) -> SentenceData:
    """Both sentences of every pair as one text; a word of the second is another than one of the
    first: "a:dog b:dog". For classifiers that count words.
    """

    def joined(first: str, second: str) -> str:
        words = [f"a:{word}" for word in split_words(first)]
        return " ".join([*words, *(f"b:{word}" for word in split_words(second))])

    parts = {}
    for name in ("train", "val", "test"):
        part = getattr(data, name)
        texts = [joined(*pair) for pair in zip(part.texts, part.seconds, strict=True)]
        parts[name] = Labelled(texts, part.labels)
    return dataclasses.replace(data, **parts)
