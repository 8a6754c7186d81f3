"""One small ResNet with four kinds of attention: training, time, and where the weights are large.

Networks of one seed have the same first weights outside the attention and see the same batches, so
a difference to the network without attention is taken seed by seed (exp_visual_attention.py).

Where a map of weights is large is measured as an area under a curve (AUC): the probability that a
pixel inside the true box has a larger weight than one outside. 50 % is blind, 100 % is perfect, and
below 50 % the object is damped. Only the order of the weights counts, so gates that differ in range
can be compared. Controls: the same network before training, and a prior that looks at the middle.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_04_cnn_classic.image_tasks import ImageTask, standardize, to_pixels
from chapter_04_cnn_classic.recipe import Recipe, accuracy, train
from chapter_05_resnet_modern_cnn.src.architectures.attention_blocks import SpatialAttention
from chapter_05_resnet_modern_cnn.src.architectures.residual_block import ResidualBlock
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CifarResNet
from chapter_07_attention_mechanism.experiments.small_shapes import SIZE
from chapter_07_attention_mechanism.visual_attention import SpatialSelfAttention, put_attention
from utils.model_summary import parameter_count
from utils.modes import evaluating
from utils.results import mean_std, over_seeds, table

KINDS = {  # name -> (English, Chinese)
    "none": ("no attention", "无注意力"),
    "se": ("SE", "SE"),
    "cbam": ("CBAM", "CBAM"),
    "scsa": ("SCSA", "SCSA"),
    "longer": ("no attention, twice the epochs", "无注意力，轮数加倍"),  # about SCSA's time
}
LOOKED = 200  # test pictures on which the maps are judged
SHOWN = 4  # test pictures whose maps are drawn: the first ones
Maps = list[Tensor]  # one (B, H, W) a block, at the size of the picture


@dataclass(frozen=True)
class Setting:
    """What all trainings of a run share."""

    epochs: int = 5
    batch: int = 32
    lr: float = 0.03
    widths: tuple[int, int, int] = (8, 16, 32)

    def recipe(self, name: str) -> Recipe:
        epochs = self.epochs * (2 if name == "longer" else 1)
        return Recipe(epochs, self.batch, self.lr, "muon", augment="flip")


def make_network(name: str, seed: int, setting: Setting) -> CifarResNet:
    """Eight layers in three blocks, then the attention: the other weights are those of the seed."""
    torch.manual_seed(seed)
    network = CifarResNet(1, num_classes=10, widths=setting.widths, shortcut="B")
    return put_attention(network, "none" if name == "longer" else name)


def train_one(
    name: str, seed: int, task: ImageTask, boxes: np.ndarray, setting: Setting, **where: Any
) -> dict[str, Any]:
    """One training, as a line of the log: accuracies in per cent, seconds, and the maps' AUC."""
    network = make_network(name, seed, setting)
    pictures = standardize(to_pixels(task.test[0][:LOOKED]), task)
    before, began = maps_of(network, pictures), time.process_time()
    history = train(
        network, task, setting.recipe(name), seed, label=f"{name}, seed {seed}", **where
    )
    row = {
        "val": [100 * epoch["val_accuracy"] for epoch in history.epochs],
        "train": 100 * history.epochs[-1]["train_accuracy"],
        "test": 100 * accuracy(network, task, "test", **where),
        "cpu_seconds": time.process_time() - began,
        "parameters": parameter_count(network),
    }
    after = maps_of(network.to("cpu"), pictures)
    row["auc"] = {"trained": aucs(after, boxes), "untrained": aucs(before, boxes)}
    for key, maps in (("maps", after), ("maps_untrained", before)):
        row[key] = [(1000 * m[:SHOWN]).round().int().tolist() for m in maps]
    return row


@torch.no_grad()
def maps_of(network: nn.Module, pictures: Tensor) -> Maps:
    """What every block weights its places with, (B, H, W); for a map of SCSA the mean of channels.

    A network without spatial attention has no weights: instead how large its activations are.
    """
    found: Maps = []
    hooks = []
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            hooks.append(watch(block, found))
    with evaluating(network):
        network(pictures)
    for hook in hooks:
        hook.remove()
    size = tuple(pictures.shape[2:])
    return [F.interpolate(m[:, None].float(), size=size)[:, 0] for m in found]


def watch(block: ResidualBlock, found: Maps) -> Any:
    """Collect the block's map as it runs."""
    for module in block.attention.modules():
        if isinstance(module, SpatialAttention):  # CBAM: one map for all channels

            def places(_: Any, __: Any, scores: Tensor) -> None:
                found.append(torch.sigmoid(scores[:, 0]))  # (B, 1, h, w) -> (B, h, w)

            return module.conv.register_forward_hook(places)
        if isinstance(module, SpatialSelfAttention):

            def rows_by_columns(layer: Any, inputs: tuple[Tensor], _: Any) -> None:
                rows, columns = layer.weights(inputs[0])
                found.append((rows * columns).mean(dim=1))  # (B, C, h, w) -> (B, h, w)

            return module.register_forward_hook(rows_by_columns)
    return block.register_forward_hook(lambda _, __, y: found.append(y.abs().mean(dim=1)))


def auc(weights: Tensor, inside: Tensor) -> float:
    """P(weight inside > weight outside), ties half: weights (H, W), inside (H, W) bool."""
    a, b = weights[inside][:, None], weights[~inside][None, :]  # (n, 1), (1, m)
    return float(((a > b).double() + 0.5 * (a == b).double()).mean())


def box_masks(boxes: np.ndarray, size: int = SIZE) -> Tensor:
    """(N, 4) as x1, y1, x2, y2 -> (N, size, size) bool."""
    x1, y1, x2, y2 = (torch.from_numpy(side)[:, None] for side in boxes.T)  # (N, 1) each
    places = torch.arange(size)
    columns = (places >= x1) & (places < x2)  # (N, W)
    rows = (places >= y1) & (places < y2)  # (N, H)
    return rows[:, :, None] & columns[:, None, :]


def aucs(maps: Maps, boxes: np.ndarray) -> list[float]:
    """For each block the mean over the pictures, in per cent."""
    masks = box_masks(boxes[: len(maps[0])])
    return [
        100 * statistics.fmean(auc(m, i) for m, i in zip(block, masks, strict=True))
        for block in maps
    ]


def centre_prior(size: int = SIZE) -> Tensor:
    """Larger weights nearer to the middle, (H, W): what a map is that knows no picture."""
    side = torch.linspace(-1, 1, size)
    return -(side[:, None] ** 2 + side**2)


def step_ratios(kinds: Sequence[str], setting: Setting, rounds: int) -> dict[str, float]:
    """Processor time of a training step over that without attention.

    The networks take turns, and the ratio is taken round by round: what slows the machine for a
    while slows all. Median over the rounds; the first, which warms up, is left out.
    """
    networks = {name: make_network(name, 0, setting) for name in kinds}
    x, y = torch.randn(setting.batch, 3, SIZE, SIZE), torch.zeros(setting.batch).long()
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds + 1):
        for name, network in networks.items():
            began = time.process_time()
            network.zero_grad()
            F.cross_entropy(network(x), y).backward()
            found[name].append(time.process_time() - began)
    base = found["none"][1:]
    return {
        name: statistics.median(t / b for t, b in zip(times[1:], base, strict=True))
        for name, times in found.items()
    }


def collect(
    results: dict[str, list[dict[str, Any]]], ratios: dict[str, float], boxes: np.ndarray
) -> dict[str, Any]:
    """Means over the seeds, and differences to the network without attention, seed by seed."""
    rows, base = {}, results["none"]
    for name, runs in results.items():
        gains = [run["test"] - other["test"] for run, other in zip(runs, base, strict=True)]
        rows[name] = {
            **over_seeds(runs),
            "val_curves": [run["val"] for run in runs],
            "parameters": runs[0]["parameters"],
            "tests": [run["test"] for run in runs],
            "gain": mean_std(gains),
            "step_ratio": ratios[name],
            "auc": {when: block_means(runs, when) for when in ("trained", "untrained")},
        }
    prior = centre_prior().expand(len(boxes[:LOOKED]), -1, -1)  # (N, H, W)
    return {"rows": rows, "centre_prior_auc": aucs([prior], boxes)[0]}


def block_means(runs: Sequence[dict[str, Any]], when: str) -> list[tuple[float, float]]:
    """For each block (mean, deviation) over the seeds."""
    return [mean_std(values) for values in zip(*(run["auc"][when] for run in runs), strict=True)]


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """Accuracies beside what they cost; and the AUC of the maps, trained and untrained."""
    columns = [
        ("Network", "网络", ""),
        ("Parameters", "参数量", ",d"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
        ("Against no attention (points)", "相对无注意力（百分点）", "+.1f"),
        ("Time of a step (ratio)", "每步用时（倍数）", ".2f"),
    ]
    lines = []
    for name, row in metrics["rows"].items():
        gain = None if name == "none" else row["gain"]
        facts = [row["parameters"], row["test"], gain, row["step_ratio"]]
        lines.append([words(*KINDS[name]), *facts])
    for key, en, zh in (
        ("told", "told the place: its mean colour", "告知位置：取该处的平均颜色"),
        ("histogram", "colours, no places: linear", "只看颜色、不看位置：线性模型"),
        ("chance", "most frequent colour", "总猜最多的颜色"),
    ):
        lines.append([words(en, zh), None, metrics["baselines"][key], None, None])
    return {"main": table(columns, lines), "places": places_table(metrics)}


def places_table(metrics: dict[str, Any]) -> dict[str, Any]:
    blocks = range(1, 4)
    columns = [("Map", "图", ""), ("Weights", "权重", "")]
    columns += [(f"AUC, block {b} (%)", f"第 {b} 块的 AUC（%）", ".1f") for b in blocks]
    lines = []
    for name, en, zh in (
        ("cbam", "CBAM, places", "CBAM，位置权重"),
        ("scsa", "SCSA, places", "SCSA，位置权重"),
        ("none", "no attention: size of the activations", "无注意力：激活的大小"),
    ):
        if name not in metrics["rows"]:
            continue
        for when, state in (
            ("trained", ("trained", "训练后")),
            ("untrained", ("untrained", "未训练")),
        ):
            lines.append([words(en, zh), words(*state), *metrics["rows"][name]["auc"][when]])
    prior = metrics["centre_prior_auc"]
    lines.append([words("centre prior", "中心先验"), "–", prior, prior, prior])
    return table(columns, lines)


def words(en: str, zh: str) -> dict[str, str]:
    return {"en": en, "zh": zh}
