"""The pictures of receptive_field.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.plotting import COLORS, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from chapter_04_cnn_classic.receptive_field import Measured
    from chapter_04_cnn_classic.receptive_field_theory import Field


def maps_figure(networks: Sequence[Measured]) -> Figure:
    """The effective field of each network's last local layer in the square of the theoretical."""
    panels = [
        (f"{m.name}: {size:.0f} of {m.last.height.size} px", m.heats[:, -1], m.last, m.units[-1])
        for m, size in ((m, m.sizes()[:, -1].mean()) for m in networks)
    ]
    return _heat_maps(panels, "Last layer before the whole map is mixed")


def depths_figure(measured: Measured) -> Figure:
    """One network: the last layer of each resolution."""
    sizes = measured.sizes().mean(axis=0)
    panels = []
    for i, layer in enumerate(measured.layers):
        field = measured.fields[layer]
        title = f"{layer}: {sizes[i]:.0f} of {field.height.size} px"
        panels.append((title, measured.heats[:, i], field, measured.units[i]))
    return _heat_maps(panels, f"{measured.name}, from the first layers to the last")


def _heat_maps(panels: Sequence[tuple[str, np.ndarray, Field, tuple]], title: str) -> Figure:
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 0.8 + 2.75 * columns, 0.4 + 3.05 * rows
    figure, axes = subplots(rows, columns, width=max(width, 5.5), height=height, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (name, heats, field, unit) in zip(axes.flat, panels, strict=False):
        image = _heat(ax, heats.mean(axis=0), field, unit)
        ax.set_title(name, fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.6, label="gradient / largest gradient")
    figure.suptitle(f"{title}: effective field (colour) in the theoretical one (square)")
    return figure


def _heat(ax: Axes, heat: np.ndarray, field: Field, unit: tuple[int, int]) -> AxesImage:
    """`heat` is (H, W); the axes show the whole picture and the whole square."""
    from matplotlib.patches import Rectangle

    size = heat.shape[0]
    image = ax.imshow(heat / heat.max(), cmap="magma", vmin=0, vmax=1)
    left = unit[1] * field.width.jump + field.width.start - 0.5
    top = unit[0] * field.height.jump + field.height.start - 0.5
    wide, high = field.width.size, field.height.size
    ax.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=COLORS[5], linewidth=1.8))
    margin = 0.02 * size
    ax.set_xlim(min(-0.5, left) - margin, max(size - 0.5, left + wide) + margin)
    ax.set_ylim(max(size - 0.5, top + high) + margin, min(-0.5, top) - margin)
    ax.set_xlabel("pixel")
    ax.grid(False)
    return image


def growth_figure(
    networks: Sequence[Measured],
    depths: Sequence[int],
    sizes: dict[str, np.ndarray],
    metrics: dict[str, Any],
) -> Figure:
    """Left: the theoretical field through the networks. Right: plain stacks, both fields."""
    figure, (left, right) = subplots(1, 2, width=9.6, height=4.0)
    for i, measured in enumerate(networks):
        by_depth: dict[int, int] = {}
        for field in measured.fields.values():
            by_depth[field.depth] = max(by_depth.get(field.depth, 1), field.height.size)
        # simple_cnn begins like VGG: the shorter network is drawn on top of a wide line.
        style = {"linestyle": ("-", "--", ":")[i % 3], "zorder": 100 - len(by_depth)}
        style["linewidth"] = 3.6 if measured.name == "vgg16" else 1.6
        depth, size = [0, *by_depth], [1, *by_depth.values()]
        left.plot(depth, size, marker="os^vD*"[i % 6], markersize=4, label=measured.name, **style)
    left.set_yscale("log", base=2)
    left.set_xlabel("convolutions and pools so far (longest path)")
    left.set_ylabel("theoretical field (px)")
    left.set_title("Theoretical field, layer by layer")
    left.legend(fontsize=8)
    _stacks(right, depths, sizes, metrics)
    return figure


def _stacks(ax: Axes, depths: Sequence[int], sizes: dict[str, np.ndarray], metrics: dict) -> None:
    exponent = metrics["exponent"]
    lines = [("theory", "theoretical", "-", ""), ("predicted", "effective, predicted", "--", "")]
    lines += [("relu", "effective, ReLU", "", "o"), ("linear", "effective, linear", "", "x")]
    for color, (kind, text, line, marker) in zip(COLORS, lines, strict=False):
        style = {"linestyle": line or "none", "marker": marker, "color": color, "markersize": 8}
        style["markerfacecolor"] = "none"  # a ring and a cross at one place are both seen
        values = metrics["size"][kind]
        ax.plot(depths, values, label=rf"{text}: depth$^{{{exponent[kind]:.2f}}}$", **style)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.set_xlabel("convolutions 3x3")
    ax.set_ylabel("field (px)")
    ax.set_title(f"Plain stacks, {len(sizes['linear'])} seeds")
    ax.legend(fontsize=8)
