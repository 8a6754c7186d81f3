"""The figures of train_digits.py: learning curves, confusion matrix, misclassified images."""

from __future__ import annotations

import math

import numpy as np

from utils import plotting
from utils.datasets import ImageData


def curves_figure(data: ImageData, histories: list[dict[str, list[float]]]):
    """Loss and accuracy over epochs; one history a seed."""
    figure, (left, right) = plotting.subplots(1, 2, width=9.0, height=3.8)
    epochs = np.arange(1, len(histories[0]["train_loss"]) + 1)
    for name, label in (("train_loss", "training"), ("val_loss", "validation")):
        plotting.band(left, epochs, [history[name] for history in histories], label)
    scores = 100 * np.array([history["val_accuracy"] for history in histories])
    plotting.band(right, epochs, scores, "validation", color=plotting.COLORS[1])
    left.set(yscale="log", ylabel="cross-entropy (nats)")
    right.set(ylabel="accuracy (%)", ylim=(max(scores.min() - 1, 0), 100.2))
    seeds = "1 seed" if len(histories) == 1 else f"{len(histories)} seeds, band: range"
    for ax in (left, right):
        ax.set_xlabel("epoch")
        ax.set_title(f"{data.name} ({seeds})")
        ax.legend()
    return figure


def confusion_figure(data: ImageData, predicted: np.ndarray):
    """`predicted` are the classes (N,) given to the test images."""
    counts = np.zeros((len(data.classes), len(data.classes)), dtype=int)
    np.add.at(counts, (data.test.labels, predicted), 1)
    figure, ax = plotting.subplots(width=5.2, height=4.8)
    plotting.confusion_matrix(ax, counts, data.classes)
    ax.set_title(f"{data.name}, test split ({len(predicted)} images)")
    return figure


def mistakes_figure(data: ImageData, log_p: np.ndarray, most: int = 24, cols: int = 8):
    """Misclassified test images, the most confident mistakes first."""
    predicted = log_p.argmax(axis=1)
    wrong = np.flatnonzero(predicted != data.test.labels)
    wrong = wrong[np.argsort(-log_p[wrong].max(axis=1))]
    rows = max(1, math.ceil(min(len(wrong), most) / cols))
    figure, axes = plotting.subplots(rows, cols, width=1.05 * cols, height=1.45 * rows + 0.5)
    axes = np.atleast_1d(axes)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, i in zip(axes.flat, wrong, strict=False):  # as many as there is room for
        ax.imshow(data.test.images[i], cmap="gray_r")
        share = 100 * math.exp(log_p[i].max())
        names = data.classes[data.test.labels[i]], data.classes[predicted[i]]
        ax.set_title(f"is {names[0]}, read {names[1]}\n({share:.0f} %)", fontsize=7)
    shown = min(len(wrong), most)
    figure.suptitle(
        f"{data.name}: {shown} of {len(wrong)} mistakes among {len(predicted)} test images, "
        "with the network's confidence",
        fontsize=9,
    )
    return figure
