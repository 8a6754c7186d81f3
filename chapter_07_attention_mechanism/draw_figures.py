"""Draws the figures of the chapter's text. What can be computed is computed, not sketched.

What you learn to see:

    look.svg           one vector for a whole line, and a look at all states
    sharpness.svg      a soft lookup for one query times 0, 1, 3 and 10
    architectures.svg  when Bahdanau's decoder looks, and when Luong's does
    shapes.svg         every matrix of one attention, with its shape
    mask_shapes.svg    five masks: who may look where
    sources.svg        self- and cross-attention: who asks, and who answers
    many_heads.svg     a width cut into heads, each with its own weights
    kernel_widths.svg  a curve guessed by attention with three widths; errors over the width
    attention_cost.svg operations, bytes and time over T, counted and by formula
    pointer.svg        a pointer network: each step's weights name a place of the input
    picture_blocks.svg    what weights SE, CBAM and SCSA lay on a map

Command: `python chapter_07_attention_mechanism/draw_figures.py`. Half a minute; only the
widths of a kernel regression are learnt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chapter_07_attention_mechanism.experiments import cost, kernel
from chapter_07_attention_mechanism.figures import (
    text_heads,
    text_kernel,
    text_masks,
    text_pictures,
    text_scaled_dot_product,
    text_scores,
    text_soft_lookup,
)
from utils import cli
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The name of the file and the function of the seed that draws it, in the order of the pages.
DRAWINGS: dict[str, Callable[[int], Figure]] = {
    "look": text_soft_lookup.draw_look,
    "sharpness": text_soft_lookup.draw_sharpness,
    "architectures": text_scores.draw_architectures,
    "shapes": text_scaled_dot_product.draw_shapes,
    "mask_shapes": text_masks.draw_masks,
    "sources": text_heads.draw_sources,
    "many_heads": text_heads.draw_heads,
    "kernel_widths": text_kernel.draw_widths,
    "attention_cost": text_kernel.draw_cost,
    "pointer": text_pictures.draw_pointer,
    "picture_blocks": text_pictures.draw_blocks,
}
# Of what is measured for a drawing, the numbers: the result and the module that measures it.
MEASURED: dict[str, Any] = {"kernel_regression": kernel, "attention_cost": cost}


def experiment(args: argparse.Namespace, run: Run) -> None:
    for name, module in MEASURED.items():
        metrics = module.collect(module.measure(args.seed))
        run.save_result(name, metrics, module.tables(metrics), [args.seed])
    for name, draw in DRAWINGS.items():
        run.save_figure(draw(args.seed), name, svg=True)
    run.finish(next_command="python chapter_07_attention_mechanism/train_translation.py")


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(
        __doc__,
        examples=[
            "python chapter_07_attention_mechanism/draw_figures.py",
            "python chapter_07_attention_mechanism/draw_figures.py --quick",
        ],
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
