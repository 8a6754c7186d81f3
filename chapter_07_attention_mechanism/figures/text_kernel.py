"""The drawings of page 6: three widths of a kernel regression, and what attention costs.

`draw_figures.py` writes them; everything in them is measured (experiments/kernel.py, cost.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from chapter_07_attention_mechanism.experiments import cost, kernel
from chapter_07_attention_mechanism.kernel_view import distance_attention
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = {
    "leave_one_out": "each sample from all the others",
    "with_itself": "each sample from all, itself too",
    "true": "against the true curve",
}


# --- Kernel regression ---


def draw_widths(seed: int = 42) -> Figure:
    """Above: the curve guessed with three widths. Below: errors over the width, and of methods."""
    found = kernel.measure(seed)
    figure, axes = plotting.subplots(2, 3, width=9.6, height=6.0)
    best = kernel.collect(found)["best_width"]["true"]
    for ax, width, word in zip(
        axes[0], (kernel.NARROW, best, kernel.WIDE), ("narrow", "best", "wide"), strict=True
    ):
        _draw_guess(ax, seed, width, word)
    axes[0, 0].legend(fontsize=8, loc="upper left")
    axes[0, 0].set_ylabel("y")
    for ax in axes[1]:
        ax.remove()
    cells = axes[1, 0].get_gridspec()
    _draw_errors(figure.add_subplot(cells[1, :2]), found)
    _draw_methods(figure.add_subplot(cells[1, 2]), found)
    return figure


def _draw_guess(ax: Axes, seed: int, width: float, word: str) -> None:
    x, y = kernel.sample(seed)
    places, truth = kernel.grid(400)
    guess = distance_attention(places, x, y, width)
    ax.plot(x, y, "o", ms=3, color="0.6", label="samples")
    ax.plot(places, truth, color="0.25", lw=1.2, linestyle=":", label="true curve")
    ax.plot(places, guess, color=plotting.COLORS[0], label="attention")
    error = kernel.squared(torch.as_tensor(guess), truth)
    ax.set(title=f"{word}: width {width:.2f}, error {error:.3f}", xlabel="x", ylim=(-2.1, 2.9))


def _draw_errors(ax: Axes, found: dict[str, Any]) -> None:
    for index, (name, label) in enumerate(CURVES.items()):
        ax.plot(kernel.WIDTHS, found["widths"][name], label=label, **plotting.look(index))
    ax.axhline(kernel.NOISE**2, color="0.5", lw=0.8)
    ax.text(3.0, kernel.NOISE**2 * 0.9, "variance of the noise", fontsize=8, ha="right", va="top")
    learnt = found["methods"][0]["own_learnt"]["width"]
    ax.axvline(learnt, color="0.3", lw=1, linestyle=(0, (1, 1)))
    ax.text(learnt * 1.04, 0.0155, f"learnt: {learnt:.2f}", fontsize=8, color="0.2")
    ax.set(xscale="log", yscale="log", xlabel="width", ylabel="squared error", ylim=(0.013, 1.0))
    ax.legend(fontsize=8, loc="upper left")


def _draw_methods(ax: Axes, found: dict[str, Any]) -> None:
    """A dot a seed: the error against the curve, with and without a coordinate of noise."""
    names = {
        "own": "x, searched",
        "own_learnt": "x, learnt",
        "both": "x and noise,\none width",
        "both_learnt": "x and noise,\nlearnt projection",
    }
    for place, name in enumerate(names):
        errors = [run[name]["error"] for run in found["methods"]]
        ax.plot(errors, [place] * len(errors), "o", ms=4, color=plotting.COLORS[0], alpha=0.6)
        ax.plot([np.mean(errors)] * 2, [place - 0.25, place + 0.25], color="0.15", lw=2)
    ax.set_yticks(range(len(names)), names.values(), fontsize=8)
    ax.set(xlabel="error against the true curve", xlim=(0, None), ylim=(len(names) - 0.5, -0.5))


# --- Cost ---


def draw_cost(seed: int = 42) -> Figure:
    """Operations, bytes and milliseconds over T: counted (dots) and by formula (lines)."""
    found = cost.collect(cost.measure(seed))["rows"].values()
    lengths = np.array([row["length"] for row in found])
    fine = np.geomspace(lengths[0], lengths[-1], 100)
    figure, axes = plotting.subplots(1, 3, width=9.6, height=3.5)
    work, kept = cost.operations(fine), cost.kept(fine)
    names = {"projections": "projections: 8 T D²", "attention": "attention: 4 T² D"}
    _draw_parts(axes[0], fine, {names[k]: v / 1e6 for k, v in work.items()})
    axes[0].plot(lengths, [row["operations"] / 1e6 for row in found], "o", ms=5, color="0.15")
    axes[0].set(title="operations", ylabel="MFLOP")
    names = {"rest": "the rest: 5 T D numbers", "weights": "weights: h T² numbers"}
    _draw_parts(axes[1], fine, {names[k]: kept[k] / 1e6 for k in names})
    axes[1].plot(lengths, [row["kept_bytes"] / 1e6 for row in found], "o", ms=5, color="0.15")
    axes[1].set(title="kept for the backward pass", ylabel="MB")
    times = [row["milliseconds"] for row in found]
    axes[2].plot(lengths, times, "o-", color="0.15", ms=5, lw=1, label="measured")
    for power, index in ((1, 0), (2, 1)):
        line = times[-1] * (fine / lengths[-1]) ** power
        label = "as T" if power == 1 else "as T²"
        axes[2].plot(fine, line, label=label, **plotting.look(index))
    axes[2].set(
        title="processor time, both passes",
        ylabel="milliseconds",
        ylim=(min(times) / 3, None),
    )
    for ax in axes:
        ax.set(xscale="log", yscale="log", xlabel="T")
        ax.set_xticks(lengths, lengths, fontsize=8)
        ax.minorticks_off()
        ax.legend(fontsize=8, loc="upper left")
    return figure


def _draw_parts(ax: Axes, fine: np.ndarray, parts: dict[str, np.ndarray]) -> None:
    """The formula's two parts, and their sum: the dots of what was counted lie on it."""
    for index, (label, values) in enumerate(parts.items()):
        ax.plot(fine, values, label=label, **plotting.look(index))
    ax.plot(fine, sum(parts.values()), color="0.15", lw=1, label="sum; dots: counted")
