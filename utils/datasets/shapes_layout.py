"""What a scene of `shapes` contains, drawn at random: places, sizes, colours, textures, clutter.

A layout is a set of numbers, in units of the image side, so that one layout can be drawn at any
resolution. Every number comes from the uniform draws of NumPy's `RandomState`, whose stream never
changes between versions, through the plain formulas below. Size, place, turn, colour, texture,
clutter, light and noise are drawn without a look at the class: they tell nothing about it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

BLOCK = 200  # scenes drawn from one random stream, each main class 20 times
NUM_CLASSES = 10
BEHIND = 1  # strokes behind the objects; one more, the occluder, is in front
TRIES = 24  # arrangements of several objects among which one without overlaps is looked for

# Colour names of the captions, with red, green and blue in 0..1.
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.14, 0.14),
    "orange": (0.96, 0.55, 0.10),
    "yellow": (0.95, 0.88, 0.18),
    "green": (0.16, 0.60, 0.22),
    "cyan": (0.25, 0.82, 0.85),
    "blue": (0.18, 0.30, 0.85),
    "purple": (0.52, 0.18, 0.68),
    "pink": (0.96, 0.55, 0.75),
    "white": (0.93, 0.93, 0.93),
    "black": (0.10, 0.10, 0.10),
}
PALETTE = np.array(list(COLORS.values()))
CONTRAST = 0.6  # least RGB distance between a shape's colour and everything around it

# Radius of the disc of the same area, in image sides, and its factor for 1, 2, 3, 4 objects.
RADIUS = (0.20, 0.29)
CROWD = np.array([1.0, 0.75, 0.62, 0.54])
MARGIN = 1.45  # least distance of a centre from the border, in radii
SEPARATION = 1.25  # least distance of two centres, in sums of radii, where it can be had
NOISE = (0.03, 0.14)  # amplitude of the noise; its standard deviation is 0.41 of that


@dataclass(frozen=True)
class Layout:
    """n scenes of at most K objects, the largest first; a later one lies in front. -1: no object.

    Lengths are in image sides with the origin at the top left, angles in radians, colours in 0..1.
    """

    classes: np.ndarray  # (n, K) int64
    colors: np.ndarray  # (n, K) int64, places in COLORS
    centre: np.ndarray  # (n, K, 2)
    radius: np.ndarray  # (n, K), of the disc of equal area
    angle: np.ndarray  # (n, K)
    tones: np.ndarray  # (n, K + 1, 2, 3), the two tones of background and objects
    texture: np.ndarray  # (n, K + 1) int64
    texture_wave: np.ndarray  # (n, K + 1, 4): angle, period, origin
    stroke_centre: np.ndarray  # (n, S, 2)
    stroke_angle: np.ndarray  # (n, S)
    stroke_form: np.ndarray  # (n, S, 4): half length, radius, height and phase of the waves
    stroke_colour: np.ndarray  # (n, S, 3)
    light: np.ndarray  # (n, 3): level, slope, angle
    noise: np.ndarray  # (n,)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, part: slice) -> Layout:
        return Layout(*(getattr(self, field.name)[part] for field in fields(self)))


def concatenate(layouts: list[Layout]) -> Layout:
    """One layout with the scenes of all."""
    columns = ([getattr(one, field.name) for one in layouts] for field in fields(Layout))
    return Layout(*(np.concatenate(column) for column in columns))


def draw_block(rng: np.random.RandomState, objects: tuple[int, int]) -> Layout:
    """BLOCK scenes with `objects` = (fewest, most) objects, main classes exactly balanced."""
    most = objects[1]
    count = objects[0] + _choice(rng, most - objects[0] + 1, (BLOCK,))  # (n,)
    present = np.arange(most) < count[:, None]  # (n, K)
    classes = _choice(rng, NUM_CLASSES, (BLOCK, most))
    classes[:, 0] = _order(rng, BLOCK)[0] % NUM_CLASSES
    radius = _radii(rng, count, most)
    centre = _centres(rng, radius, present)
    colors = _order(rng, len(PALETTE), BLOCK)[:, :most]  # no two objects of one colour
    paint = _paint(rng, colors, present)
    strokes = _strokes(rng, centre[:, 0], radius[:, 0])
    return Layout(
        classes=np.where(present, classes, -1),
        colors=np.where(present, colors, -1),
        centre=centre,
        radius=radius,
        angle=_uniform(rng, 0, 2 * np.pi, (BLOCK, most)),
        **paint,
        **strokes,
        light=_columns(rng, (BLOCK,), (0.85, 1.0), (0.0, 0.25), (0, 2 * np.pi)),
        noise=_uniform(rng, *NOISE, (BLOCK,)),
    )


def _uniform(
    rng: np.random.RandomState, low: float, high: float, shape: tuple[int, ...]
) -> np.ndarray:
    return low + (high - low) * rng.random_sample(shape)


def _columns(
    rng: np.random.RandomState, shape: tuple[int, ...], *ranges: tuple[float, float]
) -> np.ndarray:
    """A uniform draw from each range, side by side: (*shape, number of ranges)."""
    return np.stack([_uniform(rng, low, high, shape) for low, high in ranges], axis=-1)


def _choice(rng: np.random.RandomState, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers below n, (*shape) int64."""
    return np.floor(n * rng.random_sample(shape)).astype(np.int64)


def _order(rng: np.random.RandomState, n: int, rows: int = 1) -> np.ndarray:
    """A random order of 0..n-1 in each row, (rows, n)."""
    return np.argsort(rng.random_sample((rows, n)), axis=1, kind="stable")


def _radii(rng: np.random.RandomState, count: np.ndarray, most: int) -> np.ndarray:
    """Radii (n, K), the largest present object first."""
    radius = _uniform(rng, *RADIUS, (BLOCK, most)) * CROWD[count - 1, None]
    present = np.arange(most) < count[:, None]
    return -np.sort(-np.where(present, radius, 0.01), axis=1)


def _centres(rng: np.random.RandomState, radius: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Centres (n, K, 2): the first of TRIES arrangements in which the objects stand apart."""
    n, most = radius.shape
    tries = TRIES if most > 1 else 1
    margin = MARGIN * radius[:, None, :, None]  # (n, 1, K, 1)
    centre = margin + (1 - 2 * margin) * rng.random_sample((n, tries, most, 2))
    gap = np.full((n, tries), np.inf)
    for i in range(most):
        for j in range(i):
            distance = np.sqrt(((centre[:, :, i] - centre[:, :, j]) ** 2).sum(axis=-1))
            distance = distance / (radius[:, i] + radius[:, j])[:, None]  # (n, tries)
            both = (present[:, i] & present[:, j])[:, None]
            gap = np.where(both, np.minimum(gap, distance), gap)
    best = np.minimum(gap, SEPARATION).argmax(axis=1)  # the first that is far enough, or the best
    return centre[np.arange(n), best]


def _paint(rng: np.random.RandomState, colors: np.ndarray, present: np.ndarray) -> dict:
    """Tones, textures and stroke colours; what surrounds the objects differs from all of them."""
    n, most = colors.shape
    surfaces, strokes = most + 1, BEHIND + 1
    around = contrasting(rng, colors, present, 1 + strokes)  # (n, 1 + S)
    ids = np.concatenate([around[:, :1], colors], axis=1)  # (n, K + 1)
    first = PALETTE[ids] + _uniform(rng, -0.06, 0.06, (n, surfaces, 3))
    # The second tone of an object is the first made lighter or darker: its colour keeps its name.
    toward = (first.mean(axis=-1, keepdims=True) < 0.45).astype(float)  # white or black
    amount = _uniform(rng, 0.05, 0.25, (n, surfaces, 1))
    return {
        "tones": np.stack([first, first + amount * (toward - first)], axis=2).clip(0, 1),
        "texture": _choice(rng, 5, (n, surfaces)),
        "texture_wave": _columns(
            rng, (n, surfaces), (0, 2 * np.pi), (0.12, 0.3), (-0.5, 0.5), (-0.5, 0.5)
        ),
        "stroke_colour": (
            PALETTE[around[:, 1:]] + _uniform(rng, -0.08, 0.08, (n, strokes, 3))
        ).clip(0, 1),
    }


def contrasting(
    rng: np.random.RandomState, colors: np.ndarray, present: np.ndarray, number: int
) -> np.ndarray:
    """`number` colours (n, number), each at least CONTRAST away from those of all objects.

    Where four objects leave no such colour, the farthest one.
    """
    apart = np.sqrt(((PALETTE[:, None] - PALETTE) ** 2).sum(axis=-1))  # (P, P)
    nearest = np.where(present[..., None], apart[colors], np.inf).min(axis=1)  # (n, P)
    chance = rng.random_sample((len(colors), number, len(PALETTE)))
    allowed = (nearest >= CONTRAST)[:, None]
    return np.where(allowed, 2 + chance, nearest[:, None]).argmax(axis=-1)


def _strokes(rng: np.random.RandomState, centre: np.ndarray, radius: np.ndarray) -> dict:
    """Bars, lines and blobs: one anywhere behind the objects, one across the main object's edge."""
    n, shape = len(centre), (len(centre), BEHIND + 1)
    place = rng.random_sample((*shape, 2))
    turn, reach = _uniform(rng, 0, 2 * np.pi, (n,)), _uniform(rng, 0.5, 1.4, (n,)) * radius
    offset = np.stack([np.cos(turn), np.sin(turn)], axis=1) * reach[:, None]
    place[:, BEHIND] = centre + offset
    long, thick = rng.random_sample(shape), rng.random_sample(shape)
    length = 0.05 + 0.4 * long
    width = 0.015 + 0.045 * thick * (1.3 - long)  # the longer, the thinner
    return {
        "stroke_centre": place,
        "stroke_angle": _uniform(rng, 0, 2 * np.pi, shape),
        "stroke_form": np.stack(
            [length, width, *(_columns(rng, shape, (0, 0.03), (0, 2 * np.pi)).transpose(2, 0, 1))],
            axis=-1,
        ),
    }
