"""Two photos to try operations on, embedded in scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def sample_photos() -> dict[str, np.ndarray]:
    """The photos "china" (a temple) and "flower", each (427, 640, 3) uint8."""
    from sklearn.datasets import load_sample_images

    found = load_sample_images()
    names = [Path(path).stem for path in found.filenames]
    return {name: np.array(image) for name, image in zip(names, found.images, strict=True)}
