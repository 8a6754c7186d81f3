"""The pictures of inference.py: filters, an overview, and one explained picture a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from chapter_04_cnn_classic.explain import FeatureMap, strongest
from chapter_04_cnn_classic.predictions import Prediction
from utils import plotting

MAPS_SHOWN = 8  # channels of each stage
STAGES_SHOWN = 5
FILTERS_SHOWN = 64
TILE = 96  # px of a picture in the overview
LONGEST_NAME = 40


def plain_text(name: str) -> str:
    """A file's name as a figure can show it: no control characters, and not too long."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def title_of(ax: Any, text: str, **options: Any) -> None:
    """A title in which "$" is a letter: a file's name is no formula."""
    ax.set_title(plotting.literal(text), fontsize=8.5, **options)


def as_image(pixels: Tensor) -> np.ndarray:
    """(C, H, W) uint8 -> (H, W, 3)."""
    image = pixels.permute(1, 2, 0).cpu().numpy()  # (H, W, C)
    return np.repeat(image, 3 // image.shape[2], axis=2)  # (H, W, 3)


def framed(ax: Any) -> None:
    """No ticks, a thin frame: a picture on white paper needs an edge."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color="#BBBBBB", linewidth=0.8)


# --- filters ---


def filters(weights: Tensor, title: str) -> Any:
    """The first convolution's filters (F, C, k, k) as pictures on one scale; grey is 0.

    With three channels each is a colour picture; otherwise its first channel is shown.
    """
    count, channels, side = len(weights), weights.shape[1], weights.shape[-1]
    shown = weights[:FILTERS_SHOWN].numpy()
    shown = 0.5 + 0.5 * shown / max(np.abs(shown).max(), 1e-12)  # 0 to 1, the weight 0 at 0.5
    shown = shown.transpose(0, 2, 3, 1)  # (F, k, k, C)
    shown = shown if channels == 3 else np.repeat(shown[..., :1], 3, axis=-1)
    columns = min(16, len(shown))
    rows = -(-len(shown) // columns)
    width = max(4.6, 0.55 * columns + 0.4)
    figure, axes = plotting.subplots(rows, columns, width=width, height=0.6 + 0.6 * rows)
    for ax in np.ravel(axes):
        ax.set_axis_off()
    for ax, kernel in zip(np.ravel(axes), shown, strict=False):
        ax.imshow(kernel, vmin=0, vmax=1)
    part = f"the first {len(shown)} of {count}" if count > len(shown) else f"all {count}"
    text = f"{title}: {part} filters of the first convolution, {side} x {side} px; grey is 0"
    figure.suptitle(plotting.literal(text), fontsize=9)
    return figure


# --- all pictures together ---


def overview(predictions: Sequence[Prediction], title: str) -> Any:
    """Each picture beside what the network sees of it, and the first two answers."""
    columns = min(4, len(predictions))
    rows = -(-len(predictions) // columns)
    figure, axes = plotting.subplots(
        rows, columns, width=max(5.5, 2.5 * columns), height=0.5 + 1.62 * rows, squeeze=False
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, prediction in zip(axes.flat, predictions, strict=False):
        ax.imshow(side_by_side(prediction))
        color = {True: plotting.COLORS[2], False: plotting.COLORS[1], None: "black"}
        answers = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in prediction.top[:2])
        verdict = {True: "right: ", False: "wrong: ", None: ""}[prediction.right]
        text = f"{plain_text(prediction.name)}\n{verdict}{answers}"
        title_of(ax, text, color=color[prediction.right])
    text = f"{title}: the picture, what the network sees, its first two answers"
    figure.suptitle(plotting.literal(text), fontsize=9)
    return figure


def side_by_side(prediction: Prediction) -> np.ndarray:
    """The whole picture and the network's view, each in a square: (TILE, 2 TILE + 4, 3)."""
    from PIL import Image

    canvas = Image.new("RGB", (2 * TILE + 4, TILE), (255, 255, 255))
    whole = prediction.picture.image.copy()
    whole.thumbnail((TILE, TILE))
    canvas.paste(whole, ((TILE - whole.width) // 2, (TILE - whole.height) // 2))
    seen = Image.fromarray(as_image(prediction.pixels))
    canvas.paste(seen.resize((TILE, TILE), Image.Resampling.NEAREST), (TILE + 4, 0))
    return np.asarray(canvas)


# --- one picture explained ---


def explained(
    prediction: Prediction,
    title: str,
    *,
    maps: list[FeatureMap],
    drop: Tensor,
    slope: Tensor,
    smooth: Tensor,
) -> Any:
    """Rows: picture, the network's view, answers; the three maps (H, W); a row for each stage."""
    maps = maps[:STAGES_SHOWN]
    ratios = [2.3, 2.3] + [1.3] * len(maps)
    figure, axes = plotting.subplots(
        len(ratios), 3, width=9.0, height=sum(ratios) + 0.4, height_ratios=ratios
    )
    said, share = prediction.top[0]
    width, height = prediction.picture.size
    axes[0, 0].imshow(np.asarray(prediction.picture.image))
    title_of(axes[0, 0], f"{plain_text(prediction.name)}, {width} x {height} px")
    seen = as_image(prediction.pixels)
    axes[0, 1].imshow(seen)
    title_of(axes[0, 1], f"what the network sees: {seen.shape[1]} x {seen.shape[0]} px")
    for ax in (axes[0, 0], axes[0, 1], *axes[1]):
        framed(ax)
    _bars(axes[0, 2], prediction)
    _heat(figure, axes[1], seen, drop, slope, smooth, said)
    for row, stage in enumerate(maps, 2):
        for ax in axes[row]:
            ax.remove()
        _strip(figure.add_subplot(axes[row, 0].get_gridspec()[row, :]), stage, row - 1)
    text = f"{title} says {said} ({100 * share:.1f} %)"
    figure.suptitle(plotting.literal(text), fontsize=10)
    return figure


def _bars(ax: Any, prediction: Prediction) -> None:
    names, shares = zip(*prediction.top, strict=True)
    places = np.arange(len(names))
    colors = [plotting.COLORS[0] if name != prediction.truth else plotting.COLORS[2]
              for name in names]  # fmt: skip
    bars = ax.barh(places, [100 * share for share in shares], color=colors, edgecolor="white")
    for bar, name in zip(bars, names, strict=True):
        bar.set_hatch("//" if name == prediction.truth else "")
    ax.set_yticks(places, [plotting.literal(plain_text(name)) for name in names], fontsize=8)
    ax.invert_yaxis()
    for place, share in zip(places, shares, strict=True):
        ax.text(100 * share + 2, place, f"{100 * share:.1f}", va="center", fontsize=8)
    ax.set(xlim=(0, 122), xticks=range(0, 101, 25))
    ax.set_xlabel("probability (%)", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.grid(False, axis="y")
    truth = f" (hatched: {prediction.truth})" if prediction.truth in names else ""
    title_of(ax, f"most probable classes{truth}")


def _heat(figure: Any, axes: Any, seen: np.ndarray, drop, slope, smooth, said: str) -> None:
    """Occlusion over the picture in grey, saliency and SmoothGrad on scales of their own."""
    from matplotlib.cm import ScalarMappable

    axes[0].imshow(seen.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    points = 100 * drop.numpy()
    limit = max(float(np.abs(points).max()), 1e-6)
    strength = 0.15 + 0.7 * np.abs(points) / limit  # what matters little lets the picture through
    image = axes[0].imshow(points, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=strength)
    title_of(axes[0], "occlusion by a grey square")
    scale = ScalarMappable(image.norm, image.cmap)  # the bar without transparency
    bar = figure.colorbar(scale, ax=axes[0], shrink=0.85)
    bar.set_label(plotting.literal(f"{said} loses (points of %)"), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    named = (("saliency", slope), ("SmoothGrad", smooth))
    for ax, (name, values) in zip(axes[1:], named, strict=True):
        image = ax.imshow(values.numpy(), cmap="magma", vmin=0)
        title_of(ax, f"{name}: slope of {said}'s logit")
        bar = figure.colorbar(image, ax=ax, shrink=0.85)
        bar.set_label("logit per deviation of a pixel", fontsize=8)
        bar.ax.tick_params(labelsize=7)


def _strip(ax: Any, stage: FeatureMap, number: int) -> None:
    """The strongest channels of a stage side by side, each scaled to its own maximum."""
    channels, height, width = stage.values.shape
    order = strongest(stage.values, MAPS_SHOWN).tolist()
    # Extents in units of one map: all stages are drawn at one size, with gaps of 0.04.
    for place, channel in enumerate(order):
        values = stage.values[channel].numpy()
        limits = {"vmin": min(values.min(), 0.0), "vmax": max(values.max(), 1e-12)}
        ax.imshow(values, extent=(place, place + 0.96, 0, 0.96), **limits)
        ax.text(place + 0.48, -0.05, f"{channel}", ha="center", va="top", fontsize=7)
    ax.set(xlim=(0, MAPS_SHOWN), ylim=(-0.2, 0.96))
    ax.set_axis_off()
    text = (
        f"stage {number} ({stage.name}): {channels} channels of {width} x {height} px, "
        f"the {len(order)} strongest, by number"
    )
    title_of(ax, text)
