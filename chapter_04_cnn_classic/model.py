"""One door to all networks of this chapter, and what each of them costs.

    from chapter_04_cnn_classic.model import MODELS, build_model, load_model
    model = build_model("vgg16_bn", num_classes=10, image_size=32, channels=3)
    model, checkpoint = load_model("chapter_04_cnn_classic/results/best_model.pth")

As a script it counts parameters and multiply-accumulates (MACs) of every network in the original
form (ImageNet: 224 px, 1,000 classes) and in the small form (32 px, 10 classes), and puts them
beside the published counts:

    convolution: weights k^2 C_in C_out (+ C_out), MACs k^2 C_in C_out for each of the H_out W_out
    pixels; linear layer: weights and MACs n_in n_out (+ n_out weights)

Nothing is computed with: the networks live on torch's "meta" device, which has shapes only.

    python chapter_04_cnn_classic/model.py                         about 10 seconds
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from chapter_04_cnn_classic.architectures import alexnet, googlenet, lenet, nin, simple_cnn, vgg
from chapter_04_cnn_classic.architectures.common import check_size
from utils import cli
from utils.errors import UserError
from utils.model_summary import summary
from utils.model_zoo import by_name, load_network
from utils.plotting import COLORS, subplots
from utils.results import table
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGENET_SIZE = 224  # px; from here on build_model gives the original form


def _simple_cnn(num_classes: int, image_size: int, channels: int, **options: Any) -> nn.Module:
    stages = len(options.get("widths", ())) or 1
    smallest = max(simple_cnn.SMALLEST, 2 ** (stages - 1))  # a pool between two stages
    check_size("simple_cnn", image_size, smallest)
    return simple_cnn.SimpleCNN(num_classes, channels, **options)


def _lenet5(num_classes: int, image_size: int, channels: int, **options: Any) -> nn.Module:
    return lenet.LeNet5(num_classes, channels, image_size, **options)


def _two_forms(
    original: Callable[..., nn.Module], small: Callable[..., nn.Module], name: str
) -> Callable[..., nn.Module]:
    """A builder that chooses by the picture's size."""

    def build(num_classes: int, image_size: int, channels: int, **options: Any) -> nn.Module:
        if image_size < IMAGENET_SIZE:
            return small(num_classes, channels, image_size, **options)
        if channels != 3:
            raise UserError(
                f"the ImageNet form of {name} ({IMAGENET_SIZE} px and more) reads 3 channels, "
                f"not {channels}"
            )
        return original(num_classes, **options)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": _lenet5,
    "alexnet": _two_forms(alexnet.AlexNet, alexnet.SmallAlexNet, "alexnet"),
    **{
        name: _two_forms(partial(vgg.vgg, name), partial(vgg.SmallVGG, name), name)
        for name in vgg.NAMES
    },
    "nin": _two_forms(nin.NiN, nin.SmallNiN, "nin"),
    "googlenet": _two_forms(googlenet.GoogLeNet, googlenet.SmallGoogLeNet, "googlenet"),
    "simple_cnn": _simple_cnn,
}
MODELS = tuple(BUILDERS)


def build_model(
    name: str, num_classes: int = 10, image_size: int = 32, channels: int = 3, **options: Any
) -> nn.Module:
    """A fresh network that maps (B, channels, image_size, image_size) to logits (B, num_classes).

    From 224 px on it is the original ImageNet form (GoogLeNet's returns three logits in training
    mode), below it the small-image form; lenet5 and simple_cnn have one form. `options` go to the
    network's constructor: `activation="sigmoid"` of lenet5, `widths=(64, 128, 256)` of simple_cnn.
    UserError for an unknown name, and for a picture too small (then a ValueError as well).
    """
    return by_name(name, BUILDERS)(num_classes, image_size, channels, **options)


def load_model(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network of a checkpoint, in evaluation mode, and the checkpoint's dict.

    UserError where the file is missing, damaged, or holds a network of another chapter.
    """
    return load_network(path, BUILDERS, build_model)


# --- what they cost ---

QUICK_LEAVES_OUT = set(vgg.NAMES) - {"vgg11"}
# Parameters and multiply-accumulates (10^9) as published. torchvision: `num_params` and `_ops` of
# its weights (torchvision 0.29; it calls the MACs GFLOPS). LeNet-5: see architectures/lenet.py.
# NiN: its authors publish the weights as a file of 29 MB in the Caffe model zoo, four bytes each.
PUBLISHED = {
    "lenet5": (61_706, None),
    "alexnet": (61_100_840, 0.714),
    "vgg11": (132_863_336, 7.609),
    "vgg13": (133_047_848, 11.308),
    "vgg16": (138_357_544, 15.470),
    "vgg19": (143_667_240, 19.632),
    "vgg11_bn": (132_868_840, 7.609),
    "vgg13_bn": (133_053_736, 11.308),
    "vgg16_bn": (138_365_992, 15.470),
    "vgg19_bn": (143_678_248, 19.632),
    "nin": (7.6e6, None),
    "googlenet": (6_624_904, 1.498),
}


def original_form(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """The network as published, on the meta device, and the shape (C, H, W) of its pictures.

    GoogLeNet comes without the auxiliary heads, which are no part of the network in use.
    """
    if name == "lenet5":
        return small_form(name, channels=1)
    options = {"aux_logits": False} if name == "googlenet" else {}
    with torch.device("meta"):
        model = build_model(name, num_classes=1000, image_size=IMAGENET_SIZE, **options)
    return model, (3, IMAGENET_SIZE, IMAGENET_SIZE)


def small_form(
    name: str, image_size: int = 32, channels: int = 3
) -> tuple[nn.Module, tuple[int, int, int]]:
    """The small-image form for 10 classes, on the meta device, and the shape of its pictures."""
    with torch.device("meta"):
        model = build_model(name, 10, image_size, channels)
    return model, (channels, image_size, image_size)


def count(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Parameters and MACs of one picture of `shape` (C, H, W), also those of the linear layers."""
    counted = summary(model, (1, *shape), verbose=False)
    linear = [layer for layer in counted.layers if layer.kind == "Linear"]
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    kernel, stride = first.kernel_size[0], first.stride[0]
    return {
        "input": shape[-1],
        "first_convolution": f"{kernel}x{kernel} / {stride}, {first.out_channels}",
        "parameters": counted.parameters,
        "linear_parameters": sum(layer.parameters for layer in linear),
        "macs": counted.macs,
        "linear_macs": sum(layer.macs for layer in linear),
    }


def cost_table(counts: dict[str, dict[str, Any]], published: bool) -> dict[str, Any]:
    """One row a network; `published` adds the columns of the published counts."""
    columns = [
        ("network", "网络", ""),
        ("input (px)", "输入（像素）", "d"),
        ("first convolution: kernel / stride, filters", "第一层卷积：核 / 步幅，滤波器数", ""),
        ("parameters", "参数量", ",d"),
        ("share in linear layers (%)", "线性层所占参数（%）", ".1f"),
        ("MACs (10^6)", "乘加次数（10^6）", ",.1f"),
    ]
    if published:
        columns.insert(4, ("published parameters", "公布的参数量", ""))
        columns.append(("published MACs (10^6)", "公布的乘加次数（10^6）", ""))
    rows = []
    for name, cost in counts.items():
        share = 100 * cost["linear_parameters"] / cost["parameters"]
        row = [name, cost["input"], cost["first_convolution"], cost["parameters"], share]
        row.append(cost["macs"] / 1e6)
        if published:
            parameters, giga_macs = PUBLISHED[name]
            exact = isinstance(parameters, int)
            row.insert(4, f"{parameters:,}" if exact else f"{parameters / 1e6:.1f} M")
            row.append(f"{1000 * giga_macs:,.0f}" if giga_macs else "-")
        rows.append(row)
    return table(columns, rows)


def costs_figure(original: dict[str, dict], small: dict[str, dict]) -> Figure:
    """Where parameters and MACs lie: in convolutions or in linear layers; a row for each form."""
    figure, axes = subplots(2, 2, width=9.0, height=6.2, sharex=True)
    for row, (title, counts) in enumerate(
        [("as published", original), ("small form, 32 px", small)]
    ):
        names = [name for name in counts if not name.endswith("_bn")]
        for ax, what in zip(axes[row], ("parameters", "macs"), strict=True):
            _share_bars(ax, {name: counts[name] for name in names}, what)
            ax.set_title(f"{title}: {'MACs' if what == 'macs' else what}")
    for ax in axes[1]:
        ax.set_xlabel("share (%)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _share_bars(ax: Any, counts: dict[str, dict], what: str) -> None:
    names = list(counts)
    shares = [100 * c[f"linear_{what}"] / c[what] for c in counts.values()]
    rest = [100 - share for share in shares]
    ax.barh(names, rest, color=COLORS[0], label="convolutions (and normalisation)")
    ax.barh(names, shares, left=rest, color=COLORS[1], hatch="//", edgecolor="white",
            label="linear layers")  # fmt: skip
    for position, cost in enumerate(counts.values()):
        ax.text(102, position, _short(cost[what]), va="center", fontsize=8)
    ax.set_xlim(0, 122)
    ax.set_xticks(range(0, 101, 25))
    ax.invert_yaxis()
    ax.grid(False, axis="y")


def _short(number: int) -> str:
    """Three figures: 138 M, 61.7 k."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.3g} {letter}"
    return str(number)


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(__doc__, ["python chapter_04_cnn_classic/model.py"])


def experiment(args: argparse.Namespace, run: Run) -> None:
    names = [name for name in MODELS if not (args.quick and name in QUICK_LEAVES_OUT)]
    originals = [name for name in names if name in PUBLISHED]
    original = {n: count(*original_form(n)) for n in cli.progress(originals, "as published")}
    small = {name: count(*small_form(name)) for name in cli.progress(names, "small forms")}
    tables = {"main": cost_table(original, True), "small": cost_table(small, False)}
    run.save_result("model_table", {"original": original, "small": small}, tables)
    run.save_figure(costs_figure(original, small), "model_table")
    shown = {f"{name}: parameters": f"{cost['parameters']:,}" for name, cost in original.items()}
    run.finish(shown, "python chapter_04_cnn_classic/receptive_field.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
