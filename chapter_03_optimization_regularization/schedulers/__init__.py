"""Learning rate schedules, each a formula for the rate after t updates.

Read in this order:

    base.py        what all share: from the step count to the rate of every parameter group
    formulas.py    steps, exponential, cosine with and without warm-up, WSD, plateau
    one_cycle.py   up and down once, with the momentum the other way round

    from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
"""

from chapter_03_optimization_regularization.schedulers.base import (
    Scheduler,
)
from chapter_03_optimization_regularization.schedulers.formulas import (
    WSD,
    CosineAnnealingLR,
    CosineWithWarmup,
    ExponentialLR,
    MultiStepLR,
    ReduceLROnPlateau,
    StepLR,
    cosine_warmup_multiplier,
    wsd_multiplier,
)
from chapter_03_optimization_regularization.schedulers.one_cycle import (
    OneCycleLR,
)

__all__ = [
    "WSD",
    "CosineAnnealingLR",
    "CosineWithWarmup",
    "ExponentialLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "Scheduler",
    "StepLR",
    "cosine_warmup_multiplier",
    "wsd_multiplier",
]
