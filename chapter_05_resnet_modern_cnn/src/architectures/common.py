"""What the small-image forms of all networks share: how many of the early halvings are left out.

The networks of this chapter were made for pictures of 224 px, which they halve five times: to maps
of 7 x 7. A picture of 32 px would end as a single number. The small form is the same network with
its first `skip` strides set to 1 (a pool left out), so that 4 to 7 rows are left for the last
stage. The weights keep their names; their shapes too, except in a stem that is made smaller.

    px          8 to 15   16 to 63   64 to 127   from 128
    halvings    1         3          4           5
    skip        4         2          1           0
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from utils.errors import UserError

HALVINGS = 5  # of the networks as published
SMALLEST = 8  # px


class PictureTooSmall(UserError, ValueError):
    """Nothing would be left of the picture."""


def halvings_to_skip(image_size: int) -> int:
    """How many of the first halvings a picture of this size cannot afford.

    PictureTooSmall, a ValueError, below 8 px.
    """
    if image_size < SMALLEST:
        raise PictureTooSmall(f"pictures must have at least {SMALLEST} px, not {image_size}")
    for size, halvings in ((128, 5), (64, 4), (16, 3)):
        if image_size >= size:
            return HALVINGS - halvings
    return HALVINGS - 1


def strides(skip: int, count: int = HALVINGS) -> list[int]:
    """Strides of the `count` halvings in order: `skip` ones, then twos."""
    return [1] * min(skip, count) + [2] * max(0, count - skip)


def divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, but not more than 10 % below it.

    MobileNet's rule for scaled widths (Sandler et al. 2018); at least one `divisor`.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: Callable[..., nn.Module] | None = nn.ReLU,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Sequential:
    """Convolution without bias, BatchNorm (which has one), and the activation unless it is None.

    The padding keeps the map's size, (B, C, H, W) -> (B, N, ceil(H / stride), ceil(W / stride)).
    """
    padding = kernel_size // 2
    options = {"stride": stride, "padding": padding, "groups": groups, "bias": False}
    layers = [nn.Conv2d(in_channels, out_channels, kernel_size, **options), norm(out_channels)]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)
