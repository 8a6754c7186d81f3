"""An RNN whose gradients explode, trained with and without clipping.

The task is an echo: repeat at every step the number that came three steps before. Always answering
0 has a squared error of 1/3. The recurrent matrix starts as 1.5 times an orthogonal one, so that an
error grows on its way back as long as tanh does not flatten it; plain SGD takes the steps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from chapter_03_optimization_regularization.regularization import clip_grad_norm_
from chapter_06_rnn_lstm_seq.recurrent import RNN
from utils.seed import generator

DELAY, LENGTH, BATCH, HIDDEN = 3, 50, 16, 32
BASELINE = 1 / 3  # variance of U(-1, 1): what answering 0 costs
RADIUS = 1.5


def make_network(seed: int) -> tuple[RNN, nn.Linear]:
    torch.manual_seed(seed)
    net, head = RNN(1, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 1)
    with torch.no_grad():
        nn.init.orthogonal_(net.weight_hh_l0).mul_(RADIUS)
        net.bias_ih_l0.zero_()
        net.bias_hh_l0.zero_()
    return net, head


def echo_batch(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """x (B, T, 1) from U(-1, 1), and what the outputs from step DELAY on should be."""
    x = 2 * torch.rand(BATCH, LENGTH, 1, generator=rng) - 1
    return x, x[:, :-DELAY]  # (B, T, 1), (B, T - DELAY, 1)


def train_echo(rate: float, clip: float, steps: int, seed: int) -> dict[str, Any]:
    """Loss and norm of the gradient, before it is clipped, at every step; clip = inf clips nothing.

    A training ends where its loss is no number any more; the lists end there too.
    """
    (net, head), rng = make_network(seed), generator(seed)
    parameters = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, rate)
    losses, lengths = [], []
    for _ in range(steps):
        x, target = echo_batch(rng)
        loss = mse_loss(head(net(x)[0])[:, DELAY:], target)
        optimizer.zero_grad()
        loss.backward()
        length = clip_grad_norm_(parameters, clip).item()
        if not (math.isfinite(loss.item()) and math.isfinite(length)):
            break
        losses.append(loss.item())
        lengths.append(length)
        optimizer.step()
    return {"losses": losses, "lengths": lengths, "diverged": len(losses) < steps}
