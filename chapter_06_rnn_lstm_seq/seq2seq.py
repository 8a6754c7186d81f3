"""The encoder-decoder: one network reads a sequence into one vector, another writes from it.

What you learn: input and output of different lengths need no alignment if everything goes through
one vector c. That makes translation an ordinary language model, with c in its input:

    encoder   h_s = GRU(x_s, h_{s-1}),  c = h_S          (Cho et al. 2014; Sutskever et al. 2014)
    decoder   s_0 = tanh(W c)
              s_t = GRU([y_{t-1}; c], s_{t-1})
              p(y_t | y_{<t}, x) = softmax(E W_o s_t)    E: the target's embedding, used twice

In training y_{t-1} is the true token (teacher forcing: all steps in one call); in use it is the
network's own (`greedy`). Every step asks for its context and here gets the same c each time;
chapter 7 puts attention in the place of `Decoder.context_at`.

Padding never changes a result: the encoder reads packed sequences, the loss counts real tokens.
B batch, S source length, T target length, V words, E embedding, H units, C size of c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # the losses that chapter 2 built, in their fast form

from chapter_06_rnn_lstm_seq.recurrent import GRU
from chapter_06_rnn_lstm_seq.variable_length import pack_padded_sequence, pad_packed_sequence

Batch = tuple[Tensor, Tensor]


@dataclass
class Encoded:
    """What the decoder gets of a source: c, and for chapter 7 all states and where they are."""

    summary: Tensor  # (B, C)
    states: Tensor  # (B, S, C)
    mask: Tensor  # (B, S), True at tokens


def embedding(vocabulary: int, size: int, pad: int) -> nn.Embedding:
    """A table (V, E) whose rows have length 1 on average, the padding's 0."""
    table = nn.Embedding(vocabulary, size, padding_idx=pad)
    nn.init.normal_(table.weight, std=size**-0.5)
    with torch.no_grad():
        table.weight[pad] = 0
    return table


def turned(ids: Tensor, mask: Tensor) -> Tensor:
    """x_1 ... x_n <pad> becomes x_n ... x_1 <pad>, row by row: (B, S) -> (B, S)."""
    places = mask.sum(1, keepdim=True) - 1 - torch.arange(ids.shape[1], device=ids.device)
    return torch.where(mask, ids.gather(1, places.clamp(min=0)), ids)


class Encoder(nn.Module):
    """Token ids (B, S) -> Encoded, with C = H, or 2 H if it reads in both directions.

    backwards: it reads the last token first, so that the first words of both lines stand close
    (Sutskever et al. 2014); the states are in the order of reading.
    """

    def __init__(
        self,
        table: nn.Embedding,
        hidden: int,
        bidirectional: bool = False,
        dropout: float = 0.0,
        backwards: bool = False,
    ) -> None:
        super().__init__()
        self.embedding, self.drop, self.backwards = table, nn.Dropout(dropout), backwards
        self.rnn = GRU(table.embedding_dim, hidden, batch_first=True, bidirectional=bidirectional)
        self.size = hidden * (1 + bidirectional)

    def forward(self, source: Tensor) -> Encoded:
        mask = source != self.embedding.padding_idx  # (B, S)
        if self.backwards:
            source = turned(source, mask)
        inputs = self.drop(self.embedding(source))  # (B, S, E)
        packed = pack_padded_sequence(inputs, mask.sum(1), batch_first=True, enforce_sorted=False)
        outputs, last = self.rnn(packed)  # last: (directions, B, H)
        states, _ = pad_packed_sequence(outputs, batch_first=True, total_length=source.shape[1])
        return Encoded(last.transpose(0, 1).flatten(1), states, mask)  # c: (B, C)


class Decoder(nn.Module):
    """Writes token by token; one matrix (V, E) embeds what was written and scores what follows."""

    def __init__(self, table: nn.Embedding, hidden: int, context: int, dropout: float) -> None:
        super().__init__()
        self.embedding, self.drop = table, nn.Dropout(dropout)
        self.start = nn.Linear(context, hidden)
        self.rnn = GRU(table.embedding_dim + context, hidden, batch_first=True)
        self.project = nn.Linear(hidden, table.embedding_dim)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))

    def first_state(self, encoded: Encoded) -> Tensor:
        return torch.tanh(self.start(encoded.summary)).unsqueeze(0)  # (1, B, H)

    def context_at(self, state: Tensor, encoded: Encoded) -> Tensor:
        """What a step may see of the source, (B, C): here the one vector, whatever the state is."""
        return encoded.summary

    def scores(self, states: Tensor) -> Tensor:
        """Logits: (..., H) -> (..., V)."""
        return F.linear(self.drop(self.project(states)), self.embedding.weight, self.bias)

    def step(self, token: Tensor, state: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """The last token (B,) and the state (1, B, H) -> logits (B, V) and the next state."""
        context = self.context_at(state, encoded)  # (B, C)
        inputs = torch.cat([self.drop(self.embedding(token)), context], dim=-1)  # (B, E + C)
        outputs, state = self.rnn(inputs.unsqueeze(1), state)  # (B, 1, H)
        return self.scores(outputs.squeeze(1)), state

    def forward(self, tokens: Tensor, encoded: Encoded) -> Tensor:
        """Teacher forcing: the true tokens (B, T) -> logits (B, T, V), all steps in one call.

        One call is enough because the context does not depend on the state.
        """
        context = encoded.summary.unsqueeze(1).expand(-1, tokens.shape[1], -1)  # (B, T, C)
        inputs = torch.cat([self.drop(self.embedding(tokens)), context], dim=-1)  # (B, T, E + C)
        states, _ = self.rnn(inputs, self.first_state(encoded))  # (B, T, H)
        return self.scores(states)


class Seq2Seq(nn.Module):
    """Encoder and decoder. joint: both languages have one vocabulary, and so one embedding."""

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        embed: int = 64,
        hidden: int = 128,
        bidirectional: bool = False,
        joint: bool = False,
        dropout: float = 0.0,
        backwards: bool = False,
        pad: int = 0,
    ) -> None:
        super().__init__()
        self.pad = pad
        target = embedding(target_vocabulary, embed, pad)
        source = target if joint else embedding(source_vocabulary, embed, pad)
        self.encoder = Encoder(source, hidden, bidirectional, dropout, backwards)
        self.decoder = Decoder(target, hidden, self.encoder.size, dropout)

    def encode(self, source: Tensor) -> Encoded:
        """What the decoder gets of source (B, S); chapter 7 adds to it."""
        return self.encoder(source)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V) of what follows each token of target (B, T), which begins with <bos>."""
        return self.decoder(target, self.encode(source))

    @torch.no_grad()
    def greedy(self, source: Tensor, bos: int, eos: int, limit: int) -> Tensor:
        """The likeliest token, again and again: ids (B, at most `limit`), padding after <eos>."""
        encoded = self.encode(source)
        state = self.decoder.first_state(encoded)
        token = torch.full_like(source[:, 0], bos)  # (B,)
        done, written = torch.zeros_like(token, dtype=torch.bool), []
        while len(written) < limit and not done.all():
            logits, state = self.decoder.step(token, state, encoded)
            token = logits.argmax(-1).masked_fill(done, self.pad)  # (B,)
            written.append(token)
            done |= token == eos
        return torch.stack(written, dim=1)


def sequence_loss(
    pad: int = 0, smoothing: float = 0.0
) -> Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]:
    """The loss for `fit`: nats a real token, padding counts nothing; accuracy of the tokens.

    Batches are (source (B, S), target (B, T + 1)) with targets <bos> y_1 ... y_n <eos> <pad> ...:
    the decoder reads all but the last column and is to say all but the first.
    """

    def loss_fn(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        source, target = batch
        logits, truth = model(source, target[:, :-1]), target[:, 1:]  # (B, T, V), (B, T)
        loss = F.cross_entropy(
            logits.flatten(0, 1),  # (B T, V)
            truth.flatten(),  # (B T,)
            ignore_index=pad,
            label_smoothing=smoothing if model.training else 0.0,
        )
        real = truth != pad
        right = (logits.detach().argmax(-1) == truth) & real
        return loss, {"accuracy": right.sum() / real.sum()}

    return loss_fn
