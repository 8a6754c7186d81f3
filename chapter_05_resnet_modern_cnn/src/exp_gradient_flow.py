"""How much of a signal, and of a gradient, survives many layers?

What you learn: the derivation of section 2, measured. The Jacobian of the map from the first stage
to the last, J = d h_L / d h_0, has singular values. If all of them shrink with depth the gradient
vanishes; if the largest grows it explodes; if they spread over many powers of ten most directions
are lost. Without a shortcut J is a product, J = J_L ... J_1; with it, a product of (I + J_l).

    python chapter_05_resnet_modern_cnn/src/exp_gradient_flow.py                  about 6 minutes
    python chapter_05_resnet_modern_cnn/src/exp_gradient_flow.py --depth 110 --epochs 0

At the start of the training, and after some epochs on `shapes`: plain and residual networks, with
BatchNorm, without it, and residual ones whose blocks start at zero.

The singular values are exact, of a part of J: its rows are the channels of the last map, averaged
over the places, for one picture; its columns all numbers of the map after the stem.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.image_tasks import eval_batches
from chapter_04_cnn_classic.recipe import Recipe
from chapter_05_resnet_modern_cnn.src import gradient_figures as figures
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CIFAR_DEPTHS, BasicBlock
from chapter_05_resnet_modern_cnn.src.dataset import ImageTask, load_task
from chapter_05_resnet_modern_cnn.src.model import build_model
from utils import cli
from utils.modes import training
from utils.results import table
from utils.run import Run

PROBE = 16  # pictures of the batch that everything is measured on
QUICK_ROWS = 8  # of the Jacobian
FLOOR = 1e-7  # of the largest singular value: what lies below is float32's rounding


@dataclass(frozen=True)
class Variant:
    """One network of the comparison; `norm` False takes BatchNorm out."""

    name: str
    title: str
    title_zh: str
    kind: str
    norm: bool = True
    zero_init: bool = False


VARIANTS = (
    Variant("plain_bn", "plain, BatchNorm", "普通，批归一化", "plainnet"),
    Variant("plain", "plain, none", "普通，无归一化", "plainnet", norm=False),
    Variant("residual_bn", "residual, BatchNorm", "残差，批归一化", "resnet"),
    Variant("residual", "residual, none", "残差，无归一化", "resnet", norm=False),
    Variant("residual_zero", "residual, zero-init", "残差，分支零初始化", "resnet", zero_init=True),
)


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_05_resnet_modern_cnn/src/exp_gradient_flow.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --depth 110 --epochs 0"], device=True)
    group = parser.add_argument_group("comparison")
    group.add_argument("--depth", type=int, choices=CIFAR_DEPTHS, default=32)
    group.add_argument("--epochs", type=cli.non_negative_int, default=3, help="0: only the start")
    group.add_argument("--pictures", type=cli.positive_int, default=4000, help="of shapes")
    group.add_argument("--seeds", type=cli.positive_int, default=1)
    group.add_argument("--lr", type=cli.positive_float, default=0.05, help="highest learning rate")
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if run.quick:
        args.epochs, args.pictures = 0, 128  # the start says it all
    task = load_task("shapes", limit=args.pictures)
    results: dict[str, list[dict[str, Any]]] = {}
    for variant in VARIANTS:
        results[variant.name] = []
        for seed in range(args.seed, args.seed + args.seeds):
            row = follow(variant, task, seed, args, run)
            run.log(variant=variant.name, seed=seed, **row)
            results[variant.name].append(row)
    report(args, run, results)


def follow(
    variant: Variant, task: ImageTask, seed: int, args: argparse.Namespace, run: Run
) -> dict[str, Any]:
    """Gradients and singular values before and after the training, and how the loss fell."""
    torch.manual_seed(seed)
    options = {"zero_init": variant.zero_init}
    model = build_model(f"{variant.kind}{args.depth}", len(task.classes), 32, **options)
    if not variant.norm:
        without_norm(model)
    model.to(run.device)
    rows = QUICK_ROWS if run.quick else None
    row: dict[str, Any] = {"start": measure(model, task, rows)}
    row["train_losses"] = []
    if args.epochs:
        recipe = Recipe(args.epochs, 32, args.lr, "sgd", weight_decay=1e-4, clip_norm=1.0)
        label = f"{variant.name} seed {seed}"
        history = recipes.train(model, task, recipe, seed, device=run.device, label=label)
        row["train_losses"] = [e["train_loss"] for e in history.epochs]
        row["end"] = measure(model, task, rows)
    return row


def without_norm(model: nn.Module) -> None:
    """Take every BatchNorm out, in place; its convolution gets a bias instead."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, Bias(child.num_features))


class Bias(nn.Module):
    """What is left of BatchNorm without its normalisation and scale: (B, C, H, W) + b (C,)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias[:, None, None]


def measure(model: nn.Module, task: ImageTask, rows: int | None = None) -> dict[str, Any]:
    """Deviation of the signal and norm of the gradient after each block, and singular values.

    `rows` of the Jacobian are computed, by default all.

    In training mode, as the training meets them; running means are put back.
    """
    device = next(model.parameters()).device
    images, labels = next(iter(eval_batches(task, "train", PROBE)))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with training(model):
        maps = block_outputs(model, images.to(device))
    loss = F.cross_entropy(maps.pop("logits"), labels.to(device))
    gradients = torch.autograd.grad(loss, list(maps.values()), retain_graph=True)
    found = {
        "signal": [h.detach().std().item() for h in maps.values()],
        "gradient": [g.norm().item() for g in gradients],
        "singular_values": singular_values(maps, rows),
        "loss": loss.item(),
    }
    model.load_state_dict(state)
    return found


def block_outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The map after the stem and after each block, by name, and the logits."""
    maps: dict[str, Tensor] = {}

    def remember(name: str):
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            maps[name] = output

        return hook

    watched = {name: m for name, m in model.named_modules() if isinstance(m, BasicBlock)}
    watched = {"stem": model.relu} | watched
    handles = [m.register_forward_hook(remember(name)) for name, m in watched.items()]
    try:
        maps["logits"] = model(x)
    finally:
        for handle in handles:
            handle.remove()
    return maps


def singular_values(maps: dict[str, Tensor], rows: int | None = None) -> list[float]:
    """Of d (mean over places of the last map) / d (the stem's map), largest first, first picture.

    The Jacobian (64, 16 * 32 * 32) is computed row by row: a backward pass for each channel.
    """
    first, *_, last = maps.values()
    pooled = last.mean(dim=(2, 3))[0]  # (64,)
    if rows:  # spread over the channels: the outer ones may all be padding
        pooled = pooled[torch.linspace(0, len(pooled) - 1, rows).long()]
    jacobian = torch.stack(
        [torch.autograd.grad(one, first, retain_graph=True)[0][0].flatten() for one in pooled]
    ).double()  # (64, 16 * 32 * 32)
    values = torch.linalg.eigvalsh(jacobian @ jacobian.T).clamp(min=0).sqrt()
    return values.clamp(min=FLOOR * values.max().item()).flip(0).tolist()


def report(args: argparse.Namespace, run: Run, results: dict[str, list[dict[str, Any]]]) -> None:
    titles = {v.name: v.title for v in VARIANTS}
    metrics = {
        "variants": {name: summary(rows) for name, rows in results.items()},
        "runs": results,
        "depth": args.depth,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result("gradient_flow", metrics, {"main": result_table(metrics["variants"])}, seeds)
    run.save_figure(figures.flow(results, titles, args.depth), "gradient_flow")
    run.save_figure(figures.spectra(results, titles, args.depth), "gradient_flow_spectra")
    finals = {
        f"{n}: gradient, stem / last block": m["ratio"] for n, m in metrics["variants"].items()
    }
    run.finish(finals, "python chapter_05_resnet_modern_cnn/src/exp_unravelled.py")


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the seeds, of the network before its training; `final_loss` after it."""

    def mean(values: list[float]) -> float:
        return float(np.exp(np.mean(np.log(np.maximum(values, 1e-300)))))

    starts = [row["start"] for row in rows]
    losses = [row["train_losses"][-1] for row in rows if row["train_losses"]]
    return {
        "signal": mean([s["signal"][-1] / s["signal"][0] for s in starts]),
        "ratio": mean([s["gradient"][0] / s["gradient"][-1] for s in starts]),
        "largest": mean([s["singular_values"][0] for s in starts]),
        "condition": mean([condition(s["singular_values"]) for s in starts]),
        "final_loss": float(np.mean(losses)) if losses else float("nan"),
    }


def condition(values: list[float]) -> float:
    """Largest over smallest singular value; of a map that passes nothing on, what the floor is."""
    return values[0] / values[-1] if values[-1] > 0 else 1 / FLOOR


def result_table(variants: dict[str, dict[str, float]]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Signal, last block / stem", "信号，末块 / 起始层", ".3g"),
        ("Gradient, stem / last block", "梯度，起始层 / 末块", ".3g"),
        ("Largest singular value", "最大奇异值", ".3g"),
        ("Largest / smallest", "最大 / 最小", ".3g"),
        ("Training loss at the end (nats)", "最后的训练损失（nat）", ".3f"),
    ]
    names = {v.name: {"en": v.title, "zh": v.title_zh} for v in VARIANTS}
    keys = ("signal", "ratio", "largest", "condition", "final_loss")
    return table(columns, [[names[n], *[row[k] for k in keys]] for n, row in variants.items()])


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
