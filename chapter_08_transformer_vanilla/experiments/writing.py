"""Networks that write: from checkpoints, and as chapter 6's measures want them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from chapter_06_rnn_lstm_seq.experiments.translation import Task, load_translator
from chapter_08_transformer_vanilla.decoding import beam_search, greedy
from chapter_08_transformer_vanilla.experiments.tasks import load_data
from chapter_08_transformer_vanilla.kv_cache import CachedSteps, FullSteps
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils.checkpoint import CheckpointError
from utils.datasets.pairs import load_pairs

TASK = "translation with a Transformer"
DATA_OPTIONS = ("task", "src", "tgt", "most", "lines", "quick")  # of train.py: what is read
ALPHA = 0.6  # of the length penalty, as in Vaswani et al. 2017
Write = Callable[[Tensor, int, int, int], Tensor]


def load_transformer(path: str | Path) -> tuple[TranslationTransformer, Task, dict[str, Any]]:
    """The network of a checkpoint of train.py, its tokenizers, and all of it."""
    return load_translator(path, TranslationTransformer, TASK)


def shipped_task(task: Task, checkpoint: dict[str, Any], data_dir: str | None = None) -> Task:
    """The tokenizers of a checkpoint with the data that it was trained for."""
    options = checkpoint.get("options") or {}
    if missing := set(DATA_OPTIONS) - options.keys():
        raise CheckpointError(f"the checkpoint does not say its data: {', '.join(sorted(missing))}")
    if options["task"] == "multi30k":
        return replace(task, data=load_pairs("multi30k", options["src"], options["tgt"], data_dir))
    lines = 10 if options["task"] == "numbers" else options["lines"]  # letters: none known before
    data = load_data(
        options["task"], options["src"], options["tgt"], options["most"], lines, data_dir,
        options["quick"],
    ).data  # fmt: skip
    return replace(task, data=data)


def writer(
    model: TranslationTransformer, beams: int = 1, alpha: float = ALPHA, cached: bool = True
) -> Write:
    """(source (B, S), bos, eos, limit) -> the best line of each source, ids (B, T)."""

    def write(source: Tensor, bos: int, eos: int, limit: int) -> Tensor:
        steps = (CachedSteps if cached else FullSteps)(model, source)
        if beams == 1:
            return greedy(steps, len(source), bos, eos, limit, model.pad)
        lines, _ = beam_search(steps, len(source), bos, eos, limit, beams, alpha, model.pad)
        return lines[:, 0]

    return write
