"""Regularisation by changed data: soft labels, mixup, CutMix, and shifts and rotations.

What you learn: a network that must fit a *set* of pictures and labels can learn them by heart.
These functions change the pictures or the labels of every batch, so that the same pair never comes
twice. They work on a whole batch, never in a loop over its rows, and all randomness comes from the
generator they are given.

    label smoothing   y' = (1 - eps) onehot(y) + eps / C
    mixup             x' = lam x + (1 - lam) x[p],  y' = lam y + (1 - lam) y[p],  lam ~ Beta(a, a)
    CutMix            x' = x with a box from x[p];  y' the same, 1 - lam = area of the box
    augmentation      x' = x rotated and shifted;   y' = y: what we know does not change the class

p is a random permutation of the batch, and each pair has a lam of its own. The transforms
at the end fit `training.Batches(..., transform=mixup_transform(alpha=0.2, classes=10))`.

Papers: Szegedy et al. 2016 (label smoothing); Zhang et al. 2018 (mixup); Yun et al. 2019 (CutMix).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "augment_transform",
    "cutmix",
    "cutmix_transform",
    "label_smoothing",
    "mixup",
    "mixup_transform",
    "random_affine",
]

Batch = tuple[Tensor, Tensor]
Transform = Callable[[Batch, torch.Generator], Batch]


def label_smoothing(targets: Tensor, classes: int, eps: float = 0.1) -> Tensor:
    """Labels (*) -> probabilities (*, C): 1 - eps + eps / C for the label, eps / C for the others.

    Cross-entropy with them equals F.cross_entropy(..., label_smoothing=eps). Its least value is not
    0 any more: logits that grow without bound stop paying.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps must lie between 0 and 1, got {eps}")
    one_hot = F.one_hot(targets.long(), classes).to(torch.get_default_dtype())  # (*) -> (*, C)
    return one_hot * (1 - eps) + eps / classes


def mixup(x: Tensor, y_soft: Tensor, alpha: float, generator: torch.Generator) -> Batch:
    """Each row becomes a weighted mean of itself and of another row; so does its label.

    x (B, *), y_soft (B, C) -> the same shapes. A small alpha mixes little: lam is near 0 or 1.
    """
    lam = _beta(alpha, len(x), generator).to(x)  # (B,)
    partner = _permutation(x, generator)  # (B,)
    return _blend(x, x[partner], lam), _blend(y_soft, y_soft[partner], lam)


def cutmix(x: Tensor, y_soft: Tensor, alpha: float, generator: torch.Generator) -> Batch:
    """A box of each picture is replaced by that of another; labels are mixed by the area.

    x (B, C, H, W), y_soft (B, classes) -> the same shapes. The box has sides sqrt(1 - lam) of the
    picture's and its centre anywhere; the part outside is lost, so that lam is measured afterwards.
    """
    partner = _permutation(x, generator)  # (B,)
    side = (1 - _beta(alpha, len(x), generator)).sqrt()  # (B,)
    rows = _interval(side, x.shape[2], generator)  # (B, H)
    columns = _interval(side, x.shape[3], generator)  # (B, W)
    box = (rows[:, :, None] & columns[:, None, :]).to(x.device)  # (B, H, W)
    lam = 1 - box.to(y_soft).mean(dim=(1, 2))  # (B,)
    return torch.where(box[:, None], x[partner], x), _blend(y_soft, y_soft[partner], lam)


def random_affine(
    x: Tensor, degrees: float, shift: float, fill: float, generator: torch.Generator
) -> Tensor:
    """Rotate each picture by up to +-degrees and move it by up to +-shift pixels, both uniform.

    (B, C, H, W) -> the same. Values between pixels are interpolated; what comes in from outside is
    `fill`, the value of the background.
    """
    random = torch.rand(3, len(x), generator=generator, device=generator.device)
    angle, right, down = 2 * random.to(x) - 1  # (B,) each, in -1 .. 1
    angle = angle * math.radians(degrees)
    height, width = x.shape[2:]
    # affine_grid measures in half pictures; a wide picture must not be sheared by the rotation.
    row_x = [angle.cos(), -angle.sin() * height / width, right * 2 * shift / width]
    row_y = [angle.sin() * width / height, angle.cos(), down * 2 * shift / height]
    theta = torch.stack([torch.stack(row_x, 1), torch.stack(row_y, 1)], 1)  # (B, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(x - fill, grid, align_corners=False) + fill  # zeros outside


def mixup_transform(alpha: float, classes: int) -> Transform:
    """mixup for `Batches(transform=)`: (x, y) with labels (B,) or (B, C) -> (x, y (B, C))."""

    def transform(batch: Batch, generator: torch.Generator) -> Batch:
        x, y = batch
        return mixup(x, _soft(y, classes), alpha, generator)

    return transform


def cutmix_transform(alpha: float, classes: int) -> Transform:
    """CutMix for `Batches(transform=)`: (x, y) with labels (B,) or (B, C) -> (x, y (B, C))."""

    def transform(batch: Batch, generator: torch.Generator) -> Batch:
        x, y = batch
        return cutmix(x, _soft(y, classes), alpha, generator)

    return transform


def augment_transform(degrees: float, shift: float, fill: float = 0.0) -> Transform:
    """random_affine for `Batches(transform=)`; the labels stay as they are."""

    def transform(batch: Batch, generator: torch.Generator) -> Batch:
        x, y = batch
        return random_affine(x, degrees, shift, fill, generator), y

    return transform


def _soft(y: Tensor, classes: int) -> Tensor:
    return y if y.is_floating_point() else label_smoothing(y, classes, eps=0.0)


def _blend(a: Tensor, b: Tensor, lam: Tensor) -> Tensor:
    """lam a + (1 - lam) b, with one lam (B,) a row."""
    lam = lam.reshape(-1, *[1] * (a.ndim - 1))  # (B,) -> (B, 1, ..., 1)
    return lam * a + (1 - lam) * b


def _permutation(x: Tensor, generator: torch.Generator) -> Tensor:
    """The partner of each row, drawn where the generator lives and then moved to x."""
    return torch.randperm(len(x), generator=generator, device=generator.device).to(x.device)


def _interval(side: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Intervals of `side` (B,) times `length` pixels around a random pixel: (B, length) bool."""
    center = torch.randint(length, side.shape, generator=generator, device=generator.device)
    size = (side * length).long()  # (B,) whole pixels
    start = center - size // 2
    pixel = torch.arange(length, device=side.device)
    return (pixel >= start[:, None]) & (pixel < (start + size)[:, None])  # (B, length)


def _beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """`count` draws from Beta(alpha, alpha), float64, from this generator alone.

    (torch.distributions.Beta takes no generator.) Two exact methods, by the size of alpha:
    above 1/2   (1 + sqrt(1 - U^(2 / (2 alpha - 1))) cos(2 pi V)) / 2            Ulrich 1984
    below       a / (a + b), a = U^(1 / alpha), b = V^(1 / alpha), if a + b <= 1    Joehnk 1964
    with U, V uniform; the second in logarithms, since U^(1/0.01) is 0 in any format.
    """
    if not alpha > 0:  # with nan the loop below would never end
        raise ValueError(f"alpha must be above 0, got {alpha}")
    options = {"dtype": torch.float64, "generator": generator, "device": generator.device}
    if alpha > 0.5:
        u, v = torch.rand(2, count, **options)
        radius = (1 - u ** (2 / (2 * alpha - 1))).sqrt()
        return (1 + radius * torch.cos(2 * math.pi * v)) / 2
    kept = torch.empty(0, dtype=torch.float64, device=generator.device)
    while len(kept) < count:  # more than three in four are accepted
        log_a, log_b = torch.rand(2, 2 * count, **options).log() / alpha
        accepted = torch.logaddexp(log_a, log_b) <= 0
        kept = torch.cat([kept, torch.sigmoid(log_a - log_b)[accepted]])
    return kept[:count]
