"""How a batch becomes a loss and a metric, and a data set their means: the parts `fit` stands on.

What you learn: a mean over batches is not a mean over examples (the last batch is smaller), and a
mean of the processes' means is not the mean of all rows. So rows are counted everywhere.

    loss, metrics = classification_loss()(model, (x, y))
    evaluate(model, classification_loss(), Batches(x, y, batch_size=1000))    # {"loss", "accuracy"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # the losses that chapter 2 built, in their fast form

from chapter_03_optimization_regularization.training.batches import Batches, no_batches
from chapter_03_optimization_regularization.training.state import same_random_state
from utils.errors import UserError
from utils.modes import evaluating

if TYPE_CHECKING:
    from accelerate import Accelerator

Metrics = dict[str, Tensor]
LossFunction = Callable[[nn.Module, Any], tuple[Tensor, Metrics]]


def classification_loss(label_smoothing: float = 0.0) -> LossFunction:
    """Cross-entropy and accuracy of (inputs, targets); targets (B,) labels or (B, C) shares.

    The smoothing holds in training mode only, so that validation losses compare.
    """

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Metrics]:
        inputs, targets = batch
        logits = model(inputs)  # (B, C)
        smoothing = label_smoothing if model.training else 0.0
        loss = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        labels = targets if targets.dim() == 1 else targets.argmax(dim=1)  # (B,)
        return loss, {"accuracy": (logits.detach().argmax(dim=1) == labels).float().mean()}

    return loss_fn


def rows_in(batch: Any) -> int:
    """Examples in a batch: the first axis of its first tensor, wherever it is nested."""
    while not isinstance(batch, Tensor):
        batch = next(iter(batch.values() if isinstance(batch, dict) else batch))
    return len(batch)


class Means:
    """Means of the loss and metrics over examples: each value counts as often as its rows."""

    def __init__(self, sums: dict[str, float] | None = None) -> None:
        self.sums = dict(sums or {})

    def add(self, rows: int, loss: float, metrics: Metrics) -> None:
        for name, value in {"rows": 1.0, "loss": loss, **metrics}.items():
            self.sums[name] = self.sums.get(name, 0.0) + rows * float(value)

    def result(self, accelerator: Accelerator, prefix: str = "") -> dict[str, float]:
        """{prefix + name: mean} over the rows of all processes; ValueError if there are none."""
        from accelerate.utils import gather_object

        parts = [self.sums]
        if accelerator.num_processes > 1:
            parts = gather_object(parts)  # a process without a row has no names either
        names = sorted({name for part in parts for name in part})
        sums = {name: sum(part.get(name, 0.0) for part in parts) for name in names}
        if not sums.get("rows"):
            raise no_batches({"train_": "training ", "val_": "validation "}.get(prefix, ""))
        rows = sums.pop("rows")
        return {prefix + name: value / rows for name, value in sums.items()}


def evaluate(
    model: nn.Module, loss_fn: LossFunction, batches: Any, device: str | torch.device = "cpu"
) -> dict[str, float]:
    """Means of the loss and the metrics in evaluation mode; each module's mode is restored.

    ValueError without a batch.
    """
    accelerator = make_accelerator(torch.device(device), "fp32")
    return evaluate_on(model.to(accelerator.device), loss_fn, batches, accelerator)


@torch.no_grad()
def evaluate_on(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Any,
    accelerator: Accelerator,
    prefix: str = "",
) -> dict[str, float]:
    means = Means()
    with evaluating(model):
        for batch in epoch_of(batches, 0, 0, accelerator, even=False):
            loss, metrics = loss_fn(model, to_device(batch, accelerator.device))
            means.add(rows_in(batch), float(loss), metrics)
    return means.result(accelerator, prefix)


def check_monitor(
    monitor: str,
    metrics: Metrics,
    model: nn.Module,
    loss_fn: LossFunction,
    val: Any,
    accelerator: Accelerator,
) -> None:
    """ValueError, before the first update, for a value to monitor that nobody measures.

    monitor: "train_" or "val_" and the name. metrics: of the first training batch; the first one of
    `val` is looked at, too, unless that would use it up.
    """
    name = monitor.partition("_")[2]
    if val is not None and name != "loss" and not isinstance(val, Iterator):
        with same_random_state(), evaluating(model), torch.no_grad():
            for batch in epoch_of(val, 0, 0, accelerator, even=False):
                metrics = loss_fn(model, to_device(batch, accelerator.device))[1]
                break
    if name not in ("loss", *metrics):
        raise ValueError(f"monitor must be one of {', '.join(['loss', *metrics])}, not {name!r}")


def make_accelerator(device: torch.device, precision: str) -> Accelerator:
    """Accelerate's hub for one run. `cpu=True` matters: without it, processes started by torchrun
    on a machine without a GPU would not find each other, and each would train alone.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if precision == "fp16" and device.type != "cuda":
        raise UserError(f"fp16 needs a CUDA device, not {device.type}; use --precision bf16.")
    # Accelerate keeps the precision of the first run in the process; ours may ask for another.
    AcceleratorState._reset_state()
    mixed = "no" if precision == "fp32" else precision
    return Accelerator(cpu=device.type == "cpu", mixed_precision=mixed)


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch on the device; on the CPU it is there already."""
    if device.type == "cpu":
        return batch
    from accelerate.utils import send_to_device

    return send_to_device(batch, device, non_blocking=True)


def epoch_of(
    batches: Any, number: int, start: int, accelerator: Accelerator, even: bool = True
) -> Iterator[Any]:
    """This process's batches of epoch `number`, from batch `start` on.

    Besides `Batches`, any iterable will do; its order must then be a function of the epoch (set by
    `set_epoch(number)` if it has one) for a resume in mid-epoch to be exact.
    """
    if isinstance(batches, Batches):
        rank, world = accelerator.process_index, accelerator.num_processes
        return batches.epoch(number, start, rank, world, even)
    if hasattr(batches, "set_epoch"):
        batches.set_epoch(number)
    return islice(batches, start, None)


def grouped(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items; the last may be shorter."""
    while group := list(islice(items, size)):
        yield group
