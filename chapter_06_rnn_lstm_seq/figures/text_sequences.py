"""The drawings of the first page and of the practice page: unrolling, patterns, and the scan.

`draw_figures.py` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]
INPUT, STATE, OUTPUT = "#CFE4F3", "#FBD9B5", "#CDE8DC"  # light forms of the course's colours
SHAPES = {INPUT: "x", STATE: "h", OUTPUT: "y"}
# Steps with an input, steps with an output, the title and an example of it.
PATTERNS = (
    ((0,), (0,), "one to one", "an MLP"),
    ((0,), (0, 1, 2), "one to many", "a caption of a picture"),
    ((0, 1, 2), (2,), "many to one", "the mood of a sentence"),
    ((0, 1, 2), (0, 1, 2), "many to many, in step", "the next letter, at every letter"),
    ((0, 1, 2), (3, 4, 5), "many to many, delayed", "translation"),
)


def box(ax: Axes, place: Point, words: str, color: str, width: float = 0.62) -> None:
    """A rounded box with a word, centred at `place`."""
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    corner = (x - width / 2, y - 0.26)
    style = "round,pad=0.04,rounding_size=0.08"
    patch = FancyBboxPatch(corner, width, 0.52, boxstyle=style, facecolor=color, edgecolor="black")
    ax.add_patch(patch)
    ax.text(x, y, words, ha="center", va="center", fontsize=11)


def arrow(ax: Axes, start: Point, end: Point, words: str = "", **look: object) -> None:
    """An arrow, with a word beside its middle: above a level one, to the right of a steep one."""
    options = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.3} | look
    ax.annotate("", end, start, arrowprops=options)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    level = abs(start[1] - end[1]) < 0.1
    shift = (0, 0.12) if level else (0.1, 0)
    ax.text(x + shift[0], y + shift[1], words, fontsize=10,
            ha="center" if level else "left", va="bottom" if level else "center")  # fmt: skip


def blank(width: float, height: float, limits: tuple[float, float, float, float]) -> tuple:
    figure, ax = plotting.subplots(width=width, height=height)
    ax.set(xlim=limits[:2], ylim=limits[2:], aspect="equal")
    ax.axis("off")
    return figure, ax


def draw_unrolled(seed: int = 0) -> Figure:
    """Left the loop as it is written, right the same for four steps; the weights are the same."""
    figure, ax = blank(8.6, 3.4, (-0.6, 10.0, -0.4, 3.5))
    column(ax, 0.2, "")
    ax.plot([0.56, 1.0, 1.0], [1.66, 1.66, 1.34], color="black", linewidth=1.3)
    arrow(ax, (1.0, 1.34), (0.52, 1.34))
    ax.text(1.1, 1.5, "$W_{hh}$", fontsize=10, va="center")
    ax.text(2.15, 1.5, "=", fontsize=20, ha="center", va="center")
    box(ax, (3.1, 1.5), "$h_0$", STATE)
    for step in range(1, 5):
        x = 3.1 + 1.5 * step
        column(ax, x, str(step))
        arrow(ax, (x - 1.15, 1.5), (x - 0.36, 1.5), "$W_{hh}$")
    ax.text(6.85, 3.25, "the same three matrices at every step", ha="center", fontsize=9)
    return figure


def column(ax: Axes, x: float, index: str) -> None:
    """Input, state and output of one step, from below."""
    places = {INPUT: 0.1, STATE: 1.5, OUTPUT: 2.8}
    names = {color: f"${SHAPES[color]}_{index or 't'}$" for color in places}
    for color, y in places.items():
        box(ax, (x, y), names[color], color)
    arrow(ax, (x, 0.42), (x, 1.18), "$W_{xh}$")
    arrow(ax, (x, 1.82), (x, 2.48), "$W_{hy}$")


def draw_patterns(seed: int = 0) -> Figure:
    """Which steps have an input and which an output: five uses of one recurrence."""
    figure, ax = blank(9.6, 2.6, (-0.8, 21.6, -1.3, 4.0))
    left = 0.0
    for inputs, outputs, title, example in PATTERNS:
        steps = range(max(*inputs, *outputs) + 1)
        for step in steps:
            x = left + 0.95 * step
            square(ax, (x, 1.5), STATE)
            if step:
                arrow(ax, (x - 0.72, 1.5), (x - 0.24, 1.5), linewidth=0.9)
            if step in inputs:
                square(ax, (x, 0.2), INPUT)
                arrow(ax, (x, 0.44), (x, 1.24), linewidth=0.9)
            if step in outputs:
                square(ax, (x, 2.8), OUTPUT)
                arrow(ax, (x, 1.76), (x, 2.54), linewidth=0.9)
        middle = left + 0.95 * steps[-1] / 2
        ax.text(middle, 3.45, title.replace(", ", ",\n"), ha="center", fontsize=8, va="center")
        ax.text(middle, -0.75, wrapped(example), ha="center", va="center", fontsize=7.5)
        left += 0.95 * len(steps) + 1.55
    return figure


def wrapped(words: str) -> str:
    """In two lines, where it is long."""
    first, _, rest = words.rpartition(" ") if len(words) > 16 else (words, "", "")
    while len(first) > len(rest) + 6 and " " in first:
        first, _, more = first.rpartition(" ")
        rest = f"{more} {rest}"
    return f"{first}\n{rest}".strip()


def square(ax: Axes, place: Point, color: str) -> None:
    from matplotlib.patches import Rectangle

    x, y = place
    ax.add_patch(Rectangle((x - 0.24, y - 0.24), 0.48, 0.48, facecolor=color, edgecolor="black"))


def draw_scan(seed: int = 0) -> Figure:
    """Eight steps combined in two ways: in three rounds, and with less work in a tree."""
    figure, axes = plotting.subplots(1, 2, width=9.0, height=3.6)
    panels = (
        ("doubling: 3 rounds, 17 combines", doubling_rounds(8)),
        ("tree: 5 rounds, 11 combines", tree_rounds(8)),
    )
    for ax, (title, rounds) in zip(axes, panels, strict=True):
        draw_rounds(ax, rounds, 8)
        ax.set_title(title)
    return figure


def doubling_rounds(length: int) -> list[list[tuple[int, int]]]:
    """(left, right) of every combine: place `right` then holds both, in round after round."""
    rounds, reach = [], 1
    while reach < length:
        rounds.append([(place - reach, place) for place in range(reach, length)])
        reach *= 2
    return rounds


def tree_rounds(length: int) -> list[list[tuple[int, int]]]:
    """The same for the tree: up to the whole, then down to the places between."""
    up, reach = [], 1
    while reach < length:
        up.append([(place - reach, place) for place in range(2 * reach - 1, length, 2 * reach)])
        reach *= 2
    down = []
    while reach > 1:
        reach //= 2
        ends = range(3 * reach - 1, length, 2 * reach)
        down.append([(place - reach, place) for place in ends])
    return up + [pairs for pairs in down if pairs]


def draw_rounds(ax: Axes, rounds: list[list[tuple[int, int]]], length: int) -> None:
    """Places from left to right, rounds from above; a dark place holds all steps up to it."""
    spans = {place: {place} for place in range(length)}
    for level in range(len(rounds) + 1):
        pairs = rounds[level - 1] if level else []
        before = {place: set(span) for place, span in spans.items()}
        for left, right in pairs:
            spans[right] = before[left] | before[right]
            ax.plot([left, right], [1 - level, -level], color=plotting.COLORS[1], linewidth=1.2)
        for place in range(length):
            if level:
                ax.plot([place] * 2, [1 - level, -level], color="#CCCCCC", linewidth=0.8, zorder=0)
            whole = spans[place] == set(range(place + 1))
            face = plotting.COLORS[0] if whole else "white"
            ax.plot(place, -level, "o", markersize=11, color=face, markeredgecolor="black")
    ax.set(xticks=range(length), xticklabels=[f"$h_{place + 1}$" for place in range(length)])
    ax.set(yticks=range(0, -len(rounds) - 1, -1), yticklabels=range(len(rounds) + 1))
    ax.set(ylabel="round", ylim=(-len(rounds) - 0.5, 0.5))
    ax.grid(False)
