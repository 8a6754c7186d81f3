"""The figures of train_classifier.py: accuracy over the prefix, one word, five classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BELIEVED = 0.2


def prefix_figure(
    ks: Sequence[int],
    curves: dict[int, dict[str, Any]],
    words: dict[str, np.ndarray],
    classes: Sequence[str],
) -> Figure:
    """Above: right answers over k, and how far they are below what is attainable. Below: two words.

    curves[training numbers]: "best" and "trigrams" (K,), "lstm" (runs, K). words[text]: what the
    LSTM believes after each letter, (letters + 1, C).
    """
    fig, axes = plotting.subplots(2, 2, width=9.2, height=6.8)
    largest = max(curves)
    draw_curves(axes[0, 0], curves[largest])
    draw_gaps(axes[0, 1], curves)
    for ax in axes[0]:
        ax.set_xticks(range(len(ks)), [*map(str, ks[:-1]), "all"])
        ax.set_xlabel("characters read")
    axes[0, 0].set_title(f"test numbers, trained on {largest} numbers")
    for ax, (text, shares) in zip(axes[1], words.items(), strict=True):
        draw_word(ax, text, shares, classes)
    axes[1, 0].set_ylabel("probability")
    return fig


def draw_curves(ax: Axes, found: dict[str, Any]) -> None:
    places = range(len(found["best"]))
    ax.plot(places, 100 * np.array(found["best"]), label="best attainable", **plotting.look(6))
    plotting.band(ax, places, 100 * np.array(found["lstm"]), "LSTM", color=plotting.COLORS[0])
    ax.plot(places, 100 * np.array(found["trigrams"]), label="trigram Bayes", **plotting.look(1))
    ax.axhline(100 * found["most_frequent"], color="0.5", linestyle=":", label="most frequent")
    ax.set(ylabel="right answers (%)", ylim=(0, 102))
    ax.legend(fontsize=8, loc="lower right")


def draw_gaps(ax: Axes, curves: dict[int, dict[str, Any]]) -> None:
    """Points below the best attainable, a pair of lines for each number of training numbers."""
    for place, (size, found) in enumerate(curves.items()):
        best = np.array(found["best"])
        places = range(len(best))
        colors = plotting.COLORS[2 * place : 2 * place + 2]
        runs = 100 * (best - np.array(found["lstm"]))
        plotting.band(ax, places, runs, f"LSTM, {size} numbers", color=colors[0])
        gap = 100 * (best - np.array(found["trigrams"]))
        ax.plot(places, gap, label=f"trigrams, {size} numbers", **plotting.look(2 * place + 1))
    ax.set_ylim(1.45 * ax.get_ylim()[1], -0.2)  # downwards, with room for the legend
    ax.set(ylabel="points below the best attainable", title="how much is missing")
    ax.legend(fontsize=8, loc="lower left")


def draw_word(ax: Axes, text: str, shares: np.ndarray, classes: Sequence[str]) -> None:
    """A line for each language that is ever believed with 20 % or more."""
    places = range(len(shares))
    for c in np.flatnonzero(shares.max(0) > BELIEVED):
        look = plotting.look(int(c) % 8) | {"marker": plotting.MARKERS[c % 8], "markersize": 4}
        ax.plot(places, shares[:, c], label=classes[c], **look)
    letters = ["␣" if letter == " " else letter for letter in text]
    ax.set_xticks(places, [*map(plotting.literal, letters), "|"][: len(shares)])
    ax.set(ylim=(-0.03, 1.03), title=plotting.literal(text))
    ax.set_xlabel("characters read so far (|: the end)")
    ax.legend(fontsize=8, loc="center right")


def sentences_figure(name: str, rows: dict[str, list[dict]], chance: float) -> Figure:
    """Test accuracy of each classifier, a mark for each seed; chance as a line of text."""
    fig, ax = plotting.subplots(width=7.0, height=3.0)
    for place, runs in enumerate(rows.values()):
        tests = [run["test"] for run in runs]
        ax.plot(tests, [place] * len(tests), "o", color=plotting.COLORS[0], alpha=0.6)
        ax.plot(np.mean(tests), place, "|", color="black", markersize=18)
        ax.annotate(
            f"{np.mean(tests):.1f}", (np.mean(tests), place), (0, 11), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set(xlabel="test accuracy (%), a dot a seed, the bar their mean")
    ax.set_title(f"{name} (most frequent class: {chance:.1f} %)")
    return fig
