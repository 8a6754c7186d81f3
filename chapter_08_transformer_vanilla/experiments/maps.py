"""Where every layer and head of a Transformer looked while it wrote one line."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.experiments.translation import Task
from chapter_06_rnn_lstm_seq.tokenizer import BOS, EOS
from chapter_07_attention_mechanism.experiments.translation.looks import letters
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils.modes import evaluating


@dataclass(frozen=True)
class Maps:
    """The tokens of both lines, and the weights between them, each (layers, h, T, S)."""

    read: list[str]  # S tokens
    fed: list[str]  # T tokens that the decoder read: <bos> and the line
    written: list[str]  # T tokens that it wrote: the line and <eos>
    encoder: Tensor  # (L, h, S, S)
    decoder: Tensor  # (L, h, T, T)
    cross: Tensor  # (L, h, T, S)


@torch.no_grad()
def maps_of(model: TranslationTransformer, task: Task, source: str, ids: list[int]) -> Maps:
    """The weights of one source and the line `ids` written of it, with <bos> and <eos> added.

    Tokens that are parts of one letter are joined: their columns added, their rows averaged.
    """
    bos, eos = task.target.id_of(BOS), task.target.id_of(EOS)
    read, fed, written = task.source.encode(source), [bos, *ids], [*ids, eos]
    encoder: list[Tensor] = []
    decoder: list[Tensor] = []
    cross: list[Tensor] = []
    device = next(model.parameters()).device
    with evaluating(model):
        memory, hidden = model.encode(torch.tensor([read], device=device), encoder)
        model.decode(torch.tensor([fed], device=device), memory, hidden, decoder, cross)
    columns, inputs, rows = (letters(task.source, read), letters(task.target, fed),
                             letters(task.target, written))  # fmt: skip
    return Maps(
        [text for text, _ in columns],
        [text or BOS for text, _ in inputs],
        [text or EOS for text, _ in rows],
        joined(encoder, columns, columns),
        joined(decoder, inputs, rows),
        joined(cross, columns, rows),
    )


def joined(weights: list[Tensor], columns: list, rows: list) -> Tensor:
    """Each layer's (1, h, T, S) -> (L, h, T', S') for the letters of columns and rows."""
    table = torch.cat(weights).cpu()  # (L, h, T, S)
    table = torch.stack([table[..., part].sum(-1) for _, part in columns], dim=-1)
    return torch.stack([table[:, :, part].mean(2) for _, part in rows], dim=2)
