"""One pretraining of a BERT: masked words and next sentences, resumable; what came of it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_03_optimization_regularization.optimizers.muon import MuonWithAdamW
from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import Batches, History, evaluate, fit
from chapter_08_transformer_vanilla.bert import Bert, PretrainingModel
from chapter_08_transformer_vanilla.experiments import masked_words, word_counts
from chapter_08_transformer_vanilla.experiments.masked_words import NOTHING, Chunks, Window
from chapter_08_transformer_vanilla.experiments.starts import MASKED_TASK, begun
from chapter_08_transformer_vanilla.wordpiece import WordPiece
from utils.checkpoint import CheckpointError, load_checkpoint, load_state
from utils.datasets.text import TextData, load_text
from utils.errors import MissingDataError
from utils.results import table
from utils.run import Run

QUICK_TEXT = 300_000  # characters to train on
DECAY = 0.01  # of weights
OVERLAP_WINDOWS = 2_000  # windows of the training part that the limit of the overlap is chosen on
MODELS = {
    "unigram": ("most frequent token", "最常见的词元"),
    "left": ("left neighbour", "左邻词"),
    "both": ("both neighbours", "左右邻词"),
    "wide": ("two neighbours on each side", "左右各两个邻词"),
}

# BERT's own choice of what this chapter does otherwise: options of train_bert.py.
CONTROLS: dict[str, dict[str, Any]] = {
    "hidden": {"hidden": masked_words.CHOSEN},
    "optimizer": {"optimizer": "adamw"},
    "places": {"places": "random"},
}
CONTROL_NAMES = {
    "none": ("nothing", "无"),
    "hidden": ("15 % of the tokens asked for", "只问 15 % 的词元"),
    "optimizer": ("AdamW alone", "只用 AdamW"),
    "places": ("random places, random keys", "随机的位置，随机的键"),
}


@dataclass(frozen=True)
class Task:
    """A text in chunks, with its vocabulary."""

    data: TextData
    tokenizer: WordPiece
    train: Chunks
    val: Chunks


def load_data(args: argparse.Namespace) -> Task:
    """The text of --dataset, cut so that two chunks and three special tokens fill --longest."""
    data = load_text(args.dataset, args.data_dir)
    if args.quick:
        data = replace(data, train=data.train[:QUICK_TEXT], val=data.val[: QUICK_TEXT // 10])
    sample = data.train[: args.vocabulary_text]
    tokenizer = masked_words.vocabulary_of(sample, args.vocab_size)
    half = (args.longest - 3) // 2
    parts = [masked_words.chunks_of(text, tokenizer, half) for text in (data.train, data.val)]
    return Task(data, tokenizer, *parts)


def pretraining_loss(model: nn.Module, batch: Window) -> tuple[Tensor, dict[str, Tensor]]:
    """For `fit`: the sum of both tasks' cross-entropies, and the share of right answers of each."""
    ids, segments, targets, follows = batch
    chosen = targets != NOTHING  # (B, T), N places
    words, next_one = model(ids, segments, ids == 0, chosen)  # (N, V), (B, 2)
    wanted = targets[chosen]  # (N,)
    count = max(1, len(wanted))  # a short last batch may ask for nothing
    word_loss = F.cross_entropy(words, wanted, reduction="sum") / count
    loss = word_loss + F.cross_entropy(next_one, follows)
    return loss, {
        "words": word_loss.detach(),
        "accuracy": (words.detach().argmax(1) == wanted).float().sum() / count,
        "next_accuracy": (next_one.detach().argmax(1) == follows).float().mean(),
    }


def architecture_of(args: argparse.Namespace, task: Task) -> dict[str, Any]:
    """The arguments of `Bert`."""
    names = ("width", "heads", "layers", "ffn", "longest", "dropout")
    return {"vocabulary": task.tokenizer.vocab_size} | {name: getattr(args, name) for name in names}


@torch.no_grad()
def look_nearby(bert: Bert) -> None:
    """Keys start as copies of queries: places of sinusoids then fit themselves and their neighbours
    best, and what stands nearby is found from the first step on.
    """
    for layer in bert.layers:
        queries, keys, _ = layer.self_attn.in_proj_weight.chunk(3)  # (D, D) each
        keys.copy_(queries)


def batches(args: argparse.Namespace, task: Task, seed: int) -> tuple[Batches, Batches]:
    """Training windows, new in every epoch, and the validation windows, always the same."""
    options = {"seed": seed, "chosen": args.hidden}
    train = masked_words.batches_of(task.train, task.tokenizer, args.batch_size, **options)
    return train, masked_words.batches_of(task.val, task.tokenizer, 64, train=False)


def train_one(
    args: argparse.Namespace, run: Run, task: Task, seed: int, folder: Path
) -> tuple[PretrainingModel, History]:
    """One training in `folder`; resumed if it has a last.pth and --resume is given."""
    torch.manual_seed(seed)
    architecture = architecture_of(args, task)
    model = PretrainingModel(begun(Bert(**architecture), args.deviation, args.places))
    if args.places == "waves":
        look_nearby(model.bert)
    if args.optimizer == "muon":
        optimizer = MuonWithAdamW(model, args.lr, matrix_decay=DECAY)
    else:
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=DECAY
        )
    train, val = batches(args, task, seed)
    steps = args.epochs * len(train)
    history = fit(
        model,
        pretraining_loss,
        optimizer,
        train,
        epochs=args.epochs,
        val=val,
        scheduler=CosineWithWarmup(optimizer, min(args.warmup, max(1, steps // 10)), steps),
        clip_norm=1.0,
        monitor="words",
        restore_best=True,
        device=run.device,
        precision=run.precision,
        compile=args.compile,
        folder=folder,
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        save_every=500,
        facts={"architecture": architecture, "dataset": task.data.name},
        tensorboard=args.tensorboard,
        label=f"seed {seed}",
    )
    return model, history


def marks(args: argparse.Namespace, task: Task) -> dict[str, float]:
    """What counting reaches on the validation windows, in per cent."""
    train, val = batches(args, task, args.seed)
    stream = task.train.stream()
    contexts, answers = word_counts.questions_of(val, task.tokenizer)
    found = word_counts.counting_accuracy(stream, contexts, answers)
    rarity = word_counts.rarity_of(stream, task.tokenizer.vocab_size)
    few = []
    for batch in train:
        few.append(batch)
        if sum(len(ids) for ids, *_ in few) >= OVERLAP_WINDOWS:
            break
    follows = torch.cat([batch[3] for batch in val])
    return {name: 100 * share for name, share in found.items()} | {
        "overlap": 100 * word_counts.overlap_accuracy(few, val, rarity),
        "next_frequent": 100 * float(torch.bincount(follows).max() / len(follows)),
        "questions": len(answers),
    }


def first_beyond(curve: list[dict[str, float]], mark: float) -> float | None:
    """Minutes after which the masked words of the validation part are above `mark` per cent."""
    rows = (row for row in curve if 100 * row["val_accuracy"] > mark)
    found = next(rows, None)
    return None if found is None else found["seconds"] / 60


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """main: masked words; next: does the second part follow?"""
    marks, mean = metrics["marks"], metrics["accuracy_percent"]
    columns = [
        ("Model", "模型", "s"),
        ("Masked tokens right (%)", "被掩词元答对（%）", ".1f"),
    ]
    rows: list[list[Any]] = [
        [{"en": en, "zh": zh}, marks[name]] for name, (en, zh) in MODELS.items()
    ]
    rows.append(["BERT", mean if metrics["seeds"] > 1 else mean[0]])
    following = [
        ("Model", "模型", "s"),
        ("Next or not: right (%)", "是否下一段：答对（%）", ".1f"),
    ]
    value = metrics["next_percent"]
    others = [
        [{"en": "always the more frequent answer", "zh": "总答较常见者"}, marks["next_frequent"]],
        [{"en": "rare words in common", "zh": "共有的罕见词"}, marks["overlap"]],
        ["BERT", value if metrics["seeds"] > 1 else value[0]],
    ]
    found = {"main": table(columns, rows), "next": table(following, others)}
    controls = metrics["controls"]
    if len(controls) > 1:
        cells = [[{"en": en, "zh": zh}, controls[name]] for name, (en, zh) in CONTROL_NAMES.items()]
        found["controls"] = table([("Changed", "改动", "s"), columns[1]], cells)
    return found


def save(run: Run, task: Task, best: Path, row: dict[str, Any], file: str) -> None:
    """The weights of a training's `best` file with the vocabulary, for finetune_bert.py --start."""
    run.save_checkpoint(
        file,
        load_checkpoint(best)["state"],
        architecture=row["architecture"],
        dataset=task.data.name,
        metrics={"val_accuracy_percent": row["val"], "val_next_accuracy_percent": row["val_next"]},
        task=MASKED_TASK,
        vocabulary=task.tokenizer.vocabulary,
        text=task.data.notes,
        parameters=row["parameters"],
        seconds=row["seconds"],
    )


def load_pretrained(path: Path) -> tuple[PretrainingModel, WordPiece, dict[str, Any]]:
    """The network of a checkpoint, with both heads; its tokenizer; the checkpoint."""
    checkpoint = load_checkpoint(path)
    if checkpoint.get("task") != MASKED_TASK or "vocabulary" not in checkpoint:
        raise CheckpointError(f"{path} is no checkpoint of train_bert.py.")
    model = PretrainingModel(Bert(**checkpoint["architecture"]))
    load_state(model, checkpoint["state"], path)
    return model.eval(), WordPiece(checkpoint["vocabulary"]), checkpoint


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """What the model card says, measured again; MissingDataError where the text is another one."""
    model, tokenizer, checkpoint = load_pretrained(path)
    data = load_text(checkpoint["dataset"], data_dir)
    if data.notes["sha256"] != checkpoint["text"]["sha256"]:  # `topics` differs by version
        raise MissingDataError(f"{path} was measured on another text {data.name}", ())
    half = (checkpoint["architecture"]["longest"] - 3) // 2
    val = masked_words.chunks_of(data.val, tokenizer, half)
    windows = masked_words.batches_of(val, tokenizer, 64, train=False)
    found = evaluate(model, pretraining_loss, windows)
    return {
        "val_accuracy_percent": 100 * found["accuracy"],
        "val_next_accuracy_percent": 100 * found["next_accuracy"],
    }
