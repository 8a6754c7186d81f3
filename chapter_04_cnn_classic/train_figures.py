"""The pictures of a trained classifier: curves, confusion matrix, accuracy by class, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chapter_03_optimization_regularization.figures.train import draw_history
from chapter_03_optimization_regularization.training import History
from chapter_04_cnn_classic.image_tasks import ImageTask
from utils import plotting

MOST_CLASSES = 20  # more do not fit as rows with names
MISTAKES = 24


def confusion_counts(labels: Tensor, predicted: Tensor, classes: int) -> np.ndarray:
    """counts[t, p]: pictures of class t that were called p. (N,), (N,) -> (K, K)."""
    pairs = torch.bincount(labels * classes + predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes).numpy()


def recall(counts: np.ndarray) -> list[float]:
    """Share of each class that is recognised, in per cent: the diagonal over its row."""
    return (100 * counts.diagonal() / np.maximum(counts.sum(axis=1), 1)).tolist()


def curves(histories: Sequence[History], title: str) -> Any:
    """Loss and accuracy by epoch, mean and range over the runs."""
    figure, axes = plotting.subplots(1, 2, width=9.0, height=3.4)
    draw_history(axes, histories)
    for ax in axes:
        ax.set(title=title)
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def confusion(counts: np.ndarray, classes: Sequence[str], title: str) -> Any:
    """Rows are true classes, columns predicted ones; without names where there are too many."""
    if len(classes) <= MOST_CLASSES:
        side = 3.4 + 0.32 * len(classes)
        figure, ax = plotting.subplots(width=side, height=side - 0.4)
        plotting.confusion_matrix(ax, counts, classes)
    else:
        figure, ax = plotting.subplots(width=6.0, height=5.4)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        ax.grid(False)
        ax.set(xlabel="predicted class (number)", ylabel="true class (number)")
        figure.colorbar(image, ax=ax, label="share of the true class")
    ax.set_title(f"{title}, test pictures")
    return figure


def by_class(counts: np.ndarray, classes: Sequence[str], title: str) -> Any:
    """A bar a class, worst first; of many classes the ten worst and the ten best."""
    values = np.array(recall(counts))
    order = values.argsort(kind="stable")
    if len(order) > MOST_CLASSES:
        order = np.concatenate([order[: MOST_CLASSES // 2], order[-MOST_CLASSES // 2 :]])
        title += ", worst and best classes"
    figure, ax = plotting.subplots(width=6.4, height=1.2 + 0.24 * len(order))
    places = np.arange(len(order))
    ax.barh(places, values[order], color=plotting.COLORS[0])
    ax.set_yticks(places, [classes[k] for k in order])
    ax.invert_yaxis()
    for place, value in zip(places, values[order], strict=True):
        ax.text(value + 0.7, place, f"{value:.1f}", va="center", fontsize=8)
    ax.set(xlim=(0, 109), xlabel="recognised test pictures of the class (%)", title=title)
    ax.grid(False, axis="y")
    return figure


def worst_mistakes(task: ImageTask, logits: Tensor, title: str) -> Any:
    """The test pictures with a wrong answer, the one that the network is surest of first."""
    images, labels = (part.cpu() for part in task.test)
    confidence, predicted = logits.softmax(dim=1).max(dim=1)  # (N, K) -> (N,), (N,)
    wrong = torch.nonzero(predicted != labels).squeeze(1)
    chosen = wrong[confidence[wrong].argsort(descending=True, stable=True)][:MISTAKES]
    columns = 8
    rows = max(1, -(-len(chosen) // columns))
    figure, axes = plotting.subplots(rows, columns, width=11.0, height=0.6 + 1.6 * rows)
    for ax in np.ravel(axes):
        ax.axis("off")
    for ax, index in zip(np.ravel(axes), chosen.tolist(), strict=False):
        picture = images[index].permute(1, 2, 0).squeeze(-1).numpy()  # (H, W, C) or (H, W)
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        said, true = (task.classes[int(k)] for k in (predicted[index], labels[index]))
        share = 100 * confidence[index].item()
        ax.set_title(f"{said} ({share:.0f} %)\nis {true}", fontsize=8)
    few = "the surest mistakes" if len(chosen) else "no mistake at all"
    figure.suptitle(f"{title}: {few} on the test pictures (prediction, probability, truth)")
    return figure
