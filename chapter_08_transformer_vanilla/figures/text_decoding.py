"""The drawings of page 6: a tree in which greedy loses, and what is computed with a cache.

`draw_figures.py` writes them. Which lines are kept in the tree, decoding.py says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from chapter_08_transformer_vanilla.decoding import beam_search, greedy
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# p(next word | line so far) of lines of two words. Words: 0 and 1 are <pad> and <bos>.
WORDS = ("<pad>", "<bos>", "ein", "der", "kein", "Mann", "Junge", "Kerl")
TREE: dict[tuple[str, ...], dict[str, float]] = {
    (): {"ein": 0.5, "der": 0.4, "kein": 0.1},
    ("ein",): {"Mann": 0.4, "Junge": 0.3, "Kerl": 0.3},
    ("der",): {"Mann": 0.9, "Junge": 0.1},
    ("kein",): {"Mann": 1.0},
}
BEAMS, LENGTH = 2, 2
STEPS = 6  # of the second drawing


class TreeSteps:
    """The tree as `step` and `select` of decoding.py."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = [()]

    def step(self, tokens: Tensor) -> Tensor:
        words = [WORDS[token] for token in tokens.tolist()]
        if words[0] != "<bos>":
            self.lines = [(*line, w) for line, w in zip(self.lines, words, strict=True)]
        nexts = [TREE.get(line, {}) for line in self.lines]
        shares = [[max(found.get(word, 0), 1e-9) for word in WORDS] for found in nexts]
        return torch.tensor(shares, dtype=torch.float64).log()

    def select(self, rows: Tensor) -> None:
        self.lines = [self.lines[row] for row in rows.tolist()]


def found_lines() -> dict[str, list[tuple[str, ...]]]:
    """What greedy and the beam find, the best first; no line ends before LENGTH words."""
    ask = (1, 1, -1, LENGTH)  # batch, <bos>, <eos>, limit
    ids = {
        "greedy": greedy(TreeSteps(), *ask),
        "beam": beam_search(TreeSteps(), *ask, beams=BEAMS, alpha=0.0)[0][0],
    }
    return {name: [tuple(WORDS[i] for i in row) for row in rows.tolist()]
            for name, rows in ids.items()}  # fmt: skip


# --- The tree ---


def draw_tree(seed: int = 0) -> Figure:
    """All lines of two words, those that greedy takes and those that a beam of 2 keeps."""
    figure, ax = plotting.subplots(width=8.6, height=4.2)
    found = found_lines()
    leaves = [(first, last) for (first,) in list(TREE)[1:] for last in TREE[(first,)]]
    heights: dict[tuple[str, ...], float] = {line: -row for row, line in enumerate(leaves)}
    for first in TREE[()]:
        own = [heights[line] for line in leaves if line[0] == first]
        heights[(first,)] = sum(own) / len(own)
    heights[()] = heights[("der",)] + 0.5
    for line, height in heights.items():
        if line:
            _draw_edge(ax, line, heights[line[:-1]], height, found)
        _draw_node(ax, line, height, line in found["beam"])
    ax.text(2.78, 0.75, "p of the line", fontsize=9, ha="center")
    ax.set(xlim=(-0.3, 3.35), ylim=(min(heights.values()) - 0.6, 1.1))
    ax.axis("off")
    _legend(ax)
    return figure


def _draw_edge(ax: Axes, line: tuple[str, ...], start: float, end: float, found: dict) -> None:
    place, share = len(line), TREE[line[:-1]][line[-1]]
    on_greedy = found["greedy"][0][:place] == line
    kept = any(other[:place] == line for other in found["beam"]) or line == ("ein",)
    look = {"color": "0.75", "lw": 1.0}
    if kept:
        look = {"color": plotting.COLORS[0], "lw": 2.6}
    ax.plot([place - 0.78, place - 0.2], [start, end], zorder=1, **look)
    if on_greedy:
        look = {"color": plotting.COLORS[1], "lw": 1.8, "linestyle": (0, (2, 1.5))}
        ax.plot([place - 0.78, place - 0.2], [start - 0.14, end - 0.14], zorder=2, **look)
    middle = start + 0.62 * (end - start) + 0.2 * abs(end - start) / 2
    ax.text(place - 0.42, middle + 0.1, f"{share:.1f}", fontsize=9, ha="center", va="bottom")


def _draw_node(ax: Axes, line: tuple[str, ...], height: float, kept: bool) -> None:
    word = line[-1] if line else "<bos>"
    ax.text(len(line), height, word, ha="center", va="center", fontsize=10)
    if len(line) == LENGTH:
        product = math.prod(TREE[line[:i]][line[i]] for i in range(LENGTH))
        weight = "bold" if kept else "normal"
        ax.text(2.78, height, f"{product:.2f}", ha="center", va="center", weight=weight)


def _legend(ax: Axes) -> None:
    looks = {
        "kept by a beam of 2": {"color": plotting.COLORS[0], "lw": 2.6},
        "greedy": {"color": plotting.COLORS[1], "lw": 1.8, "linestyle": (0, (2, 1.5))},
        "dropped": {"color": "0.75", "lw": 1.0},
    }
    for label, look in looks.items():
        ax.plot([], [], label=label, **look)
    ax.legend(loc="lower left", fontsize=9)


# --- The cache ---


def draw_cache(seed: int = 0) -> Figure:
    """What runs through the network at each step: without a cache a triangle, with it a line."""
    figure, axes = plotting.subplots(1, 2, width=8.0, height=3.4)
    titles = ("without: 1 + 2 + ... + T tokens", "with: T tokens")
    for ax, title, cached in zip(axes, titles, (False, True), strict=True):
        for step in range(STEPS):
            for token in range(step + 1):
                computed = token == step or not cached
                color = plotting.COLORS[0] if computed else "0.88"
                ax.add_patch(_square(token, step, color))
                if not computed:
                    ax.text(token + 0.5, step + 0.5, "K V", ha="center", va="center", fontsize=8)
        count = STEPS if cached else STEPS * (STEPS + 1) // 2
        ax.set(xlim=(0, STEPS), ylim=(STEPS, 0), xlabel="token", title=title)
        ax.set_ylabel("step")
        ticks = [n + 0.5 for n in range(STEPS)]
        ax.set_xticks(ticks, range(1, STEPS + 1))
        ax.set_yticks(ticks, range(1, STEPS + 1))
        ax.text(STEPS - 0.1, 0.5, f"{count} squares", ha="right", va="center", fontsize=10)
        ax.set_aspect("equal")
        ax.grid(visible=False)
    return figure


def _square(token: int, step: int, color: str):
    from matplotlib.patches import Rectangle

    return Rectangle((token + 0.04, step + 0.04), 0.92, 0.92, facecolor=color, edgecolor="none")
