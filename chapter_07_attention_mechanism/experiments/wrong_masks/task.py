"""Documents of letters from a hidden topic: a task whose best attainable loss can be computed.

A document is a start token and 4 to 16 letters. One of four topics is drawn, and then each letter
independently from that topic's distribution. So the next letter cannot be known; but the more of
the document has been read, the surer is the topic. The best prediction is Bayes' rule,

    p(x_t | x_<t) = sum_k p(k | x_<t) p_k(x_t)      p(k | x_<t) ~ p(k) prod_(i<t) p_k(x_i)

and no model that reads only what came before can do better in the mean. A loss below it proves that
the model has seen its target.

N documents, L letters at most, K topics, V letters; R rows of T places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.seed import generator

LETTERS, TOPICS = 16, 4  # V, K
SHORTEST, LONGEST = 4, 16  # letters of a document
START, FILL = LETTERS, LETTERS + 1  # tokens: before the first letter; of padded places
PAD = -1  # number of the document that a padded place belongs to
IGNORE = -100  # the target where nothing is to be predicted


def topics() -> Tensor:
    """The letters' probabilities in each topic, (K, V); always the same ones."""
    noise = torch.randn(TOPICS, LETTERS, generator=generator(0), dtype=torch.float64)
    return (1.8 * noise).softmax(1)


@dataclass(frozen=True)
class Documents:
    """letters (N, L): those behind the end are drawn too, and not used. lengths (N,)."""

    letters: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.lengths)


def draw(count: int, rng: torch.Generator) -> Documents:
    topic = torch.randint(TOPICS, (count,), generator=rng)
    letters = torch.multinomial(topics()[topic], LONGEST, replacement=True, generator=rng)  # (N, L)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (count,), generator=rng)
    return Documents(letters, lengths)


def best_bits(documents: Documents) -> float:
    """Bits a letter of Bayes' rule, in the mean over all letters of these documents."""
    of_letter = topics().log()[:, documents.letters]  # (K, N, L): log p_k(x_t)
    before = of_letter.cumsum(2) - of_letter  # (K, N, L): log prod_(i<t) p_k(x_i)
    log_p = (before.log_softmax(0) + of_letter).logsumexp(0)  # (N, L); the topics are equally often
    real = torch.arange(LONGEST) < documents.lengths[:, None]  # (N, L)
    return -float(log_p[real].mean()) / math.log(2)


def marginal_bits(documents: Documents) -> float:
    """The same for a model without context: it knows how frequent each letter is."""
    log_p = topics().mean(0).log()[documents.letters]  # (N, L)
    real = torch.arange(LONGEST) < documents.lengths[:, None]
    return -float(log_p[real].mean()) / math.log(2)


@dataclass(frozen=True)
class Rows:
    """A batch for the model, everything (R, T).

    tokens; targets, the next letter or IGNORE; places, counted from 0 in every document; documents,
    the number of the document in its row, PAD where there is none.
    """

    tokens: Tensor
    targets: Tensor
    places: Tensor
    documents: Tensor


def rows(documents: Documents, per_row: int = 1) -> Rows:
    """Documents one behind the other, `per_row` in a row; padding behind the last one."""
    size = LONGEST + 1  # start token and letters
    tokens = torch.cat([torch.full_like(documents.letters[:, :1], START), documents.letters], 1)
    places = torch.arange(size).expand_as(tokens)  # (N, L + 1)
    real = places <= documents.lengths[:, None]
    targets = torch.where(places < documents.lengths[:, None], tokens.roll(-1, 1), IGNORE)
    numbers = torch.where(real, (torch.arange(len(documents)) % per_row)[:, None], PAD)
    whole = [part.reshape(-1, per_row * size) for part in (tokens, targets, places, numbers)]
    order = (whole[3] == PAD).int().argsort(stable=True, dim=1)  # (R, T): what is real comes first
    tokens, targets, places, numbers = (part.gather(1, order) for part in whole)
    real = numbers != PAD
    return Rows(tokens.where(real, FILL), targets, places.where(real, 0), numbers)


def prefixes(documents: Documents, letters: int) -> Rows:
    """What is there before letter number `letters` is generated: only the tokens before it.

    Of the documents that are as long; (N', letters + 1) with that letter as the last target.
    """
    long = documents.lengths > letters
    tokens = torch.cat([torch.full_like(documents.letters[:, :1], START), documents.letters], 1)
    targets = tokens.roll(-1, 1)[long, : letters + 1]
    tokens = tokens[long, : letters + 1]
    places = torch.arange(letters + 1).expand_as(tokens)
    return Rows(tokens, targets, places, torch.zeros_like(tokens))


def padded_left(part: Rows, size: int = LONGEST) -> Rows:
    """The same with padding in front, up to `size` places: as a batched generation lays it out."""
    missing = size - part.tokens.shape[1]

    def padded(tensor: Tensor, fill: int) -> Tensor:
        return torch.nn.functional.pad(tensor, (missing, 0), value=fill)  # (N', size)

    return Rows(
        padded(part.tokens, FILL), padded(part.targets, IGNORE), padded(part.places, 0),
        padded(part.documents, PAD),
    )  # fmt: skip
