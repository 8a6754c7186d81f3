"""Draws the figures of the chapter's text. What can be computed is computed, not sketched.

What you learn to see:

Command: `python chapter_07_attention_mechanism/draw_figures.py`. A few seconds; nothing is trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from utils import cli
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The name of the file and the function of the seed that draws it, in the order of the pages.
DRAWINGS: dict[str, Callable[[int], Figure]] = {}


def experiment(args: argparse.Namespace, run: Run) -> None:
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
