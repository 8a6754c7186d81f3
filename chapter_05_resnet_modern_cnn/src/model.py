"""One door to all networks of this chapter.

    from chapter_05_resnet_modern_cnn.src.model import build_model, load_model
    model = build_model("resnet18", num_classes=8, image_size=96)
    model = build_model("plainnet34", num_classes=10, image_size=32)     # no shortcuts
    model = build_model("resnet50", num_classes=1000, version="v2", drop_path=0.1)
    model, checkpoint = load_model("chapter_05_resnet_modern_cnn/checkpoints/NAME.pth")

Names are torchvision's (`resnet18`, `regnet_y_400mf`, `convnext_tiny`) and ours (`plainnet18`,
`resnet20`, `plainnet56`, `wrn_28_10`). Residual networks and their switches are written in
architectures/resnet.py, their blocks in architectures/residual_block.py, every other family in a
file of its own.

As a script it counts parameters and multiply-accumulates (MACs) of one picture: in the published
form (224 px, 1,000 classes) and in the small one (32 px, 10 classes). Nothing is computed with: the
networks live on torch's "meta" device, which has shapes only.

    python chapter_05_resnet_modern_cnn/src/model.py                     half a minute
    python chapter_05_resnet_modern_cnn/src/model.py --models resnet152 efficientnet_b7
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chapter_05_resnet_modern_cnn.src.architectures import (
    convnext,
    convnext_path,
    densenet,
    efficientnet,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    regnet,
    resnet,
    resnext,
    shufflenet_v2,
    wide_resnet,
)
from chapter_05_resnet_modern_cnn.src.architectures.common import halvings_to_skip
from chapter_05_resnet_modern_cnn.src.architectures.resnet import (
    BasicBlock,
    Bottleneck,
    CifarResNet,
    ResNet,
)
from utils import cli
from utils.model_summary import summary
from utils.model_zoo import by_name, load_network
from utils.results import table
from utils.run import Run

__all__ = ["BasicBlock", "Bottleneck", "CifarResNet", "ResNet", "build_model", "load_model"]

FAMILIES = {
    "ResNet": resnet,
    "ResNeXt": resnext,
    "Wide ResNet": wide_resnet,
    "DenseNet": densenet,
    "MobileNet": mobilenet,
    "MobileNetV2": mobilenet_v2,
    "MobileNetV3": mobilenet_v3,
    "ShuffleNetV2": shufflenet_v2,
    "EfficientNet": efficientnet,
    "RegNet": regnet,
    "ConvNeXt": convnext,
    "ResNet-50 to ConvNeXt": convnext_path,
}
BUILDERS = {
    name: builder for family in FAMILIES.values() for name, builder in family.NETWORKS.items()
}
MODELS = tuple(BUILDERS)
IMAGENET_SIZE, SMALL_SIZE = 224, 32  # px
SMALL_ONLY = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "wrn_16_4", "wrn_28_10")
COUNTED = (
    *("resnet18", "resnet34", "resnet50", "resnet20", "resnet56", "resnext50_32x4d"),
    *("wide_resnet50_2", "wrn_28_10", "densenet121", "mobilenet_v1", "mobilenet_v2"),
    *("mobilenet_v3_large", "mobilenet_v3_small", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0"),
    *("efficientnet_b0", "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny"),
)


def for_small_pictures(name: str) -> bool:
    """Whether this network was published for 32 px only."""
    return name.replace("plainnet", "resnet") in SMALL_ONLY


def build_model(
    name: str,
    num_classes: int = 1000,
    image_size: int = IMAGENET_SIZE,
    channels: int = 3,
    skip: int | None = None,
    **options: Any,
) -> nn.Module:
    """A fresh network, (B, channels, H, W) -> logits (B, num_classes).

    From 128 px on it is the published form; for smaller pictures the first halvings are left out
    (`architectures/common.py`), or as many as `skip` says; networks that were made for 32 px skip
    none by themselves. `options` are the switches of the network's class. UserError for an unknown
    name; PictureTooSmall below 8 px.
    """
    builder = by_name(name, BUILDERS)
    fitting = halvings_to_skip(image_size)
    if skip is None:
        skip = 0 if for_small_pictures(name) else fitting
    return builder(num_classes, channels=channels, skip=skip, **options)


def load_model(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network of a checkpoint, in evaluation mode, and the checkpoint's dict.

    UserError where the file is missing, damaged, or holds a network of another chapter.
    """
    return load_network(path, BUILDERS, build_model)


# --- what they cost ---


def count(name: str, num_classes: int, image_size: int) -> dict[str, int]:
    """Parameters, and MACs of one colour picture of this size."""
    with torch.device("meta"):
        model = build_model(name, num_classes, image_size)
    found = summary(model, (1, 3, image_size, image_size), verbose=False)
    return {"parameters": found.parameters, "macs": found.macs}


def cost_table(costs: dict[str, dict[str, dict[str, int]]]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Parameters, 1,000 classes", "参数量，1,000 类", ""),
        ("MACs at 224 px (10^6)", "224 像素的乘加次数（10^6）", ""),
        ("Parameters, 10 classes", "参数量，10 类", ",d"),
        ("MACs at 32 px (10^6)", "32 像素的乘加次数（10^6）", ",.1f"),
    ]
    rows = []
    for name, cost in costs.items():
        large = ["-", "-"]
        if "published" in cost:
            found = cost["published"]
            large = [f"{found['parameters']:,}", f"{found['macs'] / 1e6:,.0f}"]
        rows.append([name, *large, cost["small"]["parameters"], cost["small"]["macs"] / 1e6])
    return table(columns, rows)


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_05_resnet_modern_cnn/src/model.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --models resnet152 efficientnet_b7"])
    group = parser.add_argument_group("networks")
    group.add_argument("--models", nargs="+", choices=MODELS, default=list(COUNTED), metavar="NAME")
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    names = args.models[:3] if run.quick else args.models
    costs: dict[str, dict[str, dict[str, int]]] = {}
    for name in cli.progress(names, "networks"):
        costs[name] = {"small": count(name, 10, SMALL_SIZE)}
        if not for_small_pictures(name):
            costs[name]["published"] = count(name, 1000, IMAGENET_SIZE)
    run.save_result("model_costs", {"networks": costs}, {"main": cost_table(costs)})
    shown = {f"{n}: parameters": f"{c['small']['parameters']:,}" for n, c in costs.items()}
    run.finish(shown, "python chapter_05_resnet_modern_cnn/src/model_train.py --dataset shapes")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
