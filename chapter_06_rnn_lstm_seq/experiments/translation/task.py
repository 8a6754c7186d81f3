"""Translation tasks: from pairs of lines to batches of ids, and from ids to the lines written.

    task = load_task("numbers")                      # or "multi30k", from --data_dir
    train = PairBatches(*task.encoded(task.data.train), batch_size=64, shuffle=True)
    written = translate(model, task, [source for source, _ in task.data.test])

Number lists are cut into words: English and French write every number with some thirty words, so a
new number has no new word, and every step of the decoder is a decision about a word. (German
writes one long word a number: nearly all of the test's would be unknown; `tokens="bpe"` cuts it.)
Multi30k takes one byte-pair encoding for both languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq import tokenizer as tokenizers
from chapter_06_rnn_lstm_seq.experiments.batching import ByLength, padded
from chapter_06_rnn_lstm_seq.seq2seq import Seq2Seq
from chapter_06_rnn_lstm_seq.tokenizer import BOS, EOS, SPECIALS, UNK, Tokenizer
from utils.checkpoint import CheckpointError, load_checkpoint, load_state
from utils.datasets.number_words import load_number_lists
from utils.datasets.pairs import PairData, load_pairs
from utils.errors import UserError
from utils.modes import evaluating

DATASETS = ("numbers", "multi30k")
TASK = "sequence to sequence"
BPE_VOCABULARY = {"numbers": 400, "multi30k": 4_000}
MOST_WORDS = 1_000  # in number lists; a language with more writes its numbers as one word
Pairs = Sequence[tuple[str, str]]
Write = Callable[[Tensor, int, int, int], Tensor]


@dataclass(frozen=True)
class Task:
    """The tokenizers of both languages (one and the same where it is joint), and the pairs."""

    source: Tokenizer
    target: Tokenizer
    data: PairData | None = None

    @property
    def joint(self) -> bool:
        return self.source is self.target

    def encoded(self, pairs: Pairs) -> tuple[list[list[int]], list[list[int]]]:
        """Ids of each source, and of each target between <bos> and <eos>."""
        bos, eos = self.target.id_of(BOS), self.target.id_of(EOS)
        sources = [self.source.encode(source) for source, _ in pairs]
        return sources, [[bos, *self.target.encode(target), eos] for _, target in pairs]

    def state(self) -> dict[str, Any]:
        """The tokenizers as plain values, for a checkpoint; read by `load_translator`."""
        target = None if self.joint else self.target.state()
        return {"source": self.source.state(), "target": target}


def load_translator(
    path: str | Path, network: type[Seq2Seq] = Seq2Seq, kind: str = TASK
) -> tuple[Seq2Seq, Task, dict[str, Any]]:
    """The network of a checkpoint, its tokenizers, and all of it.

    CheckpointError for a missing file, and for one of another task than `kind`.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.get("task") != kind or "tokenizers" not in checkpoint:
        raise CheckpointError(
            f"{path} was trained for {checkpoint.get('task') or 'another task'}, not for {kind}; "
            "train one with the script that reads it."
        )
    model = network(**checkpoint["architecture"])
    load_state(model, checkpoint["state"], path)
    states = checkpoint["tokenizers"]
    source = tokenizers.from_state(states["source"])
    target = source if states["target"] is None else tokenizers.from_state(states["target"])
    return model, Task(source, target), checkpoint


def load_task(
    dataset: str,
    source: str = "en",
    target: str | None = None,
    tokens: str | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    **options: Any,
) -> Task:
    """dataset: numbers (into French) or multi30k (into German). tokens: words or bpe; None: words
    for the numbers, bpe for sentences. limit: sentences of each part; None: all of them.
    options: of `load_number_lists`.
    """
    if dataset == "numbers":
        data: PairData = load_number_lists(source, target or "fr", **options)
    else:
        data = load_pairs(dataset, source, target or "de", data_dir)
        parts = data.train[:limit], data.val[:limit], data.test[:limit]
        data = PairData(data.name, *parts, data.notes)
    if (tokens or {"numbers": "words"}.get(dataset, "bpe")) == "bpe":
        lines = [side for pair in data.train for side in pair]
        merges = BPE_VOCABULARY[dataset] - 256 - len(SPECIALS)
        joint = tokenizers.BPETokenizer.train(lines, merges=merges, specials=SPECIALS)
        return Task(joint, joint, data)
    return Task(*(_words(data, side, dataset) for side in (0, 1)), data)


def _words(data: PairData, side: int, dataset: str) -> Tokenizer:
    """Words of one language; UserError where the numbers of a language are one word each."""
    lines = [pair[side] for pair in data.train]
    words = tokenizers.WordTokenizer.train(lines, specials=SPECIALS, lower=dataset == "numbers")
    if dataset == "numbers" and words.vocab_size > MOST_WORDS:
        language = data.notes["languages"].split("-")[side]
        raise UserError(
            f"{language!r} writes a number as one long word ({words.vocab_size} different ones in "
            "the training part), so a new number is an unknown word; add --tokens bpe."
        )
    return words


class PairBatches(ByLength):
    """Batches (source (B, S), target (B, T)) of pairs of like length, cut to their longest rows."""

    def __init__(
        self, sources: Sequence, targets: Sequence, batch_size: int, shuffle=False, seed: int = 0
    ) -> None:
        (source, source_lengths), (target, target_lengths) = padded(sources), padded(targets)
        super().__init__(
            source,
            source_lengths + target_lengths,  # what a pair costs
            target,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
        )
        self.transform = cut


def cut(batch: tuple[Tensor, ...], _: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """(source, lengths, target) -> (source, target) without columns that are padding throughout."""
    source, _, target = batch
    return tuple(ids[:, : int((ids != 0).sum(1).max())] for ids in (source, target))


def translate(
    model: Seq2Seq,
    task: Task,
    sources: Sequence[str],
    batch_size: int = 200,
    limit: int = 100,
    write: Write | None = None,
) -> list[str]:
    """The lines that the network writes, in the order of the sources; by default greedily."""
    written: dict[int, str] = {}
    encoded = [task.source.encode(source) for source in sources]
    for rows, ids in written_ids(model, task, encoded, batch_size, limit, write):
        written |= {row: readable(task.target, line) for row, line in zip(rows, ids, strict=True)}
    return [written[row] for row in range(len(sources))]


def written_ids(
    model: Seq2Seq,
    task: Task,
    sources: list[list[int]],
    batch_size: int,
    limit: int,
    write: Write | None = None,
):
    """Batch by batch: yields (row numbers, their lists of ids without <eos>).

    write: (source (B, S), bos, eos, limit) -> ids (B, T), padding behind <eos>; None: greedy.
    """
    bos, eos = task.target.id_of(BOS), task.target.id_of(EOS)
    device = next(model.parameters()).device
    order = sorted(range(len(sources)), key=lambda row: len(sources[row]))
    with evaluating(model):
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            source = padded([sources[row] for row in rows])[0].to(device)  # (B, S)
            ids = (write or model.greedy)(source, bos, eos, limit).tolist()
            yield rows, [line[: line.index(eos)] if eos in line else line for line in ids]


def readable(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The line of these ids; words without the spaces that number words do not have."""
    line = tokenizer.decode(ids)
    if tokenizer.kind == "words":
        line = re.sub(r" ?- ?", "-", line).replace(" ,", ",")
    return line


def check_source(task_source: Tokenizer, text: str) -> None:
    """UserError for a text without a token, or with a word that the vocabulary lacks."""
    ids = task_source.encode(text)
    if not ids:
        raise UserError("the text to translate is empty; give a sentence.")
    if task_source.kind == "words" and task_source.id_of(UNK) in ids:
        words = tokenizers.split_words(text)
        unknown = words[ids.index(task_source.id_of(UNK))]
        raise UserError(
            f"the vocabulary of this network lacks the word {unknown!r}; "
            f"it has {', '.join(sorted(w for w in task_source.vocabulary if w.isalpha()))}."
        )
