"""One training of a GPT on a text, its measurement, tables and weights, behind train_gpt.py.

Texts, n-gram models, the plan of minutes and what a checkpoint holds are chapter 6's (its
experiments/language_models.py).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import chapter_06_rnn_lstm_seq
from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import Batches, History, fit
from chapter_04_cnn_classic.recipe import parameter_groups
from chapter_06_rnn_lstm_seq.experiments import language_models as lm
from chapter_06_rnn_lstm_seq.tokenizer import Tokenizer
from chapter_08_transformer_vanilla.gpt2 import GPT2
from chapter_08_transformer_vanilla.positions import sinusoids
from chapter_08_transformer_vanilla.text_window import nats_per_token, write
from utils.errors import UserError
from utils.file_io_util import read_json
from utils.results import cells, table
from utils.run import Run
from utils.threads import language_model_row

TASK = "language modelling with a decoder-only Transformer"
ARCHITECTURE = ("width", "heads", "layers", "dropout", "deviation")
BETAS = (0.9, 0.99)  # of AdamW; small batches: gradients are noisy, a long memory helps
UNMEASURED = -100  # a target that cross_entropy leaves out
MOVES = {  # by how much the window moves over the validation part
    "window": {"en": "the whole window", "zh": "整个窗口"},
    "half": {"en": "half of it", "zh": "半个窗口"},
    "eighth": {"en": "an eighth of it", "zh": "八分之一个窗口"},
}


def architecture_of(args: argparse.Namespace, task: lm.Task) -> dict[str, Any]:
    """The arguments of `GPT2`."""
    sizes = {name: getattr(args, name) for name in ARCHITECTURE}
    return {"vocabulary": task.tokenizer.vocab_size, "longest": args.context} | sizes


def start_places(model: GPT2, deviation: float) -> None:
    """Page 2's sinusoids as starting weights of the learned places, of the same size as drawn ones.

    To look one place back is then one linear map, wherever a token stands; with random rows every
    place has to find its own neighbour. The table is learned from there on, as any other.
    """
    waves = sinusoids(torch.arange(model.longest), model.places.embedding_dim)  # (M, D)
    with torch.no_grad():
        model.places.weight.copy_(deviation * 2**0.5 * waves)  # the mean square of waves is 1/2


def training_windows(ids: Tensor, length: int, batch: int, seed: int) -> Batches:
    """Inputs and targets (B, T): an epoch reads the text once, cut anew at random places.

    Places 0, T, 2 T ... come in a new order each epoch, and each is moved by 0 to T - 1 tokens.
    """
    starts = torch.arange(0, max(0, len(ids) - 2 * length), length)  # (N,)
    if len(starts) < batch:
        raise UserError(
            f"the text has {len(ids)} tokens, too few for batches of {batch} windows of {length}; "
            "choose smaller ones (--batch_size, --context), or a longer text."
        )

    def cut(batch: tuple[Tensor, ...], random: torch.Generator) -> tuple[Tensor, Tensor]:
        moved = batch[0] + torch.randint(length, batch[0].shape, generator=random)
        rows = ids[moved[:, None] + torch.arange(length + 1)]  # (B, T + 1)
        return rows[:, :-1], rows[:, 1:]

    return Batches(starts, batch_size=batch, shuffle=True, seed=seed, transform=cut, drop_last=True)


def validation_windows(ids: Tensor, length: int) -> Batches:
    """For the curve: of each window the second half, predicted from half a window at least."""
    starts = torch.arange(0, max(1, len(ids) - length), length)
    length = min(length, len(ids) - 1)
    rows = ids[starts[:, None] + torch.arange(length + 1)]  # (N, T + 1)
    targets = rows[:, 1:].clone()
    targets[:, : length // 2] = UNMEASURED
    return Batches(rows[:, :-1], targets, batch_size=64)


def next_token_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict]:
    """Cross-entropy in nats a token over all places of all rows at once."""
    ids, targets = batch
    logits = model(ids).flatten(0, 1)  # (B T, V)
    return F.cross_entropy(logits, targets.flatten(), ignore_index=UNMEASURED), {}


def tokens_per_second(args: argparse.Namespace, task: lm.Task, seconds: float) -> float:
    """Of fresh weights in training, for some seconds."""
    batches = training_windows(task.train, args.context, args.batch_size, 0)
    model = GPT2(**architecture_of(args, task))
    return lm.measured_speed(model, next_token_loss, batches, args, seconds)


def train_one(
    args: argparse.Namespace,
    run: Run,
    task: lm.Task,
    epochs: int,
    seed: int,
    folder: Path,
    on_epoch: Callable[[GPT2, dict[str, float]], None] | None = None,
) -> tuple[GPT2, History]:
    """One training in `folder`; resumed if it has a last.pth and --resume is given."""
    torch.manual_seed(seed)
    architecture = architecture_of(args, task)
    model = GPT2(**architecture)
    if args.places == "waves":
        start_places(model, args.deviation)
    groups = parameter_groups(model, args.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=BETAS)
    train = training_windows(task.train, args.context, args.batch_size, seed)
    steps = epochs * len(train)
    warmup = min(args.warmup, steps // 10)
    history = fit(
        model,
        next_token_loss,
        optimizer,
        train,
        epochs=epochs,
        val=validation_windows(task.val, args.context),
        scheduler=CosineWithWarmup(optimizer, warmup, steps, min_ratio=0.02),
        clip_norm=args.clip_norm,
        device=run.device,
        precision=run.precision,
        compile=args.compile,
        folder=folder,
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        save_every=500,
        facts={"architecture": architecture, "dataset": task.data.name},
        tensorboard=args.tensorboard,
        on_epoch=on_epoch and (lambda row: on_epoch(model, row)),
        label=f"GPT, seed {seed}",
    )
    return model.cpu(), history


def steps_of(longest: int) -> dict[str, int]:
    """By how many tokens each of MOVES moves a window."""
    return {"window": longest, "half": max(1, longest // 2), "eighth": max(1, longest // 8)}


def measure(model: GPT2, history: History, task: lm.Task) -> dict[str, float]:
    """The last weights on the whole validation part; the number of record moves by half."""
    steps = steps_of(model.longest)
    nats = {name: nats_per_token(model, task.val, step) for name, step in steps.items()}
    return {
        "nats": nats["half"],
        "bits_per_character": task.per_character(nats["half"]),
        "train_nats": history.epochs[-1]["train_loss"],
        "epochs": len(history.epochs),
        "seconds": history.seconds,
    } | {f"bits_moved_by_{name}": task.per_character(value) for name, value in nats.items()}


def text_after(model: GPT2, tokenizer: Tokenizer, prompt: str, count: int, **how: Any) -> str:
    """The prompt and `count` tokens after it."""
    ids = torch.tensor(tokenizer.encode(prompt))
    device = model.tokens.weight.device
    written = write(model, ids[None].to(device), count, **how)
    return prompt + tokenizer.decode(written[0].tolist())


def name_of(args: argparse.Namespace) -> str:
    return f"GPT, {args.layers} layers of {args.width}, window {args.context}"


def earlier_row(task: lm.Task) -> list | None:
    """Chapter 6's published LSTM on the same text, as a row of the table; None without one."""
    text = task.data.name.removesuffix(".txt")
    folder = Path(chapter_06_rnn_lstm_seq.__file__).parent / "results"
    path = folder / f"language_model_{text}.json"
    if not path.is_file() or "sha256" not in task.data.notes:
        return None
    result = read_json(path)
    if result["metrics"]["text"]["sha256"] != task.data.notes["sha256"]:
        return None  # `topics` differs by version of Python
    found = result["metrics"]
    value = [found["bits_per_character_mean"], found["bits_per_character_std"]]
    name = {"en": "LSTM (chapter 6)", "zh": "LSTM（第 6 章）"}
    return [name, found["parameters"], value, 2 ** value[0]]


def tables(rows: list[dict], ngrams: list[dict], args, parameters: int, task) -> dict[str, Any]:
    """main: chapter 6's table with one row more. moves: one network, three ways to measure it."""
    found = lm.tables(rows, ngrams, argparse.Namespace(cell="lstm", num_layers=1, hidden_size=0),
                      parameters)  # fmt: skip
    own = found["main"]["rows"][-1]
    own[0] = {
        "en": name_of(args),
        "zh": f"GPT，{args.layers} 层，宽 {args.width}，窗口 {args.context}",
    }
    if not args.quick and (earlier := earlier_row(task)):
        found["main"]["rows"].insert(-1, earlier)
    unit = ("characters", "字符数") if args.tokens == "char" else ("tokens", "词元数")
    columns = [
        ("The window moves by", "窗口每次移动", None),
        (f"Least context ({unit[0]})", f"最短上下文（{unit[1]}）", "d"),
        ("Bits per character", "每字符比特数", ".3f"),
    ]
    least = {name: args.context - step + 1 for name, step in steps_of(args.context).items()}
    bits_moved = cells(rows, [f"bits_moved_by_{name}" for name in MOVES])
    body = [[MOVES[name], least[name], bits] for name, bits in zip(MOVES, bits_moved, strict=True)]
    return found | {"moves": table(columns, body)}


def thread_row(
    args, rows: list[dict], seeds: list[int], planned: dict, parameters: int, task, own_size: bool
) -> dict[str, Any]:
    """The row of the table through chapters 6 to 10; own_size: not the chapter's network."""
    speed = planned["tokens_per_second"]
    return language_model_row(
        name_of(args) if own_size else "GPT",
        chapter=8,
        parameters=parameters,
        nats=[row["bits_per_character"] * math.log(2) for row in rows],
        seeds=seeds,
        tokens_per_second=speed,
        cache_bytes_per_token=2 * args.layers * args.width * 4,  # keys and values, 4 bytes each
        context="sliding",
        minutes=planned["epochs"] * len(task.train) / speed / 60,
        cores=planned["threads"],
    )


def load_model(path: str | Path) -> tuple[GPT2, Tokenizer, dict[str, Any]]:
    """The network and tokenizer of a checkpoint, and all of it; CheckpointError for another."""
    return lm.load_network(path, GPT2, TASK, "GPT that writes", "train_gpt.py")


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """What the model card says, measured again; MissingDataError where the text is another one."""
    return lm.measured_again(path, data_dir, load_model(path), nats_per_token)
