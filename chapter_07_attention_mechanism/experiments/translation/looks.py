"""Where a network looked: tokens as a reader sees them, and how often units cross tens.

English says "twenty-one", German "einundzwanzig", one-and-twenty: whoever writes it must look at
the unit, the later word, before the tens. The control is in the same lines: neighbours that both
languages say in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.experiments.batching import padded
from chapter_06_rnn_lstm_seq.experiments.translation import Task, written_ids
from chapter_06_rnn_lstm_seq.tokenizer import BOS, EOS, Tokenizer
from chapter_07_attention_mechanism.alignment import argmax_path
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils.modes import evaluating

LETTER = 4  # bytes of a letter, at most
AND = "und"  # begins the tens behind a unit: ein|undzwanzig


@dataclass(frozen=True)
class Looks:
    """A source, what was written of it, and the weights between the two."""

    read: list[str]  # S tokens
    written: list[str]  # T tokens, the last one <eos>
    weights: Tensor  # (h, T, S), of one look h = 1

    @property
    def mean(self) -> Tensor:
        """The mean over the heads: (T, S)."""
        return self.weights.mean(0)


def look_at(model: Seq2SeqAttention, task: Task, sources: Sequence[str], limit: int) -> list[Looks]:
    """Each source translated greedily, and where each written token looked."""
    bos, eos = task.target.id_of(BOS), task.target.id_of(EOS)
    encoded = [task.source.encode(source) for source in sources]
    found: dict[int, Looks] = {}
    for rows, lines in written_ids(model, task, encoded, 200, limit):
        read = padded([encoded[row] for row in rows])[0]  # (B, S)
        spoken = padded([[bos, *line] for line in lines])[0]  # (B, T)
        weights = weights_of(model, read, spoken)  # (B, h, T, S)
        for row, line, table in zip(rows, lines, weights, strict=True):
            table = table[:, : len(line) + 1, : len(encoded[row])]
            found[row] = visible(task, encoded[row], [*line, eos], table)
    return [found[row] for row in range(len(sources))]


def looks_of(model: Seq2SeqAttention, task: Task, source: str, ids: list[int]) -> Looks:
    """Where each token looked when `ids` were written of one source."""
    read, bos = task.source.encode(source), task.target.id_of(BOS)
    weights = weights_of(model, torch.tensor([read]), torch.tensor([[bos, *ids]]))[0]  # (h, T, S)
    return visible(task, read, [*ids, task.target.id_of(EOS)], weights)


@torch.no_grad()
def weights_of(model: Seq2SeqAttention, source: Tensor, target: Tensor) -> Tensor:
    """`attend` with an axis of heads: (B, h, T, S)."""
    device = next(model.parameters()).device
    with evaluating(model):
        weights = model.attend(source.to(device), target.to(device)).cpu()
    return weights if weights.ndim == 4 else weights.unsqueeze(1)


def visible(task: Task, read: list[int], written: list[int], weights: Tensor) -> Looks:
    """Tokens that are parts of one letter are joined: their columns added, their rows averaged."""
    columns, rows = letters(task.source, read), letters(task.target, written)
    table = torch.stack([weights[:, :, part].sum(-1) for _, part in columns], dim=-1)
    table = torch.stack([table[:, part].mean(1) for _, part in rows], dim=1)  # (h, T, S)
    return Looks([text for text, _ in columns], [text or EOS for text, _ in rows], table)


def letters(tokenizer: Tokenizer, ids: Sequence[int]) -> list[tuple[str, slice]]:
    """Runs of ids that decode to whole letters, and where they stand; of a token mostly one.

    A byte-pair token may be one byte of two: alone it decodes to the sign for a broken letter.
    """
    found, start = [], 0
    while start < len(ids):
        ends = range(start + 1, min(start + LETTER, len(ids)) + 1)
        whole = (end for end in ends if "\ufffd" not in tokenizer.decode(ids[start:end]))
        end = next(whole, start + 1)  # a byte that belongs to no letter stays alone
        found.append((tokenizer.decode(ids[start:end]), slice(start, end)))
        start = end
    return found


def crossing_counts(looks: Sequence[Looks]) -> dict[str, list[int]]:
    """For pairs of neighbours: [how many cross, how many there are].

    units: a unit and the tens behind it. control: neighbours of one number without a unit between
    them, such as hundreds and thousands.
    """
    counts = {"units": [0, 0], "control": [0, 0]}
    for look in looks:
        path = argmax_path(look.mean)  # (T,)
        tens = {t for t, word in enumerate(look.written) if is_tens(word)}
        for t in range(1, len(look.written) - 1):
            pair = look.written[t - 1 : t + 1]
            if t in tens:
                kind = "units"
            elif {t - 1, t + 1} & tens or not all(word.strip().isalpha() for word in pair):
                continue  # before or behind such a pair, or a comma
            else:
                kind = "control"
            counts[kind][0] += int(path[t - 1] > path[t])
            counts[kind][1] += 1
    return counts


def is_tens(token: str) -> bool:
    return token.startswith(AND) and len(token) > len(AND)
