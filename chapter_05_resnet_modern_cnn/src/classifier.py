"""The shipped networks of this chapter, ready to read a picture file.

    classifier = load("chapter_05_resnet_modern_cnn/checkpoints/resnet18_natural_images.pth")
    picture, pixels = read(path, classifier)             # pixels (3, 96, 96) uint8

Everything but the message for a file that is not there is chapter 4's (`classifier.py`,
`read_image.py`).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from chapter_04_cnn_classic.classifier import Classifier, load_classifier
from chapter_04_cnn_classic.read_image import Picture, read_picture
from chapter_05_resnet_modern_cnn.src.model import load_model

CHAPTER = "chapter_05_resnet_modern_cnn"
SHIPPED = f"{CHAPTER}/checkpoints/resnet18_natural_images.pth"
EXAMPLE = f"{CHAPTER}/images/airplane.png"
TRAIN = f"python {CHAPTER}/src/model_train.py"
SHOWN_SIDE = 256  # px


def load(path: str | Path, device: torch.device | str = "cpu") -> Classifier:
    """The classifier in a checkpoint; UserError says how to get one that is not there."""
    return load_classifier(path, device, load_model, advice(path))


def advice(path: str | Path) -> str:
    """What to do about missing weights."""
    train = f"{TRAIN} --epochs 100 --batch_size 64 --lr 0.1"
    if "stl10" in Path(path).name:
        return (
            "Weights trained on STL-10 are not shipped: the set could not be had while the course "
            f"was made. Train them (STL-10 is downloaded): {train}. Or use the shipped weights, "
            f"trained on photographs of eight classes: --model_path ./{SHIPPED}"
        )
    return f"Train one: {train}; the run prints the path of its weights. Shipped: ./{SHIPPED}"


def read(path: str | Path, classifier: Classifier, fit: str = "crop") -> tuple[Picture, Tensor]:
    """The picture of a file, and the pixels (C, S, S) uint8 that the network gets.

    UserError for a file that is missing, no picture, or damaged.
    """
    size = classifier.image_size
    picture = read_picture(Path(path), side=max(SHOWN_SIDE, 2 * size))
    if min(picture.size) < size:
        width, height = picture.size
        picture.notes.append(f"enlarged from {width} x {height} px")
    return picture, classifier.view(picture.image, fit)
