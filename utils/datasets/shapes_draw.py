"""Draws the scenes of `shapes`: signed distances, smooth edges, textures, layers of paint.

A shape is a function d(u, v): the signed distance to its outline, negative inside. On a pixel grid
the share of a pixel that is covered is about clip(1/2 - d, 0, 1) with d in pixels: a smooth edge
for the price of a few array operations. A layer of paint with coverage a and colour c then changes
the canvas by canvas += a (c - canvas). All arrays hold a batch: one call draws many images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from utils.datasets.shapes_layout import BEHIND, Layout

# A distance takes local coordinates u, v in the shape's natural unit, of any one shape.
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]

MAX_HIDDEN = 0.2  # an occluder that would cover more than this share of a shape is left out


def _circle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.sqrt(u * u + v * v) - 1


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) - 1


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Equilateral, corners at distance 1 and sides at 1/2 from the centre."""
    return np.maximum(np.float32(0.75**0.5) * abs(u) + 0.5 * v, -v) - 0.5


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Five points at distance 1, inner corners at 0.45: ten mirror images of one straight edge."""
    step = np.float32(2 * np.pi / 5)
    angle = np.arctan2(u, v)
    angle = abs(angle - step * np.rint(angle / step))  # folded into 0..36 degrees
    radius = np.sqrt(u * u + v * v)
    return 0.3841 * (radius * np.cos(angle) - 1) + 0.9233 * radius * np.sin(angle)


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Two bars, half as long as 1, arms 0.64 wide."""
    u, v = abs(u), abs(v)
    return np.maximum(np.maximum(u, v) - 1, np.minimum(u, v) - 0.32)


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Between the radii 0.56 and 1."""
    return abs(np.sqrt(u * u + v * v) - 0.78) - 0.22


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Discs of radius 0.42 at (+-0.42, 0.3) and their tangents down to the tip (0, -0.95)."""
    u = abs(u)
    lobe = np.sqrt((u - 0.42) ** 2 + (v - 0.3) ** 2) - 0.42
    # The body ends at the chord from the notch between the discs to the tangent's point of touch.
    body = np.maximum(0.7973 * u - 0.6035 * v - 0.5734, 0.948 * (v - 0.3) + 0.3186 * u)
    return np.minimum(lobe, body)


def _crescent(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The unit circle (moved left by 0.35 to centre the rest) without a circle of radius 0.8."""
    u = u + 0.35
    return np.maximum(np.sqrt(u * u + v * v) - 1, 0.8 - np.sqrt((u + 0.55) ** 2 + v * v))


def _arrow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A head from v = 1 down to 0, 1.6 wide, on a shaft of width 0.5 down to -1."""
    u = abs(u)
    head = np.maximum((u + 0.8 * v - 0.8) * 0.7809, -v)
    return np.minimum(head, np.maximum(u - 0.25, abs(v + 0.4) - 0.6))


def _hourglass(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Two triangles, tip on tip, with a waist 0.24 wide."""
    v = abs(v)
    return np.maximum(v - 1, (abs(u) - 0.8 * v - 0.12) * 0.7809)


# Class -> (distance, area in natural units). The area makes all classes equally large.
SHAPES: dict[str, tuple[Distance, float]] = {
    "circle": (_circle, 3.1416),
    "square": (_square, 4.0),
    "triangle": (_triangle, 1.2990),
    "star": (_star, 1.3225),
    "cross": (_cross, 2.1504),
    "ring": (_ring, 2.1564),
    "heart": (_heart, 1.7180),
    "crescent": (_crescent, 1.6092),
    "arrow": (_arrow, 1.3),
    "hourglass": (_hourglass, 2.08),
}
DISTANCES = [distance for distance, _ in SHAPES.values()]
# Scale at which a shape has the area pi, that of the unit circle.
UNIT_SCALES = np.array([(np.pi / area) ** 0.5 for _, area in SHAPES.values()])


def local_grid(
    size: int, centre: np.ndarray, angle: np.ndarray, scale: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (u, v) of every pixel centre about `centre`, turned by `angle`, over `scale`.

    centre (n, 2) and scale in image sides, angle (n,) in radians -> u, v (n, H, W) float32.
    """
    pixels = (np.arange(size) + 0.5) / size
    x = (pixels - centre[:, :1]) / np.reshape(scale, (-1, 1))  # (n, W)
    y = (pixels - centre[:, 1:]) / np.reshape(scale, (-1, 1))  # (n, H)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    parts = [part.astype(np.float32) for part in (cos * x, sin * y, -sin * x, cos * y)]
    u = parts[0][:, None, :] + parts[1][:, :, None]  # (n, H, W)
    v = parts[2][:, None, :] + parts[3][:, :, None]  # (n, H, W)
    return u, v


def coverage(distance: np.ndarray, pixels_per_unit: np.ndarray) -> np.ndarray:
    """Share of each pixel that is inside: distance (n, H, W), pixels_per_unit (n,)."""
    alpha = distance
    alpha *= -pixels_per_unit.astype(np.float32)[:, None, None]
    alpha += np.float32(0.5)
    return np.clip(alpha, 0, 1, out=alpha)


def object_coverage(layout: Layout, size: int, k: int) -> np.ndarray:
    """Coverage (n, H, W) of object k of each scene; 0 where a scene has fewer objects."""
    alpha = np.zeros((len(layout), size, size), np.float32)
    for label, distance in enumerate(DISTANCES):
        members = np.flatnonzero(layout.classes[:, k] == label)
        if len(members) == 0:
            continue
        scale = layout.radius[members, k] * UNIT_SCALES[label]
        centre, angle = layout.centre[members, k], layout.angle[members, k]
        u, v = local_grid(size, centre, angle, scale)
        alpha[members] = coverage(distance(u, v), scale * size)
    return alpha


def stroke_coverage(layout: Layout, size: int, j: int) -> np.ndarray:
    """Coverage (n, H, W) of stroke j: a line with round ends, thick or thin, its edge wavy."""
    u, v = local_grid(size, layout.stroke_centre[:, j], layout.stroke_angle[:, j])
    length, radius, wave, phase = layout.stroke_form[:, j].T.astype(np.float32)[..., None, None]
    along = np.maximum(abs(u) - length, 0)
    v = v + wave * np.sin(u * np.float32(25) + phase)
    distance = np.sqrt(along * along + v * v) - radius
    return coverage(distance, np.full(len(layout), float(size)))


def coverages(layout: Layout, size: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Coverage of each object, a list of K (n, H, W), and of the occluder in front of them.

    The occluder is left out (coverage 0) of a scene where it would hide over MAX_HIDDEN of an
    object.
    """
    objects = [object_coverage(layout, size, k) for k in range(layout.classes.shape[1])]
    front = stroke_coverage(layout, size, BEHIND)
    allowed = np.ones(len(layout), bool)
    for alpha in objects:
        hidden = np.einsum("nhw,nhw->n", alpha, front)
        allowed &= hidden <= MAX_HIDDEN * alpha.sum(axis=(1, 2))
    front *= allowed[:, None, None]
    return objects, front


def visible_masks(layout: Layout, size: int) -> np.ndarray:
    """The pixels where each object is what one sees: (n, K, H, W) bool, disjoint."""
    objects, front = coverages(layout, size)
    free = front < 0.5  # (n, H, W)
    masks = np.zeros((len(layout), len(objects), size, size), bool)
    for k in reversed(range(len(objects))):  # from the front to the back
        inside = objects[k] >= 0.5
        masks[:, k] = inside & free
        free &= ~inside
    return masks


def _stripes(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return 0.5 + 1.2 * np.sin(p)


def _checks(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return 0.5 + 2 * np.sin(p) * np.sin(q)


def _dots(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return 1.5 * (np.sin(p) + np.sin(q)) - 0.75


def _clouds(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Two waves of different length, each bent by the other."""
    return 0.5 + 0.3 * (np.sin(0.5 * p + np.sin(0.8 * q)) + np.sin(0.7 * q + np.sin(0.6 * p)))


def _plain(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """One slow change of shade across the image."""
    return 0.5 + 0.05 * p


TEXTURES = (_plain, _stripes, _checks, _dots, _clouds)


def texture(layout: Layout, size: int, surface: int) -> np.ndarray:
    """Mix of the two tones of a surface, (n, H, W) in 0..1. Surface 0 is the background."""
    mix = np.empty((len(layout), size, size), np.float32)
    for kind, pattern in enumerate(TEXTURES):
        members = np.flatnonzero(layout.texture[:, surface] == kind)
        if len(members) == 0:
            continue
        angle, period, *shift = layout.texture_wave[members, surface].T
        scale = period / (2 * np.pi)
        p, q = local_grid(size, np.stack(shift, axis=1), angle, scale)
        mix[members] = np.clip(pattern(p, q), 0, 1)
    return mix


def paint(canvas: np.ndarray, alpha: np.ndarray, colour: np.ndarray) -> None:
    """canvas += alpha (colour - canvas): canvas (n, 3, H, W), alpha (n, H, W), colour as canvas."""
    change = colour - canvas
    change *= alpha[:, None]
    canvas += change


def surface_colour(layout: Layout, size: int, surface: int) -> np.ndarray:
    """The textured colour of a surface at every pixel, (n, 3, H, W)."""
    first, second = layout.tones[:, surface].astype(np.float32).swapaxes(0, 1)[..., None, None]
    return first + texture(layout, size, surface)[:, None] * (second - first)


def draw(layout: Layout, size: int, noise: np.ndarray) -> np.ndarray:
    """The images (n, H, W, 3) uint8, painted from back to front; noise uint8 (2, n, H, W, 3)."""
    objects, front = coverages(layout, size)
    strokes = layout.stroke_colour.astype(np.float32)[..., None, None]  # (n, S, 3, 1, 1)
    canvas = surface_colour(layout, size, 0)  # (n, 3, H, W)
    for j in range(BEHIND):
        paint(canvas, stroke_coverage(layout, size, j), strokes[:, j])
    for k, alpha in enumerate(objects):
        paint(canvas, alpha, surface_colour(layout, size, k + 1))
    paint(canvas, front, strokes[:, BEHIND])
    canvas *= light(layout, size)[:, None]
    return add_noise(canvas.transpose(0, 2, 3, 1), layout.noise, noise)


def light(layout: Layout, size: int) -> np.ndarray:
    """Brightness (n, H, W): a level and a slope across the image."""
    level, slope, angle = layout.light.T
    u, _ = local_grid(size, np.full((len(layout), 2), 0.5), angle)
    u *= slope.astype(np.float32)[:, None, None]
    u += level.astype(np.float32)[:, None, None]
    return u


def add_noise(images: np.ndarray, amplitude: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Images in 0..1 and the sum of two random bytes (a triangular law) -> uint8 (n, H, W, 3)."""
    total = noise[0].astype(np.float32)
    total += noise[1]
    total -= np.float32(255)  # -255..255, mean 0
    total *= amplitude.astype(np.float32)[:, None, None, None]
    total += np.float32(255) * images
    total += np.float32(0.5)
    return np.clip(total, 0, 255, out=total).astype(np.uint8)
