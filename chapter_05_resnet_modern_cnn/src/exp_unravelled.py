"""Delete a block from a trained network: a residual network limps on, a plain one breaks.

What you learn: a residual network of n blocks is a sum over 2^n paths, of which most are short
(Veit et al. 2016). Each path takes or skips each block, so their lengths have the binomial
distribution: n blocks give (n over k) paths of length k. Deleting one block removes half of the
paths and leaves the other half as they were. A plain network has one path, and it goes through
every block.

    python chapter_05_resnet_modern_cnn/src/exp_unravelled.py                     two minutes
    python chapter_05_resnet_modern_cnn/src/exp_unravelled.py --weights RESNET.pth PLAINNET.pth

The networks are the shipped ones of 20 layers, both trained on `shapes` with one recipe; others are
trained with model_train.py. Nothing is trained after the deletion. Blocks that change the map's
shape keep their shortcut only; in a plain network these cannot be taken out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_04_cnn_classic import recipe as recipes
from chapter_05_resnet_modern_cnn.src import unravelled_figures as figures
from chapter_05_resnet_modern_cnn.src.architectures.resnet import ResidualBlock
from chapter_05_resnet_modern_cnn.src.classifier import CHAPTER
from chapter_05_resnet_modern_cnn.src.dataset import ImageTask, load_task
from chapter_05_resnet_modern_cnn.src.model import load_model
from utils import cli
from utils.errors import UserError
from utils.results import table
from utils.run import Run
from utils.seed import generator

SHIPPED = tuple(f"{CHAPTER}/checkpoints/{kind}20_shapes.pth" for kind in ("resnet", "plainnet"))
QUICK_ROWS = 100  # of the test split
DRAWS = 4  # random choices of blocks for each number of deleted ones


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_05_resnet_modern_cnn/src/exp_unravelled.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --weights RESNET.pth PLAINNET.pth"], device=True
    )
    group = parser.add_argument_group("networks")
    help_text = "trained networks, all on one data set (default: the shipped ones of `shapes`)"
    options = {"nargs": "+", "metavar": "FILE", "default": SHIPPED}
    group.add_argument("--weights", type=cli.path, help=help_text, **options)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    networks, task = loaded(args)
    images, labels = task.test
    if run.quick:
        task = replace(task, test=(images[:QUICK_ROWS], labels[:QUICK_ROWS]))
    results = {
        name: take_apart(model.to(run.device), task, run) for name, model in networks.items()
    }
    report(args, run, task, results)


def loaded(args: argparse.Namespace) -> tuple[dict[str, nn.Module], ImageTask]:
    """The networks of --weights by name, and the data set they were trained on."""
    networks, names = {}, set()
    for path in args.weights:
        model, checkpoint = load_model(path)
        networks[checkpoint["architecture"]["model"]] = model
        names.add(checkpoint["dataset"])
    if len(names) > 1:
        raise UserError(f"the weights are of different data sets: {', '.join(sorted(names))}.")
    return networks, load_task(names.pop(), args.data_dir)


class OnlyShortcut(nn.Module):
    """What is left of a residual block without its branch."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        block = self.block
        if block.preactivated:
            return x if block.downsample is None else block.downsample(block.activated(x))
        return block.relu(x if block.downsample is None else block.downsample(x))


def blocks_of(model: nn.Module) -> list[str]:
    """Names of the blocks that can be deleted, in order."""
    found = [(name, m) for name, m in model.named_modules() if isinstance(m, ResidualBlock)]
    return [name for name, block in found if not block.plain or keeps_shape(block)]


def keeps_shape(block: ResidualBlock) -> bool:
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    same = convolutions[0].in_channels == convolutions[-1].out_channels
    return same and all(c.stride == (1, 1) for c in convolutions)


@contextmanager
def without(model: nn.Module, names: list[str]) -> Iterator[None]:
    """These blocks replaced by their shortcuts (plain: by nothing), inside the block."""
    before = {name: model.get_submodule(name) for name in names}
    for name, block in before.items():
        put(model, name, nn.Identity() if block.plain else OnlyShortcut(block))
    try:
        yield
    finally:
        for name, block in before.items():
            put(model, name, block)


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def take_apart(model: nn.Module, task: ImageTask, run: Run) -> dict[str, Any]:
    """Test error whole, without each block, and without random choices of several."""

    def error() -> float:
        return 100 - 100 * recipes.accuracy(model, task, device=run.device)

    names = blocks_of(model)
    found: dict[str, Any] = {"whole": error(), "blocks": names, "one": [], "several": {}}
    for name in names:
        with without(model, [name]):
            found["one"].append(error())
    draw = generator(run.args.seed)
    for count in several(len(names)):
        errors = []
        for _ in range(1 if run.quick else DRAWS):
            chosen = torch.randperm(len(names), generator=draw)[:count].tolist()
            with without(model, [names[k] for k in chosen]):
                errors.append(error())
        found["several"][count] = errors
    return found


def several(blocks: int) -> list[int]:
    """How many blocks to delete at once: about five numbers up to two thirds of them."""
    counts = np.unique(np.linspace(1, max(1, 2 * blocks // 3), 5).round().astype(int))
    return counts.tolist()


def report(
    args: argparse.Namespace, run: Run, task: ImageTask, results: dict[str, dict[str, Any]]
) -> None:
    chance = 100 - 100 / len(task.classes)
    blocks = max(len(found["blocks"]) for found in results.values())
    metrics = {"networks": results, "chance_error": chance, "dataset": task.name}
    run.save_result("unravelled", metrics, {"main": result_table(results)}, [args.seed])
    run.save_figure(figures.deletions(results, task.name, chance), "unravelled")
    run.save_figure(figures.path_lengths(blocks), "unravelled_paths")
    finals = {
        f"{n}: error without one block (%)": float(np.median(r["one"])) for n, r in results.items()
    }
    run.finish(finals, "python chapter_05_resnet_modern_cnn/src/exp_ablations.py")


def result_table(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Blocks", "块数", "d"),
        ("Test error, whole (%)", "完整网络的测试误差（%）", ".1f"),
        ("Without one block: median (%)", "去掉一块：中位数（%）", ".1f"),
        ("Without one block: worst (%)", "去掉一块：最差（%）", ".1f"),
    ]
    lines = []
    for name, found in results.items():
        one = found["one"]
        lines.append([name, len(one), found["whole"], float(np.median(one)), max(one)])
    return table(columns, lines)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
