"""Trained text classifiers in files: written, read, asked, measured again.

Two kinds: a whole network with its vocabulary; or only the linear layer on MiniLM's frozen vectors,
a file of kilobytes, whose other 90 MB come out of the installed package.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_08_transformer_vanilla.bert import Bert
from chapter_08_transformer_vanilla.experiments.fine_tuning import (
    TextClassifier,
    features,
    part_vectors,
)
from chapter_08_transformer_vanilla.experiments.finetune_baselines import HEAD
from chapter_08_transformer_vanilla.experiments.sentence_tasks import encoded, load_task, seconds_of
from chapter_08_transformer_vanilla.experiments.starts import Start, load_start
from chapter_08_transformer_vanilla.wordpiece import WordPiece
from utils.checkpoint import CheckpointError, load_checkpoint, load_state
from utils.datasets.sentence_pairs import LabelledPairs
from utils.datasets.sentences import Labelled, SentenceData
from utils.errors import UserError
from utils.run import Run

SCRIPT = "python chapter_08_transformer_vanilla/finetune_bert.py"
SHIPPED = Path(__file__).parents[1] / "checkpoints" / "finetune_pairs.pth"
Classify = Callable[[Labelled], Tensor]  # N texts or pairs -> logits (N, C)


def network_facts(args: argparse.Namespace, data: SentenceData, start: Start) -> dict[str, Any]:
    """What a whole network's file needs to be used; also the facts of its training."""
    return {
        "architecture": {
            "bert": start.architecture, "classes": len(data.classes), "pooling": args.pooling,
        },
        "dataset": data.name,
        "vocabulary": start.tokenizer.vocabulary,
    } | shared_facts(args, data)  # fmt: skip


def shared_facts(args: argparse.Namespace, data: SentenceData) -> dict[str, Any]:
    return {
        "task": f"classification into {len(data.classes)} classes",
        "classes": list(data.classes),
        "pairs": seconds_of(data.train) is not None,
        "longest": args.longest,
    }


def save_weights(
    run: Run, file: str, data: SentenceData, start: Start, rows: dict, args: argparse.Namespace
) -> None:
    """The trained network where nothing was pretrained, else the head on frozen vectors."""
    if start.weights is None:
        row = rows["scratch"][0]
        best = load_checkpoint(run.folder / "scratch" / f"seed_{args.seed}" / "best.pth")
        facts = network_facts(args, data, start)
        run.save_checkpoint(
            file, best["state"], **facts, metrics={"test_accuracy_percent": row["test"]},
            parameters=row["parameters"], seconds=row["seconds"],
        )  # fmt: skip
    elif "frozen" in rows:
        row = rows["frozen"][0]
        run.save_checkpoint(
            file,
            torch.load(run.folder / HEAD, weights_only=True),
            architecture={"start": args.start, "pooling": args.pooling},
            dataset=data.name,
            metrics={"test_accuracy_percent": row["test"]},
            parameters=row["parameters"],
            **shared_facts(args, data),
        )


def load_classifier(path: str | Path) -> tuple[Classify, dict[str, Any]]:
    """-> (texts to logits, the checkpoint). UserError: another file, or MiniLM is not installed."""
    checkpoint = load_checkpoint(path)
    architecture = checkpoint.get("architecture", {})
    if "classes" not in checkpoint or not {"bert", "start"} & set(architecture):
        what = checkpoint.get("task", "an unfinished training")
        raise CheckpointError(
            f"{path} is no classifier of texts (its task: {what}); make one with `{SCRIPT}`."
        )
    longest, pooling = checkpoint["longest"], architecture["pooling"]
    if "start" in architecture:
        start = load_start(architecture["start"], ())
        bert, head = start.pretrained(), checkpoint["state"]

        def by_head(part: Labelled) -> Tensor:
            vectors = features(part_vectors(part, bert, start.tokenizer, pooling, longest))
            return F.linear(torch.from_numpy(vectors).float(), head["weight"], head["bias"])

        return by_head, checkpoint
    model = TextClassifier(Bert(**architecture["bert"]), architecture["classes"], pooling)
    load_state(model, checkpoint["state"], path)
    model.eval()
    tokenizer = WordPiece(checkpoint["vocabulary"])

    @torch.no_grad()
    def by_network(part: Labelled) -> Tensor:
        (*inputs, _), cut = encoded(part, tokenizer, longest)
        if cut:
            print(f"{cut} of {len(part)} texts are cut to {longest} tokens")
        chunks = zip(*(tensor.split(64) for tensor in inputs), strict=True)
        return torch.cat([model(*chunk) for chunk in chunks])  # (N, C)

    return by_network, checkpoint


def answer(path: str | Path, texts: Sequence[str]) -> dict[str, float]:
    """Class -> probability, of one text or of two; UserError for a number that does not fit."""
    classify, checkpoint = load_classifier(path)
    wanted = 2 if checkpoint["pairs"] else 1
    if len(texts) != wanted:
        raise UserError(f"{path} reads {wanted} text{'s' * (wanted - 1)}, not {len(texts)}.")
    if not all(text.strip() for text in texts):
        raise UserError("--text is empty; give words.")
    nothing = torch.zeros(1, dtype=torch.int64).numpy()
    part = Labelled([texts[0]], nothing)
    if wanted == 2:
        part = LabelledPairs([texts[0]], nothing, [texts[1]])
    shares = classify(part)[0].softmax(0).tolist()
    return dict(zip(checkpoint["classes"], shares, strict=True))


def evaluate(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """A shipped classifier on its test part, anew."""
    classify, checkpoint = load_classifier(path)
    test = load_task(checkpoint["dataset"], data_dir=data_dir).test
    right = classify(test).argmax(1).numpy() == test.labels
    return {"test_accuracy_percent": 100 * float(right.mean())}
