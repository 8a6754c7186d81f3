"""CIFAR-10 as fast as two CPU cores allow: seconds against accuracy.

What you learn: a fixed budget of seconds changes every choice. Not "what is the best network" but
"what buys the most accuracy for a second": a whitened first layer instead of waiting for one to be
learnt, small pictures while the network is still crude, orthogonalised steps (Muon, chapter 3),
flips that never show a picture twice the same way, and averaging over shifted views at the end.

    python chapter_04_cnn_classic/speedrun.py                            CIFAR-10, three budgets
    python chapter_04_cnn_classic/speedrun.py --budgets 3 --widths 32,96,160
    python chapter_04_cnn_classic/speedrun.py --dataset shapes --budgets 4        embedded

Everything after the data is in memory counts as time: whitening, training, and the test with its
views. Settings were chosen on the validation split; `--use_val` then trains on all 50,000 pictures.

The ideas are those of airbench (Jordan 2024, arXiv 2404.00498) and its forerunners (Page 2018),
written anew for a CPU; small pictures first are progressive resizing (Howard 2018).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_03_optimization_regularization.optimizers import Muon
from chapter_04_cnn_classic.augmentation import RandomCrop
from chapter_04_cnn_classic.image_tasks import ImageTask, load_task, standardize, to_pixels
from chapter_04_cnn_classic.speedrun_network import SpeedNet
from utils import cli, plotting
from utils.checkpoint import load_checkpoint, load_state
from utils.device import autocast, pick_precision
from utils.errors import UserError
from utils.progress import progress
from utils.run import Run, table
from utils.seed import generator

SHIFT = 2  # px, of the crops in training
VIEWS = (1, 2, 6)  # of a test picture: itself, its mirror image, both shifted to two corners


@dataclass(frozen=True)
class Settings:
    """Everything that decides a speedrun but the data and the seed.

    small_share: part of the epochs on pictures of `small_size`. muon_lr: relative step of the
    convolutions' matrices, whose norms are kept. head_lr, bias_lr: of Nesterov's method.
    whiten_bias_epochs: the first layer's bias is then frozen as well.
    """

    epochs: float
    batch_size: int = 500
    widths: tuple[int, ...] = (48, 160, 256)
    small_size: int = 24
    small_share: float = 0.5
    muon_lr: float = 0.24
    muon_momentum: float = 0.6
    head_lr: float = 2.0
    bias_lr: float = 5.0
    momentum: float = 0.85
    label_smoothing: float = 0.2
    whiten_bias_epochs: int = 3


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/speedrun.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --dataset shapes --budgets 4"])
    group = parser.add_argument_group("speedrun")
    group.add_argument("--dataset", choices=["cifar10", "shapes"], default="cifar10")
    group.add_argument("--budgets", type=floats, default=[2, 4, 7], help="epochs of each training")
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="runs of each budget")
    group.add_argument("--widths", type=widths, default=Settings.widths, help="channels by block")
    group.add_argument("--batch_size", type=cli.positive_int, default=Settings.batch_size)
    group.add_argument("--small_share", type=cli.fraction, default=Settings.small_share)
    group.add_argument("--small_size", type=cli.positive_int, default=Settings.small_size)
    group.add_argument("--muon_lr", type=cli.positive_float, default=Settings.muon_lr)
    group.add_argument("--head_lr", type=cli.positive_float, default=Settings.head_lr)
    group.add_argument("--bias_lr", type=cli.positive_float, default=Settings.bias_lr)
    group.add_argument("--use_val", action="store_true", help="train on the validation split too")
    return parser


def floats(text: str) -> list[float]:
    """ "2,4,7" -> [2.0, 4.0, 7.0]."""
    values = [cli.positive_float(word) for word in text.split(",")]
    return values


def widths(text: str) -> tuple[int, ...]:
    """ "48,160,256" -> (48, 160, 256)."""
    return tuple(cli.positive_int(word) for word in text.split(","))


class SpeedData:
    """The training pictures, standardised a batch at a time, in two sizes.

    Flips alternate: a random half of the pictures is mirrored in even epochs, the other half in
    odd ones. A coin a picture and epoch would show a quarter of the pictures the same way twice in
    a row, and in a training of few epochs every view counts (Jordan 2024).
    """

    def __init__(self, task: ImageTask, settings: Settings, seed: int, use_val: bool) -> None:
        splits = [task.train, task.val] if use_val else [task.train]
        self.images = torch.cat([split[0] for split in splits])  # (N, 3, H, W) uint8
        self.labels = torch.cat([split[1] for split in splits])
        self.task, self.settings, self.seed = task, settings, seed
        self.crop = RandomCrop(SHIFT)
        self.mirrored = torch.rand(len(self.labels), generator=generator(seed)) < 0.5  # (N,)

    def __len__(self) -> int:
        """Whole batches in an epoch."""
        return len(self.labels) // self.settings.batch_size

    def batches(self, total_steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`total_steps` batches, the small ones first."""
        small_steps = round(self.settings.small_share * total_steps)
        for step in range(total_steps):
            epoch, place = divmod(step, len(self))
            if place == 0:
                order = torch.randperm(
                    len(self.labels), generator=generator(self.seed * 1000 + epoch)
                )
            rows = order[place * self.settings.batch_size :][: self.settings.batch_size]
            mirror = self.mirrored[rows] ^ bool(epoch % 2)
            x = standardize(to_pixels(self.images[rows]), self.task)
            x = torch.where(mirror[:, None, None, None], x.flip(3), x)
            x = self.crop(x, generator(self.seed * 100_000 + step))
            if step < small_steps and self.settings.small_size < x.shape[3]:
                x = shrink(x, self.settings.small_size)
            yield x.contiguous(memory_format=torch.channels_last), self.labels[rows]


def shrink(x: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), without aliasing."""
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)


class Optimizers:
    """Muon for the convolutions, Nesterov's method for the head and the biases, in one schedule.

    The rate falls linearly to zero, after a short rise of the head and bias rates.
    """

    def __init__(self, model: SpeedNet, settings: Settings) -> None:
        convolutions = [
            m.weight for m in model.blocks.modules() if type(m).__name__ == "MatrixConv2d"
        ]
        biases = [m.bias for m in model.blocks.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        self.matrices, self.whiten_bias = convolutions, model.whiten.bias
        self.muon = Muon(
            convolutions,
            lr=settings.muon_lr,
            momentum=settings.muon_momentum,
            weight_decay=0.0,
            ns_steps=3,
            ns_dtype=torch.float32,
        )
        groups = [
            {"params": [model.head.weight], "lr": settings.head_lr},
            {"params": biases, "lr": settings.bias_lr},
            {"params": [model.whiten.bias], "lr": settings.bias_lr},
        ]
        self.sgd = torch.optim.SGD(groups, lr=1.0, momentum=settings.momentum, nesterov=True)
        self.rates = [
            (group, group["lr"]) for o in (self.muon, self.sgd) for group in o.param_groups
        ]

    def step(self, share: float) -> None:
        """Update; `share` of the training is done."""
        for group, rate in self.rates:
            group["lr"] = rate * (1 - share)
        self.muon.step()
        self.sgd.step()
        with torch.no_grad():  # BatchNorm makes the scale meaningless: keep each row's norm near 1
            for weight in self.matrices:
                weight.mul_(len(weight) ** 0.5 / weight.norm())
        self.muon.zero_grad()
        self.sgd.zero_grad()


def train(
    task: ImageTask, settings: Settings, seed: int, use_val: bool, precision: str
) -> SpeedNet:
    """The whole training, from the whitening on."""
    torch.manual_seed(seed)
    data = SpeedData(task, settings, seed, use_val)
    total = round(settings.epochs * len(data))
    model = SpeedNet(settings.widths, len(task.classes)).to(memory_format=torch.channels_last)
    model.whiten_(standardize(to_pixels(data.images[:5000]), task))
    optimizers = Optimizers(model, settings)
    model.train()
    shown = progress(data.batches(total), f"{settings.epochs:g} epochs", total)
    for step, (x, y) in enumerate(shown):
        model.whiten.bias.requires_grad_(step < settings.whiten_bias_epochs * len(data))
        with autocast(torch.device("cpu"), precision):
            logits = model(x)  # (B, K)
        F.cross_entropy(logits.float(), y, label_smoothing=settings.label_smoothing).backward()
        optimizers.step(step / total)
    return model


@torch.no_grad()
def predict(model: SpeedNet, task: ImageTask, split: str, views: int, precision: str) -> Tensor:
    """Logits (N, K), averaged over 1, 2 (mirror) or 6 views (mirror, and shifts by 1 px)."""
    model.eval()
    rows = []
    for images in getattr(task, split)[0].split(500):
        x = standardize(to_pixels(images), task)
        with autocast(torch.device("cpu"), precision):
            rows.append(sum(weight * model(view).float() for weight, view in views_of(x, views)))
    return torch.cat(rows)


def views_of(x: Tensor, count: int) -> Iterator[tuple[float, Tensor]]:
    """(weight, pictures): the picture, its mirror image, and both shifted to two corners."""
    shifts = [(0, 0), (-1, -1), (1, 1)] if count == 6 else [(0, 0)]
    mirrors = (False,) if count == 1 else (False, True)
    padded = F.pad(x, [1] * 4, mode="reflect")
    height, width = x.shape[2:]
    for down, right in shifts:
        moved = padded[:, :, 1 + down :, 1 + right :][:, :, :height, :width]
        moved = moved.contiguous(memory_format=torch.channels_last)
        weight = (0.5 if (down, right) == (0, 0) else 0.25) if count == 6 else 1.0
        for mirror in mirrors:
            yield weight, moved.flip(3) if mirror else moved


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return 100 * (logits.argmax(dim=1) == labels).float().mean().item()


def race(
    task: ImageTask, settings: Settings, seed: int, use_val: bool, precision: str
) -> tuple[SpeedNet, dict[str, float]]:
    """One training and its tests: seconds, and accuracies in per cent by number of views.

    With `use_val` the validation split was trained on, and the test split judges; else validation.
    """
    started = time.perf_counter()
    model = train(task, settings, seed, use_val, precision)
    result = {"seconds_training": time.perf_counter() - started}
    split = "test" if use_val else "val"
    for views in VIEWS:
        began = time.perf_counter()
        logits = predict(model, task, split, views, precision)
        result[f"accuracy_{views}"] = accuracy(logits, getattr(task, split)[1])
        result[f"seconds_test_{views}"] = time.perf_counter() - began
    result["seconds"] = result["seconds_training"] + result[f"seconds_test_{VIEWS[-1]}"]
    return model, result


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.budgets, args.widths, args.batch_size = [2.0, 4.0], (16, 32, 64), 50
    task = load_task(args.dataset, args.data_dir, limit=500 if args.quick else None)
    if task.channels != 3:
        raise UserError("the speedrun's first layer reads colour pictures.")
    precision = pick_precision(torch.device("cpu"), args.precision, convolutions=True)
    rows, best = [], None
    for epochs in args.budgets:
        settings = settings_of(args, epochs)
        runs = []
        for seed in range(args.seed, args.seed + args.seeds):
            model, result = race(task, settings, seed, args.use_val, precision)
            run.log(epochs=epochs, seed=seed, **result)
            runs.append(result)
            if best is None or settings.epochs > best[1].epochs:
                best = (model, settings, result)
        rows.append((settings, runs))
    report(args, run, task, rows, best, precision)


def settings_of(args: argparse.Namespace, epochs: float) -> Settings:
    names = ("batch_size", "widths", "small_share", "small_size", "muon_lr", "head_lr", "bias_lr")
    return Settings(epochs=epochs, **{name: getattr(args, name) for name in names})


def report(args, run: Run, task: ImageTask, rows: list, best: tuple, precision: str) -> None:
    """The table of seconds against accuracy, its picture, and the first longest run's weights."""
    model, settings, result = best
    split = "test" if args.use_val else "validation"
    name = f"speedrun_{task.name}"
    run.save_figure(seconds_figure(rows, task.name, split), name)
    metrics = {
        "runs": {f"{s.epochs:g}": runs for s, runs in rows},
        "means": {f"{s.epochs:g}": means(runs) for s, runs in rows},
        "longest": means(rows[-1][1]),
        "settings": asdict(settings),
        "split": split,
        "precision": precision,
        "parameters": sum(p.numel() for p in model.parameters()),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": speed_table(rows)}, seeds)
    run.save_checkpoint(
        f"{task.name}_speedrun.pth",
        model.state_dict(),
        architecture={
            "model": "speedrun",
            "num_classes": len(task.classes),
            "widths": list(settings.widths),
        },
        dataset=task.name,
        metrics={f"{split}_accuracy": result[f"accuracy_{VIEWS[-1]}"]},
        task=f"classification into {len(task.classes)} classes, {VIEWS[-1]} views",
        classes=list(task.classes),
        mean=task.mean.tolist(),
        std=task.std.tolist(),
        origin=task.origin,
        parameters=metrics["parameters"],
        seconds=result["seconds"],
    )
    finals = {
        f"{split} accuracy (%)": metrics["longest"][f"accuracy_{VIEWS[-1]}"],
        "seconds": metrics["longest"]["seconds"],
    }
    run.finish(finals, next_command="python chapter_04_cnn_classic/exp_ladder.py")


def means(runs: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every value over the runs of one budget, and the accuracies' deviation."""
    result = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    for views in VIEWS:
        key = f"accuracy_{views}"
        result[f"{key}_std"] = float(np.std([run[key] for run in runs]))
    return result


def speed_table(rows: list[tuple[Settings, list[dict[str, float]]]]) -> dict[str, Any]:
    columns = [
        ("Epochs", "训练轮数", "g"),
        ("Training (s)", "训练（秒）", ".0f"),
        ("Test, 6 views (s)", "6 视图测试（秒）", ".0f"),
        ("1 view (%)", "1 个视图（%）", ".2f"),
        ("Mirrored (%)", "加镜像（%）", ".2f"),
        ("6 views (%)", "6 个视图（%）", ".2f"),
    ]
    lines = []
    for settings, runs in rows:
        mean = means(runs)
        cells = [(mean[f"accuracy_{v}"], mean[f"accuracy_{v}_std"]) for v in VIEWS]
        if len(runs) == 1:
            cells = [cell[0] for cell in cells]
        seconds = [mean["seconds_training"], mean[f"seconds_test_{VIEWS[-1]}"]]
        lines.append([settings.epochs, *seconds, *cells])
    return table(columns, lines)


def seconds_figure(
    rows: list[tuple[Settings, list[dict[str, float]]]], name: str, split: str
) -> Any:
    """Accuracy against seconds, a point a run, a line through the means for 1 and 6 views."""
    figure, ax = plotting.subplots(width=6.4, height=3.8)
    for views, color in ((VIEWS[0], plotting.COLORS[1]), (VIEWS[-1], plotting.COLORS[0])):
        seconds = [
            [r["seconds_training"] + r[f"seconds_test_{views}"] for r in runs] for _, runs in rows
        ]
        values = [[r[f"accuracy_{views}"] for r in runs] for _, runs in rows]
        centre = [float(np.mean(s)) for s in seconds], [float(np.mean(v)) for v in values]
        ax.plot(*centre, color=color, marker="o", label=f"{views} view{'s' * (views > 1)}")
        ax.plot(np.ravel(seconds), np.ravel(values), ".", color=color, alpha=0.6)
    for (settings, _), x, y in zip(rows, *centre, strict=True):
        ax.annotate(
            f"{settings.epochs:g} epochs",
            (x, y),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set(
        xlabel="seconds, training and test",
        ylabel=f"{split} accuracy (%)",
        title=f"Speedrun on {name}",
    )
    ax.margins(0.12)
    ax.legend(loc="lower right")
    return figure


def evaluate_checkpoint(path: Path, data_dir: str | None) -> dict[str, float]:
    """The shipped network's accuracy in per cent with all views, from the data."""
    checkpoint = load_checkpoint(path)
    facts = checkpoint["architecture"]
    model = SpeedNet(facts["widths"], facts["num_classes"])
    load_state(model, checkpoint["state"], path)
    task = load_task(checkpoint["dataset"], data_dir)
    logits = predict(model, task, "test", VIEWS[-1], "fp32")
    return {"test_accuracy": accuracy(logits, task.test[1])}


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
