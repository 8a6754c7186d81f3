"""The picture of exp_modern.py: a named dot a network, over what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

# Where a name may stand, in points from its dot: (x, y, horizontal and vertical alignment). Beside
# it first: above and below runs the line that spans the seeds.
SIDES = [
    (7, 0, "left", "center"),
    (-7, 0, "right", "center"),
    (0, 7, "center", "bottom"),
    (0, -7, "center", "top"),
    (6, 6, "left", "bottom"),
    (-6, 6, "right", "bottom"),
    (6, -6, "left", "top"),
    (-6, -6, "right", "top"),
    (0, 18, "center", "bottom"),
    (0, -18, "center", "top"),
    (0, 29, "center", "bottom"),
    (0, -29, "center", "top"),
]
FONT_SIZE = 7.5


def scatter(points: dict[str, dict[str, Any]], title: str, where: str) -> Any:
    """Test accuracy over MACs (left) and over the time of one picture (right); dot: the mean.

    points: by network "macs", "one_ms" and "test", the accuracies of its seeds. `where` says on
    what the time was measured. A vertical line spans the seeds.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    figure, axes = plotting.subplots(1, 2, width=11.0, height=4.6, sharey=True)
    panels = {"macs": "MACs of one picture (10⁶)", "one_ms": f"time of one picture (ms), {where}"}
    colors = [plotting.COLORS[i % 7] for i in range(len(points))]
    for ax, (key, label) in zip(axes, panels.items(), strict=True):
        for color, point in zip(colors, points.values(), strict=True):
            x, runs = place_of(point, key), point["test"]
            ax.plot([x, x], [min(runs), max(runs)], "-", color=color, lw=1.2)
            ax.plot(x, np.mean(runs), "o", color=color, ms=6)
        ax.set(xscale="log", xlabel=label)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.margins(0.16, 0.12)
    axes[0].set_ylabel("test accuracy (%)")
    figure.suptitle(title, fontsize="medium")
    figure.draw_without_rendering()  # fixes the places of the axes, which the labels need
    for ax, key in zip(axes, panels, strict=True):
        dots = {n: (place_of(point, key), np.mean(point["test"])) for n, point in points.items()}
        name_dots(figure, ax, dots, dict(zip(points, colors, strict=True)))
    return figure


def place_of(point: dict[str, Any], key: str) -> float:
    """Where a dot stands: MACs in millions, times in milliseconds."""
    return point[key] / 1e6 if key == "macs" else point[key]


def name_dots(figure: Any, ax: Any, dots: dict[str, Any], colors: dict[str, str]) -> None:
    """Write each name beside its dot, on the first side where it covers nothing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    renderer, pixels = FigureCanvasAgg(figure).get_renderer(), figure.dpi / 72
    centres = {name: ax.transData.transform(dot) for name, dot in dots.items()}
    half = 5 * pixels
    taken = {n: Bbox.from_extents(*(c - half), *(c + half)) for n, c in centres.items()}
    seeds = [line.get_window_extent(renderer) for line in ax.lines]  # the lines that span them
    inside = ax.get_window_extent(renderer)
    for name, dot in sorted(dots.items(), key=lambda item: -item[1][1]):
        label = ax.annotate(name, dot, fontsize=FONT_SIZE, color=colors[name])
        label.set_in_layout(False)
        others = [box for other, box in taken.items() if other != name]
        best, fewest = None, len(dots) * 10
        for x, y, horizontal, vertical in SIDES:
            place(label, x, y, horizontal, vertical)
            box = label.get_window_extent(renderer)
            hits = sum(box.overlaps(other) for other in (*others, *seeds))
            hits += box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0
            if hits < fewest:
                best, fewest = (x, y, horizontal, vertical), hits
        place(label, *best)
        taken[f"name of {name}"] = label.get_window_extent(renderer)


def place(label: Any, x: float, y: float, horizontal: str, vertical: str) -> None:
    """Move a label to (x, y) points from its dot."""
    label.set(anncoords="offset points", ha=horizontal, va=vertical)
    label.set_position((x, y))
