"""A trained network together with what it needs to read a picture, from one checkpoint.

    classifier = load_classifier("chapter_04_cnn_classic/results/best_model.pth")
    pixels = classifier.view(image, fit="crop")         # (C, S, S) uint8, as the network sees it
    shares = classifier.probabilities(pixels[None])     # (1, classes)

A network without its class names, its picture size and the mean and deviation of its training
pixels is of no use to anybody. The checkpoints of this chapter hold them (see train.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from chapter_04_cnn_classic.model import load_model
from chapter_04_cnn_classic.read_image import fit_square, to_pixels
from utils.errors import UserError

TRAIN = "python chapter_04_cnn_classic/train.py"
ADVICE = (
    f"Train one: {TRAIN} --epochs 100 --batch_size 128 --lr 0.001 (CIFAR-10), or "
    f"{TRAIN} --dataset shapes (needs no data set); the run prints the path of its weights."
)


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode; mean and std (C, 1, 1) are of training pixels in 0..1."""

    model: nn.Module
    name: str
    dataset: str
    classes: tuple[str, ...]
    channels: int
    image_size: int
    mean: Tensor
    std: Tensor
    device: torch.device
    test_accuracy_percent: float | None  # as the checkpoint says

    def view(self, image: Image.Image, fit: str = "crop", invert: bool = False) -> Tensor:
        """An RGB picture as the network sees it: (C, S, S) uint8."""
        border = tuple(int(value) for value in (255 * self.mean).round().flatten().cpu())
        square = fit_square(image, self.image_size, fit, border * (3 // self.channels))
        if invert:
            square = ImageOps.invert(square)
        return torch.from_numpy(to_pixels(square, self.channels).copy())

    def standardize(self, pixels: Tensor) -> Tensor:
        """(B, C, S, S) uint8 -> float32 with the training pixels' mean 0 and deviation 1."""
        return (pixels.to(self.device).float() / 255 - self.mean) / self.std

    @torch.no_grad()
    def probabilities(self, pixels: Tensor) -> Tensor:
        """(B, C, S, S) uint8 -> (B, classes) on the CPU. UserError if the network is broken."""
        shares = self.model(self.standardize(pixels)).float().softmax(dim=1).cpu()
        if not shares.isfinite().all():
            raise UserError(
                f"this {self.name} answers with numbers that are not finite: its training diverged."
            )
        return shares


def load_classifier(
    path: str | Path,
    device: torch.device | str = "cpu",
    load: Callable[[str | Path], tuple[nn.Module, dict[str, Any]]] = load_model,
    advice: str = ADVICE,
) -> Classifier:
    """The classifier in a checkpoint; UserError says what is missing.

    `load` reads the network: this chapter's, or another chapter's `load_model`. `advice` is what to
    do where there is no such file.
    """
    if not Path(path).is_file():
        raise UserError(f"there is no checkpoint {path}. {advice}")
    model, checkpoint = load(path)
    model.requires_grad_(False)
    _check_facts(checkpoint, path)
    architecture = checkpoint["architecture"]
    device = torch.device(device)
    mean, std = (
        torch.tensor(checkpoint[key], dtype=torch.float32).reshape(-1, 1, 1).to(device)
        for key in ("mean", "std")
    )
    return Classifier(
        model=model.to(device),
        name=architecture["model"],
        dataset=str(checkpoint.get("dataset")),
        classes=tuple(str(name) for name in checkpoint["classes"]),
        channels=architecture["channels"],
        image_size=architecture["image_size"],
        mean=mean,
        std=std,
        device=device,
        test_accuracy_percent=checkpoint.get("metrics", {}).get("test_accuracy_percent"),
    )


def _check_facts(checkpoint: dict[str, Any], path: str | Path) -> None:
    """UserError unless the checkpoint says how to read a picture and how to name an answer."""
    architecture = checkpoint["architecture"]
    places = [(checkpoint, ("classes", "mean", "std")), (architecture, ("channels", "image_size"))]
    missing = [key for facts, keys in places for key in keys if facts.get(key) is None]
    if missing:
        raise UserError(
            f"{path} does not hold {', '.join(missing)}, so pictures cannot be prepared for it or "
            "its answers named; use the weights that train.py names at its end "
            "(best_model.pth or DATASET_MODEL.pth, not best.pth or last.pth)."
        )
    counts = {"classes": len(checkpoint["classes"]), "mean": len(checkpoint["mean"])}
    counts["std"] = len(checkpoint["std"])
    wanted = {"classes": architecture.get("num_classes", 10)}
    wanted |= dict.fromkeys(("mean", "std"), architecture["channels"])
    wrong = [key for key, count in counts.items() if count != wanted[key]]
    if wrong or architecture["channels"] not in (1, 3):
        raise UserError(f"{path} contradicts itself: its {wrong or 'channels'} do not fit.")
