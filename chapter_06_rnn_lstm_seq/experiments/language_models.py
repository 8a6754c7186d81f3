"""Language models on a text: data, one training, its measurement, the tables.

The length of a training is given in epochs, or in minutes on an idle machine (`Speed`): then the
epochs follow from tokens per second, measured once, and the training is the same on a busy one.
"""

from __future__ import annotations

import argparse
import os
import re
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import History, fit
from chapter_03_optimization_regularization.training.evaluation import LossFunction
from chapter_06_rnn_lstm_seq.experiments.ngram import metrics_of as ngram_metrics
from chapter_06_rnn_lstm_seq.experiments.ngram import ngram_rows, strongest_row
from chapter_06_rnn_lstm_seq.language_model import (
    CarriedLoss,
    LanguageModel,
    TextStreams,
    bits,
    generate,
    nats_per_token,
)
from chapter_06_rnn_lstm_seq.tokenizer import (
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
    from_state,
)
from utils.checkpoint import CheckpointError, load_checkpoint, load_state
from utils.datasets.text import TextData, load_text
from utils.device import pick_device
from utils.errors import MissingDataError, UserError
from utils.file_io_util import read_json, write_json
from utils.model_summary import parameter_count
from utils.results import cells, named_mean_std, over_seeds, table
from utils.run import Run
from utils.threads import language_model_row

TASK = "language modelling"
VAL_STREAMS = 16  # for the curve after each epoch; the reported number reads the text in one stream
SPEED_SECONDS = 8
CELL_NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


@dataclass(frozen=True)
class Task:
    """A text in two forms: characters and token numbers."""

    data: TextData
    tokenizer: Tokenizer
    train: torch.Tensor  # (n,) int64
    val: torch.Tensor

    def per_character(self, nats: float) -> float:
        """Bits per character from nats per token: sizes of vocabularies then do not matter."""
        return bits(nats) * len(self.val) / len(self.data.val)


Speed = Callable[[argparse.Namespace, Task, float], float]
Loaded = tuple[nn.Module, Tokenizer, dict[str, Any]]  # a network, its tokenizer, its checkpoint


def make_tokenizer(kind: str, data: TextData, size: int) -> Tokenizer:
    """Characters of the whole text; words and merges come from the training part alone."""
    if kind == "char":
        return CharTokenizer.train([data.train, data.val])
    if kind == "word":
        return WordTokenizer.train(data.train, size=size)
    return BPETokenizer.train(data.train, merges=max(1, size - 256))


def load_data(args: argparse.Namespace) -> Task:
    """The text of --dataset; with --inner its training part, cut again."""
    data = load_text(args.dataset, args.data_dir)
    data = data.inner() if args.inner else data
    if args.quick:
        data = replace(data, train=data.train[:150_000], val=data.val[:15_000])
    tokenizer = make_tokenizer(args.tokens, data, args.vocab_size)
    parts = [torch.tensor(tokenizer.encode(part)) for part in (data.train, data.val)]
    return Task(data, tokenizer, *parts)


def architecture_of(args: argparse.Namespace, task: Task) -> dict[str, Any]:
    """The arguments of `LanguageModel`."""
    names = ("cell", "hidden_size", "num_layers", "embed_size", "dropout", "tied")
    return {"vocab_size": task.tokenizer.vocab_size} | {name: getattr(args, name) for name in names}


def streams_of(args: argparse.Namespace, task: Task, seed: int) -> TextStreams:
    return TextStreams(task.train, args.batch_size, args.seq_len, seed)


def tokens_per_second(args: argparse.Namespace, task: Task, seconds: float) -> float:
    """Of this network, fresh weights, for some seconds."""
    model = LanguageModel(**architecture_of(args, task))
    return measured_speed(model, CarriedLoss(), streams_of(args, task, 0), args, seconds)


def measured_speed(
    model: nn.Module, loss_fn: LossFunction, batches: Iterable, args: argparse.Namespace,
    seconds: float,
) -> float:  # fmt: skip
    """Tokens a second of forward, backward and update; a batch's first tensor is its tokens."""
    device = pick_device(args.device)
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    count, started = 0, None
    while started is None or time.perf_counter() - started < seconds:
        for batch in batches:
            batch = tuple(x.to(device) if isinstance(x, torch.Tensor) else x for x in batch)
            loss = loss_fn(model, batch)[0]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()  # waits for an accelerator
            if started is None:  # the first step also allocates
                started = time.perf_counter()
                continue
            count += batch[0].numel()
            if time.perf_counter() - started >= seconds:
                break
    return count / (time.perf_counter() - started)


def plan(
    args: argparse.Namespace, folder: Path, task: Task, speed_of: Speed | None = None
) -> dict[str, Any]:
    """{"epochs", "tokens_per_second" or None}: from --epochs, or what fits into --minutes.

    The measurement is written down, and a resumed run goes by it. speed_of: another network's
    `tokens_per_second`.
    """
    if args.minutes is None:
        return {"epochs": args.epochs, "tokens_per_second": None, "threads": None}
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("--minutes measures one process; under torchrun give --epochs.")
    path = folder / "speed.json"
    if not path.is_file():
        speed = (speed_of or tokens_per_second)(args, task, SPEED_SECONDS)
        epochs = max(1, int(60 * args.minutes * speed / len(task.train)))
        facts = {"epochs": epochs, "tokens_per_second": speed, "threads": torch.get_num_threads()}
        write_json(path, facts)
    planned = read_json(path)
    print(
        f"{planned['tokens_per_second']:,.0f} tokens/s on {planned['threads']} threads: "
        f"{planned['epochs']} epochs take {args.minutes:g} minutes",
        flush=True,
    )
    return planned


def train_one(
    args: argparse.Namespace,
    run: Run,
    task: Task,
    epochs: int,
    seed: int,
    folder: Path,
    on_epoch: Callable[[LanguageModel, dict[str, float]], None] | None = None,
) -> tuple[LanguageModel, History]:
    """One training in `folder`; resumed if it has a last.pth and --resume is given."""
    torch.manual_seed(seed)
    architecture = architecture_of(args, task)
    model = LanguageModel(**architecture)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.lr, weight_decay=args.weight_decay, betas=(0.9, 0.99)
    )
    train = streams_of(args, task, seed)
    val_length = min(args.seq_len, (len(task.val) - 1) // (2 * VAL_STREAMS))
    steps = epochs * len(train)
    history = fit(
        model,
        CarriedLoss(),
        optimizer,
        train,
        epochs=epochs,
        val=TextStreams(task.val, VAL_STREAMS, max(1, val_length)),
        scheduler=CosineWithWarmup(optimizer, min(100, steps // 10), steps, min_ratio=0.02),
        clip_norm=args.clip_norm,
        device=run.device,
        folder=folder,
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        facts={"architecture": architecture, "dataset": task.data.name},
        on_epoch=on_epoch and (lambda row: on_epoch(model, row)),
        label=f"{CELL_NAMES[args.cell]}, seed {seed}",
    )
    return model.cpu(), history


def measure(model: LanguageModel, history: History, task: Task) -> dict[str, float]:
    """The last weights on the whole validation part, read once with the state carried."""
    nats = nats_per_token(model, task.val)
    return {
        "nats": nats,
        "bits_per_character": task.per_character(nats),
        "train_nats": history.epochs[-1]["train_loss"],
        "epochs": len(history.epochs),
        "seconds": history.seconds,
    }


def train_seeds(
    args: argparse.Namespace, run: Run, task: Task, epochs: int, train: Callable,
    measure: Callable, show: Callable,
) -> tuple[nn.Module, list[dict[str, float]], list[History]]:  # fmt: skip
    """One training a seed -> (the first network, which alone shows samples; a row each; histories).

    train and measure are `train_one` and `measure`, or another network's; show(args, task, model,
    row) comes after each epoch.
    """
    first, rows, histories = None, [], []
    for seed in range(args.seed, args.seed + args.seeds):
        folder = run.folder if seed == args.seed else run.folder / f"seed_{seed}"
        on_epoch = partial(show, args, task) if first is None else None
        model, history = train(args, run, task, epochs, seed, folder, on_epoch)
        rows.append(measure(model, history, task))
        histories.append(history)
        first = first or model
    return first, rows, histories


def show_sample(
    args: argparse.Namespace, task: Task, row: dict[str, float], write: Callable[..., str]
) -> None:
    """Text of a network as it stands, every few epochs and after the first.

    write: `text_after` of this network, without the temperature.
    """
    if not args.sample_every or (row["epoch"] % args.sample_every and row["epoch"] > 1):
        return
    text = write(task.tokenizer, task.data.val[:1], 160, temperature=0.8)
    value = task.per_character(row["val_loss"])
    print(f"\nepoch {row['epoch']:.0f}, {value:.3f} bits per character; a sample:")
    print(textwrap.indent(text, "    "), flush=True)


def text_after(model: LanguageModel, tokenizer: Tokenizer, prompt: str, count: int, **how) -> str:
    """The prompt and `count` tokens after it."""
    device = next(model.parameters()).device
    ids = torch.tensor(tokenizer.encode(prompt), device=device)
    return prompt + tokenizer.decode(generate(model, ids, count, **how))


def text_name(name: str) -> str:
    """A text's name as a part of file names."""
    return re.sub(r"\W+", "_", name.removesuffix(".txt")).strip("_")


def baselines(task: Task) -> list[dict[str, Any]]:
    """Unigram, bigram, 5-gram on the same tokens; last the best that counting does."""
    rows = ngram_rows(task.data, tokenizer=task.tokenizer)
    return [*rows, strongest_row(task.data, task.tokenizer)]


def tables(rows: list[dict], ngrams: list[dict], args, parameters: int) -> dict[str, Any]:
    """Bits per character of the n-gram models and of the network."""
    columns = [
        ("Model", "模型", None),
        ("Numbers learned", "学到的数的个数", ",d"),
        ("Bits per character", "每字符比特数", ".3f"),
        ("Perplexity of a character", "每字符困惑度", ".2f"),
    ]
    body = [
        [row["name"], row["ngrams"], value := row["bits_per_character"], 2**value] for row in ngrams
    ]
    mean = over_seeds(rows)["bits_per_character"][0]
    layers = f"{args.num_layers} x " if args.num_layers > 1 else ""
    name = f"{CELL_NAMES[args.cell]} {layers}{args.hidden_size}"
    body.append([name, parameters, *cells(rows, ["bits_per_character"]), 2**mean])
    return {"main": table(columns, body)}


def metrics_of(rows: list[dict], ngrams: list[dict], parameters: int, planned: dict) -> dict:
    """All numbers of a result."""
    metrics: dict[str, Any] = {key: [row[key] for row in rows] for key in rows[0]}
    for key in ("nats", "bits_per_character", "train_nats", "seconds"):
        metrics |= named_mean_std(metrics[key], key)
    return metrics | ngram_metrics(ngrams) | {"parameters": parameters} | planned


def thread_row(args, rows: list[dict], seeds: list[int], planned: dict, parameters: int, task):
    """The row of the table through chapters 6 to 10."""
    speed = planned["tokens_per_second"]
    return language_model_row(
        CELL_NAMES[args.cell],
        chapter=6,
        parameters=parameters,
        nats=[row["nats"] for row in rows],
        seeds=seeds,
        tokens_per_second=speed,
        cache_bytes_per_token=0,
        context="carried",
        minutes=planned["epochs"] * len(task.train) / speed / 60,
        cores=planned["threads"],
    )


def load_model(path: str | Path) -> tuple[LanguageModel, Tokenizer, dict[str, Any]]:
    """The model and tokenizer of a checkpoint, and all of it; CheckpointError for another task."""
    return load_network(path, LanguageModel, TASK, "language model", "train_language_model.py")


def load_network(
    path: str | Path, network: Callable[..., nn.Module], task: str, name: str, script: str
) -> Loaded:
    """`load_model` for any network that `script` trains; name: what the error says is missing."""
    checkpoint = load_checkpoint(path)
    if checkpoint.get("task") != task or "tokenizer" not in checkpoint:
        what = checkpoint.get("task", "an unfinished training")
        raise CheckpointError(
            f"{path} is no {name} (its task: {what}); make one with {script}, whose file is named "
            "after its data set."
        )
    model = network(**checkpoint["architecture"])
    load_state(model, checkpoint["state"], path)
    return model.eval(), from_state(checkpoint["tokenizer"]), checkpoint


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """What the model card says, measured again; MissingDataError where the text is another one."""
    return measured_again(path, data_dir, load_model(path), nats_per_token)


def measured_again(
    path: Path, data_dir: str | None, loaded: Loaded,
    nats_of: Callable[[nn.Module, torch.Tensor], float],
) -> dict[str, float]:  # fmt: skip
    """`evaluate_checkpoint` for any network; nats_of(model, ids) are its nats per token."""
    model, tokenizer, checkpoint = loaded
    data = same_text(path, checkpoint, data_dir)
    val = torch.tensor(tokenizer.encode(data.val))
    nats = nats_of(model, val)
    return {"val_nats": nats, "val_bits_per_character": bits(nats) * len(val) / len(data.val)}


def same_text(path: Path, checkpoint: dict[str, Any], data_dir: str | None) -> TextData:
    """The text of a checkpoint, from which it was measured; MissingDataError where it changed."""
    data = load_text(checkpoint["dataset"], data_dir)
    if data.notes["sha256"] != checkpoint["text"]["sha256"]:  # `topics` differs by version
        versions = [notes.get("python", "?") for notes in (checkpoint["text"], data.notes)]
        raise MissingDataError(
            f"{path} was measured on another text {data.name}, that of Python {versions[0]}, not "
            f"{versions[1]}", ()
        )  # fmt: skip
    return data


def checkpoint_facts(
    architecture: dict[str, Any], task: Task, model: nn.Module, row: dict, seconds: float,
    task_name: str = TASK,
) -> dict[str, Any]:  # fmt: skip
    """What `run.save_checkpoint` writes beside the weights."""
    return {
        "architecture": architecture,
        "dataset": task.data.name,
        "metrics": {"val_nats": row["nats"], "val_bits_per_character": row["bits_per_character"]},
        "task": task_name,
        "tokenizer": task.tokenizer.state(),
        "text": task.data.notes,
        "parameters": parameter_count(model),
        "seconds": seconds,
    }
