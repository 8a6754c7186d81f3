"""The encoder-decoder that looks: instead of one vector, a weighted mean of all source states.

What you learn: chapter 6's decoder gets the same vector c at every step. Here each step t has its
own, the mean of the encoder's states h_s by weights that a query decides:

    alpha_ts = softmax_s(score(query_t, h_s))      c_t = sum_s alpha_ts h_s

Two architectures differ in when the decoder looks:

    Bahdanau et al. 2015   query s_{t-1};  s_t = GRU([y_{t-1}; c_t], s_{t-1});  p(y_t) from s_t
    Luong et al. 2015      s_t = GRU(y_{t-1}, s_{t-1});  query s_t;  p(y_t) from tanh(W [c_t; s_t])

Bahdanau's context goes through the recurrence: the next look knows the last one, and the steps must
be taken one by one. Luong's does not (without his input feeding): in training the GRU runs over the
whole target in one call, and all queries look at once. "multihead" looks from Luong's place with h
heads (multi_head.py). "none" is chapter 6's network, with the same encoder.

B batch, S source length, T target length, V words, E embedding, H units, C = 2 H (the encoder reads
in both directions), A prepared key. The states are prepared for the score once a source.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chapter_06_rnn_lstm_seq.recurrent import GRU
from chapter_06_rnn_lstm_seq.seq2seq import Decoder, Encoded, Seq2Seq
from chapter_07_attention_mechanism.masks import masked_softmax
from chapter_07_attention_mechanism.multi_head import MultiheadAttention
from chapter_07_attention_mechanism.scores import AdditiveScore, GeneralScore, Score

ATTENTIONS = ("none", "additive", "luong", "multihead")


@dataclass
class Source(Encoded):
    """A source that can be looked at: its states also as the score wants them."""

    keys: Tensor  # (B, S, A)


class OneLook(nn.Module):
    """Weights by a score of scores.py: query (B, T, H) -> context (B, T, C), weights (B, T, S)."""

    def __init__(self, score: Score, size: int) -> None:
        super().__init__()
        self.score, self.size = score, size

    def prepare(self, states: Tensor) -> Tensor:
        return self.score.prepare(states)  # (B, S, C) -> (B, S, A)

    def forward(self, query: Tensor, source: Source) -> tuple[Tensor, Tensor]:
        scores = self.score.compare(query, source.keys)  # (B, T, S)
        weights = masked_softmax(scores, source.mask.unsqueeze(1))
        return weights @ source.states, weights  # (B, T, S) @ (B, S, C) -> (B, T, C)


class ManyLooks(nn.Module):
    """h heads, each with its own weights: -> context (B, T, H), weights (B, h, T, S)."""

    def __init__(self, hidden: int, states: int, heads: int) -> None:
        super().__init__()
        self.heads = MultiheadAttention(hidden, heads, kdim=states, vdim=states, batch_first=True)
        self.size = hidden

    def prepare(self, states: Tensor) -> Tensor:
        return states  # the heads project keys and values themselves, at every call

    def forward(self, query: Tensor, source: Source) -> tuple[Tensor, Tensor]:
        hidden = ~source.mask  # True = hidden, as everywhere in nn.MultiheadAttention
        return self.heads(
            query, source.keys, source.states, key_padding_mask=hidden, average_attn_weights=False
        )


class BahdanauDecoder(Decoder):
    """Looks, then steps: the context is an input of the GRU, in the place of chapter 6's c."""

    def __init__(
        self, table: nn.Embedding, hidden: int, context: int, dropout: float, look: OneLook
    ) -> None:
        super().__init__(table, hidden, context, dropout)
        self.look = look

    def context_at(self, state: Tensor, encoded: Source) -> Tensor:
        context, _ = self.look(state.transpose(0, 1), encoded)  # query (1, B, H) -> (B, 1, H)
        return context.squeeze(1)  # (B, C)

    def unrolled(self, tokens: Tensor, source: Source) -> tuple[Tensor, Tensor]:
        """True tokens (B, T) -> GRU states (B, T, H), weights (B, T, S): a loop over T."""
        inputs, state = self.drop(self.embedding(tokens)), self.first_state(source)  # (B, T, E)
        states, looks = [], []
        for token in inputs.split(1, dim=1):  # (B, 1, E)
            context, weights = self.look(state.transpose(0, 1), source)  # (B, 1, C), (B, 1, S)
            output, state = self.rnn(torch.cat([token, context], dim=-1), state)  # (B, 1, H)
            states.append(output)
            looks.append(weights)
        return torch.cat(states, dim=1), torch.cat(looks, dim=1)

    def forward(self, tokens: Tensor, encoded: Source) -> Tensor:
        return self.scores(self.unrolled(tokens, encoded)[0])  # (B, T, V)

    def weights(self, tokens: Tensor, source: Source) -> Tensor:
        return self.unrolled(tokens, source)[1]


class LuongDecoder(Decoder):
    """Steps, then looks: the GRU reads tokens only; context and state are joined behind it."""

    def __init__(
        self, table: nn.Embedding, hidden: int, context: int, dropout: float, look: nn.Module
    ) -> None:
        super().__init__(table, hidden, context, dropout)
        self.rnn = GRU(table.embedding_dim, hidden, batch_first=True)
        self.combine = nn.Linear(look.size + hidden, hidden, bias=False)
        self.look = look

    def joined(self, states: Tensor, source: Source) -> Tensor:
        """GRU states (B, T, H) -> attentional states tanh(W_c [c_t; s_t]), (B, T, H)."""
        context, _ = self.look(states, source)
        return torch.tanh(self.combine(torch.cat([context, states], dim=-1)))

    def states(self, tokens: Tensor, source: Source) -> Tensor:
        """GRU states of the true tokens: (B, T) -> (B, T, H), all steps in one call."""
        return self.rnn(self.drop(self.embedding(tokens)), self.first_state(source))[0]

    def step(self, token: Tensor, state: Tensor, encoded: Source) -> tuple[Tensor, Tensor]:
        """The last token (B,) and the state (1, B, H) -> logits (B, V) and the next state."""
        output, state = self.rnn(self.drop(self.embedding(token)).unsqueeze(1), state)  # (B, 1, H)
        return self.scores(self.joined(output, encoded).squeeze(1)), state

    def forward(self, tokens: Tensor, encoded: Source) -> Tensor:
        return self.scores(self.joined(self.states(tokens, encoded), encoded))  # (B, T, V)

    def weights(self, tokens: Tensor, source: Source) -> Tensor:
        return self.look(self.states(tokens, source), source)[1]


class Seq2SeqAttention(Seq2Seq):
    """Chapter 6's encoder-decoder with a decoder that looks; arguments as there.

    attention: one of ATTENTIONS; heads: of "multihead". ValueError for another name.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        attention: str = "none",
        embed: int = 64,
        hidden: int = 128,
        heads: int = 4,
        joint: bool = False,
        dropout: float = 0.0,
        pad: int = 0,
    ) -> None:
        super().__init__(
            source_vocabulary, target_vocabulary, embed, hidden,
            bidirectional=True, joint=joint, dropout=dropout, pad=pad,
        )  # fmt: skip
        if attention not in ATTENTIONS:
            raise ValueError(f"attention must be one of {ATTENTIONS}, not {attention!r}")
        self.attention, size = attention, self.encoder.size
        if attention == "none":
            return
        look = {
            "additive": lambda: OneLook(AdditiveScore(hidden, size, hidden), size),
            "luong": lambda: OneLook(GeneralScore(hidden, size), size),
            "multihead": lambda: ManyLooks(hidden, size, heads),
        }[attention]()
        decoder = BahdanauDecoder if attention == "additive" else LuongDecoder
        self.decoder = decoder(self.decoder.embedding, hidden, size, dropout, look)

    def encode(self, source: Tensor) -> Encoded:
        """Read (B, S) once, and prepare the keys once."""
        read = self.encoder(source)
        if self.attention == "none":
            return read
        keys = self.decoder.look.prepare(read.states)
        return Source(read.summary, read.states, read.mask, keys)

    def attend(self, source: Tensor, target: Tensor) -> Tensor:
        """Where each step looks when fed target (B, T), which begins with <bos>.

        (B, T, S), of "multihead" (B, h, T, S); row t belongs to the token written behind target t.
        """
        if self.attention == "none":
            raise ValueError("a network without attention looks nowhere")
        return self.decoder.weights(target, self.encode(source))
