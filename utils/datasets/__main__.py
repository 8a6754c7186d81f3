"""List, fetch and look at the data sets.

python -m utils.datasets list
python -m utils.datasets download mnist --data_dir data
python -m utils.datasets show digits            # writes outputs/datasets/digits.png
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import numpy as np

from utils.datasets.download import download
from utils.datasets.images import EMBEDDED, catalogue, load, names
from utils.datasets.lookup import data_root, download_command, how_to_place
from utils.datasets.registry import COURSE_SETS, SOURCES
from utils.datasets.text_files import TEXT_SOURCES, find_text, how_to_put
from utils.errors import UserError
from utils.terminal import guarded, path

EMBEDDED_TEXT = {
    "topics": "text, about 465,000 characters",
    "number_words": "words of numbers, any count",
    "number_pairs": "pairs of numbers in words, 3 classes",
    "lorenz": "a chaotic series, any length",
}
MANY_CLASSES = 12  # with more, only the range of the class sizes is printed


def main(argv: list[str] | None = None) -> int:
    return guarded(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
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
        help_text = "folder of the data sets ($DL_COURSE_DATA or data)"
        command.add_argument("--data_dir", type=path, help=help_text)
    add["list"].set_defaults(action=list_all)
    add["download"].add_argument("name", choices=[*names(), *EMBEDDED_TEXT, *TEXT_SOURCES])
    add["download"].set_defaults(action=fetch)
    add["show"].add_argument("name", choices=names())
    add["show"].add_argument("--output", type=path, help="PNG (outputs/datasets/NAME.png)")
    add["show"].set_defaults(action=show)
    return parser


def list_all(args: argparse.Namespace) -> None:
    print(f"data folder: {data_root(args.data_dir)}")
    sources = SOURCES | COURSE_SETS
    for entry in catalogue(args.data_dir):
        print(f"{entry.name:16} {entry.summary:26} {entry.where}")
        if entry.name in sources:
            print(f"{'':16} {sources[entry.name].title}; {sources[entry.name].licence}")
        if entry.command:
            print(f"{'':16} {entry.command}")
        elif not entry.found:
            print(f"{'':16} {how_to_place(sources[entry.name], args.data_dir)}")
    list_texts(args)
    print("Without labels: datasets.sample_photos() gives two photos of 427x640, embedded.")


def list_texts(args: argparse.Namespace) -> None:
    """Text and series: read by `utils.datasets.text`, `sentences`, `pairs` and `series`."""
    for name, summary in EMBEDDED_TEXT.items():
        print(f"{name:16} {summary:26} embedded")
    for name, source in TEXT_SOURCES.items():
        place = find_text(source, args.data_dir)
        print(f"{name:16} {source.summary:26} {place or 'missing'}")
        print(f"{'':16} {source.title}; {source.licence}")
        if place is None:
            get = download_command if source.fetchable else how_to_put
            print(f"{'':16} {get(source, args.data_dir)}")


def fetch(args: argparse.Namespace) -> None:
    if args.name in EMBEDDED or args.name in EMBEDDED_TEXT:
        print(f"{args.name} is embedded: there is nothing to download")
        return
    source = (SOURCES | COURSE_SETS | TEXT_SOURCES)[args.name]
    print(f"complete and verified: {download(source, args.data_dir)}")


def show(args: argparse.Namespace) -> None:
    from utils import plotting
    from utils.datasets.contact_sheet import contact_sheet

    start = time.perf_counter()
    data = load(args.name, args.data_dir)
    print(f"loaded in {time.perf_counter() - start:.1f} s" + (data.origin and f": {data.origin}"))
    for part in ("train", "val", "test"):
        split = getattr(data, part)
        counts = np.bincount(split.labels, minlength=len(data.classes)).tolist()
        if len(counts) > MANY_CLASSES:
            counts = f"{min(counts)} to {max(counts)}"
        print(f"{part:5} {split.images.shape} {split.images.dtype}, a class: {counts}")
    mean, std = (" ".join(f"{v:.4f}" for v in np.atleast_1d(x)) for x in (data.mean, data.std))
    print(f"training pixels / 255: mean {mean}, standard deviation {std}")
    target = Path(args.output or f"outputs/datasets/{args.name}.png")
    plotting.save_figure(contact_sheet(data), target)
    print(f"wrote {target}")


if __name__ == "__main__":
    sys.exit(main())
