"""Networks that read a sequence of tokens and name its class.

What you learn: a text of any length must become one vector, and the ways differ in what they keep.

    BagOfEmbeddings   the mean of the word vectors: which words, but in no order
    KimCNN            the strongest match of each of 300 patterns of 3, 4 or 5 words, anywhere
    BiLSTM            a state that has read the text from both sides, then the maximum (mean, last)
    PrefixLSTM        an answer after every token: what is believed before the end is known

All are called with tokens (B, T), padded with 0, and lengths (B,), and all keep one promise:
**padding never changes a result**. A test adds padding and compares.

Papers: Kim 2014 (Convolutional neural networks for sentence classification); Schuster and Paliwal
1997 (bidirectional networks); Conneau et al. 2017 (maximum over the states of a BiLSTM); Iyyer et
al. 2015 (a mean of embeddings comes close).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_06_rnn_lstm_seq.recurrent import LSTM
from chapter_06_rnn_lstm_seq.variable_length import (
    length_mask,
    pack_padded_sequence,
    pad_packed_sequence,
)

PAD = 0  # the id that fills up the rows of a batch
POOLINGS = ("max", "mean", "last")


def small_embedding(vocab_size: int, embedding_dim: int) -> nn.Embedding:
    """Vectors from U(-0.25, 0.25), as in Kim 2014; the padding's is 0 and stays so.

    PyTorch's N(0, 1) is too large for words that are seen a few times: they keep their noise.
    """
    embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
    with torch.no_grad():
        embedding.weight.uniform_(-0.25, 0.25)[PAD] = 0
    return embedding


def masked_max(states: Tensor, mask: Tensor) -> Tensor:
    """Maximum over the real steps only: states (B, T, D), mask (B, T) -> (B, D)."""
    return states.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(1)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real steps only: states (B, T, D), mask (B, T) -> (B, D)."""
    return (states * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)


def last_states(states: Tensor, lengths: Tensor) -> Tensor:
    """The state of each direction when it has read all: (B, T, 2H) -> (B, 2H).

    Forward that is the last real step; backward it is the *first* one, where that direction ends.
    """
    forward, backward = states.chunk(2, dim=2)  # (B, T, H) each
    rows = torch.arange(len(states), device=states.device)
    return torch.cat([forward[rows, lengths - 1], backward[:, 0]], dim=1)  # (B, 2H)


class BiLSTM(nn.Module):
    """Embeddings, an LSTM in both directions over packed sequences, pooling, a linear layer.

    pack=False forgets the lengths and takes the padding for text: the backward direction begins in
    it, the forward one ends in it. It is there to show what goes wrong, never to be used.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int,
        embedding_dim: int = 100,
        hidden_size: int = 100,
        num_layers: int = 1,
        pooling: str = "max",
        dropout: float = 0.5,
        pack: bool = True,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}, not {pooling!r}")
        self.pooling, self.pack = pooling, pack
        self.embedding = small_embedding(vocab_size, embedding_dim)
        between = dropout if num_layers > 1 else 0.0
        self.lstm = LSTM(
            embedding_dim,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=between,
            bidirectional=True,
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden_size, classes)

    def states(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(B, T) -> (B, T, 2H): at each token what was read up to it, from the left and right."""
        x = self.dropout(self.embedding(tokens))  # (B, T, E)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = self.lstm(packed)
        return pad_packed_sequence(out, batch_first=True, total_length=tokens.shape[1])[0]

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, T), lengths (B,) -> logits (B, classes); ValueError for a length below 1."""
        if not self.pack:
            lengths = torch.full_like(lengths, tokens.shape[1])
        mask = length_mask(lengths, tokens.shape[1]).to(tokens.device)  # (B, T)
        states = self.states(tokens, lengths)  # (B, T, 2H)
        if self.pooling == "last":
            pooled = last_states(states, lengths)
        else:
            pooled = (masked_max if self.pooling == "max" else masked_mean)(states, mask)
        return self.head(self.dropout(pooled))  # (B, 2H) -> (B, classes)


class KimCNN(nn.Module):
    """Filters over 3, 4 and 5 neighbouring words, the maximum of each over time, dropout 0.5.

    Kim 2014, "CNN-rand": the embeddings start at random. His limit on the norm of the last layer's
    rows is left out. As in his program a text has width - 1 empty places at either end, so that a
    text of one word has windows, too.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int,
        embedding_dim: int = 100,
        filters: int = 100,
        widths: tuple[int, ...] = (3, 4, 5),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = small_embedding(vocab_size, embedding_dim)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_dim, filters, width, padding=width - 1) for width in widths
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters * len(widths), classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, T), lengths (B,) -> logits (B, classes); ValueError for a length below 1."""
        mask = length_mask(lengths, tokens.shape[1]).to(tokens.device)  # (B, T)
        x = self.embedding(tokens) * mask.unsqueeze(2)  # (B, T, E), 0 at the padding
        pooled = []
        for convolution in self.convolutions:
            width = convolution.kernel_size[0]
            maps = F.relu(convolution(x.transpose(1, 2)))  # (B, F, T + width - 1)
            # Window t ends at word t: those that end behind the text's last empty place are none.
            real = length_mask(lengths + width - 1, maps.shape[2])  # (B, T + width - 1)
            pooled.append(masked_max(maps.transpose(1, 2), real.to(maps.device)))  # (B, F)
        return self.head(self.dropout(torch.cat(pooled, dim=1)))  # (B, 3F) -> (B, classes)


class BagOfEmbeddings(nn.Module):
    """The mean of the embeddings, and a linear layer: the order of the words is lost."""

    def __init__(
        self, vocab_size: int, classes: int, embedding_dim: int = 100, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.embedding = small_embedding(vocab_size, embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_dim, classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, T), lengths (B,) -> logits (B, classes); ValueError for a length below 1."""
        mask = length_mask(lengths, tokens.shape[1]).to(tokens.device)  # (B, T)
        pooled = masked_mean(self.embedding(tokens), mask)  # (B, E)
        return self.head(self.dropout(pooled))  # (B, classes)


class PrefixLSTM(nn.Module):
    """An LSTM from left to right with a linear layer at every step: one answer for each prefix.

    No packing is needed: padding comes after the text, and what comes later cannot change an
    earlier state. Only the loss must leave the padded steps out.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int,
        embedding_dim: int = 32,
        hidden_size: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        self.lstm = LSTM(embedding_dim, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) -> logits (B, T, classes): at t those for the prefix of t + 1 tokens."""
        states, _ = self.lstm(self.embedding(tokens))  # (B, T, H)
        return self.head(self.dropout(states))  # (B, T, classes)


def text_loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]):
    """For `fit`: batch (tokens (B, T), lengths (B,), labels (B,)) -> (cross-entropy, accuracy)."""
    tokens, lengths, labels = batch
    logits = model(tokens, lengths)  # (B, classes)
    right = (logits.detach().argmax(1) == labels).float().mean()
    return F.cross_entropy(logits, labels), {"accuracy": right}


def prefix_loss(model: PrefixLSTM, batch: tuple[Tensor, Tensor, Tensor]):
    """The same over all prefixes: every real step is asked for the label of the whole."""
    tokens, lengths, labels = batch
    mask = length_mask(lengths, tokens.shape[1]).to(tokens.device)  # (B, T)
    logits = model(tokens)[mask]  # (N, classes), N real steps
    wanted = labels.unsqueeze(1).expand(mask.shape)[mask]  # (N,)
    right = (logits.detach().argmax(1) == wanted).float().mean()
    return F.cross_entropy(logits, wanted), {"accuracy": right}
