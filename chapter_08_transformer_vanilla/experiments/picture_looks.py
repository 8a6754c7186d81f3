"""Where a Vision Transformer could have got its answer from, and what its places have learnt.

    maps = class_maps(model, pictures)      (B, n, n): rollout from the class token
    on_object(maps, masks)                  how much of it lies on the thing
    place_cosines(model)                    (N, N): which places look alike
    neighbour_cosines(model)                neighbours on the grid, all pairs, mirror images

`measure` does all of it, for a trained network and for the same one before its training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_04_cnn_classic.image_tasks import ImageTask, standardize, to_pixels
from chapter_08_transformer_vanilla.vit import ViT, rollout
from utils.datasets import shapes
from utils.modes import evaluating

MASKED = 200  # scenes of `shapes` whose masks are drawn again


def measure(trained: ViT, untrained: ViT, task: ImageTask) -> dict[str, Any]:
    """rollout: of `shapes`, where the thing is known. places: cosines. By network."""
    models = {"trained": trained, "untrained": untrained}
    found: dict[str, Any] = {"places": {n: neighbour_cosines(m) for n, m in models.items()}}
    if task.name == "shapes":
        masks = torch.from_numpy(shapes.make_splits(task.image_size, MASKED)[2].masks[:, 0])
        x = standardize(to_pixels(task.test[0][:MASKED]), task)  # (B, C, H, W)
        found["rollout"] = {n: on_object(class_maps(m, x), masks) for n, m in models.items()}
    return found


@torch.no_grad()
def class_maps(model: ViT, pictures: Tensor) -> Tensor:
    """The class token's row of the rollout over the patches: (B, C, H, W) -> (B, n, n), sums 1.

    pictures: standardised. What the token kept of itself is left out.
    """
    kept: list[Tensor] = []
    with evaluating(model):
        model.features(pictures, kept)
    front = len(model.token_names)
    row = rollout(kept)[:, 0, front:]  # (B, N)
    row = row / row.sum(-1, keepdim=True)
    side = model.image_size // model.patch
    return row.unflatten(1, (side, side)).cpu()  # (B, n, n)


def on_object(maps: Tensor, masks: Tensor) -> dict[str, float]:
    """Means over pictures: the share of the map on the thing, and two controls.

    maps (B, n, n), sums 1; masks (B, H, W), True on the thing. area: the thing's share of the
    picture; a map that knows nothing has as much. mean_map: of one map for all pictures, their
    mean; it knows only where things tend to be, in the middle.
    """
    share = F.adaptive_avg_pool2d(masks[:, None].float(), maps.shape[-1])[:, 0]  # (B, n, n)
    return {
        "on_object": float((maps * share).sum((1, 2)).mean()),
        "mean_map": float((maps.mean(0) * share).sum((1, 2)).mean()),
        "area": float(masks.float().mean()),
    }


@torch.no_grad()
def place_cosines(model: ViT) -> Tensor:
    """Cosines of the places of all patches, less their mean: (N, N)."""
    places = model.positions[len(model.token_names) :].cpu()  # (N, D)
    places = F.normalize(places - places.mean(0), dim=-1)
    return places @ places.T


def neighbour_cosines(model: ViT) -> dict[str, float]:
    """Mean cosine of places that touch on the grid, of all pairs of two places, and of each place
    with its mirror image: left_right what flips of pictures exchange, upside_down as a control.
    """
    cosines = place_cosines(model)  # (N, N)
    side = model.image_size // model.patch
    grid = torch.arange(side**2).view(side, side)
    row, column = grid.flatten() // side, grid.flatten() % side
    steps = (row[:, None] - row).abs() + (column[:, None] - column).abs()  # (N, N)
    return {
        "neighbours": float(cosines[steps == 1].mean()),
        "all": float(cosines[steps > 0].mean()),
        "left_right": float(cosines[grid.flatten(), grid.flip(1).flatten()].mean()),
        "upside_down": float(cosines[grid.flatten(), grid.flip(0).flatten()].mean()),
    }
