"""A recurrent language model: the probability of the next token, from all tokens before it.

    p(x_1 ... x_n) = prod_t p(x_t | x_1 ... x_{t-1})      h_t = cell(x_t, h_{t-1})
    p(x_{t+1} | x_1 ... x_t) = softmax(W h_t + b)         loss = -log p(x_{t+1} | ...), in nats

What you learn: how a text becomes batches. B places of the text are read side by side, T tokens at
a time; the state at the end of a batch is the initial state of the next one, *detached*: numbers
are carried over, gradients are cut (truncated backpropagation through time, bptt_numpy.py). So the
model sees the whole past, and learns from T steps of it.

    B = 2, T = 3     batch 0        batch 1          text: the cat sat on the mat
    stream 0         t h e          . c a      <- the state of stream 0 goes on here
    stream 1         n . t          h e .

B streams, T steps of a batch, V tokens, H units. Paper: Mikolov et al. 2010.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chapter_06_rnn_lstm_seq.recurrent import GRU, LSTM, RNN
from chapter_06_rnn_lstm_seq.sampling import sample
from utils.errors import UserError
from utils.modes import evaluating
from utils.seed import generator

CELLS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def detached(state: Any) -> Any:
    """The same numbers without their history: where backpropagation through time stops."""
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


class LanguageModel(nn.Module):
    """Tokens (B, T) -> scores of each next token (B, T, V), and the state to go on from.

    embed_size: 0 reads tokens as one-hot vectors, which is right for some dozens of characters.
    tied: the output matrix is the embedding matrix (Press and Wolf 2017); it needs
    embed_size = hidden_size. dropout: between layers and in front of the output matrix.
    """

    def __init__(
        self,
        vocab_size: int,
        cell: str = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        embed_size: int = 0,
        dropout: float = 0.0,
        tied: bool = False,
    ) -> None:
        super().__init__()
        if tied and embed_size != hidden_size:
            raise UserError(f"tied embeddings need embed_size = hidden_size, {hidden_size}.")
        self.embedding = nn.Embedding(vocab_size, embed_size) if embed_size else None
        size = embed_size or vocab_size
        deep = {"num_layers": num_layers, "batch_first": True}
        self.rnn = CELLS[cell](size, hidden_size, dropout=dropout, **deep)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocab_size)
        self.reset_parameters()
        if tied:
            self.output.weight = self.embedding.weight

    def reset_parameters(self) -> None:
        """Orthogonal recurrent matrices; a forget bias of 1 (in one of the LSTM's two biases)."""
        for name, parameter in self.rnn.named_parameters():
            if "weight_hh" in name:
                for block in parameter.data.split(self.rnn.hidden_size):  # a gate each, (H, H)
                    nn.init.orthogonal_(block)
            elif "bias" in name:
                nn.init.zeros_(parameter)
                if isinstance(self.rnn, LSTM) and "bias_ih" in name:
                    parameter.data[self.rnn.hidden_size : 2 * self.rnn.hidden_size] = 1.0
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        x = tokens if self.embedding is None else self.embedding(tokens)  # (B, T) or (B, T, E)
        h, state = self.rnn(x, state)  # (B, T, H)
        return self.output(self.dropout(h)), state  # (B, T, V)


class TextStreams:
    """A long text as `streams` places that are read side by side, `seq_len` tokens at a time.

    A batch: inputs (B, T), targets (B, T), which are the inputs one token later, and whether the
    state starts afresh. Each epoch begins at another token, seeded by (seed, epoch), so that the
    text is not cut at the same places every time; it leaves out less than B T tokens.
    """

    def __init__(self, ids: Tensor, streams: int, seq_len: int, seed: int = 0) -> None:
        self.tensors, self.batch_size, self.seq_len, self.seed = (ids,), streams, seq_len, seed
        self.length = (len(ids) - 1 - seq_len) // streams  # tokens of a stream
        if self.length < seq_len:
            raise UserError(
                f"the text has {len(ids)} tokens, too few for {streams} streams of --seq_len "
                f"{seq_len}; choose smaller ones (--batch_size, --seq_len), or a longer text."
            )
        self.set_epoch(0)

    def set_epoch(self, number: int) -> None:
        mixed = (self.seed * 1_000_003 + number) % 2**63
        self.offset = int(torch.randint(self.seq_len, (), generator=generator(mixed)))

    def __len__(self) -> int:
        return self.length // self.seq_len

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        count = self.batch_size * self.length
        inputs = self.tensors[0][self.offset :][:count].view(self.batch_size, -1)  # (B, length)
        targets = self.tensors[0][self.offset + 1 :][:count].view(self.batch_size, -1)
        for index in range(len(self)):
            now = slice(index * self.seq_len, (index + 1) * self.seq_len)
            yield inputs[:, now], targets[:, now], torch.tensor(index == 0)


class CarriedLoss:
    """Cross-entropy in nats per token, the state carried from batch to batch.

    A training that is resumed in the middle of an epoch begins there with a state of zero; at the
    end of an epoch, where `fit` saves, nothing is carried.
    """

    def __init__(self) -> None:
        self.states: dict[bool, Any] = {}

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict]:
        inputs, targets, fresh = batch
        state = None if fresh else self.states.get(model.training)
        logits, state = model(inputs, state)
        self.states[model.training] = detached(state)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), {}


@torch.no_grad()
def nats_per_token(model: nn.Module, ids: Tensor, chunk: int = 1000) -> float:
    """Mean of -log p over tokens 2 ... n of `ids` (n,), read once from the start to the end.

    The state is carried over the whole text, so each token is predicted from all before it.
    """
    if len(ids) < 2:
        raise UserError("a text needs two tokens before one can be predicted.")
    total, state = 0.0, None
    with evaluating(model):
        for start in range(0, len(ids) - 1, chunk):
            inputs = ids[start : min(start + chunk, len(ids) - 1)]
            logits, state = model(inputs.unsqueeze(0), state)  # (1, T, V)
            targets = ids[start + 1 : start + 1 + len(inputs)]
            total += float(F.cross_entropy(logits[0], targets, reduction="sum"))
    return total / (len(ids) - 1)


def bits(nats: float) -> float:
    """Per token, of any logarithm: 1 nat = 1 / ln 2 = 1.4427 bits. Perplexity is 2 ** bits."""
    return nats / math.log(2)


@torch.no_grad()
def generate(model: nn.Module, prompt: Tensor, count: int, **how: Any) -> list[int]:
    """`count` tokens after `prompt` (n,): read the prompt, then feed back what is drawn.

    how: the options of sampling.sample. One step of the cell a token, whatever came before.
    """
    if len(prompt) == 0:
        raise UserError("the prompt is empty: the model needs a first token to go on from.")
    tokens, state, written = prompt.unsqueeze(0), None, []
    with evaluating(model):
        for _ in range(count):
            logits, state = model(tokens, state)  # (1, T, V)
            tokens = sample(logits[:, -1], **how).unsqueeze(1)  # (1, 1)
            written.append(int(tokens))
    return written
