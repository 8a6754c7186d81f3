"""The three tasks of classify.py as tensors: spiral points, and pictures as flat vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from utils import datasets
from utils.datasets import toy

SPIRAL_NOISE, SPIRAL_TURNS = 0.05, 1.0
QUICK_IMAGES = 6_000


@dataclass(frozen=True)
class Task:
    """Inputs (N, D) float32 and labels (N,) of the three splits; `images` of the test split."""

    name: str
    classes: tuple[str, ...]
    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    images: np.ndarray | None = None

    def to(self, device: torch.device) -> Task:
        """The same on the device; a data set of this size fits there whole."""
        splits = {
            k: tuple(t.to(device) for t in getattr(self, k)) for k in ("train", "val", "test")
        }
        return replace(self, **splits)


def load_task(name: str, data_dir: str | None, quick: bool = False) -> Task:
    """The data, standardised with the training split's statistics, as flat vectors."""
    if name == "spiral":
        return spiral_task()
    data = datasets.load(name, data_dir)

    def tensors(split: datasets.Split, limit: int | None = None) -> tuple[Tensor, Tensor]:
        images = data.standardise(split.images[:limit])  # (N, H, W)
        flat = torch.from_numpy(images.reshape(len(images), -1))  # (N, H * W)
        return flat, torch.from_numpy(split.labels[:limit])

    limit = QUICK_IMAGES if quick else None
    parts = (tensors(data.train, limit), tensors(data.val), tensors(data.test))
    return Task(name, data.classes, *parts, images=data.test.images)


def spiral_task() -> Task:
    """Three arms; the splits are three independent draws."""

    def draw(n: int, seed: int) -> tuple[Tensor, Tensor]:
        points, labels = toy.spiral(n, classes=3, noise=SPIRAL_NOISE, seed=seed, turns=SPIRAL_TURNS)
        return torch.from_numpy(points).float(), torch.from_numpy(labels)

    return Task("spiral", ("arm 1", "arm 2", "arm 3"), draw(150, 0), draw(100, 1), draw(1000, 2))
