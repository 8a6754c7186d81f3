"""One training of a Transformer that translates, resumable; and the average of its last epochs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import History, fit
from chapter_06_rnn_lstm_seq.experiments.translation import Task, translate
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_08_transformer_vanilla.experiments.writing import TASK, writer
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
    build: Callable[..., torch.nn.Module] = TranslationTransformer,
) -> tuple[torch.nn.Module, History]:
    """build(**architecture), trained in `folder`; resumed if the folder has a last.pth.

    args: tokens, epochs, lr, warmup, schedule, smoothing, average, resume, compile, tensorboard.
    """
    torch.manual_seed(seed)
    model = build(**architecture)
    train = TokenBatches(*task.encoded(task.data.train), args.tokens, shuffle=True, seed=seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.lr, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.01
    )
    steps = args.epochs * len(train)
    warmup = min(args.warmup, max(1, steps // 4))  # a short training warms up for a quarter
    scheduler = (
        NoamLR(optimizer, warmup)
        if args.schedule == "noam"
        else CosineWithWarmup(optimizer, warmup, steps)
    )
    facts = {"architecture": architecture, "dataset": task.data.name, "task": TASK}
    facts |= {"languages": task.data.notes["languages"], "tokenizers": task.state()}
    shown = [source for source, _ in task.data.val[1:4]]

    def after_epoch(row: dict[str, float]) -> None:
        if not is_main_process():
            return
        if row["epoch"] > args.epochs - args.average:
            path = folder / "epochs" / f"epoch_{row['epoch']}.pth"
            path.parent.mkdir(exist_ok=True)
            save_checkpoint(path, model.state_dict(), metrics={}, **facts)
        for source, line in zip(shown, translate(model, task, shown, write=writer(model)),
                                strict=True):  # fmt: skip
            print(f"  epoch {row['epoch']}: {source}\n        -> {line}", flush=True)

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
        on_epoch=after_epoch,
        label=f"seed {seed}",
    )
    return model, history


def averaged(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """The same network with the mean weights of the last epochs; None are there: as it is."""
    paths = sorted((folder / "epochs").glob("*.pth"), key=lambda p: int(p.stem.split("_")[1]))
    if paths:
        model.load_state_dict(average_checkpoints(paths))
    return model
