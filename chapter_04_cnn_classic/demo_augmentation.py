"""What each augmentation does to a picture, and what it costs.

What you learn: what a network sees instead of the pictures of the training set. Three figures:
every operation on photos, on `shapes` and on handwritten digits; RandAugment's operations one by
one at rising magnitude; where an operation breaks the label (a mirrored or turned digit). The
operations run on whole batches, as in training; the table says what a picture costs.

    python chapter_04_cnn_classic/demo_augmentation.py             about 5 seconds

Papers: see augmentation.py and its parts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_04_cnn_classic import augmentation as aug
from chapter_04_cnn_classic.augmentation_geometry import filled
from chapter_04_cnn_classic.augmentation_randaugment import OPERATIONS, apply_
from utils import cli, datasets, plotting
from utils.datasets import shapes as shapes_sets
from utils.datasets.samples import sample_photos
from utils.results import table
from utils.run import Run
from utils.seed import generator

SIDE = 64  # pixels at which everything is shown
CORNERS = {"china": [(60, 150), (150, 330)], "flower": [(30, 190), (130, 80)]}  # of the photos
MAGNITUDES = (3, 9, 18, 30)
TIMED = (512, 3, 32, 32)

Operation = Callable[[Tensor, torch.Generator], Tensor]


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/demo_augmentation.py"
    return cli.make_parser(__doc__, [path, f"{path} --seed 7"])


def operations() -> dict[str, Operation]:
    """The rows of the first figure; what is usually drawn with a probability happens always."""
    return {
        "as it is": aug.build(""),
        "horizontal flip": aug.RandomHorizontalFlip(p=1.0),
        "crop, reflect": aug.RandomCrop(0.125),
        "crop, zeros": aug.RandomCrop(0.125, mode="zeros"),
        "cutout": aug.Cutout(0.5),
        "random erasing": aug.RandomErasing(p=1.0),
        "colour jitter": aug.ColorJitter(0.4, 0.4, 0.4, 0.1),
        "RandAugment": aug.RandAugmentLite(2, 9),
        "flip, crop, cutout": aug.build("flip,crop,cutout"),
        "mixup": lambda x, rng: aug.mixup(x, x[:, 0, 0], 1.0, rng)[0],
        "CutMix": lambda x, rng: aug.cutmix(x, x[:, 0, 0], 1.0, rng)[0],
    }


def pictures(seed: int) -> dict[str, Tensor]:
    """Four photo cuts, four shapes, four digits: (4, C, H, W) floats in 0..1 each."""
    cuts = [
        photo[top : top + 240, left : left + 240]
        for name, photo in sample_photos().items()
        for top, left in CORNERS[name]
    ]
    photos = torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2) / 255  # (4, 3, 240, 240)
    shapes, digits = shapes_sets.render(4, seed=seed), datasets.load("digits").train
    digit = [int(np.flatnonzero(digits.labels == k)[0]) for k in (2, 3, 6, 9)]
    return {
        "photos": F.interpolate(photos, size=SIDE, mode="area"),
        "shapes": torch.from_numpy(shapes.images).permute(0, 3, 1, 2) / 255,
        "digits": torch.from_numpy(digits.images[digit])[:, None] / 255,  # (4, 1, 8, 8)
    }


def tiled(rows: list[list[Tensor]], gap: int = 6) -> np.ndarray:
    """Rows of batches (N, C, h, w), side by side, as one white-framed picture (H, W, 3)."""
    strips = []
    for row in rows:
        cells = []
        for batch in row:
            batch = batch.expand(-1, 3, -1, -1)  # grey -> three equal channels
            large = F.interpolate(batch, size=SIDE, mode="nearest")  # (N, 3, SIDE, SIDE)
            framed = F.pad(large, (0, gap, 0, gap), value=1.0)
            cells.append(torch.cat(list(framed), dim=2))  # (3, SIDE + gap, N (SIDE + gap))
            cells.append(torch.ones(3, SIDE + gap, gap))  # between two data sets
        strips.append(torch.cat(cells[:-1], dim=2))
    return torch.cat(strips, dim=1).permute(1, 2, 0).numpy()  # (H, W, 3)


def sheet(rows: list[list[Tensor]], names: list[str], title: str, width: float) -> tuple[Any, Any]:
    """A figure of rows of pictures with their names; also its axes."""
    picture = tiled(rows)
    height = 0.45 + (width - 2.0) * picture.shape[0] / picture.shape[1]
    fig, ax = plotting.subplots(width=width, height=height)
    ax.imshow(picture, interpolation="nearest")
    ax.set_yticks([(SIDE + 6) * i + SIDE / 2 for i in range(len(names))], names)
    ax.set_xticks([])
    ax.set_title(title)
    ax.grid(False)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    return fig, ax


def every_operation(seed: int) -> Any:
    """Rows: operations. Columns: four photos, four shapes, four digits."""
    shown = pictures(seed)
    rows = [
        [operation(x, generator(seed + i)) for x in shown.values()]
        for i, operation in enumerate(operations().values())
    ]
    title = "photos (64 px), shapes (32 px) and digits (8 px)"
    return sheet(rows, list(operations()), title, width=9.0)[0]


def magnitude_ladder(seed: int) -> Any:
    """Rows: RandAugment's operations. Columns: magnitudes, on a photo and on a shape."""
    shown = pictures(seed)
    rows = []
    for number in range(len(OPERATIONS)):
        row = []
        for x in (shown["photos"][:1], shown["photos"][2:3], shown["shapes"][:1]):
            many = x.repeat(len(MAGNITUDES), 1, 1, 1)
            apply_(many, torch.full((len(many),), number), torch.tensor(MAGNITUDES) / 30)
            row.append(many)
        rows.append(row)
    names = [name.replace("_", " ") for name in OPERATIONS]
    fig, ax = sheet(rows, names, "RandAugment, each operation alone", width=7.0)
    labels = list(MAGNITUDES) * 3
    ax.set_xticks([(SIDE + 6) * i + 6 * (i // 4) + SIDE / 2 for i in range(len(labels))], labels)
    ax.set_xlabel("magnitude (of 30), on two photos and on a picture of shapes")
    return fig


def broken_labels() -> Any:
    """Digits mirrored, turned by 180 degrees, and with a cut-out centre."""
    digits = datasets.load("digits").train
    first = [int(np.flatnonzero(digits.labels == k)[3]) for k in range(10)]
    x = torch.from_numpy(digits.images[first])[:, None] / 255  # (10, 1, 8, 8)
    box = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    box[:, :, 2:6, 2:6] = True
    rows = [[x], [x.flip(3)], [x.flip(2, 3)], [filled(x, box, 0.5)]]
    names = ["as it is", "mirrored", "turned by 180°", "4 px cutout"]
    return sheet(rows, names, "digits (8 px): what does not keep the label", width=7.4)[0]


def costs(repeats: int, seed: int) -> dict[str, float]:
    """Microseconds a picture of each operation on a batch of TIMED; the median of `repeats`."""
    x, rng, found = torch.rand(TIMED, generator=generator(seed)), generator(seed), {}
    for name, operation in operations().items():
        operation(x, rng)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            operation(x, rng)
            seconds.append(time.perf_counter() - start)
        found[name] = 1e6 * float(np.median(seconds)) / len(x)
    found.pop("as it is")
    return found


def experiment(args: argparse.Namespace, run: Run) -> None:
    cost = costs(3 if args.quick else 15, args.seed)
    columns = [
        ("Operation", "操作", "s"),
        (
            "µs a picture (32 px colour, batch of 512)",
            "每张图片微秒（32 像素彩色，批次大小 512）",
            ".1f",
        ),
    ]
    rows = [[name, value] for name, value in cost.items()]
    hidden = aug.Cutout(0.5).box(torch.zeros(4000, 1, 32, 32), generator(args.seed))
    share = 100 * hidden.float().mean().item()
    run.save_result(
        "augmentation",
        {"microseconds": cost, "hidden_percent": share},
        {"main": table(columns, rows)},
    )
    run.save_figure(every_operation(args.seed), "augmentation")
    run.save_figure(magnitude_ladder(args.seed), "augmentation_magnitudes")
    run.save_figure(broken_labels(), "augmentation_labels")
    shown = {f"{name} (µs a picture)": value for name, value in cost.items()}
    run.finish(shown, "python chapter_04_cnn_classic/exp_data_size.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
