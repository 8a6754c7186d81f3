"""Pictures of where a network looks: heat maps over pictures, and curves of how good they are."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from torch import Tensor

from chapter_04_cnn_classic.inference_figures import as_image, framed, plain_text, title_of
from chapter_04_cnn_classic.predictions import Prediction
from chapter_05_resnet_modern_cnn.src.cam_methods import is_empty
from utils import plotting

NAMES = {
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "score_cam": "Score-CAM",
    "integrated_gradients": "integrated gradients",
}
COLUMNS = 4


def overlay(pixels: Tensor, heat: Tensor, strength: float = 0.55) -> np.ndarray:
    """The picture (C, H, W) uint8 in grey with the heat (H, W) in colour: (H, W, 3) in 0 .. 1."""
    import matplotlib

    grey = as_image(pixels).mean(axis=2, keepdims=True) / 255  # (H, W, 1)
    values = heat.numpy()
    color = matplotlib.colormaps["inferno"](values)[..., :3]  # (H, W, 3)
    share = strength * values[..., None] ** 0.5  # nothing over places without heat
    return (1 - share) * grey + share * color


def answers(predictions: Sequence[Prediction], heats: Sequence[Tensor], title: str) -> Any:
    """Each picture as the network sees it, beside its Grad-CAM, with the first two answers."""
    columns = min(COLUMNS, len(predictions))
    rows = -(-len(predictions) // columns)
    figure, axes = plotting.subplots(rows, columns, width=3.0 * columns, height=2.0 * rows + 0.6)
    for ax in np.ravel(axes):
        ax.axis("off")
    color = {True: "#007A33", False: "#B00020", None: "black"}
    mark = {True: " (right)", False: " (wrong)", None: ""}
    for ax, prediction, heat in zip(np.ravel(axes), predictions, heats, strict=False):
        seen = as_image(prediction.pixels) / 255
        gap = np.ones((seen.shape[0], max(1, seen.shape[1] // 24), 3))
        ax.imshow(np.concatenate([seen, gap, overlay(prediction.pixels, heat)], axis=1))
        said = "\n".join(f"{name} ({100 * share:.1f} %)" for name, share in prediction.top[:2])
        name = plain_text(prediction.name) + mark[prediction.right]
        title_of(ax, f"{name}\n{said}", color=color[prediction.right])
    letters = round(13 * figure.get_figwidth())  # of this size that fit into a line
    text = fill(f"{title}: what the network sees, and its Grad-CAM", letters)
    figure.suptitle(plotting.literal(text), fontsize=9)
    return figure


def methods(
    pixels: Tensor,
    heats: dict[str, Tensor],
    scores: dict[str, float],
    places: dict[str, tuple[int, int]],
    title: str,
) -> Any:
    """The picture, then for every method the raw map and the overlay, with its score."""
    figure, axes = plotting.subplots(2, len(heats) + 1, width=2.1 * (len(heats) + 1), height=4.7)
    axes[0, 0].imshow(as_image(pixels))
    title_of(axes[0, 0], "what the network sees")
    axes[1, 0].axis("off")
    for column, (name, heat) in enumerate(heats.items(), start=1):
        image = axes[0, column].imshow(heat.numpy(), cmap="inferno", vmin=0, vmax=1)
        title_of(axes[0, column], "{}, {} x {}".format(NAMES[name], *places[name]))
        axes[1, column].imshow(overlay(pixels, heat))
        title_of(axes[1, column], "empty map" if is_empty(heat) else f"score {scores[name]:.2f}")
    for ax in (axes[0, 0], *axes[:, 1:].ravel()):
        framed(ax)
    figure.colorbar(image, ax=axes[:, -1], label="heat (largest value 1)", shrink=0.8)
    figure.suptitle(plotting.literal(title), fontsize=10)
    return figure


def sanity(
    pixels: Tensor,
    rows: dict[str, list[Tensor]],
    correlations: dict[str, list[float]],
    layers: Sequence[int],
    title: str,
) -> Any:
    """A row for each method: its map with the weights of more and more last layers shuffled, and
    the rank correlation with the map of the trained network."""
    figure, axes = plotting.subplots(
        len(rows), len(layers), width=1.7 * len(layers) + 0.4, height=1.9 * len(rows) + 0.6
    )
    axes = np.atleast_2d(axes)
    for ax, count in zip(axes[0], layers, strict=True):
        title_of(ax, "as trained" if count == 0 else f"last {count} shuffled")
    for line, (name, heats) in zip(axes, rows.items(), strict=True):
        for ax, heat, number in zip(line, heats, correlations[name], strict=True):
            ax.imshow(overlay(pixels, heat))
            said = "empty map" if is_empty(heat) else f"rank correlation {number:.2f}"
            ax.set_xlabel(said, fontsize=8.5)
            framed(ax)
        line[0].set_ylabel(NAMES[name], fontsize=8.5)
    figure.suptitle(plotting.literal(title), fontsize=10)
    return figure
