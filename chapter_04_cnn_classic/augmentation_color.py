"""Changes of colour for a whole batch, with a strength of its own for each picture.

What you learn: most of the classical operations are one formula, a blend with a duller picture,

    out = f x + (1 - f) dull        f = 1: as it was; 0: the dull picture; above 1: the opposite
    brightness   dull = black                 contrast    dull = the mean grey of the picture
    saturation   dull = its grey version      sharpness   dull = its blurred version

With f (B,) the whole batch is one such line. Hue turns the colour circle: from red, green, blue to
(hue, chroma, value), a shift of the hue, and back,

    out_n = value - chroma clamp(2 - |k - 2|, 0, 1),   k = n + 6 hue (mod 6),   n = 5, 3, 1 for RGB.

Pictures are float (B, C, H, W) in 0..1. With C = 1 saturation and hue change nothing. Each
function equals that of torchvision.transforms.functional (for `posterize` and `equalize`, which
count in 256 levels, on pictures that hold k / 255).

Papers: Howard 2013 (colour jitter); Cubuk et al. 2019 (the list of operations, from PIL).
"""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

__all__ = [
    "ColorJitter",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "grey",
    "posterize",
    "solarize",
]

Range = float | tuple[float, float]

CHUNK = 128  # pictures changed together: what a step leaves is then still in the processor's cache


def grey(x: Tensor) -> Tensor:
    """Brightness as an eye sees it (ITU-R 601): (B, 3, H, W) -> (B, 1, H, W); grey stays grey."""
    if x.shape[1] == 1:
        return x
    if x.shape[1] != 3:
        raise ValueError(f"colour operations need 1 or 3 channels, got {x.shape[1]}")
    return (0.2989 * x[:, :1]).add_(x[:, 1:2], alpha=0.587).add_(x[:, 2:], alpha=0.114)


def blend(x: Tensor, dull: Tensor, factor: Tensor) -> Tensor:
    """f x + (1 - f) dull, cut to 0..1; factor (B,)."""
    return torch.lerp(dull, x, each(factor, x)).clamp_(0, 1)


def each(values: Tensor, x: Tensor) -> Tensor:
    """One value a picture: (B,) -> (B, 1, 1, 1) in the type of x."""
    return values.to(x).reshape(-1, 1, 1, 1)


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with black."""
    return (x * each(factor, x)).clamp_(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey of each picture."""
    return blend(x, grey(x).mean(dim=(1, 2, 3), keepdim=True), factor)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey version; a grey picture has no colour to change."""
    return x if x.shape[1] == 1 else blend(x, grey(x), factor)


def adjust_sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with a 3 x 3 blur whose centre weighs 5 of 13; the border pixels stay."""
    if min(x.shape[2:]) <= 2:
        return x
    rows = x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]  # (B, C, H - 2, W)
    blurred = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]  # (B, C, H - 2, W - 2)
    inner = x[:, :, 1:-1, 1:-1]
    out = x.clone()
    out[:, :, 1:-1, 1:-1] = blend(inner, blurred.add_(inner, alpha=4).div_(13), factor)
    return out


def adjust_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn the colour circle by shift (B,), in turns: -0.5..0.5; 1/3 makes red green."""
    if x.shape[1] == 1:
        return x
    value, chroma, hue = hue_of(x)  # (B, 1, H, W) each
    n = torch.tensor([5.0, 3.0, 1.0], device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    place = hue + (each(shift, x) + (n - 2) / 6)  # (B, 3, H, W): (k - 2) / 6, plus whole turns
    place.sub_(place.round()).abs_().clamp_(1 / 6, 2 / 6)  # distance from 0 on the circle, cut
    return torch.addcmul(value - 2 * chroma, 6 * chroma, place)  # value - chroma (2 - 6 distance)


def hue_of(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value (the largest channel), chroma (largest - smallest), hue in turns, each (B, 1, H, W)."""
    red, green, blue = x.split(1, dim=1)  # (B, 1, H, W) each
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    not_red, not_green = (value - red).sign_(), (value - green).sign_()  # 0 where it is largest
    hue = torch.lerp(  # lerp by 0 or 1 picks as torch.where does, several times faster on a CPU
        (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4), not_green
    )
    hue = torch.lerp(green - blue, hue, not_red)  # times the chroma
    return (
        value,
        chroma,
        hue.div_((6 * chroma).clamp_(min=1e-12)),
    )  # a grey pixel has chroma 0, hue 0


def posterize(x: Tensor, bits: Tensor | int) -> Tensor:
    """Keep the highest `bits` (B,) of the 8 bits of each value."""
    bits = torch.as_tensor(bits, device=x.device).expand(len(x))
    step = each(2.0 ** (8 - bits), x)
    return (x * 255).round_().div_(step).floor_().mul_(step / 255)


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values from the threshold (B,) up."""
    bright = (x >= each(threshold, x)).to(x.dtype)
    return torch.lerp(x, 1 - x, bright)  # 0 or 1: a choice, as in hue_of


def autocontrast(x: Tensor) -> Tensor:
    """Stretch each channel of each picture to 0..1; a channel of one value stays."""
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    flat = high == low
    low = torch.where(flat, 0, low)
    return (x - low).div_(torch.where(flat, 1, high - low)).clamp_(0, 1)


def equalize(x: Tensor) -> Tensor:
    """Spread the values of each channel so that all 256 levels are about equally frequent.

    The new level of v counts the pixels below v, in units of `step`, 1/255 of the pixels without
    those of the highest level. Histogram and table for all B C channels at once.
    """
    levels = (x * 255).round_().long().flatten(2).flatten(0, 1)  # (B C, H W)
    first = 256 * torch.arange(len(levels), device=x.device)[:, None]  # (B C, 1)
    counts = torch.bincount((levels + first).flatten(), minlength=256 * len(levels))
    # Whole numbers as floats: below 2^24 they and their quotients' floors are exact, and dividing
    # floats is many times as fast as dividing integers.
    counts = counts.view(-1, 256).float()  # (B C, 256): pixels of each level
    highest = counts.gather(1, levels.amax(dim=1, keepdim=True))  # (B C, 1)
    step = ((levels.shape[1] - highest) / 255).floor_()
    below = counts.cumsum(1).sub_(counts)  # pixels under each level
    table = below.add_((step / 2).floor()).div_(step.clamp(min=1)).floor_().clamp_(0, 255)
    table = torch.where(step == 0, torch.arange(256.0, device=x.device), table)  # (B C, 256)
    return (table.to(x.dtype) / 255).gather(1, levels).view(x.shape)


class ColorJitter:
    """Brightness, contrast, saturation and hue changed at random, in random order.

    Each of the first three is a number b, for factors uniform in max(0, 1 - b) .. 1 + b, or a pair
    (lowest, highest factor). hue: a number up to 0.5, for a turn in -hue .. hue, or a pair.
    0 leaves the property alone.

    Every picture has factors of its own. The order is drawn once for CHUNK pictures where
    torchvision draws it once a picture: a single picture is distributed alike, neighbours share it.
    """

    def __init__(
        self,
        brightness: Range = 0.0,
        contrast: Range = 0.0,
        saturation: Range = 0.0,
        hue: Range = 0.0,
    ) -> None:
        named = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        ranges = [factor_range(value, name, 1.0, 0.0, math.inf) for name, value in named.items()]
        ranges.append(factor_range(hue, "hue", 0.0, -0.5, 0.5))
        functions = [adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue]
        neutral = [(1.0, 1.0)] * 3 + [(0.0, 0.0)]
        pairs = zip(functions, ranges, neutral, strict=True)
        self.changes = [(function, span) for function, span, none in pairs if span != none]

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        grey(x[:1])  # a wrong number of channels stops here, whatever the order
        return torch.cat([self.changed(part, generator) for part in x.split(CHUNK)])

    def changed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """All changes, in an order drawn for these pictures."""
        where = {"generator": generator, "device": generator.device}
        order = torch.randperm(len(self.changes), **where).tolist()
        draws = torch.rand(len(self.changes), len(x), **where).to(x.device)
        for index in order:
            function, (low, high) = self.changes[index]
            x = function(x, low + (high - low) * draws[index])
        return x


def factor_range(
    value: Range, name: str, center: float, lowest: float, highest: float
) -> tuple[float, float]:
    """A strength or a pair as (low, high); ValueError outside lowest .. highest."""
    if isinstance(value, Real):  # NumPy's numbers too
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
        low, high = center - value, center + value
        low = max(low, 0.0) if center else low
    else:
        low, high = value
    if not lowest <= low <= high <= highest:
        raise ValueError(f"{name} {value} is not within {lowest} .. {highest}")
    return float(low), float(high)
