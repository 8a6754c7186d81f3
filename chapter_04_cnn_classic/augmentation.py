"""Data augmentation for a whole batch at once: the table of operations, and how they are joined.

What you learn: a photo of a horse is a photo of a horse after a mirror or a shift by four pixels.
A convolution knows about the shift, not about the mirror; augmentation teaches what the network
does not know, by drawing another member of the same orbit every time a picture is used.

Libraries change one picture after the other, in Python. Here an operation changes (B, C, H, W) in a
few tensor operations, with parameters of its own for each picture:

    augmentation_geometry.py      flip, crop, cutout, erasing    pixels move or are hidden
    augmentation_color.py         jitter                         brightness, contrast, colour
    augmentation_randaugment.py   RandAugment                    n of 14 operations at one strength
    chapter 3's mixing.py         mixup, CutMix                  change the labels too

Every operation is called as op(x, generator): x float (B, C, H, W) with values in 0..1 -> the same
shape, dtype and device. All randomness comes from the generator, which may live on the CPU or on
the device of x. Flip, crop and cutout also accept values of any other range.

    augment = build("flip,crop,cutout")
    x = augment(x, generator)
    Batches(x, y, batch_size=128, shuffle=True, transform=image_transform(augment))

Papers: Krizhevsky et al. 2012; DeVries and Taylor 2017; Howard 2013; Cubuk et al. 2020.
Command: python chapter_04_cnn_classic/demo_augmentation.py    a picture of each, 5 seconds
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from chapter_03_optimization_regularization.regularization import cutmix, mixup
from chapter_04_cnn_classic.augmentation_color import ColorJitter
from chapter_04_cnn_classic.augmentation_geometry import (
    Cutout,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    Rearrangement,
    check_batch,
    joined,
    rearranged,
)
from chapter_04_cnn_classic.augmentation_randaugment import RandAugmentLite

__all__ = [
    "NAMES",
    "ColorJitter",
    "Compose",
    "Cutout",
    "RandAugmentLite",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "build",
    "cutmix",
    "image_transform",
    "mixup",
]

Operation = Callable[[Tensor, torch.Generator], Tensor]
Batch = tuple[Tensor, ...]


class Compose:
    """Operations one after the other; neighbours that only move pixels share one pass.

    The result is that of calling each in turn with the same generator, to the bit.
    """

    def __init__(self, ops: Sequence[Operation]) -> None:
        self.ops = list(ops)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        check_batch(x)
        waiting, gaps = None, False
        for op in self.ops:
            if isinstance(op, Rearrangement):
                waiting = joined(waiting, op.maps(x, generator))
                gaps |= op.leaves_gaps
                continue
            if waiting is not None:
                x, waiting, gaps = rearranged(x, *waiting, gaps), None, False
            x = op(x, generator)
        return x if waiting is None else rearranged(x, *waiting, gaps)


def build(names: str, fill: float | Sequence[float] = 0.5) -> Compose:
    """Operations from their names: build("flip,crop,cutout"), build("crop:4,flip"); "" does none.

    A number after a colon replaces the default strength: probability of flip (1/2) and erase
    (1/4), pixels of crop and cutout (1/8 and 1/2 of the side), jitter (0.4; the hue turns by a
    quarter of it), magnitude of randaugment (9). fill: colour of cut-out squares.
    """
    ops = []
    for word in filter(None, (part.strip() for part in names.split(","))):
        name, _, strength = word.partition(":")
        if name not in _MAKERS:
            raise ValueError(f"unknown augmentation {name!r}; there are {', '.join(NAMES)}")
        try:
            number = _finite(strength) if strength else None
            ops.append(_MAKERS[name](number, fill))
        except ValueError as error:
            raise ValueError(f"{word!r}: {error}") from None
    return Compose(ops)


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a number")
    return number


def _side(number: float | None, default: float) -> int | float:
    """Pixels if a whole number was given, else a fraction of the side."""
    if number is None:
        return default
    return int(number) if number == int(number) else number


def _jitter(strength: float) -> ColorJitter:
    return ColorJitter(strength, strength, strength, strength / 4)


_MAKERS: dict[str, Callable[[float | None, float | Sequence[float]], Operation]] = {
    "flip": lambda p, fill: RandomHorizontalFlip(0.5 if p is None else p),
    "crop": lambda padding, fill: RandomCrop(_side(padding, 0.125)),
    "cutout": lambda size, fill: Cutout(_side(size, 0.5), fill),
    "erase": lambda p, fill: RandomErasing(0.25 if p is None else p, fill=fill),
    "jitter": lambda s, fill: _jitter(0.4 if s is None else s),
    "randaugment": lambda m, fill: RandAugmentLite(2, 9 if m is None else m),
}
NAMES = tuple(_MAKERS)


def image_transform(operation: Operation) -> Callable[[Batch, torch.Generator], Batch]:
    """An operation on pictures for chapter 3's `Batches(x, y, transform=)`; labels stay."""

    def transform(batch: Batch, generator: torch.Generator) -> Batch:
        return (operation(batch[0], generator), *batch[1:])

    return transform
