"""List, fetch and look at the data sets.

python -m utils.datasets list
python -m utils.datasets download mnist --data_dir data
python -m utils.datasets show digits            # writes outputs/datasets/digits.png
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from utils.datasets.download import download
from utils.datasets.images import EMBEDDED, ImageData, catalogue, load, names
from utils.datasets.lookup import data_root
from utils.datasets.registry import SOURCES
from utils.errors import UserError

SHEET_COLUMNS = 12


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        args.action(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m utils.datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = {name: commands.add_parser(name) for name in ("list", "download", "show")}
    for command in add.values():
        command.add_argument("--data_dir", help="folder of the data sets ($DL_COURSE_DATA or data)")
    add["list"].set_defaults(action=list_all)
    add["download"].add_argument("name", choices=names())
    add["download"].set_defaults(action=fetch)
    add["show"].add_argument("name", choices=names())
    add["show"].add_argument("--output", type=Path, help="PNG (outputs/datasets/NAME.png)")
    add["show"].set_defaults(action=show)
    return parser


def list_all(args: argparse.Namespace) -> None:
    print(f"data folder: {data_root(args.data_dir)}")
    for entry in catalogue(args.data_dir):
        print(f"{entry.name:14} {entry.where}")
        if entry.name in SOURCES:
            print(f"{'':14} {SOURCES[entry.name].title}; {SOURCES[entry.name].licence}")
        if not entry.found:
            print(f"{'':14} {entry.command}")


def fetch(args: argparse.Namespace) -> None:
    if args.name in EMBEDDED:
        print(f"{args.name} is embedded: there is nothing to download")
    else:
        print(f"complete and verified: {download(SOURCES[args.name], args.data_dir)}")


def show(args: argparse.Namespace) -> None:
    from utils import plotting

    data = load(args.name, args.data_dir)
    for part in ("train", "val", "test"):
        split = getattr(data, part)
        counts = np.bincount(split.labels, minlength=len(data.classes))
        print(f"{part:5} {split.images.shape} {split.images.dtype}, a class: {counts.tolist()}")
    print(f"training pixels / 255: mean {data.mean:.4f}, standard deviation {data.std:.4f}")
    path = args.output or Path("outputs/datasets") / f"{args.name}.png"
    plotting.save_figure(contact_sheet(data), path)
    print(f"wrote {path}")


def contact_sheet(data: ImageData):
    """A figure with a row of training images for each class."""
    from utils import plotting

    size = data.train.images.shape[1]
    gap = max(1, size // 14)
    shown = [
        data.train.images[data.train.labels == k][:SHEET_COLUMNS] for k in range(len(data.classes))
    ]
    framed = [np.pad(row, ((0, 0), (0, gap), (0, gap)), constant_values=110) for row in shown]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in framed])  # (K (H+gap), ...)
    figure, ax = plotting.subplots(width=7.0, height=5.6)
    ax.imshow(sheet, cmap="gray")
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks(np.arange(len(shown)) * (size + gap) + (size - 1) / 2, data.classes)
    ax.set_ylabel("class")
    ax.set_title(f"{data.name}: first training images of each class")
    return figure


if __name__ == "__main__":
    sys.exit(main())
