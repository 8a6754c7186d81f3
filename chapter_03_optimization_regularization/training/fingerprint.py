"""What must be the same when a stopped training goes on: compared by name before the first step.

What you learn: a checkpoint holds the *state* of a training, not its *rules*. A learning rate, a
batch size or a seed given anew would be overwritten by the state, or would mean other data under
the same batch numbers: the run would go on, and record options that it never used. So the rules
are written beside the state, and a difference is refused by its name.

    fixed   data, batch size, seed, network, optimiser, schedule, EMA, what is monitored
    free    epochs (where the schedule allows it), patience, clipping, device, how often to save

A schedule such as one_cycle or a cosine is laid out over all steps. It cannot be lengthened in the
middle: the rates that it has used already would have been others.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.checkpoint import CheckpointError
from utils.file_io_util import plain

NO_RULES = {"foreach", "fused", "capturable", "differentiable"}  # how the same numbers are made


def fingerprint(
    *,
    train: Any,
    val: Any,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    ema: Any,
    accumulate: int,
    monitor: str,
    mode: str,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """The rules of a training by name, before its first step; plain values."""
    rules = {key: facts[key] for key in ("dataset", "architecture")}
    rules |= data_rules(train)
    rules |= {f"val.{key}": value for key, value in content_rules(val).items()}
    rules |= {"batches": len(train), "accumulate": accumulate}
    parts = {"optimizer": optimizer, "scheduler": scheduler, "ema": ema}
    rules |= {key: type(part).__name__ for key, part in parts.items()}
    rules |= {"ema.decay": getattr(ema, "decay", None)}
    if not (optimizer.state or getattr(scheduler, "last_epoch", 0)):
        rules |= option_rules(optimizer, scheduler)
    rules |= {"monitor": monitor, "mode": mode}
    return plain({key: value for key, value in rules.items() if is_plain(value)})


def data_rules(batches: Any) -> dict[str, Any]:
    """What decides which examples are in batch k of epoch e."""
    names = ("batch_size", "shuffle", "seed", "drop_last")
    rules = {name: getattr(batches, name) for name in names if hasattr(batches, name)}
    changed = getattr(batches, "transform", None) is not None  # by what, a file cannot say
    return rules | {"transform": changed} | content_rules(batches)


def content_rules(batches: Any) -> dict[str, Any]:
    """Rows, and a checksum of the last tensor: the targets, which are the same on any machine."""
    tensors = getattr(batches, "tensors", None)
    if not tensors:
        return {}
    targets = tensors[-1].detach().cpu().contiguous().flatten().view(torch.uint8)
    return {"rows": len(tensors[-1]), "targets' checksum": zlib.crc32(targets.numpy())}


def option_rules(optimizer: torch.optim.Optimizer, scheduler: Any) -> dict[str, Any]:
    """The options of both before their first step: then the schedule's state is its formula.

    Objects that have moved on, in a notebook, are the same ones: there is nothing to compare.
    """
    options = {k: v for k, v in optimizer.defaults.items() if k not in NO_RULES}
    rules = {f"optimizer.{name}": value for name, value in options.items()}
    constants = ("initial_lr", "max_lr", "weight_decay") if scheduler else ("lr", "weight_decay")
    for name in constants:
        values = [float(group[name]) for group in optimizer.param_groups if name in group]
        if values != [options.get(name)] * len(values):
            rules[f"{name} of the groups"] = values
    formula = {} if scheduler is None else scheduler.state_dict()
    return rules | {f"scheduler.{name}": value for name, value in formula.items()}


def is_plain(value: Any) -> bool:
    """Whether a rule can be written down; a function, for one, cannot."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, Tensor))


def check(saved: dict[str, Any], here: dict[str, Any], epochs: int, path: Path) -> None:
    """CheckpointError names the first rule that differs, and the way out.

    saved: the "training" part of last.pth; what an older file does not say is not compared.
    here: the fingerprint of this run. epochs: how many it is to have.
    """
    planned = saved.get("planned_epochs", epochs)
    for name, value in saved["fingerprint"].items():
        if name not in here or here[name] == value:
            continue
        if name.startswith("scheduler.") and planned != epochs:
            raise CheckpointError(
                f"{path}: its {here['scheduler']} is laid out over epochs = {planned}, not "
                f"{epochs}, and cannot be changed on the way ({name} = {value}, not "
                f"{here[name]}); keep --epochs {planned}, or start a new run."
            )
        raise CheckpointError(
            f"{path} was made with {name} = {value}, not {here[name]}; go on with the same, or "
            "start a new run."
        )
    if (saved["epoch"], saved["batch"]) > (epochs, 0):
        raise CheckpointError(
            f"{path} has come to epoch {saved['epoch'] + (saved['batch'] > 0)}, further than "
            f"epochs = {epochs}; ask for more with --epochs, or start a new run."
        )
