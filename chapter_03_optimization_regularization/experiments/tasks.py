"""The picture tasks of this chapter's experiments, and the two small networks they train.

    task = load_task("digits")            # embedded, 8x8; also "mnist", "fashion_mnist"
    x, y = task.train                     # (N, 1, H, W) float32 standardised, (N,) int64
    model = small_cnn(norm="batch")       # 24,170 parameters
    model = small_mlp()                   # 64-128-64-10, from chapter 2's layers

Convolutions are chapter 4's lesson; here they come from torch.nn. The layers between them, the
normalisations, are this chapter's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp.model import MLP
from chapter_03_optimization_regularization.normalization import make_norm
from utils import datasets
from utils.modes import evaluating

Examples = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Task:
    """Pictures (N, 1, H, W), standardised with the training split's statistics; labels (N,)."""

    name: str
    classes: tuple[str, ...]
    train: Examples
    val: Examples
    test: Examples

    def to(self, device: torch.device | str) -> Task:
        """The same on the device; a data set of this size fits there whole."""
        splits = {
            k: tuple(t.to(device) for t in getattr(self, k)) for k in ("train", "val", "test")
        }
        return replace(self, **splits)


def load_task(name: str = "digits", data_dir: str | None = None, limit: int | None = None) -> Task:
    """A data set's fixed splits; `limit` keeps the first examples of the training split only."""
    data = datasets.load(name, data_dir)

    def tensors(split: datasets.Split, count: int | None = None) -> Examples:
        images = torch.from_numpy(data.standardise(split.images[:count]))  # (N, H, W)
        return images.unsqueeze(1), torch.from_numpy(split.labels[:count])  # (N, 1, H, W), (N,)

    parts = (tensors(data.train, limit), tensors(data.val), tensors(data.test))
    return Task(name, data.classes, *parts)


def small_mlp(
    inputs: int = 64, classes: int = 10, hidden: int = 128, dropout: float = 0.0
) -> nn.Sequential:
    """Flatten, then chapter 2's MLP with two hidden ReLU layers: (B, 1, H, W) -> (B, classes)."""
    mlp = MLP(inputs, hidden, classes, depth=2, activation="relu", dropout=dropout)
    return nn.Sequential(nn.Flatten(), mlp)


def small_cnn(norm: str = "batch", classes: int = 10, width: int = 16) -> nn.Sequential:
    """Three 3x3 convolutions, one pooling, global mean: (B, 1, H, W) -> (B, classes).

    `norm`: none, batch, layer, group, instance or rms (see normalization.make_norm); it stands
    between each convolution and its ReLU. A convolution needs no bias of its own before a
    normalisation that subtracts the mean; it has one everywhere, so that only `norm` differs.
    """

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), make_norm(norm, outputs), nn.ReLU()]

    return nn.Sequential(
        *block(1, width),  # (B, width, H, W)
        *block(width, 2 * width),  # (B, 2 width, H, W)
        nn.MaxPool2d(2),  # (B, 2 width, H/2, W/2)
        *block(2 * width, 4 * width),  # (B, 4 width, H/2, W/2)
        nn.AdaptiveAvgPool2d(1),  # (B, 4 width, 1, 1)
        nn.Flatten(),  # (B, 4 width)
        nn.Linear(4 * width, classes),
    )


@torch.no_grad()
def accuracy(model: nn.Module, examples: Examples, batch_size: int = 2048) -> float:
    """Share of correct predictions, in evaluation mode; the mode is restored."""
    x, y = examples
    parts = zip(x.split(batch_size), y.split(batch_size), strict=True)
    with evaluating(model):
        correct = sum(int((model(a).argmax(dim=1) == b).sum()) for a, b in parts)
    return correct / len(y)
