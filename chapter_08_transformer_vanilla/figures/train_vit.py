"""The figures of train_vit.py: accuracy over minutes and over pictures, rollout, places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {"vit": "ViT", "resnet": "ResNet-20"}


def curves_figure(metrics: dict[str, Any], name: str) -> Figure:
    """Validation accuracy over the share of the training, a curve a network."""
    fig, ax = plotting.subplots(width=6.4, height=3.8)
    unit, length = "share of the training (%)", 100.0
    if metrics["minutes"]:
        unit, length = "minutes of an idle machine", metrics["minutes"]
    for index, (network, row) in enumerate(metrics["networks"].items()):
        runs = np.array(row["curves"])  # (seeds, epochs)
        x = length * np.arange(1, runs.shape[1] + 1) / runs.shape[1]
        plotting.band(ax, x, runs, NAMES[network], plotting.look(index)["color"])
    ax.axhline(metrics["chance"], color="0.4", linestyle=":", linewidth=1, label="chance")
    ax.set(xlabel=unit, ylabel="validation accuracy (%)", title=name, xlim=(0, None))
    ax.legend()
    return fig


def pictures_figure(metrics: dict[str, Any], name: str) -> Figure:
    """Test accuracy over the number of training pictures, a curve a network."""
    fig, ax = plotting.subplots(width=6.4, height=3.8)
    for index, (network, rows) in enumerate(metrics["over_pictures"].items()):
        sizes = [int(size) for size in rows]
        means, spreads = np.array([row["test"] for row in rows.values()]).T  # (K,) each
        marker, look = plotting.MARKERS[index], plotting.look(index)
        ax.errorbar(sizes, means, spreads, capsize=3, marker=marker, label=NAMES[network], **look)
    ax.axhline(metrics["chance"], color="0.4", linestyle=":", linewidth=1, label="chance")
    ax.set(xscale="log", xlabel="training pictures", ylabel="test accuracy (%)", title=name)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.legend()
    return fig


def rollout_figure(
    pictures: Tensor, titles: Sequence[str], trained: Tensor, untrained: Tensor
) -> Figure:
    """Pictures, and the rollout from the class token in the trained and the untrained network.

    pictures (B, C, H, W) from 0 to 1; maps (B, n, n). One scale of grey for all maps.
    """
    count, side = len(pictures), pictures.shape[-1]
    fig, axes = plotting.subplots(3, count, width=1.25 * count + 0.6, height=4.2)
    top = float(max(trained.max(), untrained.max()))
    names = ("picture", "trained", "untrained")
    for column in range(count):
        shown = pictures[column].permute(1, 2, 0).squeeze(-1).numpy()  # (H, W, 3), or (H, W)
        axes[0, column].imshow(shown, cmap="gray", vmin=0, vmax=1)
        axes[0, column].set_title(titles[column], fontsize=7)
        for row, maps in ((1, trained), (2, untrained)):
            large = F.interpolate(maps[column][None, None], (side, side))[0, 0].numpy()  # (H, W)
            image = axes[row, column].imshow(large, cmap="gray", vmin=0, vmax=top)
    for row, name in enumerate(names):
        axes[row, 0].set_ylabel(name)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    fig.colorbar(image, ax=axes[1:, :], shrink=0.8, label="share of the map")
    return fig


def places_figure(trained: Tensor, untrained: Tensor) -> Figure:
    """Cosines of some places with all others, (N, N) each; a picture a place, a row a network."""
    side = round(len(trained) ** 0.5)
    first, last = side // 4, side - 1 - side // 4
    chosen = [(first, first), (first, last), (last, first), (last, last)]
    fig, axes = plotting.subplots(2, len(chosen), width=6.4, height=3.6)
    for row, cosines in enumerate((trained, untrained)):
        for column, (i, j) in enumerate(chosen):
            ax = axes[row, column]
            values = cosines[i * side + j].reshape(side, side).numpy()  # (n, n)
            image = ax.imshow(values, cmap="gray", vmin=-1, vmax=1)
            ax.plot(j, i, "+", color="black")
            ax.set(xticks=[], yticks=[])
            if row == 0:
                ax.set_title(f"row {i + 1}, column {j + 1}", fontsize=8)
            ax.grid(False)
        axes[row, 0].set_ylabel(("trained", "untrained")[row])
    fig.colorbar(image, ax=axes, shrink=0.8, label="cosine")
    return fig
