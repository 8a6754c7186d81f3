"""Wrong labels, put in on purpose: the exact share, and which ones they are.

    given, is_wrong = wrong_labels(y, share=0.2, classes=10, generator=seed.generator(1))

A wrong label is one of the other classes, each equally likely. So the one-hot label of an example
has the mean m = (1 - q) onehot(y) + q / (C - 1) (1 - onehot(y)), and no prediction beats m:

    E |f - label|^2 = |f - m|^2 + noise,      noise = 1 - (1 - q)^2 - q^2 / (C - 1)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CLASSES = 10  # of the digits


def wrong_labels(
    y: Tensor, share: float, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Labels (N,) of which exactly round(share N) are wrong, and the mask (N,) of those."""
    order = torch.randperm(len(y), generator=generator)
    is_wrong = torch.zeros(len(y), dtype=torch.bool)
    is_wrong[order[: round(share * len(y))]] = True
    other = (y + torch.randint(1, classes, y.shape, generator=generator)) % classes  # (N,)
    return torch.where(is_wrong, other, y), is_wrong


def mean_target(y: Tensor, share: float, classes: int) -> Tensor:
    """m: the mean of a noisy one-hot label, (N,) -> (N, C)."""
    one_hot = F.one_hot(y, classes).double()  # (N, C)
    return (1 - share) * one_hot + share / (classes - 1) * (1 - one_hot)


def noise_level(share: float, classes: int) -> float:
    """E |label - m|^2: the squared error that stays, whatever is predicted."""
    return 1 - (1 - share) ** 2 - share**2 / (classes - 1)
