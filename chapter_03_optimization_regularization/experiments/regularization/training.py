"""A network that can learn its training set by heart, and one that is kept from it.

The set-up of exp_regularization.py: 250 digits of which 20 % carry a wrong label, and an MLP with
more weights than all these pictures have pixels. `Method` says which regularisers are on, `train`
trains with the course's loop and notes after every epoch what was learnt, and what by heart.

    data = noisy_data(task, samples=250, share=0.2, seed=1)
    trained = train(data, Method(dropout=0.5), Options(), seed=1)
    scores(data, [trained.model])           # {"given": ..., "memorised": ..., "test": ...}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization import regularization as reg
from chapter_03_optimization_regularization.experiments.label_noise import wrong_labels
from chapter_03_optimization_regularization.experiments.tasks import Examples, Task, small_mlp
from chapter_03_optimization_regularization.optimizers import SGD
from chapter_03_optimization_regularization.training import Batches, classification_loss, fit
from utils.modes import evaluating
from utils.seed import generator

DEGREES_PER_PIXEL = 15  # the rotation that goes with a shift of one pixel


@dataclass(frozen=True)
class Method:
    """Which regularisers are on, and how strongly; 0 is off."""

    l1: float = 0.0  # by proximal steps
    l1_in_loss: float = 0.0  # as a term of the loss
    l2: float = 0.0
    dropout: float = 0.0
    smoothing: float = 0.0
    mixup: float = 0.0  # alpha of the Beta law
    augment: float = 0.0  # largest shift in pixels
    patience: int = 0  # epochs; early stopping on the validation loss


@dataclass(frozen=True)
class Options:
    """What all methods share."""

    hidden: int = 256
    epochs: int = 60
    lr: float = 0.03
    momentum: float = 0.9
    batch_size: int = 50
    device: torch.device | str = "cpu"


class NoisyData(NamedTuple):
    """A small training set with some wrong labels; validation and test are clean."""

    x: Tensor  # (N, 1, H, W)
    given: Tensor  # (N,) what the network is told
    true: Tensor  # (N,)
    is_wrong: Tensor  # (N,)
    val: Examples
    test: Examples


def noisy_data(task: Task, samples: int, share: float, seed: int) -> NoisyData:
    """`samples` training examples, drawn and partly mislabelled as `seed` says."""
    random = generator(seed)
    rows = torch.randperm(len(task.train[1]), generator=random)[:samples]
    x, true = (tensor.cpu()[rows] for tensor in task.train)
    given, is_wrong = wrong_labels(true, share, len(task.classes), random)
    device = task.train[0].device
    parts = (part.to(device) for part in (x, given, true, is_wrong))
    return NoisyData(*parts, task.val, task.test)


@dataclass
class Trained:
    """A trained network, and one value an epoch (in per cent, in evaluation mode)."""

    model: nn.Module
    curves: dict[str, list[float]] = field(default_factory=dict)
    stopped_after: int = 0  # epochs


def train(
    data: NoisyData, method: Method, options: Options, seed: int, watch: bool = False
) -> Trained:
    """One network; `seed` decides its first weights and the order of the batches.

    `watch` measures the curves, which takes a quarter of the time.
    """
    torch.manual_seed(seed)
    classes = int(data.val[1].max()) + 1
    inputs = data.x[0].numel()
    model = small_mlp(inputs, classes, options.hidden, method.dropout).to(options.device)
    # Plain SGD with momentum, so that weight_decay is the L2 penalty exactly.
    groups = reg.decay_groups(model, method.l2)
    optimizer = SGD(groups, lr=options.lr, momentum=options.momentum)
    if method.l1:
        # Momentum sums the gradients of 1 / (1 - momentum) steps; this pull is outside that sum.
        amount = options.lr * method.l1 / (1 - options.momentum)
        optimizer.register_step_post_hook(lambda *_: reg.soft_threshold_(model, amount))
    batches = Batches(
        data.x, data.given, batch_size=options.batch_size, shuffle=True, seed=seed,
        transform=transform_of(method, classes, float(data.x.min())),
    )  # fmt: skip
    trained = Trained(model)
    history = fit(
        model, loss_of(method), optimizer, batches, epochs=options.epochs,
        val=Batches(*data.val, batch_size=1024) if watch or method.patience else None,
        device=options.device,
        early_stopping=reg.EarlyStopping(method.patience) if method.patience else None,
        restore_best=method.patience > 0,
        on_epoch=(lambda row: note(trained, data, row)) if watch else None,
    )  # fmt: skip
    trained.stopped_after = history.best_row()["epoch"] if method.patience else len(history.epochs)
    return trained


def loss_of(method: Method) -> Any:
    """Cross-entropy, with smoothed labels or the L1 norm of the weights added if asked for."""
    plain = classification_loss(method.smoothing)
    if not method.l1_in_loss:
        return plain

    def with_penalty(model: nn.Module, batch: Examples) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = plain(model, batch)
        return loss + method.l1_in_loss * reg.l1_penalty(model), metrics

    return with_penalty


def transform_of(method: Method, classes: int, background: float) -> Any:
    """What happens to each training batch: shifts and rotations, then mixup."""
    steps = []
    if method.augment:
        degrees = DEGREES_PER_PIXEL * method.augment
        steps.append(reg.augment_transform(degrees, method.augment, background))
    if method.mixup:
        steps.append(reg.mixup_transform(method.mixup, classes))

    def transform(batch: Examples, random: torch.Generator) -> Examples:
        for step in steps:
            batch = step(batch, random)
        return batch

    return transform if steps else None


@torch.no_grad()
def predict(models: list[nn.Module], x: Tensor) -> Tensor:
    """Classes (N,) by the mean of the networks' probabilities; their modes are restored."""
    total = torch.zeros((), device=x.device)
    with evaluating(*models):
        for model in models:
            total = total + model(x).softmax(dim=1)  # (N, C)
    return total.argmax(dim=1)


def percent(hits: Tensor) -> float:
    """Share of True; nan for an empty set."""
    return 100 * hits.double().mean().item()


def train_scores(data: NoisyData, models: list[nn.Module]) -> dict[str, float]:
    """In per cent: the training set against the labels given, and its two parts.

    memorised: wrongly labelled examples on which the network repeats the wrong label; seen_through:
    those on which it gives the true one, which it was never told.
    """
    predicted = predict(models, data.x)
    wrong = data.is_wrong
    return {
        "given": percent(predicted == data.given),
        "clean_part": percent((predicted == data.true)[~wrong]),
        "memorised": percent((predicted == data.given)[wrong]),
        "seen_through": percent((predicted == data.true)[wrong]),
    }


def scores(data: NoisyData, models: list[nn.Module]) -> dict[str, float]:
    """The same, and the accuracy on validation and test."""
    held_out = {"val": data.val, "test": data.test}
    accuracies = {k: percent(predict(models, x) == y) for k, (x, y) in held_out.items()}
    return train_scores(data, models) | accuracies


def note(trained: Trained, data: NoisyData, row: dict[str, float]) -> None:
    """Append the epoch's values to the curves; `row` is what `fit` found."""
    values = train_scores(data, [trained.model]) | {"val": 100 * row["val_accuracy"]}
    for name, value in values.items():
        trained.curves.setdefault(name, []).append(value)


CURVES = ("given", "clean_part", "memorised", "seen_through", "val")


def weights_of(model: nn.Module) -> np.ndarray:
    """All weight matrices in one row, without the biases."""
    return np.concatenate(
        [p.detach().cpu().numpy().ravel() for p in model.parameters() if p.ndim > 1]
    )
