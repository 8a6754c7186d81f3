"""One example in BatchNorm: in training and in evaluation; `draw_figures.py` writes the picture.

The example is x = 0, the numbers are drawn from a normal distribution of mean 5 and spread 3, so
that it ought to become (0 - 5) / 3. Computed with NumPy; a test compares with the layer itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

EXAMPLE, MEAN, SPREAD = 0.0, 5.0, 3.0
EXPECTED = (EXAMPLE - MEAN) / SPREAD  # what the example becomes with the true statistics
SIZES = (2, 4, 8, 32, 128)
BATCHES = 60
MOMENTA = (0.1, 0.01, 0.001)


def in_training(batches: Array) -> Array:
    """What the first number of each batch (R, n) becomes with its batch's statistics: (R,)."""
    return (batches[:, 0] - batches.mean(axis=1)) / batches.std(axis=1)


def in_evaluation(batches: Array, momentum: float, x: float = EXAMPLE) -> Array:
    """What x becomes with the running statistics after 0, 1, ... R batches (R, n): (R + 1,)."""
    mean, var, values = 0.0, 1.0, [x]  # the first statistics are 0 and 1: nothing is changed
    for batch in batches:
        mean += momentum * (batch.mean() - mean)
        var += momentum * (batch.var(ddof=1) - var)  # unbiased, as the layer stores it
        values.append((x - mean) / np.sqrt(var))
    return np.array(values)


def draw_batch_norm(seed: int) -> Figure:
    """Left the example in batches of five sizes, right with the statistics gathered so far."""
    random = np.random.default_rng(seed)
    figure, axes = plotting.subplots(1, 2, width=10.5, height=3.9, sharey=True)
    _draw_training(axes[0], random)
    batches = random.normal(MEAN, SPREAD, size=(BATCHES, 32))
    _draw_evaluation(axes[1], batches)
    for ax in axes:
        ax.axhline(EXPECTED, color="0.35", linestyle=":", linewidth=1.4)
    axes[0].set_ylabel("what the example x = 0 becomes")
    return figure


def _draw_training(ax: Axes, random: np.random.Generator) -> None:
    for place, size in enumerate(SIZES):
        batches = random.normal(MEAN, SPREAD, size=(BATCHES, size))
        batches[:, 0] = EXAMPLE
        jitter = random.uniform(-0.22, 0.22, size=BATCHES)
        ax.plot(place + jitter, in_training(batches), "o", color=plotting.COLORS[0], ms=3, mew=0)
    ax.set_xticks(range(len(SIZES)), [str(size) for size in SIZES])
    ax.set(title=f"training: {BATCHES} batches that hold it", xlabel="numbers in the batch")
    ax.text(0.5, 1.02, "two numbers: always −1 or +1", fontsize=9, va="center")
    ax.text(0, EXPECTED - 0.25, "(0 − 5) / 3", fontsize=9, ha="center", color="0.2")
    ax.grid(False, axis="x")


def _draw_evaluation(ax: Axes, batches: Array) -> None:
    for index, momentum in enumerate(MOMENTA):
        values = in_evaluation(batches, momentum)
        style = {"color": plotting.COLORS[index], "linestyle": plotting.DASHES[index]}
        ax.plot(range(BATCHES + 1), values, linewidth=1.8, **style)
        place = {"xy": (BATCHES + 1, values[-1]), "fontsize": 9, "va": "center"}
        ax.annotate(f"momentum {momentum:g}", color=style["color"], annotation_clip=False, **place)
    ax.set(title="evaluation: one value, whatever the batch", xlim=(0, BATCHES))
    ax.set(xlabel="batches of 32 seen in training")
