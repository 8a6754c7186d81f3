"""One switch of a residual network at a time: which of the papers' details matter here?

What you learn: an ablation. A baseline network, and variants that differ from it in exactly one
switch of architectures/resnet.py, under one recipe, from the same seeds on the same batches.

    baseline       shortcut B (a projection where shapes change), post-activation (v1), usual first
                   weights, nothing dropped
    shortcut       none (a PlainNet), A (zeros in the new channels), C (a projection in every block)
    version        v2, pre-activation
    zero_init      every block starts as its shortcut
    drop_path      stochastic depth, 0.1 or 0.2 at the last block
    attention      squeeze-and-excitation or CBAM in every block

    python chapter_05_resnet_modern_cnn/src/exp_ablations.py                       shapes, 8 minutes
    python chapter_05_resnet_modern_cnn/src/exp_ablations.py --switches zero_init --depth 56
    python chapter_05_resnet_modern_cnn/src/exp_ablations.py --dataset cifar10 --epochs 20 \\
        --seeds 3                                                                  a day on a CPU
    python chapter_05_resnet_modern_cnn/src/exp_ablations.py --resume RUN_FOLDER   after Ctrl-C

The networks are the paper's for 32 px, but with shortcut B: under A, zero-init would leave the
channels dead that the shortcut fills with zeros. Recipe: Muon on `shapes`, elsewhere SGD with
momentum; one cycle, flips and crops.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from chapter_04_cnn_classic.recipe import Recipe
from chapter_05_resnet_modern_cnn.src import ablation_figures as figures
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CIFAR_DEPTHS
from chapter_05_resnet_modern_cnn.src.dataset import (
    ImageTask,
    load_task,
    quick_augment,
    quick_choice,
    with_pictures,
)
from chapter_05_resnet_modern_cnn.src.model import build_model
from chapter_05_resnet_modern_cnn.src.model_train import (
    add_optimizer_options,
    optimizer_of,
    train_and_judge,
)
from utils import cli
from utils.model_summary import parameter_count
from utils.results import cells, over_seeds, table
from utils.run import Run

SHAPES_PICTURES = 4000  # of the training split, by default
QUICK_WIDTHS, QUICK_PICTURES = (8, 16, 32), 96
SHORTCUT = "B"  # of the baseline, and of all variants that say nothing else


@dataclass(frozen=True)
class Variant:
    """The baseline with one switch changed; `options` are those of CifarResNet."""

    name: str
    switch: str
    title: str
    title_zh: str
    change: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        return {"shortcut": SHORTCUT} | self.change


BASELINE = Variant("baseline", "baseline", "baseline", "基线")
VARIANTS = (
    Variant("plain", "shortcut", "no shortcut", "无捷径", {"shortcut": "none"}),
    Variant("shortcut_a", "shortcut", "shortcut A", "捷径 A", {"shortcut": "A"}),
    Variant("shortcut_c", "shortcut", "shortcut C", "捷径 C", {"shortcut": "C"}),
    Variant("v2", "version", "pre-activation", "预激活", {"version": "v2"}),
    Variant("zero_init", "zero_init", "zero-init", "残差分支零初始化", {"zero_init": True}),
    Variant("drop_01", "drop_path", "drop path 0.1", "随机深度 0.1", {"drop_path": 0.1}),
    Variant("drop_02", "drop_path", "drop path 0.2", "随机深度 0.2", {"drop_path": 0.2}),
    Variant("se", "attention", "squeeze-excitation", "SE 注意力", {"attention": "se"}),
    Variant("cbam", "attention", "CBAM", "CBAM 注意力", {"attention": "cbam"}),
)
SWITCHES = tuple(dict.fromkeys(variant.switch for variant in VARIANTS))


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_05_resnet_modern_cnn/src/exp_ablations.py"
    parser = cli.make_parser(
        __doc__,
        [path, f"{path} --dataset cifar10 --epochs 20 --seeds 3"],
        device=True,
        precision=True,
    )
    group = parser.add_argument_group("comparison")
    group.add_argument("--dataset", choices=["cifar10", "shapes"], default="shapes")
    group.add_argument("--switches", nargs="+", choices=SWITCHES, default=list(SWITCHES))
    group.add_argument("--depth", type=int, choices=CIFAR_DEPTHS, default=20, help="layers")
    help_text = f"of the training split (shapes: {SHAPES_PICTURES})"
    group.add_argument("--pictures", type=cli.positive_int, help=help_text)
    group.add_argument("--seeds", type=cli.positive_int, default=1)
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, default=3)
    group.add_argument("--batch_size", type=cli.positive_int, default=32)
    add_optimizer_options(group)
    cli.add_resume_option(group, free=["switches", "seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if run.quick:
        args.pictures = quick_choice(run, QUICK_PICTURES)
        args.epochs, args.seeds = 1 if args.pictures else 4, 1
    elif args.dataset == "shapes":
        args.pictures = args.pictures or SHAPES_PICTURES
    task = load_task(args.dataset, args.data_dir, limit=args.pictures if run.quick else None)
    task = with_pictures(task, args.pictures)
    variants = [BASELINE, *(v for v in VARIANTS if v.switch in args.switches)]
    if run.quick:  # one of each switch
        variants = list({variant.switch: variant for variant in reversed(variants)}.values())[::-1]
    results: dict[str, list[dict[str, Any]]] = {variant.name: [] for variant in variants}
    for seed in range(args.seed, args.seed + args.seeds):
        for variant in variants:
            work = partial(train_one, variant, task, seed, args, run)
            results[variant.name].append(
                run.once(work, dataset=task.name, variant=variant.name, seed=seed)
            )
    report(args, run, task, variants, results)


def train_one(
    variant: Variant, task: ImageTask, seed: int, args: argparse.Namespace, run: Run
) -> dict[str, Any]:
    """One training: losses by epoch, accuracies in per cent, parameters, seconds."""
    torch.manual_seed(seed)
    options = variant.options | ({"widths": QUICK_WIDTHS} if run.quick else {})
    size = (len(task.classes), task.image_size, task.channels)
    model = build_model(f"resnet{args.depth}", *size, **options)
    recipe = Recipe(
        epochs=args.epochs,
        batch_size=args.batch_size,
        augment=quick_augment("flip,crop", args.dataset, run.quick),
        **optimizer_of(args),
    )
    label = f"{variant.title}, seed {seed}"
    row = train_and_judge(model, task, recipe, seed, args, run, label)
    parameters = parameter_count(model)
    return {"parameters": parameters} | row


def report(
    args: argparse.Namespace,
    run: Run,
    task: ImageTask,
    variants: list[Variant],
    results: dict[str, list[dict[str, Any]]],
) -> None:
    name = f"ablations_{task.name}_{args.depth}"
    titles = {v.name: (v.switch, v.title) for v in variants}
    metrics = {
        "variants": {n: over_seeds(rows) for n, rows in results.items()},
        "against_baseline": {n: gain(results, n) for n in results if n != BASELINE.name},
        "runs": results,
        "chance": 100 / len(task.classes),
        "precision": run.convolution_precision,
        "pictures": len(task.train[1]),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(variants, results)}, seeds)
    run.save_figure(figures.dots(results, titles, f"resnet{args.depth} on {task.name}"), name)
    finals = {
        f"{v.title}: test accuracy (%)": metrics["variants"][v.name]["test"][0] for v in variants
    }
    run.finish(finals, "python chapter_05_resnet_modern_cnn/src/exp_modern.py")


def gain(results: dict[str, list[dict[str, Any]]], name: str) -> tuple[float, float]:
    """Test accuracy minus the baseline's, seed by seed: (mean, deviation) in points.

    Both trainings of a seed saw the same batches, so part of the noise cancels.
    """
    pairs = zip(results[name], results[BASELINE.name], strict=True)
    return over_seeds([{"gain": row["test"] - base["test"]} for row, base in pairs])["gain"]


def result_table(
    variants: list[Variant], results: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    columns = [
        ("Variant", "变体", ""),
        ("Parameters", "参数量", ",d"),
        ("Training loss (nats)", "训练损失（nat）", ".3f"),
        ("Validation accuracy (%)", "验证准确率（%）", ".2f"),
        ("Test accuracy (%)", "测试准确率（%）", ".2f"),
        ("Against the baseline (points)", "相对基线（百分点）", ".2f"),
        ("Seconds a run", "每次训练（秒）", ".0f"),
    ]
    lines = []
    for variant in variants:
        rows = results[variant.name]
        mean = over_seeds(rows)
        scores = cells(rows, ("train_loss", "val", "test"))
        against = gain(results, variant.name)
        scores.append(against if len(rows) > 1 else against[0])
        title = {"en": variant.title, "zh": variant.title_zh}
        lines.append([title, rows[0]["parameters"], *scores, mean["seconds"][0]])
    return table(columns, lines)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
