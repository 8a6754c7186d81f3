"""The figure of exp_induction.py: the loss and the scores of heads over steps, and two maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chapter_08_transformer_vanilla.experiments.induction import best, found_heads
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def induction_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """rows: of experiments/induction.py, one a network. Left over the steps, right two heads."""
    figure, axes = plotting.subplots(2, 2, width=10.0, height=6.4)
    loss, scores = axes[:, 0]
    deepest = max(row["layers"] for row in rows)
    for row in rows:
        deep = row["layers"] == deepest
        steps = [point["step"] for point in row["curve"]]
        look = plotting.look(0 if deep else 1) | {"linewidth": 1.4, "alpha": 0.85}
        loss.plot(steps, [point["known"] for point in row["curve"]], **look,
                  label=named(row["layers"], row is first_of(rows, row["layers"])))  # fmt: skip
        if deep and deepest > 1:
            draw_scores(scores, steps, row, row is first_of(rows, deepest))
    loss.set(ylabel="loss where the next token\nis known (nats)", ylim=(0, None))
    scores.set(xlabel="step", ylabel="highest score of a head", ylim=(0, 1))
    for ax in (loss, scores):
        ax.set_xlim(0, rows[0]["curve"][-1]["step"])
        if ax.lines:
            ax.legend(fontsize=8)
    first = first_of(rows, deepest)
    places = found_heads(first) if deepest > 1 else [(1, 1), (1, 2)]
    for ax, (layer, head) in zip(axes[:, 1], places, strict=True):
        draw_map(ax, first, layer, head)
    return figure


def first_of(rows: Sequence[dict[str, Any]], layers: int) -> dict[str, Any]:
    return next(row for row in rows if row["layers"] == layers)


def named(layers: int, shown: bool) -> str | None:
    """One label for all seeds of a network."""
    return f"{layers} layer{'s' if layers > 1 else ''}" if shown else None


def draw_scores(ax: Axes, steps: list[int], row: dict[str, Any], labelled: bool) -> None:
    for index, (layer, score, words) in enumerate(
        ((2, "matching", "layer 2: prefix matching"), (1, "previous", "layer 1: previous token"))
    ):
        values = [best(point, layer, score) for point in row["curve"]]
        look = plotting.look(2 * index) | {"linewidth": 1.4, "alpha": 0.85}
        ax.plot(steps, values, **look, label=words if labelled else None)


def draw_map(ax: Axes, row: dict[str, Any], layer: int, head: int) -> None:
    """The weights of one head on one text; a circle where it would look behind the match."""
    weights = np.array(row["maps"]["weights"][layer - 1][head - 1])  # (T, T)
    ax.imshow(weights, cmap="Greys", vmin=0, vmax=1)
    if layer > 1:
        t, s = np.nonzero(np.array(row["maps"]["behind"]))
        ax.plot(s, t, "o", ms=5, mfc="none", mec=plotting.COLORS[1], mew=0.8)
    ax.grid(False)
    words = "behind a match: circles" if layer > 1 else "the place before"
    ax.set_title(f"layer {layer}, head {head}, seed {row['seed']} ({words})", fontsize=9)
    ax.set(xlabel="place looked at", ylabel="place that looks")
