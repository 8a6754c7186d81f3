"""`shapes`: pictures of ten shapes, made by the program: no file, no network, any number of them.

A scene is a textured background, clutter, one to four coloured and textured shapes at random
place, size and turn, an occluder that hides at most a fifth of a shape, uneven light and noise.
The facts of a scene are exact: class, colour, box, mask of the visible part, and a caption.

    train, val, test = make_splits(32)               # one shape a scene: classification
    train.images, train.labels                       # (10000, 32, 32, 3) uint8, (10000,) int64
    scenes = render(100, size=64, objects=(1, 4))    # detection, segmentation, captions
    scenes.boxes, scenes.masks, scenes.captions      # computed when first asked for

All classes have the same distribution of area, place, colour and texture, so the outline alone
tells them apart. Scene i depends on the seed, i and `objects` only: not on the number of scenes or
threads; at another size it is the same scene with other noise.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from utils.datasets.shapes_draw import SHAPES, draw, visible_masks
from utils.datasets.shapes_layout import BLOCK, COLORS, Layout, concatenate, draw_block

CLASSES: tuple[str, ...] = tuple(SHAPES)
COLOR_NAMES: tuple[str, ...] = tuple(COLORS)
# Side in pixels -> images in train, val and test; the seed of each split.
SPLIT_SIZES = {32: (10_000, 1_000, 2_000), 64: (6_000, 600, 1_200), 96: (6_000, 600, 1_200)}
SPLIT_SEEDS = (20240301, 20240302, 20240303)
MAX_OBJECTS, MIN_SIZE, MAX_SIZE = 4, 16, 512
TILE_PIXELS = 2**16  # pixels drawn in one go: the arrays stay in the processor's cache


@dataclass(frozen=True)
class Scenes:
    """N scenes of at most K objects, the largest first; missing objects have class and color -1.

    `labels` is the class of the largest object; `colors` are places in COLOR_NAMES.
    """

    images: np.ndarray  # (N, H, W, 3) uint8
    layout: Layout

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        return self.layout.classes[:, 0]

    @property
    def classes(self) -> np.ndarray:
        """(N, K) int64."""
        return self.layout.classes

    @property
    def colors(self) -> np.ndarray:
        """(N, K) int64."""
        return self.layout.colors

    @cached_property
    def masks(self) -> np.ndarray:
        """Visible pixels of each object, (N, K, H, W) bool: disjoint, empty for a missing one."""
        size = self.images.shape[1]
        parts = [self.layout[part] for part in _tiles(len(self), size)]
        return np.concatenate(_in_threads(lambda part: visible_masks(part, size), parts, None))

    @cached_property
    def boxes(self) -> np.ndarray:
        """Boxes round the visible pixels, (N, K, 4) int64: x1, y1, x2, y2 with x2, y2 exclusive."""
        sides = []
        for axis in (2, 3):  # seen along the columns: the x range; along the rows: the y range
            seen = self.masks.any(axis=axis)  # (N, K, W) or (N, K, H)
            start, stop = seen.argmax(axis=-1), seen.shape[-1] - seen[..., ::-1].argmax(axis=-1)
            sides.append((start, np.where(seen.any(axis=-1), stop, 0)))
        (x1, x2), (y1, y2) = sides
        return np.stack([x1, y1, x2, y2], axis=-1)

    @cached_property
    def captions(self) -> list[str]:
        """A true sentence a scene, such as "a red star left of a blue ring"."""
        return [
            caption(classes[classes >= 0], colors[classes >= 0], boxes)
            for classes, colors, boxes in zip(self.classes, self.colors, self.boxes, strict=True)
        ]


def make_splits(size: int = 32, limit: int | None = None) -> tuple[Scenes, Scenes, Scenes]:
    """Train, validation and test scenes of one shape each, every class equally often.

    `limit`: draw the first scenes of each split only, which takes less time.
    ValueError: the size is not 32, 64 or 96.
    """
    if size not in SPLIT_SIZES:
        raise ValueError(f"shapes has splits at {list(SPLIT_SIZES)} pixels, not at {size!r}.")
    counts = [min(count, limit or count) for count in SPLIT_SIZES[size]]
    return tuple(
        render(count, size, seed=seed) for count, seed in zip(counts, SPLIT_SEEDS, strict=True)
    )


def render(
    count: int,
    size: int = 32,
    objects: tuple[int, int] = (1, 1),
    seed: int = 0,
    threads: int | None = None,
) -> Scenes:
    """`count` scenes of `size` x `size` pixels with (fewest, most) `objects`, on `threads` threads.

    Any multiple of 200 scenes holds every main class equally often. ValueError: an argument out of
    range.
    """
    _check(count, size, objects, seed, threads)
    starts = range(0, count, BLOCK)
    jobs = [(seed, i // BLOCK, min(BLOCK, count - i), size, tuple(objects)) for i in starts]
    images = np.empty((count, size, size, 3), np.uint8)

    def render_block(job: tuple) -> Layout:
        layout, pixels = _block(*job)
        images[job[1] * BLOCK :][: len(pixels)] = pixels
        return layout

    return Scenes(images, concatenate(_in_threads(render_block, jobs, threads)))


def _block(
    seed: int, index: int, count: int, size: int, objects: tuple[int, int]
) -> tuple[Layout, np.ndarray]:
    """The first `count` scenes of a block: each block has a random stream of its own."""
    rng = np.random.RandomState([seed, index])
    layout = draw_block(rng, objects)[:count]
    images = []
    for part in _tiles(count, size):
        scenes = layout[part]
        noise = np.frombuffer(rng.bytes(len(scenes) * 2 * size * size * 3), np.uint8)
        noise = noise.reshape(len(scenes), 2, size, size, 3)
        images.append(draw(scenes, size, noise.swapaxes(0, 1)))
    return layout, np.concatenate(images)


def _tiles(count: int, size: int) -> list[slice]:
    step = max(1, TILE_PIXELS // size**2)
    return [slice(i, min(i + step, count)) for i in range(0, count, step)]


def _in_threads(function, jobs: list, threads: int | None) -> list:
    """[function(job) for job in jobs]; NumPy lets several threads compute at once."""
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, jobs))


def caption(classes: np.ndarray, colors: np.ndarray, boxes: np.ndarray) -> str:
    """Each object beside the next: "a red star left of a blue ring, a blue ring above ...".

    classes, colors (k,) and boxes (k, 4) of the k objects of one scene. Colours differ within a
    scene, so every name means one object.
    """
    names = [
        f"{article(COLOR_NAMES[color])} {COLOR_NAMES[color]} {CLASSES[label]}"
        for label, color in zip(classes, colors, strict=True)
    ]
    if len(names) == 1:
        return names[0]
    pairs = range(len(names) - 1)
    return ", ".join(f"{names[i]} {relation(boxes[i], boxes[i + 1])} {names[i + 1]}" for i in pairs)


def article(word: str) -> str:
    """The article before `word`: "an" before a vowel, else "a"."""
    return "an" if word[0] in "aeiou" else "a"


def relation(first: np.ndarray, second: np.ndarray) -> str:
    """Where the first box lies, seen from the second, by the larger offset of their centres."""
    dx, dy = (first[:2] + first[2:]) - (second[:2] + second[2:])
    if abs(dx) >= abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def _check(count, size, objects, seed, threads) -> None:
    ranges = {
        "count": (count, 1, 10_000_000),
        "size": (size, MIN_SIZE, MAX_SIZE),
        "seed": (seed, 0, 2**32 - 1),
        "threads": (1 if threads is None else threads, 1, 256),
    }
    for name, (value, low, high) in ranges.items():
        if not isinstance(value, (int, np.integer)) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")
    whole = len(objects) == 2 and all(isinstance(k, (int, np.integer)) for k in objects)
    if not whole or not 1 <= objects[0] <= objects[1] <= MAX_OBJECTS:
        raise ValueError(
            f"objects must be (fewest, most) with 1 <= fewest <= most <= {MAX_OBJECTS}, "
            f"not {objects!r}."
        )
