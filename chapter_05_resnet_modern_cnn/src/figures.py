"""Draws the four figures of the chapter's text: blocks, paths, and RegNet's rule.

What you learn to see: the blocks of sections 2 to 5 beside each other, with the stream as a grey
band as wide as its channels (`blocks.svg`); those of sections 9 to 12 in the same language
(`modern_blocks.svg`); three residual blocks multiplied out into eight paths (`paths.svg`, after
Veit et al. 2016); how a line of widths becomes stages (`regnet_rule.svg`, computed by
`architectures/regnet.py`).

Command: `python chapter_05_resnet_modern_cnn/src/figures.py`. Five seconds, no training.
"""

from __future__ import annotations

import argparse
import math
import sys
from itertools import combinations
from typing import TYPE_CHECKING

from chapter_05_resnet_modern_cnn.src.architectures.regnet import RULES, Rule
from chapter_05_resnet_modern_cnn.src.block_drawings import (
    FILL,
    LINE,
    draw_blocks,
    modern_blocks,
    residual_blocks,
)
from utils import cli, plotting
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# --- Paths ---
def draw_paths(blocks: int = 3) -> Figure:
    """A chain of residual blocks, and the same sum multiplied out: one row a path."""
    figure, (left, right) = plotting.subplots(
        1, 2, width=9.4, height=3.9, gridspec_kw={"width_ratios": [1, 1.25]}
    )
    draw_chain(left, blocks)
    rows = [chosen for k in range(blocks + 1) for chosen in combinations(range(blocks), k)]
    for row, chosen in enumerate(rows):
        y = -row
        right.plot([-0.6, blocks - 0.4], [y, y], color="#BBBBBB", lw=1.2, zorder=1)
        for block in range(blocks):
            taken = block in chosen
            face = plotting.COLORS[len(chosen)] if taken else "white"
            right.plot(block, y, "o", ms=15, mfc=face, mec=LINE, mew=0.8, zorder=2)
            color = "white" if taken else "#999999"
            where = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 3}
            right.text(block, y, f"$F_{block + 1}$" if taken else "", color=color, **where)
        weight = {0: "1", 1: "g"}.get(len(chosen), f"g^{len(chosen)}")
        right.text(
            blocks - 0.25, y, f"length {len(chosen)}, weight ${weight}$", va="center", fontsize=8
        )
    right.set(
        xlim=(-0.8, blocks + 1.1),
        ylim=(-len(rows) + 0.4, 0.6),
        title=f"the same as {2**blocks} paths (filled: through the branch)",
    )
    right.axis("off")
    return figure


def draw_chain(ax: Axes, blocks: int) -> None:
    """The chain x + F_1, + F_2, ...: the stream from left to right, each branch an arch over it."""
    ax.plot([-0.3, 2 * blocks + 0.1], [0, 0], color=LINE, lw=1.4, zorder=1)
    ax.text(-0.4, 0, "$x_0$", ha="right", va="center")
    ax.text(2 * blocks + 0.2, 0, f"$x_{blocks}$", ha="left", va="center")
    circle = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": LINE}
    for block in range(blocks):
        fork, end = 2 * block + 0.2, 2 * block + 1.7
        ax.plot([fork, fork, end, end], [0, 1.1, 1.1, 0], color=LINE, lw=1.4, zorder=1)
        box = {"boxstyle": "round,pad=0.35", "facecolor": FILL["mix"], "edgecolor": LINE}
        ax.text((fork + end) / 2, 1.1, f"$F_{block + 1}$", ha="center", va="center", bbox=box)
        ax.text(end, 0, "+", ha="center", va="center", bbox=circle, zorder=3)
    ax.set(xlim=(-1, 2 * blocks + 0.9), ylim=(-1.6, 2.4), title=f"{blocks} residual blocks")
    ax.axis("off")


# --- RegNet ---
def draw_rule(name: str = "regnet_y_400mf") -> Figure:
    """The widths of a rule: the line, its rounding to powers of w_m, and the stages."""
    rule = RULES[name]
    figure, (left, right) = plotting.subplots(1, 2, width=9.4, height=3.5)
    places = range(rule.blocks)
    line = [rule.w_0 + rule.w_a * j for j in places]
    exponents = [math.log(u / rule.w_0) / math.log(rule.w_m) for u in line]
    left.plot(places, exponents, "o-", ms=4, label="$s$ before rounding")
    left.plot(places, [round(s) for s in exponents], "s", ms=5, label="rounded")
    left.set(xlabel="block $j$", ylabel="power of $w_m$", title=f"{name}: the exponent")
    left.legend()
    right.plot(places, line, "--", color="0.4", label="the line $w_0 + w_a j$")
    draw_stages(right, rule)
    right.set(xlabel="block $j$", ylabel="channels", title="the widths, and the stages they form")
    right.legend(loc="upper left")
    return figure


def draw_stages(ax: Axes, rule: Rule) -> None:
    """A bar a block, a colour a stage."""
    start = 0
    for number, (width, blocks, _) in enumerate(rule.stages()):
        label = (
            f"stage {number + 1}: {blocks} of {width}" if blocks > 1 else f"stage 1: 1 of {width}"
        )
        ax.bar(
            range(start, start + blocks),
            width,
            color=plotting.COLORS[number],
            alpha=0.7,
            label=label,
        )
        start += blocks


def experiment(args: argparse.Namespace, run: Run) -> None:
    run.save_figure(draw_blocks(residual_blocks(), 8.6), "blocks", svg=True)
    run.save_figure(draw_blocks(modern_blocks(), 10.4), "modern_blocks", svg=True)
    run.save_figure(draw_paths(), "paths", svg=True)
    run.save_figure(draw_rule(), "regnet_rule", svg=True)
    run.finish(next_command="python chapter_05_resnet_modern_cnn/src/exp_gradient_flow.py")


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(
        __doc__,
        examples=[
            "python chapter_05_resnet_modern_cnn/src/figures.py",
            "python chapter_05_resnet_modern_cnn/src/figures.py --run_name figures",
        ],
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
