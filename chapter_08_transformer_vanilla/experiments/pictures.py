"""A Vision Transformer and a ResNet on the same pictures for the same minutes.

Both are trained by chapter 4's recipe, with chapter 3's loop. The minutes are those of an idle
machine: the speed of each network is measured once, and the number of epochs follows from it, so
that a busy machine trains longer, not less. An epoch is as many pictures as the whole training part
has, also where a network may see only some of them: then these come again and again, and all
trainings of a network have the same number of steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chapter_03_optimization_regularization.training import classification_loss
from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.exp_data_size import balanced_order, repeated
from chapter_04_cnn_classic.image_tasks import ImageTask, facts_of, train_batches
from chapter_04_cnn_classic.recipe import Recipe
from chapter_05_resnet_modern_cnn.src.model import build_model as build_resnet
from chapter_08_transformer_vanilla.vit import ViT
from utils.device import autocast
from utils.file_io_util import read_json, write_json
from utils.model_summary import parameter_count
from utils.model_zoo import load_network
from utils.run import Run

SPEED_SECONDS = 8
MEASURED_STEPS = 6  # at least
SIZES = ("patch", "width", "heads", "layers", "ffn", "places")  # of the ViT, as on the command
RESNET = "resnet20"  # chapter 5's for 32 px, 0.27 M parameters
# Chapter 5's best for it on CIFAR-10, and for as long: results/resnet_cifar10_20.json.
RESNET_RECIPE = Recipe(
    batch_size=128, lr=0.02, optimizer="muon", weight_decay=0.05, augment="flip,crop"
)


def vit(num_classes: int, image_size: int, channels: int, **sizes: Any) -> ViT:
    return ViT(num_classes, image_size, channels=channels, **sizes)


def resnet(num_classes: int, image_size: int, channels: int) -> nn.Module:
    return build_resnet(RESNET, num_classes, image_size, channels)


BUILDERS: dict[str, Callable[..., nn.Module]] = {"vit": vit, "resnet": resnet}


def build_model(name: str, **facts: Any) -> nn.Module:
    """A fresh network, (B, C, H, W) -> logits (B, K); facts: as in an architecture's dict."""
    return BUILDERS[name](**facts)


def load_model(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint of train_vit.py, in evaluation mode, and all of the file."""
    return load_network(path, BUILDERS, build_model)


def architecture_of(network: str, args: argparse.Namespace, task: ImageTask) -> dict[str, Any]:
    """What `build_model` needs."""
    sizes = {name: getattr(args, name) for name in SIZES} if network == "vit" else {}
    return task.architecture(network) | sizes


def recipe_of(network: str, args: argparse.Namespace, epochs: int) -> Recipe:
    """A ViT's recipe comes from the command, a ResNet's from chapter 5; augmentation is shared."""
    if network == "resnet":
        batch = min(args.batch_size, RESNET_RECIPE.batch_size)
        return replace(RESNET_RECIPE, epochs=epochs, augment=args.augment, batch_size=batch)
    return Recipe(
        epochs=epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        optimizer=args.optimizer,
        weight_decay=args.weight_decay,
        label_smoothing=args.label_smoothing,
        augment=args.augment,
        clip_norm=1.0,
    )


def pictures_per_second(
    model: nn.Module, task: ImageTask, recipe: Recipe, run: Run, seconds: float
) -> float:
    """Batches, forward, backward and update for some seconds; the quickest tenth of the steps.

    A step takes the time of the clock or of the processor, whichever is less: what else the machine
    does must not decide how long a network is trained.
    """
    model.to(device=run.device, memory_format=torch.channels_last)
    optimizer, loss_fn = recipes.make_optimizer(model, recipe), classification_loss()
    times: list[float] = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(times) < MEASURED_STEPS:
        begun = now()
        for x, y in train_batches(task, recipe.batch_size, 0, recipe.augment):
            x, y = x.to(run.device), y.to(run.device)
            with autocast(run.device, run.precision):
                loss, _ = loss_fn(model, (x, y))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()  # waits for an accelerator
            ended = now()
            times.append(min(b - a for a, b in zip(begun, ended, strict=True)) / len(y))
            begun = ended
            if ended[0] - started >= seconds and len(times) >= MEASURED_STEPS:
                break
    times = sorted(times[1:])  # the first step also allocates
    return 1 / times[len(times) // 10]


def now() -> tuple[float, ...]:
    """Seconds by the clock; on a machine of CPUs alone also those of all threads together."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return (time.perf_counter(),)
    return time.perf_counter(), time.process_time()


def plan(network: str, args: argparse.Namespace, task: ImageTask, run: Run) -> dict[str, Any]:
    """{"epochs", "pictures_per_second" or None, "threads"}: --epochs, or what --minutes hold.

    The measurement is written down, and a resumed run goes by it.
    """
    if args.epochs is not None:
        return {"epochs": args.epochs, "pictures_per_second": None, "threads": None}
    path = run.folder / network / "speed.json"
    if not path.is_file():
        torch.manual_seed(args.seed)
        model = build_model(**named(architecture_of(network, args, task)))
        recipe = recipe_of(network, args, 1)
        speed = pictures_per_second(model, task, recipe, run, SPEED_SECONDS)
        epochs = max(1, round(60 * args.minutes * speed / len(task.train[1])))
        path.parent.mkdir(exist_ok=True)
        facts = {"epochs": epochs, "pictures_per_second": speed}
        write_json(path, facts | {"threads": torch.get_num_threads()})
    planned = read_json(path)
    print(
        f"{network}: {planned['pictures_per_second']:,.0f} pictures/s on {planned['threads']} "
        f"threads: {planned['epochs']} epochs take {args.minutes:g} minutes",
        flush=True,
    )
    return planned


def named(architecture: dict[str, Any]) -> dict[str, Any]:
    """An architecture's dict as arguments of `build_model`."""
    facts = dict(architecture)
    return {"name": facts.pop("model"), **facts}


def part_of(task: ImageTask, pictures: int, seed: int) -> ImageTask:
    """The task with `pictures` of its training part, all classes alike, as long as the whole.

    Parts of one seed are nested. All of them: the task as it is.
    """
    x, y = task.train
    if pictures >= len(y):
        return task
    rows = repeated(balanced_order(y, seed)[:pictures], len(y), seed)  # (N,)
    return replace(task, train=(x[rows], y[rows]))


def folder_of(run: Run, network: str, pictures: int, seed: int) -> Path:
    return run.folder / network / f"{pictures}_seed_{seed}"


def train_one(
    network: str,
    pictures: int,
    seed: int,
    epochs: int,
    args: argparse.Namespace,
    task: ImageTask,
    run: Run,
) -> dict[str, Any]:
    """One training in its own folder, resumed if it has a last.pth and --resume is given; what came
    of it, in per cent.

    The network is the one of the epoch that was best on the validation part.
    """
    torch.manual_seed(seed)
    architecture = architecture_of(network, args, task)
    model = build_model(**named(architecture))
    folder = folder_of(run, network, pictures, seed)
    history = recipes.train(
        model,
        part_of(task, pictures, seed),
        recipe_of(network, args, epochs),
        seed,
        device=run.device,
        precision=run.precision,
        folder=folder,
        label=f"{network}, {pictures:,} pictures, seed {seed}",
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        save_every=200,
        compile=args.compile,
        tensorboard=args.tensorboard,
        facts={"architecture": architecture, "dataset": task.name, **facts_of(task)},
    )
    test = recipes.accuracy(model, task, device=run.device, precision=run.precision)
    return {
        "test": 100 * test,
        "val": 100 * history.best_row()["val_accuracy"],
        "train": 100 * history.epochs[-1]["train_accuracy"],
        "curve": [100 * row["val_accuracy"] for row in history.epochs],
        "seconds": history.seconds,
        "parameters": parameter_count(model),
        "architecture": architecture,
    }
