"""One network trained to say the next row, with chapter 3's `fit`; the best epoch on validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import Batches, History, fit
from chapter_06_rnn_lstm_seq.experiments.forecast.settings import Settings
from chapter_06_rnn_lstm_seq.forecaster import Forecaster, WindowMLP, one_step_loss, windows_of
from utils.datasets.series import SeriesData

CLIP = 1.0  # limit of the gradient's norm


@dataclass(frozen=True)
class Network:
    """What is trained: a name, how it is made, and what rebuilds it."""

    name: str
    make: Callable[[], nn.Module]
    architecture: dict


def networks_for(data: SeriesData, settings: Settings, cell: str, hidden: int) -> list[Network]:
    """The recurrent network first, then an MLP for each window."""
    columns = len(data.columns)
    recurrent = {"columns": columns, "hidden_size": hidden, "cell": cell}
    found = [Network(cell, lambda: Forecaster(**recurrent), recurrent)]
    for window in settings.windows:
        mlp = {"columns": columns, "window": window, "hidden_size": 2 * hidden}
        found.append(Network(f"mlp_{window}", lambda mlp=mlp: WindowMLP(**mlp), mlp))
    return found


def batches_for(
    values: Tensor, data: SeriesData, settings: Settings, seed: int
) -> tuple[Batches, Batches]:
    """Windows of the training part, shuffled; of the validation part, in order.

    A validation window may begin before its part, by as many rows as are not counted.
    """
    length, skip = settings.length + 1, settings.skip
    train = windows_of(values[data.train], length, settings.every)  # (N, length, C)
    known = values[data.val.start - skip : data.val.stop]
    val_length = min(length, len(known))
    val = windows_of(known, val_length, max(1, val_length - skip))
    return (
        Batches(train, batch_size=settings.batch_size, shuffle=True, seed=seed),
        Batches(val, batch_size=256),
    )


def train_one(
    network: Network,
    values: Tensor,
    data: SeriesData,
    settings: Settings,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    folder: Path | None = None,
    resume: bool = False,
) -> tuple[nn.Module, History]:
    """The network of the best epoch, on the CPU. resume: go on from the folder's last.pth."""
    torch.manual_seed(seed)
    model = network.make()
    train, val = batches_for(values, data, settings, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
    steps = settings.epochs * len(train)
    history = fit(
        model,
        one_step_loss(settings.skip if isinstance(model, Forecaster) else 0),
        optimizer,
        train,
        epochs=settings.epochs,
        val=val,
        scheduler=CosineWithWarmup(optimizer, warmup_steps=steps // 20, total_steps=steps),
        clip_norm=CLIP,
        restore_best=True,
        device=device,
        folder=folder,
        resume=resume and folder is not None and (folder / "last.pth").is_file(),
        facts={"architecture": network.architecture, "dataset": data.name},
        label=f"{network.name}, seed {seed}",
    )
    return model.cpu().eval(), history
