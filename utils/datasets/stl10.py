"""Read STL-10's official binary files (labelled part).

`train_X.bin` is nothing but uint8 pixels, (N, 3, 96, 96), and the last two axes are (column, row):
a plane is stored column by column, so that the axes must be swapped, else all images lie on their
side. `train_y.bin` is a byte for each image, 1 to 10.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.datasets.official import read_checked
from utils.datasets.photo_sets import PhotoSource
from utils.errors import UserError


def read_stl10(folder: Path, source: PhotoSource) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Train and test, each [images (N, 96, 96, 3) uint8, labels (N,) int64], and the origin."""
    contents, origin = read_checked(folder, source)
    parts = []
    for part in ("train", "test"):
        pixels, labels = (np.frombuffer(contents[f"{part}_{k}.bin"], np.uint8) for k in "Xy")
        parts.append(_arrays(pixels, labels, folder / f"{part}_X.bin", source))
    return *parts, origin


def _arrays(
    pixels: np.ndarray, labels: np.ndarray, path: Path, source: PhotoSource
) -> list[np.ndarray]:
    image = 3 * source.size**2  # bytes
    if len(pixels) % image or len(pixels) // image != len(labels) or not len(labels):
        raise UserError(
            f"{path} is cut off or damaged: {len(pixels)} bytes are not {len(labels)} images of "
            f"{image} bytes, one for each label."
        )
    if labels.min() < 1 or labels.max() > len(source.classes):
        raise UserError(f"{path} has labels that are not in 1 to {len(source.classes)}.")
    planes = pixels.reshape(-1, 3, source.size, source.size)  # (N, 3, W, H)
    return [np.ascontiguousarray(planes.transpose(0, 3, 2, 1)), labels.astype(np.int64) - 1]
