"""One training of a Transformer that translates, resumable; and the average of its last epochs."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import History, fit
from chapter_06_rnn_lstm_seq.experiments.translation import Task, translate
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_08_transformer_vanilla.experiments.writing import DATA_OPTIONS, TASK, writer
from chapter_08_transformer_vanilla.training_recipe import (
    NoamLR,
    TokenBatches,
    average_checkpoints,
)
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils.checkpoint import save_checkpoint
from utils.run import Run, is_main_process


def train_transformer(
    architecture: dict[str, Any],
    task: Task,
    seed: int,
    args: argparse.Namespace,
    run: Run,
    folder: Path,
) -> tuple[TranslationTransformer, History]:
    """TranslationTransformer(**architecture), trained in `folder`; resumed if there is a last.pth.

    args: tokens, epochs, lr, warmup, schedule, smoothing, average, resume, compile, tensorboard.
    """
    torch.manual_seed(seed)
    model = TranslationTransformer(**architecture)
    train = TokenBatches(*task.encoded(task.data.train), args.tokens, shuffle=True, seed=seed)
    optimizer, scheduler = stepping(model, args, args.epochs * len(train))
    facts = {"architecture": architecture, "dataset": task.data.name, "task": TASK}
    facts |= {"languages": task.data.notes["languages"], "tokenizers": task.state()}
    facts |= {"options": {name: getattr(args, name) for name in DATA_OPTIONS}}
    history = fit(
        model,
        sequence_loss(smoothing=args.smoothing),
        optimizer,
        train,
        epochs=args.epochs,
        val=TokenBatches(*task.encoded(task.data.val), 8_000),
        scheduler=scheduler,
        clip_norm=1.0,
        restore_best=True,
        device=run.device,
        precision=run.precision,
        compile=args.compile,
        folder=folder,
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        save_every=200,
        facts=facts,
        tensorboard=args.tensorboard,
        on_epoch=partial(after_epoch, model, task, args, folder, facts),
        label=f"seed {seed}",
    )
    return model, history


def stepping(model: nn.Module, args: argparse.Namespace, steps: int) -> tuple[Any, Any]:
    """Optimizer and schedule. A short training warms up for a quarter of its steps at most."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.lr, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.01
    )
    warmup = min(args.warmup, max(1, steps // 4))
    if args.schedule == "noam":
        return optimizer, NoamLR(optimizer, warmup)
    return optimizer, CosineWithWarmup(optimizer, warmup, steps)


def after_epoch(
    model: TranslationTransformer,
    task: Task,
    args: argparse.Namespace,
    folder: Path,
    facts: dict[str, Any],
    row: dict[str, float],
) -> None:
    """Keeps the weights of the last epochs, to be averaged, and shows three lines written."""
    if not is_main_process():
        return
    if row["epoch"] > args.epochs - args.average:
        path = folder / "epochs" / f"epoch_{row['epoch']}.pth"
        path.parent.mkdir(exist_ok=True)
        save_checkpoint(path, model.state_dict(), metrics={}, **facts)
    shown = [source for source, _ in task.data.val[1:4]]
    lines = translate(model, task, shown, write=writer(model))
    for source, line in zip(shown, lines, strict=True):
        print(f"  epoch {row['epoch']}: {source}\n        -> {line}", flush=True)


def averaged(model: nn.Module, folder: Path) -> nn.Module:
    """The same network with the mean weights of the last epochs; None are there: as it is."""
    paths = sorted((folder / "epochs").glob("*.pth"), key=lambda p: int(p.stem.split("_")[1]))
    if paths:
        model.load_state_dict(average_checkpoints(paths))
    return model
