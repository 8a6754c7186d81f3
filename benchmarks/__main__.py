"""Ours against the framework's: time and peak memory of the same work in the same process.

    python -m benchmarks                        all chapters that have benchmarks
    python -m benchmarks --chapter 1 --quick    one chapter, a rough measurement
    python -m benchmarks --publish              maintainers: also write results/chapter_NN.json

Chapter N supplies `rows(quick)` in benchmarks/chapter_NN.py. What the columns mean: README.md here.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Row, as_result
from utils import cli
from utils.run import Run

FOLDER = Path(__file__).resolve().parent


def build_parser() -> argparse.ArgumentParser:
    parser = cli.make_parser(
        __doc__,
        examples=["python -m benchmarks --chapter 1", "python -m benchmarks --quick --threads 1"],
    )
    parser.add_argument("--chapter", type=cli.positive_int, help="only this chapter")
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    """Measure each chosen chapter and save its table."""
    ratios = {}
    for module in chosen(args.chapter):
        rows: list[Row] = importlib.import_module(f"benchmarks.{module}").rows(args.quick)
        run.save_result(module, **as_result(rows))
        for row in rows:
            print(describe(row))
            ratios[f"{module}.{row.key}"] = row.ratio[0]
    print("\nours / theirs, time:")
    run.finish(metrics=ratios)


def chosen(chapter: int | None, folder: Path = FOLDER) -> list[str]:
    """The benchmark modules of one chapter or of all."""
    modules = sorted(path.stem for path in folder.glob("chapter_[0-9][0-9].py"))
    wanted = [name for name in modules if chapter is None or name == f"chapter_{chapter:02}"]
    if not wanted:
        present = ", ".join(modules) or "none"
        raise cli.UserError(f"chapter {chapter} has no benchmarks here; present: {present}.")
    return wanted


def describe(row: Row) -> str:
    """A row in words."""
    memory = "" if row.memory_ratio is None else f", memory {row.memory_ratio:.2f}x"
    return (
        f"{row.name}: ours {row.ours_ms[0]:.3f} ms, {row.against} {row.theirs_ms[0]:.3f} ms, "
        f"time {row.ratio[0]:.3g}x (IQR {row.ratio[1]:.2g}){memory}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
