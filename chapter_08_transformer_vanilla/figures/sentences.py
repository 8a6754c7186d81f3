"""The pictures of sentences.py: meaning against words, and how near some sentences are."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chapter_08_transformer_vanilla.experiments.paraphrases import KINDS, METHODS, TRIPLES
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = {"paraphrase": ("o", "0.1", "same meaning, other words"),
         "trap": ("s", "white", "same words, other meaning")}  # fmt: skip


def traps_figure(metrics: dict[str, Any]) -> Figure:
    """A row a sentence: its cosine with paraphrase and trap, by words and by MiniLM."""
    order = [i for kind in reversed(KINDS) for i, row in enumerate(TRIPLES) if row[0] == kind]
    opposites = sum(row[0] == "opposite" for row in TRIPLES)
    figure, axes = plotting.subplots(1, 2, width=9.0, height=5.6, sharey=True)
    for ax, name in zip(axes, ("tfidf", "minilm"), strict=True):
        values = metrics["methods"][name]
        for row, i in enumerate(order):
            ends = [values["paraphrase"][i], values["trap"][i]]
            ax.plot(ends, [row, row], color="0.7", linewidth=1, zorder=1)
        for key, (marker, face, label) in MARKS.items():
            ax.scatter([values[key][i] for i in order], range(len(order)), marker=marker, s=28,
                       facecolor=face, edgecolor="0.1", label=label, zorder=2)  # fmt: skip
        ax.axhline(opposites - 0.5, color="0.4", linestyle=":")
        ax.set(xlabel="cosine", title=METHODS[name][0], xlim=(-0.05, 1.05))
        ax.set_yticks(range(len(order)), [TRIPLES[i][1] for i in order], fontsize="small")
    axes[1].text(0, opposites - 0.7, "below: opposites", fontsize="small", va="top")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def matrix_figure(texts: Sequence[str], meaning: np.ndarray, words: np.ndarray) -> Figure:
    """Two (N, N) matrices of cosines over the same texts, darker = nearer."""
    shown = [plotting.literal(textwrap.shorten(text, 38, placeholder=" ...")) for text in texts]
    places = range(len(texts))
    figure, axes = plotting.subplots(1, 2, width=9.0, height=4.0, sharey=True)
    for ax, values, title in zip(axes, (meaning, words), ("MiniLM", "TF-IDF"), strict=True):
        ax.imshow(values, cmap="Greys", vmin=0, vmax=1)
        for row in places:
            for column in places:
                value = values[row, column]
                ink = "white" if value > 0.6 else "0.1"
                number = f"{value:.1f}".replace("-0.0", "0.0")
                ax.text(column, row, number, ha="center", va="center", fontsize=7, color=ink)
        ax.set_title(title)
        ax.set_xticks(places, [str(n + 1) for n in places])
        ax.set_yticks(
            places, [f"{text}  {n + 1}" for n, text in enumerate(shown)], fontsize="small"
        )
        ax.grid(False)
    return figure
