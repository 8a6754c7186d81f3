"""The drawing of page 7: where operations go as T grows, how far 6ND is off, what a step keeps.

`draw_figures.py` writes it. Lines are flops.py's formulas, dots what PyTorch counts
(experiments/counting.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chapter_08_transformer_vanilla import flops
from chapter_08_transformer_vanilla.experiments import counting
from chapter_08_transformer_vanilla.flops import OURS
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {  # bottom to top, with a shade that tells them apart in grey
    "logits": ("logits", "0.92"),
    "projections": ("projections", "#9CC3E0"),
    "ffn": ("feed-forward", "#4F8FBF"),
    "scores": ("T² products", "#D55E00"),
}
NAMES = {"ours": "this chapter's", "base": "Vaswani et al. 2017, base", "gpt2": "GPT-2 small"}
KEPT = {
    "rest": "all else",
    "logits": "softmax over V words",
    "scores": "T² tables",
}


def draw_counting(seed: int = 42) -> Figure:
    """Shares of the operations, the 6ND rule's share, and bytes kept, over T = S."""
    figure, axes = plotting.subplots(1, 3, width=10.4, height=3.7)
    lengths = np.unique(np.geomspace(8, 8192, 120).astype(int))
    _draw_shares(axes[0], lengths)
    _draw_rule(axes[1], lengths)
    _draw_kept(axes[2], lengths[lengths <= 2048], counting.measure(seed)["kept"])
    for ax in axes:
        ax.set(xscale="log", xlabel="T = S")
    return figure


def _draw_shares(ax: Axes, lengths: np.ndarray) -> None:
    found = [counting.percent(flops.forward_flops(OURS, n, n)) for n in map(int, lengths)]
    shares = {part: np.array([row[part] for row in found]) for part in PARTS}
    colors = [color for _, color in PARTS.values()]
    ax.stackplot(lengths, list(shares.values()), colors=colors, edgecolor="white", lw=0.6)
    below, at = np.zeros(len(lengths)), {"logits": 0.06, "projections": 0.06, "ffn": 0.06}
    for part, (name, _) in PARTS.items():
        index = int(at.get(part, 0.72) * len(lengths))
        middle = below[index] + shares[part][index] / 2
        light = "white" if part in ("ffn", "scores") else "0.1"
        ax.text(lengths[index], middle, name, fontsize=9, va="center", color=light)
        below = below + shares[part]
    equal = flops.crossover(OURS)["both"]
    ax.axvline(equal, color="0.1", lw=1, linestyle="--")
    ax.text(equal * 1.12, 96, f"T = 2D + 2F/3\n= {equal:.0f}", fontsize=8, va="top", color="white")
    ax.set(title="operations of the forward pass", ylabel="share (%)", ylim=(0, 100))
    ax.set_xlim(lengths[0], lengths[-1])
    ax.grid(False)


def _draw_rule(ax: Axes, lengths: np.ndarray) -> None:
    for index, (name, sizes) in enumerate(counting.NETWORKS.items()):
        shares = [counting.rule_share(sizes, n) for n in map(int, lengths)]
        ax.plot(lengths, shares, label=NAMES[name], **plotting.look(index))
    ax.axhline(1, color="0.4", lw=0.8)
    ax.set(title="6ND against the exact count", ylabel="6ND / operations", ylim=(0, 1.1))
    ax.legend(fontsize=8, loc="lower left")


def _draw_kept(ax: Axes, lengths: np.ndarray, counted: dict[int, int]) -> None:
    found = [flops.activation_bytes(OURS, n, n, counting.BATCH) for n in map(int, lengths)]
    total = np.array([sum(row.values()) for row in found])
    lines = {part: np.array([row[part] for row in found]) for part in ("scores", "logits")}
    lines["rest"] = total - sum(lines.values())
    for index, (part, label) in enumerate(KEPT.items()):
        ax.plot(lengths, lines[part] / 1e6, label=label, **plotting.look(index))
    ax.plot(lengths, total / 1e6, color="0.1", lw=1, label="sum; dots: counted")
    ax.plot(list(counted), [n / 1e6 for n in counted.values()], "o", ms=5, color="0.1")
    state = sum(flops.state_bytes(sum(flops.parameters(OURS).values())).values()) / 1e6
    ax.axhline(state, color="0.4", lw=1, linestyle=(0, (1, 1)))
    ax.text(lengths[-1], state * 1.12, "weights and AdamW", fontsize=8, ha="right", va="bottom")
    ax.set(title=f"kept by a training step, B = {counting.BATCH}", ylabel="MB", yscale="log")
    ax.legend(fontsize=8, loc="upper left")
