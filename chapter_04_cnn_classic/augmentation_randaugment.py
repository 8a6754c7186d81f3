"""RandAugment for a whole batch: n random operations at one common strength.

What you learn: instead of searching for the best operations and strengths (AutoAugment trained
15,000 small networks), draw n operations of a fixed list for every picture and turn one knob, the
magnitude m on a scale 0..30. Two numbers are left to tune.

    identity, shear x, shear y, translate x, translate y, rotate                one affine map
    brightness, colour, contrast, sharpness, posterize, solarize, autocontrast, equalize

The affine operations are one formula with a matrix a picture: the source of the output pixel p is

    A (p - c) + c + t,   nearest pixel, black outside.

For a batch, the pictures that drew the same operation are changed together: at most nine calls a
round whatever the batch size, and the five affine operations share one. List, ranges and signs are
those of torchvision.transforms.RandAugment (31 bins). "Lite": nearest pixel only, black fill.

Papers: Cubuk et al. 2020 (RandAugment); Cubuk et al. 2019 (AutoAugment).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from chapter_04_cnn_classic import augmentation_color as color
from chapter_04_cnn_classic.augmentation_geometry import picked

__all__ = [
    "AFFINE",
    "MAX_MAGNITUDE",
    "OPERATIONS",
    "RandAugmentLite",
    "affine",
    "affine_maps",
    "apply_",
]

MAX_MAGNITUDE = 30
AFFINE = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
SHEAR, TURN, FACTOR = 0.3, math.radians(30.0), 0.9  # at the largest magnitude
TRANSLATE = 150.0 / 331.0  # of the side; AutoAugment's 150 pixels of 331

# name -> function(x, m): m (B,) in -1 .. 1, the share of the largest magnitude with its sign.
PIXELWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda x, m: color.adjust_brightness(x, 1 + FACTOR * m),
    "color": lambda x, m: color.adjust_saturation(x, 1 + FACTOR * m),
    "contrast": lambda x, m: color.adjust_contrast(x, 1 + FACTOR * m),
    "sharpness": lambda x, m: color.adjust_sharpness(x, 1 + FACTOR * m),
    "posterize": lambda x, m: color.posterize(x, 8 - (4 * m.abs()).round()),
    "solarize": lambda x, m: color.solarize(x, 1 - m.abs()),
    "autocontrast": lambda x, m: color.autocontrast(x),
    "equalize": lambda x, m: color.equalize(x),
}
OPERATIONS = ("identity", *AFFINE, *PIXELWISE)


class RandAugmentLite:
    """num_ops operations for each picture, drawn with replacement, at `magnitude` of 30.

    Signed operations (affine ones and factors) turn either way with probability 1/2.
    """

    def __init__(self, num_ops: int = 2, magnitude: float = 9) -> None:
        if num_ops < 0:
            raise ValueError(f"num_ops must not be negative, got {num_ops}")
        if not 0 <= magnitude <= MAX_MAGNITUDE:
            raise ValueError(f"magnitude must lie in 0 .. {MAX_MAGNITUDE}, got {magnitude}")
        self.num_ops, self.magnitude = num_ops, magnitude

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        color.grey(x[:1])  # 1 or 3 channels
        where = {"generator": generator, "device": generator.device}
        x = x.clone(memory_format=torch.contiguous_format)
        for _ in range(self.num_ops):
            choice = torch.randint(len(OPERATIONS), (len(x),), **where)  # (B,)
            sign = torch.randint(2, (len(x),), **where) * 2 - 1  # (B,)
            apply_(x, choice, sign * (self.magnitude / MAX_MAGNITUDE))
        return x


def apply_(x: Tensor, choice: Tensor, strength: Tensor) -> None:
    """Operation number choice[b] of OPERATIONS on picture b, in place; strength (B,) in -1 .. 1.

    No picture is in two groups, so each group may be written back before the next is read.
    """
    turned = (choice >= 1) & (choice <= len(AFFINE))
    groups = [(turned, lambda part, m, rows: affine(part, *affine_maps(choice[rows], m, part)))]
    for number, name in enumerate(PIXELWISE, start=1 + len(AFFINE)):
        function = PIXELWISE[name]
        groups.append((choice == number, lambda part, m, rows, f=function: f(part, m.to(part))))
    for chosen, function in groups:
        rows = chosen.nonzero()[:, 0]  # where the generator lives: no wait for the device
        if len(rows):
            place = rows.to(x.device)
            part = function(x.index_select(0, place), strength[rows], rows)
            x.index_copy_(0, place, part)


def affine_maps(choice: Tensor, strength: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix A (B, 2, 2) and offset b (B, 2), both (x, y): source of p = A p + b, in pixels.

    Pixel centres are at whole numbers + 1/2. Shear leaves the upper left corner where it is, as in
    PIL; a rotation leaves the centre.
    """
    height, width = x.shape[2:]
    amount = [torch.where(choice == OPERATIONS.index(name), strength, 0.0) for name in AFFINE]
    shear_x, shear_y, right, down, turn = amount  # (B,) each
    angle = TURN * turn
    cos, sin = angle.cos(), angle.sin()
    row_x = torch.stack([cos, SHEAR * shear_x - sin], 1)  # each picture has one of the five
    row_y = torch.stack([sin + SHEAR * shear_y, cos], 1)
    matrix = torch.stack([row_x, row_y], 1)  # (B, 2, 2)
    center = torch.tensor([width / 2, height / 2])
    moved = torch.stack([right * (TRANSLATE * width), down * (TRANSLATE * height)], 1).trunc()
    turned = torch.where((choice == OPERATIONS.index("rotate"))[:, None], center, 0.0)  # (B, 2)
    offset = turned - (matrix @ turned[:, :, None])[:, :, 0] - moved  # (B, 2)
    return matrix.to(x), offset.to(x)


def affine(x: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """out[p] = x[nearest pixel of A p + b], black outside; (B, C, H, W) -> the same shape."""
    height, width = x.shape[2:]
    right = torch.arange(width, device=x.device, dtype=matrix.dtype) + 0.5  # (W,)
    down = (torch.arange(height, device=x.device, dtype=matrix.dtype) + 0.5)[:, None]  # (H, 1)
    source = [
        torch.floor(right * along[:, :1, None] + (down * along[:, 1:, None] + start[:, None, None]))
        for along, start in ((matrix[:, 0], offset[:, 0]), (matrix[:, 1], offset[:, 1]))
    ]  # columns and rows, (B, H, W) each
    columns, rows = source[0].clamp_(-1, width), source[1].clamp_(-1, height)
    return picked(x, rows, columns, gaps=True)
