"""A sheet of training images by class: the first look at a data set.

Up to 12 classes get a row each. Of more, 35 classes, evenly spaced in their order, get three images
each with the name above.
"""

from __future__ import annotations

import numpy as np

from utils.datasets.images import ImageData

MAX_ROWS = 12
BLOCKS, BLOCK_COLUMNS, BLOCK_IMAGES = 35, 5, 3
ROW_IMAGES, LARGE_ROW_IMAGES = 12, 8
LARGE = 40  # pixels; the sides of larger images are reduced, else the PNG passes 200 kB
ROW_SIDE, BLOCK_SIDE = 52, 38
GREY, WHITE = 110, 255


def contact_sheet(data: ImageData):
    """The figure. Images of one class run from left to right."""
    return _rows(data) if len(data.classes) <= MAX_ROWS else _blocks(data)


def _rows(data: ImageData):
    from utils import plotting

    size = data.train.images.shape[1]
    count = ROW_IMAGES if size <= LARGE else LARGE_ROW_IMAGES
    shown = [thumbnails(data, k, count, ROW_SIDE) for k in range(len(data.classes))]
    side = shown[0].shape[1]
    gap = max(1, side // 14)
    frame = ((0, 0), (0, gap), (0, gap), (0, 0))[: shown[0].ndim]
    photos = shown[0].ndim == 4
    framed = [np.pad(row, frame, constant_values=WHITE if photos else GREY) for row in shown]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in framed])  # (K (H+gap), ...)
    figure, ax = plotting.subplots(width=7.0, height=4.4 if photos else 5.6)
    _draw(ax, sheet)
    ax.set_yticks(np.arange(len(shown)) * (side + gap) + (side - 1) / 2, data.classes)
    ax.set_ylabel("class")
    ax.set_title(f"{data.name}: first training images of each class")
    return figure


def _blocks(data: ImageData):
    from utils import plotting

    total = len(data.classes)
    chosen = np.unique(np.linspace(0, total - 1, BLOCKS).round().astype(int))
    side = min(data.train.images.shape[1], BLOCK_SIDE)
    label, gap = 15, 12  # pixels above and beside a block
    width, height = BLOCK_IMAGES * side + gap, side + label
    rows = -(-len(chosen) // BLOCK_COLUMNS)
    sheet = np.full((rows * height, BLOCK_COLUMNS * width - gap, 3), WHITE, np.uint8)
    figure, ax = plotting.subplots(width=7.2, height=0.5 + 7.2 * sheet.shape[0] / sheet.shape[1])
    for place, k in enumerate(chosen):
        top, left = place // BLOCK_COLUMNS * height, place % BLOCK_COLUMNS * width
        strip = np.concatenate(thumbnails(data, k, BLOCK_IMAGES, side), axis=1)  # (S, 3 S, 3)
        sheet[top + label : top + height, left : left + strip.shape[1]] = strip
        ax.text(left, top + label - 3, data.classes[k], fontsize=7.5, va="baseline")
    _draw(ax, sheet)
    ax.set_yticks([])
    ax.set_title(
        f"{data.name}: first training images of {len(chosen)} of the {total} classes", pad=2
    )
    return figure


def _draw(ax, sheet: np.ndarray) -> None:
    ax.imshow(sheet, cmap="gray")
    ax.grid(False)
    ax.set_xticks([])
    for spine in ax.spines.values():
        spine.set_visible(sheet.ndim == 2)


def thumbnails(data: ImageData, label: int, count: int, side: int) -> np.ndarray:
    """The first `count` training images of a class, at most `side` pixels if they are LARGE.

    A class with fewer images is filled up with white. Returns (count, S, S) or (count, S, S, 3).
    """
    from PIL import Image

    images = data.train.images[np.flatnonzero(data.train.labels == label)[:count]]
    if images.shape[1] > LARGE:
        scaled = [
            Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS)
            for image in images
        ]
        images = np.stack([np.asarray(image) for image in scaled])  # (n, S, S, 3)
    missing = count - len(images)
    return np.pad(images, ((0, missing), *((0, 0),) * (images.ndim - 1)), constant_values=WHITE)
