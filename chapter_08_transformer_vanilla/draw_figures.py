"""Draws the figures of the chapter's text. What can be computed is computed, not sketched.

What you learn to see:

Command: `python chapter_08_transformer_vanilla/draw_figures.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from utils import cli
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The name of the file and the function of the seed that draws it, in the order of the pages.
DRAWINGS: dict[str, Callable[[int], Figure]] = {}
# Of what is measured for a drawing, the numbers: the result and the module that measures it.
MEASURED: dict[str, Any] = {}


def experiment(args: argparse.Namespace, run: Run) -> None:
    for name, module in MEASURED.items():
        metrics = module.collect(module.measure(args.seed))
        run.save_result(name, metrics, module.tables(metrics), [args.seed])
    for name, draw in DRAWINGS.items():
        run.save_figure(draw(args.seed), name, svg=True)
    run.finish(next_command="python chapter_08_transformer_vanilla/train.py")


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(
        __doc__,
        examples=[
            "python chapter_08_transformer_vanilla/draw_figures.py",
            "python chapter_08_transformer_vanilla/draw_figures.py --quick",
        ],
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
