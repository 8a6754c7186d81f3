"""How the speedrun trains and tests: data in two sizes, two optimisers, views of a test picture.

What you learn: the loop itself is four lines; what makes it fast is what surrounds it.

- The first epochs see pictures of 24 px: 0.56 of the work of 32 px, at a time when the network
  learns coarse things. The average (here: the largest value) over the map takes any size.
- Flips alternate instead of being drawn by coin.
- Muon (chapter 3) moves the convolutions' matrices by steps of equal strength in all directions;
  the head and the shifts, which are no such matrices, take Nesterov's method with rates of their
  own. All rates fall linearly to zero.
- BatchNorm makes the scale of a matrix meaningless, so its norm is put back after every step. Then
  the learning rate is a relative change, and needs no weight decay to stay one.

Ideas: Howard 2018 (progressive resizing); Jordan 2024 (arXiv 2404.00498; Muon). Written anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_03_optimization_regularization.optimizers import Muon
from chapter_04_cnn_classic.augmentation import RandomCrop
from chapter_04_cnn_classic.image_tasks import ImageTask, standardize, to_pixels
from chapter_04_cnn_classic.speedrun_network import MatrixConv2d, SpeedNet
from utils.device import autocast
from utils.errors import UserError
from utils.modes import evaluating
from utils.progress import progress
from utils.seed import generator

SHIFT = 2  # px, of the crops in training


@dataclass(frozen=True)
class Settings:
    """Everything that decides a speedrun but the data and the seed.

    small_share: part of the epochs on pictures of `small_size`. muon_lr: relative step of the
    convolutions' matrices, whose norms are kept. head_lr, bias_lr: of Nesterov's method.
    whiten_bias_epochs: the first layer's bias is then frozen as well.
    """

    epochs: float
    batch_size: int = 500
    widths: tuple[int, ...] = (48, 160, 256)
    small_size: int = 24
    small_share: float = 0.5
    muon_lr: float = 0.24
    muon_momentum: float = 0.6
    head_lr: float = 2.0
    bias_lr: float = 5.0
    momentum: float = 0.85
    label_smoothing: float = 0.2
    whiten_bias_epochs: int = 3


def check_settings(task: ImageTask, settings: Settings, use_val: bool) -> None:
    """UserError for settings that train nothing, or leave nothing of a picture."""
    rows = len(task.train[1]) + use_val * len(task.val[1])
    if rows < settings.batch_size:
        raise UserError(
            f"a batch of {settings.batch_size} pictures cannot be had from {rows} of {task.name}; "
            f"use a --batch_size of at most {rows}."
        )
    batches = rows // settings.batch_size
    if round(settings.epochs * batches) < 1:
        raise UserError(
            f"--budgets {settings.epochs:g}: with {batches} batches an epoch that is no training "
            f"step; use {1 / batches:.2g} or more."
        )
    halvings = len(settings.widths)
    sizes = [task.image_size, *([settings.small_size] if settings.small_share else [])]
    least = 2**halvings + 1  # the first layer takes a pixel, each block halves what is left
    if min(sizes) < least:
        larger = f"a --small_size of {least} or more, or " if least <= task.image_size else ""
        raise UserError(
            f"nothing is left of {min(sizes)} pixels that {halvings} blocks halve; "
            f"use {larger}fewer --widths."
        )


class SpeedData:
    """The training pictures, standardised a batch at a time, in two sizes.

    Flips alternate: a random half of the pictures is mirrored in even epochs, the other half in
    odd ones. A coin a picture and epoch would show a quarter of the pictures the same way twice in
    a row, and in a training of few epochs every view counts (Jordan 2024).
    """

    def __init__(self, task: ImageTask, settings: Settings, seed: int, use_val: bool) -> None:
        splits = [task.train, task.val] if use_val else [task.train]
        self.images = torch.cat([split[0] for split in splits])  # (N, 3, H, W) uint8
        self.labels = torch.cat([split[1] for split in splits])
        self.task, self.settings, self.seed = task, settings, seed
        self.crop = RandomCrop(SHIFT)
        self.mirrored = torch.rand(len(self.labels), generator=generator(seed)) < 0.5  # (N,)

    def __len__(self) -> int:
        """Whole batches in an epoch."""
        return len(self.labels) // self.settings.batch_size

    def batches(self, total_steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`total_steps` batches, the small ones first."""
        small_steps = round(self.settings.small_share * total_steps)
        for step in range(total_steps):
            epoch, place = divmod(step, len(self))
            if place == 0:
                order = torch.randperm(
                    len(self.labels), generator=generator(self.seed * 1000 + epoch)
                )
            rows = order[place * self.settings.batch_size :][: self.settings.batch_size]
            mirror = self.mirrored[rows] ^ bool(epoch % 2)
            x = standardize(to_pixels(self.images[rows]), self.task)
            x = torch.where(mirror[:, None, None, None], x.flip(3), x)
            x = self.crop(x, generator(self.seed * 100_000 + step))
            if step < small_steps and self.settings.small_size < x.shape[3]:
                x = shrink(x, self.settings.small_size)
            yield x.contiguous(memory_format=torch.channels_last), self.labels[rows]


def shrink(x: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), without aliasing."""
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)


class Optimizers:
    """Muon for the convolutions, Nesterov's method for the head and the biases, in one schedule.

    The rate falls linearly to zero, after a short rise of the head and bias rates.
    """

    def __init__(self, model: SpeedNet, settings: Settings) -> None:
        convolutions = [m.weight for m in model.blocks.modules() if isinstance(m, MatrixConv2d)]
        biases = [m.bias for m in model.blocks.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        self.matrices, self.whiten_bias = convolutions, model.whiten.bias
        self.muon = Muon(
            convolutions,
            lr=settings.muon_lr,
            momentum=settings.muon_momentum,
            weight_decay=0.0,
            ns_steps=3,
            ns_dtype=torch.float32,
        )
        groups = [
            {"params": [model.head.weight], "lr": settings.head_lr},
            {"params": biases, "lr": settings.bias_lr},
            {"params": [model.whiten.bias], "lr": settings.bias_lr},
        ]
        self.sgd = torch.optim.SGD(groups, lr=1.0, momentum=settings.momentum, nesterov=True)
        self.rates = [
            (group, group["lr"]) for o in (self.muon, self.sgd) for group in o.param_groups
        ]

    def step(self, share: float) -> None:
        """Update; `share` of the training is done."""
        for group, rate in self.rates:
            group["lr"] = rate * (1 - share)
        self.muon.step()
        self.sgd.step()
        with torch.no_grad():  # BatchNorm makes the scale meaningless: keep each row's norm near 1
            for weight in self.matrices:
                weight.mul_(len(weight) ** 0.5 / weight.norm())
        self.muon.zero_grad()
        self.sgd.zero_grad()


def train(
    task: ImageTask, settings: Settings, seed: int, use_val: bool, precision: str
) -> SpeedNet:
    """The whole training, from the whitening on."""
    torch.manual_seed(seed)
    data = SpeedData(task, settings, seed, use_val)
    total = round(settings.epochs * len(data))
    model = SpeedNet(settings.widths, len(task.classes)).to(memory_format=torch.channels_last)
    model.whiten_(standardize(to_pixels(data.images[:5000]), task))
    optimizers = Optimizers(model, settings)
    model.train()
    shown = progress(data.batches(total), f"{settings.epochs:g} epochs", total)
    for step, (x, y) in enumerate(shown):
        model.whiten.bias.requires_grad_(step < settings.whiten_bias_epochs * len(data))
        with autocast(torch.device("cpu"), precision):
            logits = model(x)  # (B, K)
        F.cross_entropy(logits.float(), y, label_smoothing=settings.label_smoothing).backward()
        optimizers.step(step / total)
    return model


@torch.no_grad()
def predict(model: SpeedNet, task: ImageTask, split: str, views: int, precision: str) -> Tensor:
    """Logits (N, K), averaged over 1, 2 (mirror) or 6 views (mirror, and shifts by 1 px)."""
    rows = []
    for images in getattr(task, split)[0].split(500):
        x = standardize(to_pixels(images), task)
        with evaluating(model), autocast(torch.device("cpu"), precision):
            rows.append(sum(weight * model(view).float() for weight, view in views_of(x, views)))
    return torch.cat(rows)


def views_of(x: Tensor, count: int) -> Iterator[tuple[float, Tensor]]:
    """(weight, pictures): the picture, its mirror image, and both shifted to two corners."""
    shifts = [(0, 0), (-1, -1), (1, 1)] if count == 6 else [(0, 0)]
    mirrors = (False,) if count == 1 else (False, True)
    padded = F.pad(x, [1] * 4, mode="reflect")
    height, width = x.shape[2:]
    for down, right in shifts:
        moved = padded[:, :, 1 + down :, 1 + right :][:, :, :height, :width]
        moved = moved.contiguous(memory_format=torch.channels_last)
        weight = (0.5 if (down, right) == (0, 0) else 0.25) if count == 6 else 1.0
        for mirror in mirrors:
            yield weight, moved.flip(3) if mirror else moved
