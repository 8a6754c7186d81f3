"""How this chapter trains a network: the settings in one place, and the call of chapter 3's `fit`.

    task = load_task("shapes")
    model = build_model("simple_cnn", 10, task.image_size, task.channels)
    history = train(model, task, Recipe(epochs=12), seed=0)
    accuracy(model, task, "test")

A comparison of networks is fair only if nothing else differs. So a recipe is a value: experiments
make one, change one field with `dataclasses.replace`, and publish it beside the result.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization import schedulers
from chapter_03_optimization_regularization.optimizers.muon import MuonWithAdamW
from chapter_03_optimization_regularization.regularization import EMA
from chapter_03_optimization_regularization.training import History, classification_loss, fit
from chapter_04_cnn_classic.augmentation import build
from chapter_04_cnn_classic.image_tasks import ImageTask, eval_batches, train_batches
from utils.device import autocast
from utils.modes import evaluating


def augmentations(text: str) -> str:
    """Type of --augment: "flip,crop:4" as it is, "none" as "", checked when the command is read."""
    names = "" if text == "none" else text
    try:
        build(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training besides the network, the data and the seed.

    lr: the highest learning rate. weight_decay: of weights only, not of biases and normalisations.
    augment: names for `augmentation.build`. mix: "", "mixup" or "cutmix". ema_decay: 0 is off.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    schedule: str = "one_cycle"
    label_smoothing: float = 0.0
    augment: str = ""
    mix: str = ""
    ema_decay: float = 0.0
    clip_norm: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


OPTIMIZERS = {  # chapter 3 builds these by hand; here PyTorch's fast versions, and our own Muon
    "gd": lambda groups, lr: torch.optim.SGD(groups, lr=lr),
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
    "adam": lambda groups, lr: torch.optim.Adam(groups, lr=lr),
    "adamw": lambda groups, lr: torch.optim.AdamW(groups, lr=lr),
    "muon": None,  # needs the model: see make_optimizer
}
SCHEDULES = ("constant", "cosine", "one_cycle")


def default_lr(model: str) -> float:
    """A highest rate of Adam's family that suits the network: BatchNorm stands larger steps.

    The better of 0.001 and 0.004 on the validation split of `shapes` (exp_architectures.py --lr).
    """
    normed = model.endswith("_bn") or model in ("simple_cnn", "googlenet")
    return 4e-3 if normed else 1e-3


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights (two or more axes) with decay; biases and normalisations without."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser. "gd" is plain gradient descent, "sgd" has Nesterov's momentum.

    "muon" leaves the classifier, biases and normalisations to AdamW, with the same rate.
    """
    if recipe.optimizer == "muon":
        return MuonWithAdamW(model, recipe.lr, matrix_decay=recipe.weight_decay)
    groups = parameter_groups(model, recipe.weight_decay)
    return OPTIMIZERS[recipe.optimizer](groups, recipe.lr)


def make_scheduler(recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """The learning rate as a function of the step; None keeps it constant."""
    if recipe.schedule == "one_cycle":
        group = optimizer.param_groups[0]
        momentum = group.get("momentum", 0) > 0 or "betas" in group  # cycled against the rate
        return schedulers.OneCycleLR(
            optimizer, max_lr=recipe.lr, total_steps=steps, cycle_momentum=momentum
        )
    if recipe.schedule == "cosine":
        return schedulers.CosineWithWarmup(optimizer, warmup_steps=0, total_steps=steps)
    if recipe.schedule == "constant":
        return None
    raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {recipe.schedule!r}")


def train(
    model: nn.Module,
    task: ImageTask,
    recipe: Recipe,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    folder: Path | None = None,
    label: str = "",
    **fit_options: Any,
) -> History:
    """Train `model` in place; it ends with the weights of the best epoch on the validation split.

    The memory format is channels_last: convolution kernels read the C numbers of a pixel together,
    which is faster on most processors and changes no result beyond rounding. `fit_options` go to
    chapter 3's `fit` (resume, save_every, compile, tensorboard, facts, on_epoch).
    """
    model.to(device=device, memory_format=torch.channels_last)
    batches = train_batches(task, recipe.batch_size, seed, recipe.augment, recipe.mix)
    optimizer = make_optimizer(model, recipe)
    return fit(
        model,
        classification_loss(recipe.label_smoothing),
        optimizer,
        batches,
        epochs=recipe.epochs,
        val=eval_batches(task, "val"),
        scheduler=make_scheduler(recipe, optimizer, recipe.epochs * len(batches)),
        clip_norm=recipe.clip_norm,
        ema=EMA(model, recipe.ema_decay) if recipe.ema_decay else None,
        monitor="accuracy",
        mode="max",
        restore_best=True,
        device=device,
        precision=precision,
        folder=folder,
        label=label,
        **fit_options,
    )


@torch.no_grad()
def predict(
    model: nn.Module,
    task: ImageTask,
    split: str = "test",
    *,
    mirror: bool = False,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
) -> Tensor:
    """Logits (N, classes) on the CPU, in evaluation mode; the model's mode is restored.

    `mirror` adds those of the mirrored pictures: test-time augmentation.
    """
    device, rows = torch.device(device), []
    with evaluating(model):
        for x, _ in eval_batches(task, split):
            x = x.to(device)
            with autocast(device, precision):
                logits = model(x)  # (B, classes)
                if mirror:
                    logits = logits + model(x.flip(3))
            rows.append(logits.float().cpu())
    return torch.cat(rows)  # (N, classes)


def share_right(logits: Tensor, labels: Tensor) -> float:
    """Accuracy of logits (N, K) for labels (N,), both on the CPU."""
    return (logits.argmax(dim=1) == labels).float().mean().item()


def accuracy(model: nn.Module, task: ImageTask, split: str = "test", **options: Any) -> float:
    """Share of correct predictions; options as for `predict`."""
    return share_right(predict(model, task, split, **options), getattr(task, split)[1].cpu())
