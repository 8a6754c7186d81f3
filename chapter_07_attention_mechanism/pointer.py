"""A pointer network: the attention weights are the answer (Vinyals, Fortunato & Jaitly 2015).

What you learn: a softmax over a vocabulary cannot name a place in a line whose length changes. The
weights of attention can: they are a distribution over the places of the input, however many there
are. So the decoder's answer is the weights themselves, and no value is summed:

    encoder   e_j = GRU(x_j, e_{j-1}), in both directions                j = 1 ... S
    decoder   d_t = GRU(x_{C_{t-1}}, d_{t-1})                            fed with what it pointed at
    answer    p(C_t = j) = softmax_j( v . tanh(W_1 e_j + W_2 d_t) )      the additive score

Here it sorts: C_t is the place of the t-th smallest of S numbers. `masked` forbids the places that
were chosen before: what is asked then is the smallest number left, where without it the network has
to find the smallest number above the last one.

B batch, S numbers in a list, H units, T = S steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # the loss that chapter 2 built, in its fast form

from chapter_06_rnn_lstm_seq.recurrent import GRU
from chapter_07_attention_mechanism.scores import AdditiveScore


def sorting_order(numbers: Tensor) -> Tensor:
    """The places of the numbers from the smallest to the largest: (B, S) -> (B, S) int64."""
    return numbers.argsort(dim=1, stable=True)


def chosen_before(places: Tensor, size: int) -> Tensor:
    """Which places were pointed at before each step: places (B, T) -> (B, T, size), True: taken."""
    pointed = F.one_hot(places, size)  # (B, T, S)
    return (pointed.cumsum(dim=1) - pointed) > 0


class PointerNetwork(nn.Module):
    """Numbers (B, S) -> an order of them; `masked`: no place twice, in training and in use."""

    def __init__(self, hidden: int = 64, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked
        self.encoder = GRU(1, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.decoder = GRU(1, hidden, batch_first=True)
        self.score = AdditiveScore(hidden, 2 * hidden, hidden)
        self.first = nn.Parameter(torch.zeros(1))  # what the first step reads

    def encode(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The states e of all places (B, S, 2 H), and the decoder's first state (1, B, H)."""
        states, last = self.encoder(numbers.unsqueeze(-1))  # (B, S, 2 H), (2, B, H)
        summary = last.transpose(0, 1).flatten(1)  # (B, 2 H)
        return states, torch.tanh(self.bridge(summary)).unsqueeze(0)  # (1, B, H)

    def forward(self, numbers: Tensor, places: Tensor) -> Tensor:
        """Scores (B, T, S) of every place at each step, the true places (B, T) fed in."""
        states, state = self.encode(numbers)
        read = numbers.gather(1, places)[:, :-1]  # (B, T - 1)
        read = torch.cat([self.first.expand(len(read), 1), read], dim=1)  # (B, T)
        outputs, _ = self.decoder(read.unsqueeze(-1), state)  # (B, T, H)
        scores = self.score(outputs, states)  # (B, T, S)
        if self.masked:
            scores = scores.masked_fill(chosen_before(places, numbers.shape[1]), -torch.inf)
        return scores

    @torch.no_grad()
    def point(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest place, again and again: places (B, S), and the weights (B, S, S) behind."""
        states, state = self.encode(numbers)
        keys = self.score.prepare(states)  # W_1 e, once for all steps
        taken = torch.zeros_like(numbers, dtype=torch.bool)  # (B, S)
        read, places, answers = self.first.expand(len(numbers), 1), [], []
        for _ in range(numbers.shape[1]):
            output, state = self.decoder(read.unsqueeze(-1), state)  # (B, 1, H)
            scores = self.score.compare(output, keys).squeeze(1)  # (B, 1, S) -> (B, S)
            weights = scores.masked_fill(taken & self.masked, -torch.inf).softmax(dim=-1)
            place = weights.argmax(dim=-1, keepdim=True)  # (B, 1)
            taken = taken.scatter(1, place, True)
            read = numbers.gather(1, place)  # (B, 1)
            places.append(place)
            answers.append(weights)
        return torch.cat(places, dim=1), torch.stack(answers, dim=1)  # (B, S), (B, S, S)


def pointer_loss(model: PointerNetwork, numbers: Tensor) -> Tensor:
    """Mean of -ln p(C_t = the true place), in nats a step; the network's answers are its weights.

    Chance is the mean of ln S, with the mask that of ln(places left).
    """
    places = sorting_order(numbers)
    scores = model(numbers, places)  # (B, T, S)
    return F.cross_entropy(scores.flatten(0, 1), places.flatten())  # (B T, S), (B T,)
