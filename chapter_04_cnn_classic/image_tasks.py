"""The image data sets as tensors, and how a batch of them reaches a network.

    task = load_task("shapes")                  # embedded; also "cifar10", "digits", ...
    x, y = task.train                           # (N, C, H, W) uint8, (N,) int64
    batches = train_batches(task, 128, seed=0, augment="flip,crop")
    x, y = next(iter(batches))                  # (128, C, H, W) float32 standardised, (128,)

The pictures stay uint8 in memory (CIFAR-10: 154 MB instead of 614), and each batch is converted,
augmented and standardised when it is drawn, in this order: augmentation works on pixels from 0 to
1, and what it cuts out or shifts in is then standardised like everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chapter_03_optimization_regularization.regularization import cutmix_transform, mixup_transform
from chapter_03_optimization_regularization.training import Batches
from chapter_04_cnn_classic import augmentation
from utils import datasets
from utils.datasets.images import DRAWN, spread
from utils.errors import UserError
from utils.run import Run

Examples = tuple[Tensor, Tensor]
COPIES = {
    "en": "measured on image copies that have lost some detail; expect slightly more on the "
    "official pixels",
    "zh": "在损失了一些细节的图像副本上测得；在官方像素上应当略高",
}
QUICK_SET = "digits"
MIXES: dict[str, Callable] = {"mixup": mixup_transform, "cutmix": cutmix_transform}


@dataclass(frozen=True)
class ImageTask:
    """Pictures (N, C, H, W) uint8 with labels (N,) in three splits; mean and std (C,) of 0..1."""

    name: str
    classes: tuple[str, ...]
    train: Examples
    val: Examples
    test: Examples
    mean: Tensor
    std: Tensor
    origin: str = ""  # what the pixels are, if they are not the official ones

    @property
    def channels(self) -> int:
        return self.train[0].shape[1]

    @property
    def image_size(self) -> int:
        return self.train[0].shape[-1]

    def to(self, device: torch.device | str) -> ImageTask:
        """The same on the device, where batches are then cut and augmented."""
        fields = {
            k: tuple(t.to(device) for t in getattr(self, k)) for k in ("train", "val", "test")
        }
        return replace(self, **fields)

    def architecture(self, model: str) -> dict[str, str | int]:
        """What `model.build_model` needs to build a network for this task."""
        return {
            "model": model,
            "num_classes": len(self.classes),
            "image_size": self.image_size,
            "channels": self.channels,
        }


def load_task(name: str, data_dir: str | None = None, limit: int | None = None) -> ImageTask:
    """A data set's fixed splits; `limit` keeps that many examples of each split."""
    data = datasets.load(name, data_dir, limit=limit)

    def tensors(split: datasets.Split) -> Examples:
        images = torch.from_numpy(split.images)  # (N, H, W) or (N, H, W, 3)
        images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
        return images.contiguous(), torch.from_numpy(split.labels)  # (N, C, H, W), (N,)

    mean, std = (
        torch.as_tensor(value, dtype=torch.float32).reshape(-1) for value in (data.mean, data.std)
    )
    parts = (tensors(data.train), tensors(data.val), tensors(data.test))
    return ImageTask(name, data.classes, *parts, mean, std, data.origin)


def quick_choice(run: Run, pictures: int) -> int | None:
    """Choose what a --quick run learns from: how many pictures of each split, None for all.

    The outlines of `shapes` keep most networks at chance for minutes; the digits are read after
    seconds. So the digits, all of them, stand in for `shapes`, and it says so. Of any other data
    set so few pictures teach nothing: the run is a smoke run.
    """
    name = run.args.dataset
    if name not in ("shapes", "shapes96", QUICK_SET):
        run.smoke = True
        return pictures
    if name != QUICK_SET:
        print(f"--quick: {QUICK_SET} (8 x 8 px) in the place of {name}, which takes minutes.")
    run.args.dataset = QUICK_SET
    return None


def quick_augment(usual: str, name: str, quick: bool) -> str:
    """`usual`, but the digits of a --quick run only move by a pixel: a mirrored 3 is no digit."""
    return "crop:1" if quick and name == QUICK_SET else usual


def with_pictures(task: ImageTask, count: int | None, split: str = "train") -> ImageTask:
    """The task with at most `count` pictures in a split (None: all).

    Of drawn scenes the first, of files every k-th, as these may lie sorted by class. Mean and
    deviation stay those of the whole split.
    """
    x, y = getattr(task, split)
    count = min(count or len(y), len(y))
    drawn = task.origin == DRAWN
    rows = torch.arange(count) if drawn else torch.from_numpy(spread(len(y), count))  # (count,)
    return replace(task, **{split: (x[rows], y[rows])})


def facts_of(task: ImageTask) -> dict[str, Any]:
    """What a checkpoint needs besides the weights, so that any picture can be classified."""
    note = {"card_note": COPIES} if "not the official" in task.origin else {}
    return note | {
        "classes": list(task.classes),
        "mean": task.mean.tolist(),
        "std": task.std.tolist(),
        "origin": task.origin,
    }


def majority_accuracy(task: ImageTask) -> dict[str, float]:
    """Accuracies of always naming the most frequent class of the training split."""
    common = task.train[1].mode().values
    splits = {"val": task.val[1], "test": task.test[1]}
    return {name: (y == common).float().mean().item() for name, y in splits.items()}


def standardize(pixels: Tensor, task: ImageTask) -> Tensor:
    """(B, C, H, W) in 0..1 -> the same with the training split's mean 0 and deviation 1."""
    mean, std = (value.to(pixels)[:, None, None] for value in (task.mean, task.std))  # (C, 1, 1)
    return (pixels - mean) / std


def to_pixels(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 0..1."""
    return images.float() / 255


def augmentation_for(task: ImageTask, names: str) -> augmentation.Compose:
    """The operations, tried on one picture: UserError before any training if they do not suit."""
    side = task.image_size
    try:
        change = augmentation.build(names)
        change(to_pixels(task.train[0][:1]), torch.Generator())
        if any(isinstance(op, augmentation.Cutout) and op.size >= 2 * side for op in change.ops):
            raise ValueError(f"a square of twice the side hides pictures of {side} x {side} whole")
    except ValueError as error:
        raise UserError(f"--augment {names} does not suit {task.name}: {error}.") from None
    return change


def train_batches(
    task: ImageTask, batch_size: int, seed: int, augment: str = "", mix: str = ""
) -> Batches:
    """The training split in shuffled, augmented batches; `mix` is "", "mixup" or "cutmix".

    `augment`: names for `augmentation.build`, such as "flip,crop". With `mix` the labels become
    probabilities (B, classes).
    """
    change = augmentation_for(task, augment)
    blend = MIXES[mix](1.0, len(task.classes)) if mix else None

    def transform(batch: Examples, generator: torch.Generator) -> Examples:
        images, labels = batch
        x = standardize(change(to_pixels(images), generator), task)
        x = x.contiguous(memory_format=torch.channels_last)
        return blend((x, labels), generator) if blend else (x, labels)

    return Batches(*task.train, batch_size=batch_size, shuffle=True, seed=seed, transform=transform)


def eval_batches(task: ImageTask, split: str, batch_size: int = 500) -> Batches:
    """A split in its own order, standardised."""

    def transform(batch: Examples, generator: torch.Generator) -> Examples:
        x = standardize(to_pixels(batch[0]), task)
        return x.contiguous(memory_format=torch.channels_last), batch[1]

    return Batches(*getattr(task, split), batch_size=batch_size, transform=transform)
