"""Small shapes on texture: pictures in which looking at the right place is nearly the whole task.

The scenes are those of `utils.datasets.shapes` (texture, a stroke behind, one across the shape's
edge, uneven light, noise) with one shape, whose radius is scaled down and whose centre is spread
over the picture again. Asked is the shape's colour, one of ten. Colour names are easy to read and
everything around has other colours, so three answers stand beside a network's:

    chance              always the most frequent colour
    colours, no places  a linear model on the histogram of the picture's colours: what is there,
                        but not what belongs to the shape
    told the place      15 nearest neighbours of the mean colour of the shape's visible part: what
                        reading alone attains once the looking is done, so the ceiling
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from chapter_04_cnn_classic.image_tasks import ImageTask
from utils.datasets.images import DRAWN
from utils.datasets.shapes import COLOR_NAMES, Scenes
from utils.datasets.shapes_draw import draw
from utils.datasets.shapes_layout import (
    BLOCK,
    MARGIN,
    Layout,
    concatenate,
    draw_block,
)

NAME = "small shapes"
SIZE = 24  # px
SPLIT_SEEDS = (20240311, 20240312, 20240313)
BINS = 4  # of the histogram, a colour channel


def smaller(layout: Layout, factor: float) -> Layout:
    """Every shape with `factor` times its radius, its centre anew as far from the border as that
    allows: where the old centre was a share of the free room, the new one is the same share."""
    old = MARGIN * layout.radius[:, :, None]  # (n, 1, 1)
    new = factor * old
    share = (layout.centre - old) / (1 - 2 * old)  # (n, 1, 2), in 0..1
    return replace(layout, radius=factor * layout.radius, centre=new + (1 - 2 * new) * share)


def scenes(count: int, factor: float, seed: int, size: int = SIZE) -> Scenes:
    """`count` scenes of one small shape: every 200 of them are a block of `shapes`."""
    layouts, images = [], []
    for block in range(-(-count // BLOCK)):
        rng = np.random.RandomState([seed, block])
        layout = smaller(draw_block(rng, (1, 1)), factor)
        noise = np.frombuffer(rng.bytes(BLOCK * 2 * size * size * 3), np.uint8)
        noise = noise.reshape(2, BLOCK, size, size, 3)
        layouts.append(layout)
        images.append(draw(layout, size, noise))  # (200, H, W, 3)
    return Scenes(np.concatenate(images)[:count], concatenate(layouts)[:count])


def load_data(train: int, held_out: int, factor: float) -> tuple[ImageTask, Scenes, Scenes]:
    """The task, colour by picture, and the scenes of its training and test part.

    train, held_out: pictures to learn from and to validate on; twice as many are tested.
    """
    counts = (train, held_out, 2 * held_out)
    parts = [scenes(n, factor, s) for n, s in zip(counts, SPLIT_SEEDS, strict=True)]
    pixels = parts[0].images.astype(np.float32) / 255  # (N, H, W, 3)
    mean, std = (torch.from_numpy(f(pixels, axis=(0, 1, 2))) for f in (np.mean, np.std))
    task = ImageTask(NAME, COLOR_NAMES, *map(examples, parts), mean, std, DRAWN)
    return task, parts[0], parts[2]


def examples(part: Scenes) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, H, W) uint8 and colours (N,)."""
    images = torch.from_numpy(part.images).permute(0, 3, 1, 2).contiguous()  # (N, 3, H, W)
    return images, torch.from_numpy(part.colors[:, 0])


def histogram(images: Tensor) -> np.ndarray:
    """Share of the pixels in each of 64 boxes of colours: (N, 3, H, W) uint8 -> (N, 64)."""
    levels = (images.long() * BINS) // 256
    cells = (levels[:, 0] * BINS + levels[:, 1]) * BINS + levels[:, 2]  # (N, H, W)
    return torch.stack([c.flatten().bincount(minlength=BINS**3) for c in cells]).numpy() / (
        cells[0].numel()
    )


def inside(part: Scenes) -> np.ndarray:
    """The mean colour of the shape's visible pixels, (N, 3)."""
    seen = part.masks[:, 0, :, :, None]  # (N, H, W, 1)
    return (part.images / 255 * seen).sum((1, 2)) / seen.sum((1, 2))


def baselines(task: ImageTask, train: Scenes, test: Scenes) -> dict[str, float]:
    """Test accuracies in per cent of the three answers without a network."""
    from sklearn.linear_model import LogisticRegression  # slow to import: only where they are used
    from sklearn.neighbors import KNeighborsClassifier

    answers, truth = task.train[1].numpy(), task.test[1].numpy()
    linear, neighbours = LogisticRegression(C=300, max_iter=300), KNeighborsClassifier(15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 300 iterations are enough for a baseline
        linear.fit(histogram(task.train[0]), answers)
    neighbours.fit(inside(train), answers)
    return {
        "chance": 100 * float((truth == np.bincount(answers).argmax()).mean()),
        "histogram": 100 * float(linear.score(histogram(task.test[0]), truth)),
        "told": 100 * float(neighbours.score(inside(test), truth)),
    }
