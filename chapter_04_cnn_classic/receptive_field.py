"""Which pixels a unit can see (theoretical receptive field), and which it uses (effective one).

The theoretical field is a square whose side grows with every layer by (kernel - 1) times the
distance of neighbouring units in the picture (receptive_field_theory.py has the recursion).

The effective field (Luo, Li, Urtasun & Zemel 2016) is the mean absolute gradient of a middle unit
with respect to the pixels, over random pictures. A pixel in the middle is reached by far more
paths than one at the border, so it looks like a bell: in a stack of equal layers its width grows
with the square root of the depth, while the square grows with the depth.

Measured on networks with He's random first weights: the bell belongs to the architecture.

    python chapter_04_cnn_classic/receptive_field.py                    about 2 minutes, 2 cores
    python chapter_04_cnn_classic/receptive_field.py --model vgg11      one network, several depths
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_04_cnn_classic import receptive_field_figures as figures
from chapter_04_cnn_classic.architectures.common import he_initialise
from chapter_04_cnn_classic.architectures.vgg import NAMES as VGG_NAMES
from chapter_04_cnn_classic.architectures.vgg import SmallVGG
from chapter_04_cnn_classic.model import IMAGENET_SIZE, MODELS, build_model
from chapter_04_cnn_classic.receptive_field_effective import (
    effective_fields,
    effective_size,
    growth_exponent,
    predicted_stack,
    stack_sizes,
)
from chapter_04_cnn_classic.receptive_field_theory import (
    Axis,
    Field,
    label,
    node_fields,
    receptive_fields,
    trace,
)
from utils import cli
from utils.results import mean_std, named_mean_std, table
from utils.run import Run
from utils.seed import generator

__all__ = ["Axis", "Field", "effective_fields", "effective_size", "receptive_fields", "trace"]

SHOWN = ("lenet5", "simple_cnn", "alexnet", "vgg16", "nin", "googlenet")
TINY = ("lenet5", "simple_cnn")  # their own pictures have 32 px
DEEP = ("vgg16", IMAGENET_SIZE)  # the one shown layer by layer
STACK_DEPTHS = (4, 8, 16, 32, 64)


# --- the networks ---


@dataclass
class Measured:
    """One network: its local layers' fields, and effective fields of some of them."""

    name: str
    image_size: int
    fields: dict[str, Field]
    layers: list[str]  # measured ones, the last local layer at the end
    heats: np.ndarray  # (seeds, layers, H, W)
    units: list[tuple[int, int]]  # which unit of each layer

    @property
    def last(self) -> Field:
        return self.fields[self.layers[-1]]

    def sizes(self) -> np.ndarray:
        """Effective sizes, (seeds, layers) in px."""
        rows = [[effective_size(torch.from_numpy(h)) for h in heats] for heats in self.heats]
        return np.array(rows)


def network(name: str, image_size: int) -> tuple[nn.Module, int]:
    """A network with all its convolutions and the channels of its pictures."""
    channels = 1 if name == "lenet5" else 3
    if name in VGG_NAMES:  # the small form has the same convolutions, without 120 M other weights
        return SmallVGG(name, image_size=image_size).eval(), channels
    options = {"aux_logits": False} if (name, image_size) == ("googlenet", IMAGENET_SIZE) else {}
    return build_model(name, 10, image_size, channels, **options).eval(), channels


def measure(
    name: str, image_size: int, seeds: Sequence[int], pictures: int, several: bool
) -> Measured:
    """Effective fields with fresh weights for each seed: of the last local layer, and, if
    `several`, of the last layer at each resolution before it."""
    model, channels = network(name, image_size)
    pictures *= 8 if image_size < 64 else 1  # small ones cost little
    graph = trace(model)
    fields = {node: field for node, field in node_fields(graph).items() if field and field.depth}
    nodes = list({field.height.jump: node for node, field in fields.items()}.values())
    nodes = nodes if several else nodes[-1:]
    heats = []
    for s in seeds:
        torch.manual_seed(s)
        he_initialise(model)
        rng = generator(s)
        x = torch.randn(pictures, channels, image_size, image_size, generator=rng)
        found = effective_fields(graph, nodes, x, rng)
        heats.append(np.stack([found[node].heat.numpy() for node in nodes]))
    by_label = {label(node): field for node, field in fields.items()}
    units, layers = [found[node].unit for node in nodes], [label(node) for node in nodes]
    return Measured(name, image_size, by_label, layers, np.stack(heats), units)


def result_row(measured: Measured) -> list[Any]:
    axis, sizes = measured.last.height, measured.sizes()[:, -1]
    ratio = 100 * sizes / min(axis.size, measured.image_size)
    return [
        measured.name,
        measured.image_size,
        measured.layers[-1],
        axis.jump,
        axis.size,
        mean_std(sizes),
        mean_std(ratio),
    ]


def networks_table(networks: Sequence[Measured]) -> dict[str, Any]:
    columns = [
        ("network", "网络", ""),
        ("picture (px)", "图片（像素）", "d"),
        ("last local layer", "最后一个局部层", ""),
        ("distance of its units (px)", "相邻单元间距（像素）", "d"),
        ("theoretical field (px)", "理论感受野（像素）", "d"),
        ("effective field (px)", "有效感受野（像素）", ".1f"),
        ("effective / theoretical inside the picture (%)", "有效 / 图片内的理论值（%）", ".0f"),
    ]
    return table(columns, [result_row(measured) for measured in networks])


def stacks_table(depths: Sequence[int], sizes: dict[str, np.ndarray]) -> dict[str, Any]:
    columns = [
        ("convolutions 3x3", "3x3 卷积层数", "d"),
        ("theoretical field (px)", "理论感受野（像素）", "d"),
        ("effective, predicted (px)", "有效感受野，预测（像素）", ".1f"),
        ("effective, linear (px)", "有效感受野，线性（像素）", ".1f"),
        ("effective, with ReLU (px)", "有效感受野，带 ReLU（像素）", ".1f"),
    ]
    rows = []
    for i, depth in enumerate(depths):
        row = [depth, 2 * depth + 1, effective_size(predicted_stack(depth))]
        measured = [sizes[kind][:, i] for kind in ("linear", "relu")]
        rows.append(row + [mean_std(m) for m in measured])
    return table(columns, rows)


# --- the script ---


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/receptive_field.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --model vgg11 --image_size 96"])
    add = parser.add_argument_group("receptive fields").add_argument
    add("--model", choices=MODELS, help="only this network, several depths (default: the classics)")
    add("--image_size", type=cli.positive_int, help="px, with --model (default: the original's)")
    add(
        "--pictures",
        type=cli.positive_int,
        default=8,
        help="random pictures for each seed (8 x below 64 px)",
    )
    add("--seeds", type=cli.positive_int, default=3, help="fresh networks measured")
    return parser


def original_size(name: str) -> int:
    return 32 if name in TINY else IMAGENET_SIZE


def experiment(args: argparse.Namespace, run: Run) -> None:
    shown, depths, width = SHOWN, STACK_DEPTHS, 32
    if args.quick:
        args.pictures, args.seeds = 1, 1
        shown, depths, width = TINY, STACK_DEPTHS[:2], 8
    seeds = [args.seed + s for s in range(args.seeds)]
    cases = [(name, original_size(name)) for name in shown]
    cases += [(name, 32) for name in SHOWN if name not in TINY]
    if args.model:
        cases = [(args.model, args.image_size or original_size(args.model))]
    deep = DEEP if DEEP in cases else cases[0]
    networks = [
        measure(*case, seeds, args.pictures, several=case == deep)
        for case in cli.progress(cases, "networks")
    ]
    tables = {"main": networks_table(networks)}
    metrics: dict[str, Any] = {"networks": summarise(networks)}
    if not args.model:
        sizes = stack_sizes(depths, seeds, width)
        tables["stacks"] = stacks_table(depths, sizes)
        metrics["stacks"] = stack_metrics(depths, sizes)
    run.save_result("receptive_field", metrics, tables, seeds)
    if not args.model:
        run.save_figure(figures.maps_figure(networks[: len(shown)]), "receptive_field_maps")
        run.save_figure(
            figures.growth_figure(networks[: len(shown)], depths, sizes, metrics["stacks"]),
            "receptive_field_growth",
        )
    run.save_figure(figures.depths_figure(networks[cases.index(deep)]), "receptive_field_depths")
    lines = {
        f"{m.name} at {m.image_size} px: effective / theoretical field (px)": (
            f"{m.sizes()[:, -1].mean():.1f} / {m.last.height.size}"
        )
        for m in networks
    }
    run.finish(lines, "python chapter_04_cnn_classic/train.py --dataset shapes")


def summarise(networks: Sequence[Measured]) -> dict[str, Any]:
    """{"vgg16_224": {"theory", "effective": {"mean", "std"}, "percent"}}, sizes in px."""
    result = {}
    for measured in networks:
        sizes, theory = measured.sizes()[:, -1], measured.last.height.size
        result[f"{measured.name}_{measured.image_size}"] = {
            "theory": theory,
            "effective": named_mean_std(sizes),
            "percent": 100 * sizes.mean() / min(theory, measured.image_size),
        }
    return result


def stack_metrics(depths: Sequence[int], sizes: dict[str, np.ndarray]) -> dict[str, Any]:
    """Growth exponents and, for each kind, the sizes by depth."""
    predicted = np.array([effective_size(predicted_stack(depth)) for depth in depths])
    theory = np.array([2 * depth + 1 for depth in depths], dtype=float)
    every = {"theory": theory, "predicted": predicted, **sizes}
    return {
        "depths": list(depths),
        "exponent": {kind: growth_exponent(depths, values) for kind, values in every.items()},
        "size": {kind: v.reshape(-1, len(depths)).mean(axis=0) for kind, v in every.items()},
    }


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
