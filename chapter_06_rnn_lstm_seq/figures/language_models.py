"""The figure of train_language_model.py: bits per character by epoch, beside the n-gram models."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_03_optimization_regularization.training import History
from utils import plotting


def curves_figure(histories: list[History], ngrams: list[dict], title: str, factor: float) -> Any:
    """Training and validation by epoch (mean and range over the seeds).

    factor: bits per character of one nat per token.
    """
    fig, axes = plotting.subplots(1, 1, width=7.0, height=4.0)
    ax = np.atleast_1d(axes).ravel()[0]
    count = min(len(history.epochs) for history in histories)
    epochs = range(1, count + 1)
    for number, part in enumerate(("train", "val")):
        runs = [[factor * row[f"{part}_loss"] for row in h.epochs[:count]] for h in histories]
        name = {"train": "training (while learning)", "val": "validation"}[part]
        plotting.band(ax, epochs, np.array(runs), name, color=plotting.COLORS[number])
    for style, row in zip(("-.", ":", "--", (0, (1, 3))), ngrams, strict=True):
        ax.axhline(row["bits_per_character"], linestyle=style, color="0.35", linewidth=1.2)
        # beside the axes, where no curve runs; the strongest is close to the 5-gram
        place = {5: "bottom"}.get(row["order"], "top" if row["order"] > 5 else "center")
        ax.annotate(
            row["name"]["en"].replace(", ", ",\n"), (1.01, row["bits_per_character"]),
            xycoords=("axes fraction", "data"), fontsize=8, color="0.25", va=place,
        )  # fmt: skip
    ax.set(xlabel="epoch", ylabel="bits per character", title=title)
    ax.legend(fontsize=8, loc="center right")
    return fig
