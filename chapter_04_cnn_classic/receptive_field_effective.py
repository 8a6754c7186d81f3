"""The effective receptive field of any layer, and a case where it can be computed.

A unit's effective field (Luo, Li, Urtasun & Zemel 2016) is its mean absolute gradient with respect
to the pixels over random pictures. In a stack of n convolutions 3x3 with independent random
weights, the squared gradient at a pixel is proportional to the number of paths that lead from it
to the unit: along each axis the box (1, 1, 1) convolved with itself n times, a bell with deviation
sqrt(2 n / 3), in a square of 2 n + 1 pixels.

    graph = trace(model)
    nodes = list(node_fields(graph))
    effective_fields(graph, nodes[3:4], x, torch.Generator())
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

from chapter_04_cnn_classic.architectures.common import he_initialise
from chapter_04_cnn_classic.receptive_field_theory import node_fields, trace
from utils import cli
from utils.seed import generator


class _Keeper(fx.Interpreter):
    """Runs a graph and keeps the values of some nodes."""

    def __init__(self, graph: fx.GraphModule, wanted: Sequence[fx.Node]) -> None:
        super().__init__(graph)
        self.wanted, self.kept = set(wanted), {}

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if node in self.wanted:
            self.kept[node] = value
        return value


class Effective(NamedTuple):
    """A measured field: mean |gradient| (H, W) of the unit (row, column) of a layer."""

    heat: Tensor
    unit: tuple[int, int]


def effective_fields(
    graph: fx.GraphModule, nodes: Sequence[fx.Node], x: Tensor, rng: torch.Generator
) -> dict[fx.Node, Effective]:
    """The effective field of the middle unit of each node; x is (B, C, H, W).

    The unit is a random mixture of all channels, another one for each picture;
    the mean is over pictures and channels.
    """
    x = x.clone().requires_grad_()
    keeper = _Keeper(graph, nodes)
    keeper.run(x)
    result = {}
    fields = node_fields(graph)
    for node, value in keeper.kept.items():
        value = value.movedim(fields[node].places, (-2, -1))  # (B, C', H', W')
        row, column = value.shape[-2] // 2, value.shape[-1] // 2
        unit = value[..., row, column]  # (B, C')
        mixture = torch.randn(unit.shape, generator=rng)
        (gradient,) = torch.autograd.grad(unit, x, mixture, retain_graph=True)  # (B, C, H, W)
        heat = gradient.abs().mean(dim=(0, 1))  # (H, W)
        result[node] = Effective(heat, (row, column))
    return result


def effective_size(heat: Tensor) -> float:
    """Side (px) of the square with as many pixels as have over 4.55 % of the largest gradient.

    The threshold of Luo et al.: a bell falls to 1 - 0.9545 of its top at 2.5 deviations. With few
    pictures the largest value is a peak by chance, and the size comes out too small: VGG-16 at
    224 px has 136 px with one picture, 154 px with eight.
    """
    return float((heat > (1 - 0.9545) * heat.max()).sum()) ** 0.5


# --- a plain stack of 3x3 convolutions, where the effective field can be computed ---


def plain_stack(depth: int, relu: bool, width: int) -> nn.Sequential:
    """`depth` convolutions 3x3 without padding or stride, He's weights."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers.append(nn.Conv2d(width if number else 1, width, 3, bias=False))
        layers += [nn.ReLU()] if relu else []
    stack = nn.Sequential(*layers)
    he_initialise(stack)
    return stack


def predicted_stack(depth: int) -> Tensor:
    """The expected |gradient| of a linear stack with random weights, (2 depth + 1) a side.

    Independent weights of mean 0: the variances of the paths add, so the squared gradient at a
    pixel is proportional to the number of paths to it: the box (1, 1, 1) convolved with itself
    `depth` times, rows times columns. Its deviation is sqrt(2 depth / 3) pixels.
    """
    paths = np.ones(1)
    for _ in range(depth):
        paths = np.convolve(paths, np.ones(3) / 3)
    return torch.from_numpy(np.sqrt(np.outer(paths, paths)))


def stack_sizes(depths: Sequence[int], seeds: Sequence[int], width: int) -> dict[str, np.ndarray]:
    """{"linear", "relu": effective sizes (seeds, depths) in px}, measured."""
    sizes = {}
    for kind in ("linear", "relu"):
        jobs = cli.progress([(s, d) for s in seeds for d in depths], f"plain stacks, {kind}")
        flat = [stack_size(depth, kind == "relu", s, width) for s, depth in jobs]
        sizes[kind] = np.array(flat).reshape(len(seeds), len(depths))
    return sizes


def stack_size(depth: int, relu: bool, s: int, width: int, pictures: int = 8) -> float:
    """The effective size (px) of one random stack.

    The expected field has the symmetries of the square, so the mean over its eight turned and
    mirrored images is as good as eight times the pictures.
    """
    torch.manual_seed(s)
    rng, side = generator(s), 2 * depth + 1
    graph = trace(plain_stack(depth, relu, width))
    last = list(node_fields(graph))[-1]
    x = torch.randn(pictures, 1, side, side, generator=rng)
    heat = effective_fields(graph, [last], x, rng)[last].heat
    turned = [torch.rot90(view, k) for view in (heat, heat.T) for k in range(4)]
    return effective_size(torch.stack(turned).mean(dim=0))


def growth_exponent(depths: Sequence[int], sizes: np.ndarray) -> float:
    """The b of size = a depth^b, by least squares on logarithms; sizes (..., depths)."""
    mean = sizes.reshape(-1, len(depths)).mean(axis=0)
    return float(np.polyfit(np.log(depths), np.log(mean), 1)[0])
