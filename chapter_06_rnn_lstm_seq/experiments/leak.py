"""Three ways to cut a text, and what a model claims on each (exp_leak.py).

One tenth of a text is put aside. A learner cuts the rest into a training and a validation part. The
model is measured on the validation part, which gives the number that is claimed, and on the tenth
that none of this has touched, which gives the true one. Over ten runs each tenth is put aside once,
so both numbers are means over the whole text: its passages are not alike.

All is cut into rows of 128 characters, so that every number is made in the same way; the first 16
characters of a row only serve as context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chapter_03_optimization_regularization.training import Batches, fit
from chapter_06_rnn_lstm_seq.language_model import LanguageModel, bits
from chapter_06_rnn_lstm_seq.ngram import KneserNey
from utils.datasets.text import LEAST_PARAGRAPH, key
from utils.results import named_mean_std, table

WINDOW = 128  # characters of a row
CONTEXT = 16  # characters of a row that are not measured
COPY = 20  # a string of the validation part this long that also is in the training part is a copy
TENTHS = 10
# The distance from a window to the next; 0: one contiguous part is held out.
STRIDES = {"contiguous": 0, "windows": WINDOW, "overlapping windows": WINDOW // 2}
CHINESE = {"contiguous": "连续切分", "windows": "窗口打乱", "overlapping windows": "重叠窗口打乱"}


@dataclass(frozen=True)
class Cut:
    """Rows of token ids: train (N, 128), val (M, 128)."""

    train: np.ndarray
    val: np.ndarray


def rows(ids: np.ndarray) -> np.ndarray:
    """A text (n,) as consecutive rows (n // 128, 128)."""
    return ids[: len(ids) // WINDOW * WINDOW].reshape(-1, WINDOW)


def each_paragraph_once(text: str) -> str:
    """The text without paragraphs that it has had before: a repeated one leaks in any split."""
    seen, kept = set(), []
    for paragraph in text.split("\n\n"):
        if len(paragraph) < LEAST_PARAGRAPH or key(paragraph) not in seen:
            kept.append(paragraph)
        seen.add(key(paragraph))
    return "\n\n".join(kept)


def put_aside(ids: np.ndarray, run: int, runs: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The text (n,) in tenths: the nine of the learner, and the one that this run puts aside."""
    tenths = np.array_split(ids, TENTHS)
    return tenths, tenths.pop(run * TENTHS // runs % TENTHS)


def cut_text(tenths: list[np.ndarray], kind: str, run: int, seed: int) -> Cut:
    """A tenth of the learner's text for validation, the rest for training, cut as `kind` says.

    tenths: pieces of the text in their order. run: says which is held out, if one piece is, other
    than the one put aside. seed: the shuffle of the windows.
    """
    if kind == "contiguous":
        place = (run + 2) % len(tenths)  # the third behind the one put aside; not the fifth, or two
        # runs would be one, with claim and truth exchanged
        train = [rows(part) for i, part in enumerate(tenths) if i != place]
        return Cut(np.concatenate(train), rows(tenths[place]))
    windows = [
        np.lib.stride_tricks.sliding_window_view(part, WINDOW)[:: STRIDES[kind]] for part in tenths
    ]
    windows = np.concatenate(windows)  # (W, 128)
    order = np.random.RandomState(seed).permutation(len(windows))
    val, train = np.split(order, [len(windows) // len(tenths)])
    return Cut(windows[train], windows[val])


def copied_share(cut: Cut) -> float:
    """The share of the validation part's strings of 20 characters that are in the training part."""
    train, val = strings(cut.train), strings(cut.val)
    return float(np.isin(val, train).mean())


def strings(parts: np.ndarray) -> np.ndarray:
    """A number for every string of 20 in rows (N, 128); (N 109,) uint64, equal strings alike."""
    powers = np.uint64(1_000_003) ** np.arange(COPY, dtype=np.uint64)  # modulo 2^64
    windows = np.lib.stride_tricks.sliding_window_view(parts.astype(np.uint64), COPY, axis=1)
    return (windows @ powers).ravel()


Bits = Callable[[np.ndarray], float]  # of rows (N, 128), a character


def kneser_ney(cut: Cut, vocab_size: int, seed: int) -> Bits:
    """Count the rows as one text; what crosses from a row to the next is a small disturbance."""
    model = KneserNey(5, vocab_size).fit(cut.train.ravel())

    def measured(parts: np.ndarray) -> float:
        p = model.probabilities(parts.ravel()).reshape(parts.shape)
        return float(-np.log2(p[:, CONTEXT:]).mean())

    return measured


def lstm(cut: Cut, vocab_size: int, seed: int) -> Bits:
    """An LSTM trained on the rows for about 800 steps; the epoch with the best claim is kept."""
    torch.manual_seed(seed)
    model = LanguageModel(vocab_size, "lstm", hidden_size=128)
    train, val = (torch.from_numpy(np.array(part)) for part in (cut.train, cut.val))
    batches = Batches(train, batch_size=16, shuffle=True, seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    epochs = max(1, round(LSTM_STEPS / len(batches)))
    fit(
        model, row_loss, optimizer, batches, epochs=epochs, val=Batches(val, batch_size=64),
        clip_norm=1.0, restore_best=True,
    )  # fmt: skip

    @torch.no_grad()
    def measured(parts: np.ndarray) -> float:
        return bits(float(row_loss(model.eval(), (torch.from_numpy(np.array(parts)),))[0]))

    return measured


def row_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Nats a character of rows (B, 128): of all in training, behind the context otherwise."""
    logits, _ = model(batch[0][:, :-1])  # (B, 127, V)
    first = 0 if model.training else CONTEXT - 1
    targets = batch[0][:, 1 + first :].flatten()  # (B T,)
    return F.cross_entropy(logits[:, first:].flatten(0, 1), targets), {}


MODELS: dict[str, Callable[[Cut, int, int], Bits]] = {"5-gram": kneser_ney, "LSTM": lstm}
LSTM_STEPS = 800
LSTM_CHARACTERS = 33_000  # of the text, that it fits into minutes


def measure(
    ids: np.ndarray, model: str, runs: int, seed: int, shown: Iterable[int]
) -> list[dict[str, Any]]:
    """One dict a kind and run: bits per character claimed and true, and the share of copies."""
    found = []
    vocab_size = int(ids.max()) + 1
    for run in shown:
        tenths, unseen = put_aside(ids, run, runs)
        for kind in STRIDES:
            cut = cut_text(tenths, kind, run * TENTHS // runs, seed + run)
            measured = MODELS[model](cut, vocab_size, seed + run)
            facts = {"model": model, "kind": kind, "copied": copied_share(cut)}
            found.append(facts | {"claimed": measured(cut.val), "true": measured(rows(unseen))})
    return found


def collect(found: list[dict[str, Any]]) -> dict[str, Any]:
    """{model: {kind: mean and deviation over the runs of claimed, true, gain, copied_percent}}."""
    metrics: dict[str, Any] = {}
    for model, kind in dict.fromkeys((row["model"], row["kind"]) for row in found):
        mine = [row for row in found if (row["model"], row["kind"]) == (model, kind)]
        claimed, true = ([row[name] for row in mine] for name in ("claimed", "true"))
        metrics.setdefault(name_of(model), {})[name_of(kind)] = {
            **named_mean_std(claimed, "claimed"),
            **named_mean_std(true, "true"),
            **named_mean_std(np.subtract(true, claimed), "flattery"),
            **named_mean_std([100 * row["copied"] for row in mine], "copied_percent"),
            "runs": len(mine),
        }
    return metrics


def name_of(words: str) -> str:
    """A model or kind as a key of the metrics."""
    return words.replace(" ", "_").replace("-", "_")


def tables(metrics: dict[str, Any], models: Iterable[str]) -> dict[str, Any]:
    columns = [
        ("Model", "模型", "s"),
        ("Split", "切分方式", "s"),
        ("Copied strings (%)", "重复的字符串（%）", ".1f"),
        ("Claimed bits per character", "声称的每字符比特数", ".2f"),
        ("True bits per character", "真实的每字符比特数", ".2f"),
    ]
    lines = []
    for model in models:
        for kind in STRIDES:
            row = metrics[name_of(model)][name_of(kind)]
            pairs = [
                (row[f"{n}_mean"], row[f"{n}_std"]) for n in ("copied_percent", "claimed", "true")
            ]
            lines.append([model, {"en": kind, "zh": CHINESE[kind]}, *pairs])
    return {"main": table(columns, lines)}
