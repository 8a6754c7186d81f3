"""A pretrained BERT at work: its vectors as they are, or the whole network trained on.

    frozen   one vector a text, computed once; logistic regression on it
    tuned    a linear layer on the mean of the states; both learn, with a small rate
    scratch  the same network and the same steps from random weights

The lower layers may stay as they are (`freeze`): what they do is little of one task's own, and a
step without their gradients costs less. D width, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_03_optimization_regularization.optimizers.muon import MuonWithAdamW
from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import History, evaluate, fit
from chapter_06_rnn_lstm_seq.experiments.batching import ByLength
from chapter_08_transformer_vanilla.bert import Bert, mean_pooled, start
from chapter_08_transformer_vanilla.experiments.sentence_tasks import Parts, encoded, seconds_of
from chapter_08_transformer_vanilla.layers import looking
from chapter_08_transformer_vanilla.wordpiece import WordPiece
from utils.datasets.sentences import Labelled, SentenceData
from utils.modes import evaluating

POOLINGS = ("mean", "cls")
STRENGTHS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # C of logistic regression
WARMUP = 0.1  # of all steps
DECAY = 0.01  # of weights


class TextClassifier(nn.Module):
    """ids (B, T), lengths (B,), starts (B,) -> logits (B, C).

    pooling: "mean" of the states, or the state of [CLS].
    """

    def __init__(self, bert: Bert, classes: int, pooling: str = "mean", dropout: float = 0.1):
        super().__init__()
        self.bert, self.pooling = bert, pooling
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(bert.tokens.embedding_dim, classes)
        self.head.apply(start)

    def vectors(self, ids: Tensor, lengths: Tensor, starts: Tensor) -> Tensor:
        """(B, D): what the head gets to see."""
        places = torch.arange(ids.shape[1], device=ids.device)  # (T,)
        hidden = places >= lengths[:, None]  # (B, T)
        segments = (places >= starts[:, None]) & ~hidden
        states = self.bert(ids, segments.long(), hidden)  # (B, T, D)
        return mean_pooled(states, hidden) if self.pooling == "mean" else states[:, 0]

    def forward(self, ids: Tensor, lengths: Tensor, starts: Tensor) -> Tensor:
        return self.head(self.drop(self.vectors(ids, lengths, starts)))


def freeze(bert: Bert, layers: int) -> None:
    """The embeddings and the lowest `layers` layers learn nothing, and drop nothing; -1: none."""
    if layers >= 0:
        lower = (bert.tokens, bert.places, bert.segments, bert.norm, bert.drop)
        for module in (*lower, *bert.layers[:layers]):
            module.requires_grad_(False).eval()  # `fit` leaves in this mode what it finds in it


def sentence_loss(model: nn.Module, batch: Parts) -> tuple[Tensor, dict[str, Tensor]]:
    """For `fit`: (cross-entropy, {"accuracy"})."""
    *inputs, labels = batch
    logits = model(*inputs)  # (B, C)
    right = (logits.detach().argmax(1) == labels).float().mean()
    return F.cross_entropy(logits, labels), {"accuracy": right}


def train_one(
    model: TextClassifier,
    train: Parts,
    val: Parts,
    *,
    lr: float,
    epochs: int,
    batch_size: int,
    seed: int,
    optimizer: str = "adamw",
    **more: Any,
) -> History:
    """The rate up for a tenth of the steps, then down as a cosine; ends with the weights of the
    epoch that was best on `val`. optimizer: "adamw", or "muon" for matrices. more: of `fit`.
    """
    if optimizer == "muon":
        steps_by: torch.optim.Optimizer = MuonWithAdamW(model, lr, matrix_decay=DECAY)
    else:
        learning = [weight for weight in model.parameters() if weight.requires_grad]
        steps_by = torch.optim.AdamW(learning, lr=lr, weight_decay=DECAY)
    batches = ByLength(*train, batch_size=batch_size, shuffle=True, seed=seed)
    steps = epochs * len(batches)
    return fit(
        model,
        sentence_loss,
        steps_by,
        batches,
        epochs=epochs,
        val=ByLength(*val, batch_size=64),
        scheduler=CosineWithWarmup(steps_by, int(WARMUP * steps), steps),
        clip_norm=1.0,
        monitor="accuracy",
        mode="max",
        restore_best=True,
        save_every=100,
        **more,
    )


def accuracy_of(model: nn.Module, parts: Parts, device: Any = "cpu") -> float:
    return evaluate(model, sentence_loss, ByLength(*parts, batch_size=64), device)["accuracy"]


# --- Frozen ---


@torch.no_grad()
def text_vectors(
    bert: Bert, tokenizer: WordPiece, texts: Sequence[str], pooling: str, longest: int
) -> np.ndarray:
    """A vector of every layer for each text, (N, L, D), each read by itself, longer ones cut."""
    part = Labelled(list(texts), np.zeros(len(texts), dtype=np.int64))
    (ids, lengths, _, _), cut = encoded(part, tokenizer, longest)
    if cut:
        print(f"{cut} of {len(texts)} texts are cut to {longest} tokens")
    found = torch.empty(len(texts), len(bert.layers), bert.tokens.embedding_dim)  # (N, L, D)
    with evaluating(bert):
        for rows in torch.argsort(lengths).split(64):
            steps = int(lengths[rows].max())
            hidden = torch.arange(steps) >= lengths[rows, None]  # (B, T)
            x = bert.embedded(ids[rows, :steps])  # (B, T, D)
            for place, layer in enumerate(bert.layers):
                x = layer.through(x, looking(layer.self_attn, key_padding_mask=hidden))
                found[rows, place] = mean_pooled(x, hidden) if pooling == "mean" else x[:, 0]
    return found.numpy()


def part_vectors(part: Labelled, *how: Any) -> tuple[np.ndarray, ...]:
    """The vectors (N, L, D) of a part's first sentences and, of pairs, of its second ones."""
    # part.texts repeat in sets of pairs: each different sentence is read once
    seconds = seconds_of(part)
    sides = (part.texts,) if seconds is None else (part.texts, seconds)
    unique = list(dict.fromkeys(text for texts in sides for text in texts))
    places = {text: place for place, text in enumerate(unique)}
    vectors = text_vectors(how[0], how[1], unique, *how[2:])
    return tuple(vectors[[places[text] for text in texts]] for texts in sides)


def last_layer(vectors: np.ndarray) -> np.ndarray:
    """The vectors of the last layer, of length 1: (N, L, D) -> (N, D)."""
    last = vectors[:, -1]
    return last / np.linalg.norm(last, axis=1, keepdims=True)


def features(vectors: tuple[np.ndarray, ...]) -> np.ndarray:
    """Of one sentence the last layer's u; of two (u, v, |u - v|, u v), as in Conneau et al. 2017:
    one or two arrays (N, L, D) -> (N, D or 4 D).
    """
    sides = [last_layer(side) for side in vectors]
    if len(sides) == 1:
        return sides[0]
    u, v = sides
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)


def logistic_head(
    data: SentenceData, found: dict[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Logistic regression on features found[part] (N, n), its strength chosen on validation.

    -> ({"val", "test" in per cent, "chosen", "parameters"}, a linear layer's weight and bias).
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = found["train"].mean(0), found["train"].std(0) + 1e-6  # (n,) each
    scaled = {part: (rows - mean) / deviation for part, rows in found.items()}
    models = [
        LogisticRegression(C=c, max_iter=500).fit(scaled["train"], data.train.labels)
        for c in STRENGTHS
    ]
    scores = [model.score(scaled["val"], data.val.labels) for model in models]
    best = models[int(np.argmax(scores))]
    weight, bias = best.coef_ / deviation, best.intercept_ - best.coef_ @ (mean / deviation)
    if len(weight) == 1:  # of two classes it knows one logit, the second's
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    row = {
        "val": 100 * max(scores),
        "test": 100 * best.score(scaled["test"], data.test.labels),
        "chosen": STRENGTHS[int(np.argmax(scores))],
        "parameters": weight.size + bias.size,
    }
    head = {"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()}
    return row, head


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of the ranks of a and b, (N,) each."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def drop_weights(folder: Path, keep: tuple[str, ...] = ()) -> None:
    """Remove the weights of a training that is measured: MiniLM's take 350 MB, with Adam's sums."""
    for name in ("last.pth", "best.pth"):
        if name not in keep:
            (folder / name).unlink(missing_ok=True)
