"""The figure of exp_explanation.py: what changes the output, what a state contains, the control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from utils import plotting

LABELS = {
    "permuted": "weights permuted",
    "uniform": "weights all alike",
    "no_largest": "largest weight set to 0",
    "looked": "word looked at most",
    "gradient": "word of largest gradient",
    "best": "word that matters most",
    "diagonal": "word at the same place",
    "random": "a random other word",
}


def explanation_figure(metrics: dict[str, Any]) -> Any:
    """Left: the change of the output. Middle: the states' neighbours. Right: frozen weights."""
    control = metrics.get("control")
    ratios = [1.5, 1.0, 1.0][: 2 + bool(control)]
    fig, axes = plotting.subplots(
        1, len(ratios), width=12.6 if control else 9.2, height=3.9, width_ratios=ratios
    )
    draw_changes(axes[0], metrics["shipped"]["changes"])
    draw_neighbours(axes[1], metrics["shipped"]["state_change"])
    if control:
        draw_control(axes[2], control)
    return fig


def draw_changes(ax: Any, changes: dict[str, Any]) -> None:
    """One bar a change; the weights are hatched, deleted words are not."""
    for place, (name, label) in enumerate(LABELS.items()):
        mean, spread = changes[name]["change"]
        weights = place < 3
        look = {"color": "#CFE3F1" if weights else "#F6D7B0", "hatch": "///" if weights else ""}
        ax.barh(place, mean, 0.68, xerr=spread or None, edgecolor="0.2", linewidth=0.7, **look)
        ax.text(mean + spread + 0.015, place, f"{mean:.2f}", va="center", fontsize=8)
        ax.text(-0.02, place, label, va="center", ha="right", fontsize=8)
    ax.axhline(2.5, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(yticks=[], ylim=(len(LABELS) - 0.4, -0.6), xlim=(0, 1.08))
    ax.set(xlabel="change of the output (total variation)")
    ax.set_title("Other weights (hatched); a word deleted")


def draw_neighbours(ax: Any, pairs: Sequence[tuple[float, float]]) -> None:
    means, spread = zip(*pairs, strict=True)
    ax.errorbar(range(len(means)), means, yerr=spread, marker="o", capsize=3)
    ax.set(xlabel="distance from the exchanged word (words)", ylim=(0, None))
    ax.set_ylabel("change of the state / its size")
    ax.set_title("A state contains its neighbours")


def draw_control(ax: Any, control: dict[str, Any]) -> None:
    names = {"additive": "weights learned", "uniform": "weights frozen to uniform"}
    for index, (name, label) in enumerate(names.items()):
        means, spread = zip(*control[name], strict=True)
        look = plotting.look(index) | {"marker": plotting.MARKERS[index], "capsize": 3}
        ax.errorbar(control["lengths"], means, yerr=spread, label=label, **look)
    ax.set(xlabel="numbers in the line", ylabel="lines right (%)", ylim=(-4, 104))
    ax.set_xticks(control["lengths"])
    ax.set_title("Control: weights frozen")
    ax.legend(fontsize=8)
