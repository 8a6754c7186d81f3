"""The course's one training loop: `fit`. Every later chapter trains with it.

Read in this order:

    versions.py      the loop as it grows: five versions, each with one thing more, marked NEW
    batches.py       mini-batches in an order that can be repeated from (seed, epoch)
    evaluation.py    from a batch to a loss, from a data set to its means
    loop.py          `fit`, and what a resume restores
    history.py       what a training leaves besides the weights
    state.py         checkpoints written and read, random states, Ctrl-C
    fingerprint.py   what must be the same when a stopped training goes on

    from chapter_03_optimization_regularization.training import Batches, classification_loss, fit
"""

from chapter_03_optimization_regularization.training.batches import (
    Batches,
)
from chapter_03_optimization_regularization.training.evaluation import (
    LossFunction,
    classification_loss,
    evaluate,
    make_accelerator,
)
from chapter_03_optimization_regularization.training.history import (
    History,
)
from chapter_03_optimization_regularization.training.loop import (
    fit,
)
from chapter_03_optimization_regularization.training.state import (
    TrainingError,
)

__all__ = [
    "Batches",
    "History",
    "LossFunction",
    "TrainingError",
    "classification_loss",
    "evaluate",
    "fit",
    "make_accelerator",
]
