"""One training of a translator, of this chapter or a later one, resumable."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from chapter_03_optimization_regularization.schedulers import OneCycleLR
from chapter_03_optimization_regularization.training import History, fit
from chapter_06_rnn_lstm_seq.experiments.translation.task import (
    TASK,
    PairBatches,
    Task,
    translate,
)
from chapter_06_rnn_lstm_seq.seq2seq import Seq2Seq, sequence_loss
from utils.run import Run


def train_translator(
    network: type[Seq2Seq],
    architecture: dict[str, Any],
    task: Task,
    seed: int,
    args: argparse.Namespace,
    run: Run,
    folder: Path,
    kind: str = TASK,
    smoothing: float = 0.0,
) -> tuple[Seq2Seq, History]:
    """network(**architecture), trained in `folder`; resumed if the folder has a last.pth.

    args: lr, epochs, batch_size, resume, compile, tensorboard. kind: the checkpoint's task.
    """
    torch.manual_seed(seed)
    model = network(**architecture)
    train = PairBatches(*task.encoded(task.data.train), args.batch_size, shuffle=True, seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    shown = [source for source, _ in task.data.val[1:4]]

    def show(row: dict[str, float]) -> None:
        for source, line in zip(shown, translate(model, task, shown), strict=True):
            print(f"  epoch {row['epoch']}: {source}\n        -> {line}", flush=True)

    history = fit(
        model,
        sequence_loss(smoothing=smoothing),
        optimizer,
        train,
        epochs=args.epochs,
        val=PairBatches(*task.encoded(task.data.val), 200),
        scheduler=OneCycleLR(optimizer, max_lr=args.lr, total_steps=args.epochs * len(train)),
        clip_norm=1.0,
        restore_best=True,
        device=run.device,
        precision=run.precision,
        compile=args.compile,
        folder=folder,
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        save_every=200,
        facts={"architecture": architecture, "dataset": task.data.name, "task": kind}
        | {"languages": task.data.notes["languages"], "tokenizers": task.state()},
        tensorboard=args.tensorboard,
        on_epoch=show,
        label=f"seed {seed}",
    )
    return model, history
