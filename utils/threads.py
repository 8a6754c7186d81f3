"""The rows of the two tables that run through chapters 6 to 10: the same work, chapter by chapter.

    language_models   tiny-shakespeare, bits per character on its whole last tenth, 10 minutes
    translation       Multi30k from English to German, BLEU and chrF on test_2016_flickr

A script publishes a row a model; `python -m course sync` gathers those of all chapters:

    row = language_model_row("LSTM", chapter=6, parameters=166_208, nats=[1.61, 1.63],
                             seeds=[0, 1], tokens_per_second=9e4, cache_bytes_per_token=0,
                             context="carried", minutes=10, cores=2)
    save_row(run, "lstm", row)     # thread_language_models_lstm.json, with --publish in results/
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from utils.results import mean_std

if TYPE_CHECKING:
    from utils.run import Run

Words = str | dict[str, str]  # a model's name, the same in both languages or {"en": ..., "zh": ...}

DATASETS = {"language_models": "tiny_shakespeare", "translation": "multi30k en-de"}
CONTEXTS = ("window", "carried", "sliding")  # what a character is predicted from


def language_model_row(
    model: Words,
    *,
    chapter: int,
    parameters: int,
    nats: Sequence[float],
    seeds: Sequence[int],
    tokens_per_second: float | None,
    cache_bytes_per_token: float | None,
    context: str,
    minutes: float,
    cores: int,
) -> dict[str, Any]:
    """A row of the table of language models.

    nats: the loss per character of each seed, over the whole validation part.
    parameters: the numbers that were learned; of an n-gram model its stored counts.
    tokens_per_second: in training; None where nothing is trained step by step.
    cache_bytes_per_token: by how much the memory of generation grows with each token; a state of
        fixed size is 0. None where the notion does not apply.
    context: "carried" (the state runs on over the text), "sliding" (a window moved by less than
        its length) or "window" (a fixed number of characters before).
    minutes: of one seed's training, on `cores` cores.
    """
    if context not in CONTEXTS:
        raise ValueError(f"context must be one of {CONTEXTS}, not {context!r}")
    return {
        **_facts("language_models", model, chapter, parameters, seeds, minutes, cores),
        "bits_per_character": _over("nats", [value / math.log(2) for value in nats], seeds),
        "nats": _over("nats", nats, seeds),
        "tokens_per_second": tokens_per_second,
        "cache_bytes_per_token": cache_bytes_per_token,
        "context": context,
    }


def translation_row(
    model: Words,
    *,
    chapter: int,
    parameters: int,
    bleu: Sequence[float],
    chrf: Sequence[float],
    signature: str,
    seeds: Sequence[int],
    minutes: float,
    cores: int,
) -> dict[str, Any]:
    """A row of the table of translation: sacreBLEU's scores, one a seed, and its signature."""
    return {
        **_facts("translation", model, chapter, parameters, seeds, minutes, cores),
        "bleu": _over("bleu", bleu, seeds),
        "chrf": _over("chrf", chrf, seeds),
        "signature": signature,
    }


def _facts(
    thread: str, model: Words, chapter: int, parameters: int,
    seeds: Sequence[int], minutes: float, cores: int,
) -> dict[str, Any]:  # fmt: skip
    """What the rows of both tables have."""
    return {
        "thread": thread, "dataset": DATASETS[thread], "model": model, "chapter": chapter,
        "parameters": parameters, "seeds": list(seeds), "minutes": minutes, "cores": cores,
    }  # fmt: skip


def _over(name: str, values: Sequence[float], seeds: Sequence[int]) -> tuple[float, float]:
    """(mean, standard deviation) of a score over its seeds."""
    if len(values) != len(seeds) or not values:
        raise ValueError(f"{name} has {len(values)} values for {len(seeds)} seeds")
    return mean_std(values)


def save_row(run: Run, key: str, row: dict[str, Any]) -> None:
    """Save a row as thread_<thread>_<key>.json; the key names the model in the file's name."""
    run.save_result(f"thread_{row['thread']}_{key}", row, seeds=row["seeds"])
