"""The pictures of this chapter, and what a training on each set takes.

Loading, augmentation and batches are chapter 4's (`utils.datasets`, `image_tasks.py`). Here is
which sets there are, and the defaults of a training where the command is silent.

    python -m utils.datasets list                      which of them are on this machine
    python -m utils.datasets show shapes               a contact sheet

    name               px   classes    train     test    to be had
    stl10              96        10    5,000    8,000    downloaded: datasets download stl10
    natural_images96   96         8    5,520    1,034    as a folder or an archive that you bring
    intel_scenes96     96         6    9,000    2,698    the same
    caltech101_96      96       101    5,784    2,604    the same
    cifar10            32        10   50,000   10,000    downloaded: datasets download cifar10
    shapes             32        10   10,000    2,000    drawn by the course: always there
    shapes96           96        10    6,000    1,200    the same, in the place of photographs

A tenth or so of each training split is the validation split, by which everything is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

from chapter_04_cnn_classic.image_tasks import (
    QUICK_SET,
    ImageTask,
    load_task,
    majority_accuracy,
    quick_augment,
    quick_choice,
    with_pictures,
)

__all__ = [
    "DATASETS",
    "QUICK_SET",
    "VAL_PICTURES",
    "ImageTask",
    "Preset",
    "load_task",
    "majority_accuracy",
    "preset",
    "quick_augment",
    "quick_choice",
    "with_pictures",
]

VAL_PICTURES = 1000  # enough for a curve; all 5,000 of CIFAR-10 would cost a third of the time
DATASETS = (
    "stl10",
    "natural_images96",
    "intel_scenes96",
    "caltech101_96",
    "cifar10",
    "shapes",
    "shapes96",
)


@dataclass(frozen=True)
class Preset:
    """Depth of the network, epochs, augmentation and optimizer; pictures of a --quick training."""

    depth: int = 18
    epochs: int = 30
    augment: str = "flip,crop"
    optimizer: str = "sgd"
    quick: int = 48  # of each split; a picture of 96 px costs nine times one of 32


PRESETS = {
    "cifar10": Preset(depth=20, epochs=40, quick=200),
    # With SGD two epochs are decided by the seed: it leaves the plateau at ln 10 early or late.
    "shapes": Preset(depth=32, epochs=2, optimizer="muon"),
    "shapes96": Preset(epochs=10),
    # 8 px: a --quick training's, in the place of `shapes`. Four epochs of 32 layers take seconds.
    QUICK_SET: Preset(depth=32, epochs=4, augment="crop:1", optimizer="muon"),
}


def preset(name: str) -> Preset:
    """The defaults of a data set; photographs of 96 px share theirs."""
    return PRESETS.get(name, Preset())
