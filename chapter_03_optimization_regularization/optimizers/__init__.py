"""Optimisers, one update rule each: drop-ins for their namesakes in `torch.optim`.

Read in this order:

    minimal.py    the idea alone: gradient descent, momentum and Adam as three functions
    base.py       what all share: the walk over groups and parameters, the two weight decays
    classic.py    SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW
    variants.py   Adamax, NAdam, RAdam, Lion: Adam's pieces exchanged one at a time
    muon.py       Muon, for whole matrices, and its partnership with AdamW
    foreach.py    Adam again, with one call for a list of tensors: what speed costs in clarity

    from chapter_03_optimization_regularization.optimizers import Adam
"""

from chapter_03_optimization_regularization.optimizers.classic import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    RMSprop,
)
from chapter_03_optimization_regularization.optimizers.muon import Muon
from chapter_03_optimization_regularization.optimizers.variants import Adamax, Lion, NAdam, RAdam

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
]
