"""Operations that move or hide pixels: flip, crop, cutout, erasing. The first part of
augmentation.py, which joins them with the others.

What you learn: a flip and a shifted crop are maps of rows and columns,

    out[b, c, i, j] = x[b, c, rows[b, i], columns[b, j]]
    flip    columns[b, j] = W - 1 - j
    crop    rows[b, i] = reflect(i + dy[b]),  columns[b, j] = reflect(j + dx[b])

so a batch needs one gather, and two maps in a row are joined before any pixel moves. Cutout and
erasing are a mask (B, 1, H, W) made of two intervals for each picture.

Papers: Krizhevsky et al. 2012 (flips and crops); DeVries and Taylor 2017 (cutout); Zhong et al.
2020 (random erasing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Cutout",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "Rearrangement",
    "check_batch",
    "filled",
    "joined",
    "picked",
    "rearranged",
    "uniform",
]


class Rearrangement:
    """An operation that takes every output pixel from a source row and a source column."""

    leaves_gaps = False  # True: a map may say -1, "no source: zero"

    def maps(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Source rows (B, H) and columns (B, W) for each picture of x."""
        raise NotImplementedError

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        check_batch(x)
        return rearranged(x, *self.maps(x, generator), self.leaves_gaps)


class RandomHorizontalFlip(Rearrangement):
    """Mirror each picture left to right with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability(p)

    def maps(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch, _, height, width = x.shape
        flipped = uniform((batch, 1), x, generator) < self.p  # (B, 1)
        columns = torch.arange(width, device=x.device)  # (W,)
        columns = torch.where(flipped, columns.flip(0), columns)  # (B, W)
        return torch.arange(height, device=x.device).expand(batch, -1), columns


class RandomCrop(Rearrangement):
    """Pad each side, then cut out the old size at a random place: a shift by up to `padding`.

    padding: an int counts pixels, a float is a fraction of the shorter side (0.125: 4 of 32).
    mode: "reflect" mirrors the picture about its border pixels, "zeros" fills with black.
    All (2 padding + 1)^2 places are equally likely, as in torchvision's RandomCrop.
    """

    def __init__(self, padding: int | float, mode: str = "reflect") -> None:
        if mode not in ("reflect", "zeros"):
            raise ValueError(f'mode must be "reflect" or "zeros", not {mode!r}')
        self.padding, self.mode = check_size(padding, "padding"), mode
        self.leaves_gaps = mode == "zeros"

    def maps(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch, _, height, width = x.shape
        padding = pixels(self.padding, x)
        if padding >= min(height, width):
            raise ValueError(f"padding {padding} needs pictures larger than {height} x {width}")
        shift = whole_numbers(2 * padding + 1, (2, batch, 1), x, generator) - padding  # (2, B, 1)
        rows = torch.arange(height, device=x.device) + shift[0]  # (B, H)
        columns = torch.arange(width, device=x.device) + shift[1]  # (B, W)
        return self.inside(rows, height), self.inside(columns, width)

    def inside(self, index: Tensor, length: int) -> Tensor:
        """Indices outside 0 .. length - 1 -> their mirror image, or -1 for a gap."""
        if self.mode == "zeros":
            return torch.where((index >= 0) & (index < length), index, -1)
        last = length - 1
        return last - (last - index.abs()).abs()


class Cutout:
    """A square of one colour around a random pixel hides a part of each picture.

    size: side of the square, in pixels (int) or as a fraction of the shorter side (float). The
    part that sticks out at the border is lost, so some pictures keep more than others. DeVries and
    Taylor put the mean colour there (zero after normalisation) and used 16 of 32 pixels on
    CIFAR-10. fill: one value, or one for each channel.
    """

    def __init__(self, size: int | float = 0.5, fill: float | Sequence[float] = 0.5) -> None:
        self.size, self.fill = check_size(size, "size"), fill

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        check_batch(x)
        return filled(x, self.box(x, generator), self.fill)

    def box(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Where the square lies: (B, 1, H, W) bool."""
        size, sides = pixels(self.size, x), []
        for length in x.shape[2:]:
            start = whole_numbers(length, (len(x), 1), x, generator) - size // 2  # (B, 1)
            pixel = torch.arange(length, device=x.device)
            sides.append((pixel >= start) & (pixel < start + size))  # (B, H), then (B, W)
        return sides[0][:, None, :, None] & sides[1][:, None, None, :]  # (B, 1, H, W)


class RandomErasing:
    """With probability p, a rectangle of random area and shape becomes one colour.

    scale: range of the area as a share of the picture. ratio: range of height / width, uniform in
    the logarithm. The rectangle lies inside the picture: of ten drawn shapes the first that fits
    is taken, and where none fits the picture stays, as in torchvision.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        fill: float | Sequence[float] = 0.0,
    ) -> None:
        if not 0 <= scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(
                f"scale {scale} must lie in 0 .. 1 and ratio {ratio} above 0, in order"
            )
        self.p, self.scale, self.ratio, self.fill = check_probability(p), scale, ratio, fill

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        check_batch(x)
        return filled(x, self.box(x, generator), self.fill)

    def box(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Where the rectangle lies: (B, 1, H, W) bool."""
        height, width = x.shape[2:]
        size, fits = self.sizes(x, generator)  # (B, 2), (B,)
        place = uniform((len(x), 3), x, generator)  # (B, 3)
        room = torch.tensor([height, width], device=x.device) - size + 1
        start = (place[:, :2] * room).floor()  # (B, 2)
        drawn = fits & (place[:, 2] < self.p)  # (B,)
        sides = []
        for axis, length in enumerate((height, width)):
            pixel = torch.arange(length, device=x.device)
            first, count = start[:, axis, None], size[:, axis, None]  # (B, 1)
            sides.append((pixel >= first) & (pixel < first + count))  # (B, length)
        inside = sides[0][:, :, None] & sides[1][:, None, :]  # (B, H, W)
        return (inside & drawn[:, None, None])[:, None]

    def sizes(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Height and width (B, 2) of the first of ten shapes that fits, and whether one does."""
        height, width = x.shape[2:]
        random = uniform((2, len(x), 10), x, generator)  # (2, B, 10)
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * random[0])
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = torch.exp(low + (high - low) * random[1])  # (B, 10)
        size = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], -1).round()
        fits = (size[..., 0] < height) & (size[..., 1] < width)  # (B, 10)
        first = fits.to(torch.uint8).argmax(dim=1)  # the first True
        chosen = size.gather(1, first[:, None, None].expand(-1, 1, 2))[:, 0]  # (B, 2)
        return chosen, fits.any(dim=1)


def filled(x: Tensor, box: Tensor, fill: float | Sequence[float]) -> Tensor:
    """x with the colour `fill` (one value or one a channel) where box (B, 1, H, W) is true."""
    color = torch.as_tensor(fill, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
    if len(color) not in (1, x.shape[1]):
        raise ValueError(f"fill has {len(color)} values, the pictures {x.shape[1]} channels")
    return torch.where(box, color, x)  # not x * mask: a pixel of nan or inf must be hidden too


def joined(
    first: tuple[Tensor, Tensor] | None, second: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The maps of "first, then second": an output index goes through the second, then the first."""
    if first is None:
        return second
    pairs = zip(first, second, strict=True)
    rows, columns = (
        torch.where(later < 0, -1, earlier.gather(1, later.clamp(min=0)))  # (B, length)
        for earlier, later in pairs
    )
    return rows, columns


def rearranged(x: Tensor, rows: Tensor, columns: Tensor, gaps: bool = False) -> Tensor:
    """out[b, c, i, j] = x[b, c, rows[b, i], columns[b, j]], as `picked`; rows (B, H)."""
    return picked(x, rows[:, :, None], columns[:, None, :], gaps)


def picked(x: Tensor, rows: Tensor, columns: Tensor, gaps: bool = False) -> Tensor:
    """The pixel of row rows[b, i, j] and column columns[b, i, j]: (B, C, H, W) -> the same shape.

    rows and columns: whole numbers in any type, broadcast to (B, H, W). One gather, with an index
    that all channels share. gaps: -1 and the height or width mean "outside", which is zero.
    """
    shape = x.shape
    if gaps:  # a frame of zeros, so that nothing has to be compared
        x, rows, columns = F.pad(x, (1, 1, 1, 1)), rows + 1, columns + 1
    index = (rows * x.shape[3] + columns).long().flatten(1)  # (B, H W)
    return x.flatten(2).gather(2, index[:, None].expand(-1, shape[1], -1)).view(shape)


def uniform(shape: tuple[int, ...], x: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform numbers in [0, 1), drawn where the generator lives, then moved to x's device."""
    return torch.rand(shape, generator=generator, device=generator.device).to(x.device)


def whole_numbers(
    below: int, shape: tuple[int, ...], x: Tensor, generator: torch.Generator
) -> Tensor:
    """Whole numbers 0 .. below - 1, all equally likely, on x's device."""
    drawn = torch.randint(below, shape, generator=generator, device=generator.device)
    return drawn.to(x.device)


def pixels(size: int | float, x: Tensor) -> int:
    """A size in pixels; a float is a fraction of the shorter side of x, at least one pixel."""
    return int(size) if isinstance(size, Integral) else max(1, round(size * min(x.shape[2:])))


def check_batch(x: Tensor) -> None:
    """ValueError unless x is a float batch (B, C, H, W)."""
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"expected a float batch (B, C, H, W), got {x.dtype} of shape {tuple(x.shape)}"
        )


def check_size(size: int | float, name: str) -> int | float:
    if size < 0 or (not isinstance(size, Integral) and size >= 1):
        raise ValueError(
            f"{name} must be a number of pixels (int) or a fraction below 1 (float), got {size!r}"
        )
    return size


def check_probability(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie between 0 and 1, got {p}")
    return p
