"""A small drawing kit: shapes with soft light on a canvas, from NumPy and Pillow's primitives.

    canvas = Canvas(320, 240, sky=((90, 150, 220), (200, 225, 245)))
    canvas.ellipse((160, 120), (60, 30), (200, 60, 50))
    image = canvas.finish(seed=0)

All coordinates are pixels of the final picture, y downwards. Everything is drawn SCALE times as
large and averaged down, which gives smooth edges. Each shape is lit from above: its colour goes
from light at its top to dark at its bottom, as on a round body under an open sky.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Color = tuple[int, int, int]
Point = tuple[float, float]
SCALE = 3
LIGHT, DARK = 1.22, 0.68  # factors of a shape's colour at its top and bottom


class Canvas:
    """A picture in the making; `sky` is the background's colour at the top and at the bottom.

    `zoom` scales everything but the clouds about the picture's centre.
    """

    def __init__(
        self, width: int, height: int, sky: tuple[Color, Color], zoom: float = 1.0
    ) -> None:
        self.width, self.height, self.zoom = width, height, zoom
        self.size = (width * SCALE, height * SCALE)
        self.image = Image.new("RGB", self.size)
        self.covered = Image.new("L", self.size)  # where a shape has been drawn: the alpha channel
        everything = Image.new("L", self.size, 255)
        self._fill(everything, *sky, remember=False)

    def polygon(self, points: Sequence[Point], color: Color, flat: bool = False) -> None:
        """A filled polygon."""
        self._shape(lambda draw: draw.polygon(self._scaled(points), fill=255), color, flat)

    def blob(self, points: Sequence[Point], color: Color, flat: bool = False) -> None:
        """A filled smooth outline through the points."""
        self.polygon(smooth_outline(points), color, flat)

    def ellipse(
        self, center: Point, radii: Point, color: Color, angle: float = 0.0, flat: bool = False
    ) -> None:
        """A filled ellipse, turned clockwise by `angle` degrees."""
        turn = math.radians(angle)
        cos, sin = math.cos(turn), math.sin(turn)
        steps = np.linspace(0, 2 * math.pi, 90, endpoint=False)
        x, y = radii[0] * np.cos(steps), radii[1] * np.sin(steps)
        points = np.stack([center[0] + x * cos - y * sin, center[1] + x * sin + y * cos], axis=1)
        self.polygon([(float(a), float(b)) for a, b in points], color, flat)

    def line(self, points: Sequence[Point], width: float, color: Color, flat: bool = False) -> None:
        """A thick line with round joints and ends."""

        def draw_line(draw: ImageDraw.ImageDraw) -> None:
            scaled, radius = self._scaled(points), width * self.zoom * SCALE / 2
            draw.line(scaled, fill=255, width=round(2 * radius))
            for x, y in scaled:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

        self._shape(draw_line, color, flat)

    def limb(self, points: Sequence[Point], widths: Sequence[float], color: Color) -> None:
        """A leg, neck or tail: a line whose width changes from point to point."""

        def draw_limb(draw: ImageDraw.ImageDraw) -> None:
            steps = np.linspace(0, len(points) - 1, 40 * len(points))
            places, corners = np.arange(len(points)), self._scaled(points)
            xs, ys = (np.interp(steps, places, [p[k] for p in corners]) for k in (0, 1))
            radii = np.interp(steps, places, widths) * self.zoom * SCALE / 2
            for x, y, r in zip(xs, ys, radii, strict=True):
                draw.ellipse((x - r, y - r, x + r, y + r), fill=255)

        self._shape(draw_limb, color, False)

    def band(self, top: float, bottom: float, upper: Color, lower: Color) -> None:
        """A strip across the whole picture (road, grass, sea) from one colour to another."""
        mask = Image.new("L", self.size)
        (_, upper_edge), (_, lower_edge) = self._scaled([(0, top), (0, bottom)])
        if bottom >= self.height:  # the ground goes on to the picture's edge
            lower_edge = self.size[1]
        box = (0, round(upper_edge), self.size[0], round(lower_edge))
        ImageDraw.Draw(mask).rectangle(box, fill=255)
        self._fill(mask, upper, lower, remember=False)

    def cloud(self, center: Point, size: float, color: Color = (246, 248, 250)) -> None:
        """Four soft white balls in a row."""
        mask = Image.new("L", self.size)
        draw = ImageDraw.Draw(mask)
        balls = ((-1, 0.1, 0.5), (-0.4, -0.15, 0.6), (0.3, -0.1, 0.65), (1, 0.1, 0.45))
        for dx, dy, radius in balls:
            x, y = ((center[0] + dx * size) * SCALE, (center[1] + dy * size) * SCALE)
            r = radius * size * SCALE
            draw.ellipse((x - r, y - 0.6 * r, x + r, y + 0.6 * r), fill=200)
        mask = mask.filter(ImageFilter.GaussianBlur(0.25 * size * SCALE))
        self.image.paste(Image.new("RGB", self.size, color), mask=mask)

    def shadow(self, center: Point, radii: Point, strength: float = 0.45) -> None:
        """A soft dark ellipse on the ground."""
        mask = Image.new("L", self.size)
        (x, y), (a, b) = self._scaled([center])[0], (r * self.zoom * SCALE for r in radii)
        ImageDraw.Draw(mask).ellipse((x - a, y - b, x + a, y + b), fill=round(255 * strength))
        mask = mask.filter(ImageFilter.GaussianBlur(b / 2))
        self.image.paste(Image.new("RGB", self.size, (15, 18, 15)), mask=mask)

    def finish(self, seed: int, noise: float = 3.0, alpha: bool = False) -> Image.Image:
        """The picture at its final size, with a camera's blur and noise (levels of 255).

        `alpha`: only the shapes, on a transparent background.
        """
        small = self.image.resize((self.width, self.height), Image.Resampling.BOX)
        small = small.filter(ImageFilter.GaussianBlur(0.6))
        grains = np.random.default_rng(seed).normal(0, noise, (self.height, self.width, 1))
        pixels = np.clip(np.asarray(small) + grains, 0, 255).round().astype(np.uint8)
        image = Image.fromarray(pixels)
        if alpha:
            image.putalpha(self.covered.resize(image.size, Image.Resampling.BOX))
        return image

    def _scaled(self, points: Sequence[Point]) -> list[Point]:
        """Coordinates of the large picture that is drawn on."""
        x0, y0 = self.width / 2, self.height / 2
        return [
            ((x0 + self.zoom * (x - x0)) * SCALE, (y0 + self.zoom * (y - y0)) * SCALE)
            for x, y in points
        ]

    def _shape(
        self, draw_mask: Callable[[ImageDraw.ImageDraw], None], color: Color, flat: bool
    ) -> None:
        """Fill what `draw_mask(draw)` draws; `flat`: without the light from above."""
        mask = Image.new("L", self.size)
        draw_mask(ImageDraw.Draw(mask))
        light, dark = (1.0, 1.0) if flat else (LIGHT, DARK)
        self._fill(mask, _shaded(color, light), _shaded(color, dark), remember=True)

    def _fill(self, mask: Image.Image, upper: Color, lower: Color, remember: bool) -> None:
        """A vertical gradient over the mask's extent."""
        box = mask.getbbox()
        if box is None:
            return
        share = np.linspace(0, 1, box[3] - box[1])[:, None, None]  # (rows, 1, 1)
        column = (1 - share) * np.array(upper) + share * np.array(lower)  # (rows, 1, 3)
        gradient = Image.fromarray(column.round().astype(np.uint8))
        gradient = gradient.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST)
        part = mask.crop(box)
        self.image.paste(gradient, box[:2], part)
        if remember:
            self.covered.paste(255, box[:2], part)


def _shaded(color: Color, factor: float) -> Color:
    return tuple(min(255, round(value * factor)) for value in color)


def smooth_outline(points: Sequence[Point], steps: int = 16) -> list[Point]:
    """A closed Catmull-Rom curve through the points: at each, it runs parallel to its neighbours.

    Between p1 and p2, at t from 0 to 1 (Catmull & Rom 1974):
    0.5 (2 p1 + (p2 - p0) t + (2 p0 - 5 p1 + 4 p2 - p3) t^2 + (3 p1 - p0 - 3 p2 + p3) t^3)
    """
    p1 = np.asarray(points, dtype=float)  # (N, 2)
    p0, p2, p3 = (np.roll(p1, shift, axis=0) for shift in (1, -1, -2))
    t = (np.arange(steps) / steps)[:, None, None]  # (steps, 1, 1)
    curve = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
    curve = 0.5 * (curve + (3 * p1 - p0 - 3 * p2 + p3) * t**3)  # (steps, N, 2)
    return [(float(x), float(y)) for x, y in curve.transpose(1, 0, 2).reshape(-1, 2)]
