"""The figure of exp_heads.py: lines right without each head, and as more and more are removed."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

ORDERS = {
    "least": "the least important first",
    "random": "in random order",
    "most": "the most important first",
}


def heads_removed_figure(metrics: dict[str, Any]) -> Any:
    """Left: by numbers in the line, one head removed. Middle: pruning. Right: where heads look."""
    fig, axes = plotting.subplots(1, 3, width=12.6, height=3.9)
    draw_lengths(axes[0], metrics)
    draw_pruning(axes[1], metrics)
    draw_looks(axes[2], metrics)
    return fig


def draw_lengths(ax: Any, metrics: dict[str, Any]) -> None:
    """A table of numbers on shades: lines would lie on each other near 100 %."""
    rows = [("all heads", metrics["all_heads_by_length"])]
    rows += [
        (f"without\nhead {n}", row["without_zero_by_length"])
        for n, row in enumerate(metrics["heads"], 1)
    ]
    means = np.array([[mean for mean, _ in pairs] for _, pairs in rows])  # (1 + h, lengths)
    ax.imshow(means, cmap="Blues", vmin=0, vmax=125, aspect="auto")
    for (line, column), mean in np.ndenumerate(means):
        color = "white" if mean > 75 else "black"
        ax.text(column, line, f"{mean:.0f}", ha="center", va="center", fontsize=8, color=color)
    ax.set_xticks(range(means.shape[1]), metrics["lengths"])
    ax.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    ax.grid(False)
    ax.set(xlabel="numbers in the line")
    ax.set_title("Lines right (%), one head removed")


def draw_pruning(ax: Any, metrics: dict[str, Any]) -> None:
    sizes = range(len(metrics["heads"]) + 1)
    for index, (name, label) in enumerate(ORDERS.items()):
        pairs = metrics["pruning"]["zero"][name]
        draw_band(ax, sizes, pairs, label, index)
    draw_band(ax, sizes, metrics["pruning"]["mean"]["least"], "the least first, by their means", 3)
    ax.set(xlabel="heads removed", ylabel="lines right (%)", ylim=(-4, 148), xticks=list(sizes))
    ax.set_yticks(range(0, 101, 20))
    ax.set_title("Heads removed one after the other")
    ax.legend(fontsize=7, loc="upper right")


def draw_band(ax: Any, x: Any, pairs: list[tuple[float, float]], label: str, index: int) -> None:
    """Means as a line, one standard deviation over the networks as a bar."""
    means, spread = zip(*pairs, strict=True)
    look = plotting.look(index) | {"marker": plotting.MARKERS[index], "markersize": 5}
    ax.errorbar(x, means, yerr=spread, label=label, capsize=3, elinewidth=1, **look)


def draw_looks(ax: Any, metrics: dict[str, Any]) -> None:
    """Where the weights of each head go, as bars that add up to 100."""
    parts = {
        "own_percent": ("the number being written", "#0072B2", ""),
        "comma_percent": ("commas", "#F0E442", "///"),
        "other_percent": ("other numbers", "#FFFFFF", "..."),
    }
    rows = metrics["heads"]
    bottom = [0.0] * len(rows)
    places = range(1, len(rows) + 1)
    for name, (label, color, hatch) in parts.items():
        values = [row[name][0] for row in rows]
        look = {"color": color, "hatch": hatch, "edgecolor": "0.2", "linewidth": 0.6}
        ax.bar(places, values, 0.62, bottom=bottom, label=label, **look)
        bottom = [a + b for a, b in zip(bottom, values, strict=True)]
    for place, row in zip(places, rows, strict=True):
        ax.text(place, 102, f"{row['entropy'][0]:.1f} nats", ha="center", fontsize=7)
    ax.set(xlabel="head, by importance", ylabel="weight (%)", ylim=(0, 134), xticks=list(places))
    ax.set_yticks(range(0, 101, 20))
    ax.set_title("What a head looks at, and its entropy")
    ax.legend(fontsize=7, loc="upper center", ncols=3, handlelength=1.5, columnspacing=1.2)
