"""The figure of exp_masks.py: what each place really sees, and the claimed loss beside the true."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_07_attention_mechanism.experiments.wrong_masks.tables import key
from chapter_07_attention_mechanism.experiments.wrong_masks.variants import VARIANTS
from utils import plotting

COLUMNS = 5
VISIBLE = 0.01  # share of a row's influence from which a forbidden cell is marked


def masks_figure(found: list[dict[str, Any]], metrics: dict[str, Any]) -> Any:
    """Above: ten matrices of gradients, of the first seed. Below: bits a letter, a dot a seed."""
    figure, grid = plotting.subplots(3, COLUMNS, width=9.6, height=8.2, height_ratios=[1, 1, 1.75])
    for ax, name in zip(grid[:2].flat, VARIANTS, strict=True):
        draw_matrix(ax, found[0]["variants"][name])
        leak = metrics["variants"][key(name)]["leak_percent"][0]
        ax.set_title(f"{name}\nleak {leak:.0f} %", fontsize=8.5)
    grid[0, 0].set_ylabel("output at place t", fontsize=8.5)
    grid[1, 0].set_ylabel("output at place t", fontsize=8.5)
    grid[1, 0].set_xlabel("input at place s", fontsize=8.5)
    for ax in grid[2]:
        ax.remove()
    draw_bits(figure.add_subplot(grid[2, 0].get_gridspec()[2, :]), found, metrics)
    return figure


def draw_matrix(ax: Any, facts: dict[str, Any]) -> None:
    """The darker, the more input s moves output t; crosses where it must not; padding hatched."""
    seen, may_see = np.array(facts["seen"]), np.array(facts["may_see"])
    real = np.array(facts["real"])
    share = seen / np.maximum(seen.sum(1, keepdims=True), 1e-30)  # (T, T)
    ax.imshow(np.sqrt(share), cmap="Greys", vmin=0, vmax=1)
    places = np.argwhere(~may_see & (share > VISIBLE) & real[:, None])
    size = max(1.5, 34 / len(seen))
    ax.plot(places[:, 1], places[:, 0], "x", color=plotting.COLORS[1], ms=size, mew=1.1)
    for place in np.flatnonzero(~real):
        ax.axhspan(place - 0.5, place + 0.5, facecolor="none", edgecolor="0.7", hatch="////", lw=0)
    ax.grid(False)
    ax.set(xticks=[], yticks=[])


def draw_bits(ax: Any, found: list[dict[str, Any]], metrics: dict[str, Any]) -> None:
    looks = {
        "claimed": (0, "claimed, under the training's mask"),
        "true": (1, "true, at generation"),
    }
    for place, name in enumerate(VARIANTS):
        values = {m: [run["variants"][name][m] for run in found] for m in looks}
        means = [np.mean(values[m]) for m in looks]
        ax.plot(means, [place, place], color="0.75", lw=2, zorder=1)
        for measure, (index, label) in looks.items():
            look = {"color": plotting.COLORS[index], "marker": plotting.MARKERS[index], "lw": 0}
            if measure == "true":
                look["markerfacecolor"] = "none"  # claimed and true may be equal: both show
            ax.plot(
                values[measure],
                [place] * len(found),
                ms=6.5,
                label="_" * (place > 0) + label,
                **look,
            )
    for limit, words, dash in (("best", "best attainable", "-"), ("no_context", "no context", ":")):
        value = metrics[limit][0]
        ax.axvline(
            value, color="0.3", lw=1.2, linestyle=dash, label=f"{words}: {value:.2f}", zorder=0
        )
    ax.set_yticks(range(len(VARIANTS)), list(VARIANTS))
    ax.set(ylim=(len(VARIANTS) - 0.5, -0.5), xlim=(-0.3, None), xlabel="bits a letter")
    ax.legend(fontsize=8, loc="center right")
