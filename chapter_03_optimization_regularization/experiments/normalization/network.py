"""The network of the normalisation experiments: a plain stack of convolutions, no shortcuts.

What you learn: normalisation shows its use where signals have to pass many layers. This stack has
six 3x3 convolutions by default (plan 1, 2, 3: one at full size, two at half, three at a quarter; on
8x8 digits the last maps have 2x2 pixels), each followed by the normalisation and a ReLU.

All kinds get the same first weights from one seed, drawn as Kaiming wants it for ReLU (chapter 2),
so that the network without normalisation gets the fair chance that a good initialisation gives it.
"""

from __future__ import annotations

import torch
from torch import nn

from chapter_03_optimization_regularization.experiments.tasks import Task
from chapter_03_optimization_regularization.normalization import make_norm
from chapter_03_optimization_regularization.optimizers import SGD
from chapter_03_optimization_regularization.schedulers import CosineAnnealingLR
from chapter_03_optimization_regularization.training import (
    Batches,
    TrainingError,
    classification_loss,
    fit,
)

PLAN = (1, 2, 3)
WIDTH = 16
MOMENTUM = 0.9


def plain_stack(
    norm: str, seed: int, plan: tuple[int, ...] = PLAN, kaiming: bool = True, width: int = WIDTH
) -> nn.Sequential:
    """`plan`: convolutions between the poolings. (B, 1, H, W) -> (B, 10).

    kaiming=False keeps torch's default first weights, too small for a deep ReLU network.
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    channels = 1
    for stage, count in enumerate(plan):
        if stage > 0:
            layers.append(nn.MaxPool2d(2))  # (B, C, H, W) -> (B, C, H/2, W/2)
        for _ in range(count):
            conv = nn.Conv2d(channels, width, 3, padding=1)
            if kaiming:
                nn.init.kaiming_normal_(conv.weight)
                nn.init.zeros_(conv.bias)
            layers += [conv, make_norm(norm, width), nn.ReLU()]
            channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
    return nn.Sequential(*layers, *head)


def train(
    model: nn.Module,
    task: Task,
    *,
    lr: float,
    epochs: int,
    seed: int,
    batch_size: int = 32,
    **options: object,
) -> bool:
    """SGD with momentum through `fit`; False if the loss left the numbers. `options` go to fit.

    The rate falls to 0 along a cosine: at a constant one, the last few steps decide the result. A
    smaller last batch is left out: with one picture in it, BatchNorm would have no batch.
    """
    x, y = task.train
    batches = Batches(x, y, batch_size=batch_size, shuffle=True, seed=seed, drop_last=True)
    optimizer = SGD(model.parameters(), lr=lr, momentum=MOMENTUM)
    schedule = CosineAnnealingLR(optimizer, T_max=epochs * len(batches))
    options = {"epochs": epochs, "scheduler": schedule, **options}
    try:
        fit(model, classification_loss(), optimizer, batches, **options)
    except TrainingError:
        return False
    return all(bool(p.isfinite().all()) for p in model.parameters())
