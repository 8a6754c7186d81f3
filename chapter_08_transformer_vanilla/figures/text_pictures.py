"""The drawing of page 10: a picture of 4 x 4 numbers becomes a text of five tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from chapter_08_transformer_vanilla.vit import patchify
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE, PATCH, WIDTH = 4, 2, 6
SHADES = ("0.95", "0.82", "0.69", "0.56")  # a patch each


def draw_patches(seed: int = 42) -> Figure:
    """The picture, its patches as rows, and what the first block reads."""
    picture = torch.arange(float(SIDE**2)).reshape(1, 1, SIDE, SIDE)
    rows = patchify(picture, PATCH)[0].int().tolist()  # (N, P P)
    shade_of = {number: SHADES[n] for n, row in enumerate(rows) for number in row}
    figure, axes = plotting.subplots(1, 3, width=8.6, height=3.0)
    numbers = picture[0, 0].int().tolist()
    _cells(axes[0], numbers, [[shade_of[n] for n in row] for row in numbers])
    for cut in range(0, SIDE + 1, PATCH):
        axes[0].plot([0, SIDE], [cut, cut], color="black", linewidth=2)
        axes[0].plot([cut, cut], [0, SIDE], color="black", linewidth=2)
    axes[0].set_title("picture (C, H, W) = (1, 4, 4)")
    _cells(axes[1], rows, [[SHADES[n]] * len(row) for n, row in enumerate(rows)])
    axes[1].set_title("patches (N, C P P) = (4, 4)")
    names = ["class token", *(f"patch {n + 1} $E$" for n in range(len(rows)))]
    texts = [[f"{name} + place {row}"] for row, name in enumerate(names)]
    _cells(axes[2], texts, [["white"], *([shade] for shade in SHADES)], width=WIDTH)
    axes[2].set_title("tokens (1 + N, D)")
    for ax, text in zip(axes, ("cut", r"$\times\ E$", ""), strict=True):
        if text:
            ax.annotate(
                "", (1.12, 0.5), (1.0, 0.5), xycoords="axes fraction",
                arrowprops={"arrowstyle": "->"},
            )  # fmt: skip
            ax.text(1.06, 0.56, text, transform=ax.transAxes, ha="center", fontsize=8)
    return figure


def _cells(ax: Axes, texts: list[list], shades: list[list[str]], width: float = 1) -> None:
    """A table of cells, row 0 on top."""
    from matplotlib.patches import Rectangle

    for i, (row, colors) in enumerate(zip(texts, shades, strict=True)):
        for j, (text, color) in enumerate(zip(row, colors, strict=True)):
            look = {"facecolor": color, "edgecolor": "0.4", "linewidth": 0.5}
            ax.add_patch(Rectangle((j * width, i), width, 1, **look))
            x = (j + 0.5) * width
            ax.text(x, i + 0.5, text, ha="center", va="center", fontsize=9)
    ax.set(xlim=(-0.1, len(texts[0]) * width + 0.1), ylim=(len(texts) + 0.1, -0.1), aspect="equal")
    ax.axis("off")
