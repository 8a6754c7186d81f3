"""The figures of train_translation.py and translate.py: right lines by length, and the looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chapter_07_attention_mechanism.experiments.translation.looks import Looks
from chapter_07_attention_mechanism.experiments.translation.tables import NAMES
from utils import plotting

MANY = 40  # tokens; more of them get no number in their cells


def lengths_figure(metrics: dict[str, Any]) -> Any:
    """Lines right by numbers in the line, a curve a network; behind the dotted line: untrained."""
    fig, ax = plotting.subplots(width=6.8, height=3.8)
    shift = 0.06 * (1 - len(metrics["kinds"])) / 2  # equal values stand side by side
    for place, (kind, row) in enumerate(metrics["kinds"].items()):
        counts = np.array([int(k) for k in row["exact_percent"]]) + shift + 0.06 * place
        means, spreads = np.array(list(row["exact_percent"].values())).T  # (K,) each
        look = {"linestyle": plotting.DASHES[place], "marker": plotting.MARKERS[place]}
        ax.errorbar(counts, means, spreads, capsize=3, label=NAMES[kind]["en"], **look)
    ax.axvline(metrics["trained"] + 0.5, linestyle=":", color="0.3")
    ax.text(metrics["trained"] + 0.55, 103, "never trained", fontsize=8, color="0.3", va="bottom")
    ax.set(xlabel="numbers in the line", ylabel="lines right (%)", ylim=(-3, 103))
    ax.set_xticks([int(k) for k in row["exact_percent"]])
    ax.legend(fontsize=8, loc="lower left")
    return fig


def curves_figure(
    rows: Sequence[dict[str, Any]],
    name: str,
    what: str = "attention",
    names: dict[str, dict[str, str]] = NAMES,
) -> Any:
    """Loss and accuracy of the validation part by epoch: mean over the seeds, a curve a network.

    what: the fact of a row that tells networks apart; names: what its values are called.
    """
    fig, axes = plotting.subplots(1, 2, width=9.0, height=3.2)
    for ax, key, scale in ((axes[0], "val_loss", 1), (axes[1], "val_accuracy", 100)):
        for place, kind in enumerate(dict.fromkeys(row[what] for row in rows)):
            curves = [
                [scale * epoch[key] for epoch in row["curve"]] for row in rows if row[what] == kind
            ]
            look = {"linestyle": plotting.DASHES[place], "marker": plotting.MARKERS[place]}
            epochs = range(1, len(curves[0]) + 1)
            ax.plot(epochs, np.mean(curves, axis=0), label=names[kind]["en"], **look)
        ax.set(xlabel="epoch", xticks=list(epochs)[:: -(-len(epochs) // 15)])
        ax.legend(fontsize=8)
    axes[0].set(ylabel="cross-entropy (nats a token)", title=f"{name}, validation loss")
    axes[0].set_yscale("log")
    axes[1].set(ylabel="tokens right (%)", title=f"{name}, teacher forcing")
    return fig


def map_figure(looks: Looks) -> Any:
    """Rows: written tokens. Columns: read tokens. The darker, the more was looked."""
    weights = looks.mean.numpy()  # (T, S)
    height, width = (1.2 + 0.32 * len(looks.written), 1.6 + 0.42 * len(looks.read))
    fig, ax = plotting.subplots(width=min(width, 14), height=min(height, 12))
    ax.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    ax.grid(False)
    ax.set_xticks(range(len(looks.read)), shown(looks.read), rotation=60, ha="right")
    ax.set_yticks(range(len(looks.written)), shown(looks.written))
    ax.tick_params(labelsize=8)
    ax.set(xlabel="read", ylabel="written")
    if max(weights.shape) <= MANY:
        for t, s in np.argwhere(weights >= 0.1):
            color = "white" if weights[t, s] > 0.55 else "black"
            ax.text(s, t, f"{weights[t, s]:.1f}"[1:] if weights[t, s] < 0.95 else "1",
                    ha="center", va="center", fontsize=7, color=color)  # fmt: skip
    return fig


def shown(tokens: Sequence[str]) -> list[str]:
    """A space that belongs to a token is drawn as one."""
    return [plotting.literal(token.replace(" ", "\u2423")) for token in tokens]
