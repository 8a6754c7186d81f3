"""Data for masked words and next sentences: a running text cut into windows, and some words hidden.

    text      ... | chunk 0 | chunk 1 | chunk 2 | ...      a chunk: whole words, at most n tokens
    window    [CLS] chunk i [SEP] chunk j [SEP]            j = i + 1, or in half of the cases not

Of all tokens that are no special ones 15 % are *chosen*: the network is to say what stands there.
Of the chosen ones 80 % become [MASK], 10 % another token at random, 10 % stay (Devlin et al. 2019),
so that a state must be good at any place, not only where a [MASK] stands, which no later task has.
Other chunks, chosen places and what becomes of them are new in every epoch. To measure, every
chosen token is a [MASK]: else the answer might stand there. B windows, T places, V tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from chapter_03_optimization_regularization.training import Batches
from chapter_08_transformer_vanilla.wordpiece import SPECIALS, WordPiece, split_words
from utils.errors import UserError

CHOSEN, TO_MASK, TO_RANDOM = 0.15, 0.8, 0.1
NOTHING = -100  # the target where nothing is asked: what F.cross_entropy leaves out
Window = tuple[Tensor, Tensor, Tensor, Tensor]  # ids, segments, targets (B, T), follows (B,)


@dataclass(frozen=True)
class Chunks:
    """A text: tokens (C, n), padded with [PAD], and how many of them are real, lengths (C,)."""

    tokens: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def stream(self) -> Tensor:
        """All tokens in their order, (N,)."""
        real = torch.arange(self.tokens.shape[1]) < self.lengths[:, None]  # (C, n)
        return self.tokens[real]


def without_rules(text: str) -> str:
    """ "====" and "----", rules and headings of plain text, become one sign: no words to guess."""
    return re.sub(r"([^\w\s])\1{3,}", r"\1", text)


def word_ids(text: str, tokenizer: WordPiece) -> list[list[int]]:
    """The pieces of each word of a text."""
    lines = without_rules(text).split("\n")
    return [tokenizer.pieces(word) for line in lines for word in split_words(line)]


def chunks_of(text: str, tokenizer: WordPiece, most: int) -> Chunks:
    """The text in chunks of whole words, each as long as `most` tokens allow.

    UserError: fewer than 20 chunks, with which neither task can be measured.
    """
    rows: list[list[int]] = [[]]
    for pieces in word_ids(text, tokenizer):
        if rows[-1] and len(rows[-1]) + len(pieces) > most:
            rows.append([])
        rows[-1] += pieces[:most]
    if len(rows) < 20:
        raise UserError(
            f"the text has {len(rows)} chunks of {most} tokens; give a longer one, or a smaller "
            "--longest."
        )
    tokens = torch.full((len(rows), most), tokenizer.pad)  # (C, n)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = torch.tensor(row)
    return Chunks(tokens, torch.tensor([len(row) for row in rows]))


def mask(
    ids: Tensor,
    vocabulary: int,
    mask_id: int,
    random: torch.Generator,
    only_masks: bool = False,
    share: float = CHOSEN,
) -> tuple[Tensor, Tensor]:
    """ids (B, T) -> (ids with hidden words, targets (B, T): the word, or NOTHING).

    Special tokens, the first ids of the vocabulary, are never chosen. only_masks: every chosen
    token becomes [MASK]. share: of the tokens that are chosen.
    """
    special = ids < len(SPECIALS)  # (B, T)
    draw = torch.rand(ids.shape, generator=random)
    chosen = (draw < share) & ~special
    targets = torch.where(chosen, ids, NOTHING)
    fate = torch.rand(ids.shape, generator=random)
    other = torch.randint(len(SPECIALS), vocabulary, ids.shape, generator=random)
    masked = chosen & ((fate < TO_MASK) | only_masks)
    swapped = chosen & ~masked & (fate < TO_MASK + TO_RANDOM)
    return torch.where(masked, mask_id, torch.where(swapped, other, ids)), targets


@dataclass(frozen=True)
class Windows:
    """The transform of a batch of places (B,) into windows; see the module's docstring."""

    chunks: Chunks
    tokenizer: WordPiece
    only_masks: bool = False
    share: float = CHOSEN

    def __call__(self, batch: tuple[Tensor, ...], random: torch.Generator) -> Window:
        (first,) = batch  # (B,)
        count, size = len(self.chunks), len(first)
        # Any chunk but the true next one: a jump of 1 to C - 1 beyond it.
        jump = torch.randint(1, count, (size,), generator=random)
        jump = torch.where(torch.rand(size, generator=random) < 0.5, 0, jump)
        second = (first + 1 + jump) % count
        ids, segments = self.joined(first, second)
        tokens = self.tokenizer
        how = (tokens.vocab_size, tokens.mask, random, self.only_masks, self.share)
        hidden, targets = mask(ids, *how)
        return hidden, segments, targets, (jump > 0).long()

    def joined(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """[CLS] first [SEP] second [SEP], padded: ids and segments (B, T), T = 2 n + 3."""
        steps = 2 * self.chunks.tokens.shape[1] + 3
        ids = torch.full((len(first), steps), self.tokenizer.pad)
        segments = torch.zeros_like(ids)
        place = torch.arange(self.chunks.tokens.shape[1])  # (n,)
        ids[:, 0] = self.tokenizer.cls
        end = torch.ones(len(first), dtype=torch.int64)  # where the next token goes, (B,)
        for side, chunk in enumerate((first, second)):
            lengths = self.chunks.lengths[chunk]
            row, column = (place < lengths[:, None]).nonzero(as_tuple=True)
            ids[row, end[row] + column] = self.chunks.tokens[chunk[row], column]
            segments[row, end[row] + column] = side
            end = end + lengths
            ids[torch.arange(len(first)), end] = self.tokenizer.sep
            segments[torch.arange(len(first)), end] = side
            end = end + 1
        return ids, segments


def batches_of(
    chunks: Chunks,
    tokenizer: WordPiece,
    batch_size: int,
    seed: int = 0,
    train: bool = True,
    chosen: float = CHOSEN,
) -> Batches:
    """Windows that begin with each chunk but the last; new ones in every epoch, when training."""
    return Batches(
        torch.arange(len(chunks) - 1),
        batch_size=batch_size,
        shuffle=train,
        seed=seed,
        transform=Windows(chunks, tokenizer, not train, chosen),
    )


def vocabulary_of(text: str, size: int) -> WordPiece:
    """A WordPiece vocabulary of the training text; special tokens have the first ids."""
    return WordPiece.train(without_rules(text).split("\n"), size)
