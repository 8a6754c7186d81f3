"""Is this sentence positive? Two linear classifiers that count, three networks that read.

All five get the same training sentences, choose what is to be chosen on validation, and see the
test sentences once. The linear ones count words and pairs of neighbours ("not good" is a feature
of its own) and have nothing random in them: seeds change the networks only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.training import Batches, evaluate, fit
from chapter_06_rnn_lstm_seq.classifier import BagOfEmbeddings, BiLSTM, KimCNN, text_loss
from chapter_06_rnn_lstm_seq.experiments.batching import ByLength, padded, padding_share, trimmed
from chapter_06_rnn_lstm_seq.tokenizer import PAD, UNK, WordTokenizer
from utils.datasets.sentences import Labelled, SentenceData

Parts = tuple[Tensor, Tensor, Tensor]  # tokens (N, T), lengths (N,), labels (N,)

# The networks, each with its learning rate. A mean over the words divides the gradient by their
# number, and so needs a larger one.
NETWORKS: dict[str, tuple[Callable[[int, int], nn.Module], float]] = {
    "bag of embeddings": (BagOfEmbeddings, 5e-3),
    "Kim's CNN": (KimCNN, 1e-3),
    "BiLSTM": (BiLSTM, 1e-3),
}
LINEAR = ("naive Bayes, bigrams", "logistic regression, bigrams")
SMOOTHINGS = (0.3, 1.0, 3.0, 10.0)  # of naive Bayes
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # C of logistic regression
BATCH, DECAY, CLIP = 50, 1e-3, 3.0


def make_tokenizer(data: SentenceData) -> WordTokenizer:
    """Words that the training sentences have twice or more; 0 is padding, 1 any other word."""
    return WordTokenizer.train(data.train.texts, min_count=2, specials=(PAD, UNK))


def encoded(part: Labelled, tokenizer: WordTokenizer) -> Parts:
    unknown = [tokenizer.id_of(UNK)]  # for a sentence without a word
    rows = [tokenizer.encode(text) or unknown for text in part.texts]
    return *padded(rows), torch.from_numpy(part.labels)


def train_one(
    name: str, tokenizer: WordTokenizer, train: Parts, val: Parts, seed: int, epochs: int, **more
):
    """One network with Adam; the epoch with the best validation accuracy. -> (model, history)."""
    torch.manual_seed(seed)
    make, rate = NETWORKS[name]
    model = make(tokenizer.vocab_size, int(train[2].max()) + 1)
    history = fit(
        model,
        text_loss,
        torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=DECAY),
        ByLength(*train, batch_size=BATCH, shuffle=True, seed=seed),
        epochs=epochs,
        val=ByLength(*val, batch_size=500),
        clip_norm=CLIP,
        monitor="accuracy",
        mode="max",
        restore_best=True,
        **more,
    )
    return model, history


def accuracy_of(model: nn.Module, parts: Parts, device: Any = "cpu") -> float:
    return evaluate(model, text_loss, ByLength(*parts, batch_size=500), device)["accuracy"]


def linear_classifiers(data: SentenceData) -> dict[str, dict[str, Any]]:
    """Both linear ones -> {name: {"val", "test", "features", "chosen"}}; accuracies are shares."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.naive_bayes import MultinomialNB

    def logistic(strength: float) -> Any:
        model = LogisticRegression(C=strength, solver="liblinear")  # it knows two classes
        return model if len(data.classes) == 2 else OneVsRestClassifier(model)

    counter = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", binary=True)
    train = counter.fit_transform(data.train.texts)  # (N, features), sparse
    val, test = counter.transform(data.val.texts), counter.transform(data.test.texts)
    models = {
        LINEAR[0]: [(s, MultinomialNB(alpha=s)) for s in SMOOTHINGS],
        LINEAR[1]: [(c, logistic(c)) for c in STRENGTHS],
    }
    found = {}
    for name, choices in models.items():
        for _, model in choices:
            model.fit(train, data.train.labels)
        scores = [model.score(val, data.val.labels) for _, model in choices]
        chosen, best = choices[int(np.argmax(scores))]
        test_accuracy = best.score(test, data.test.labels)
        found[name] = {"val": max(scores), "test": test_accuracy, "chosen": chosen}
        found[name] |= {"features": train.shape[1]}
    return found


def shortened(data: SentenceData, sentences: int) -> SentenceData:
    """A part of the training sentences, for --quick."""
    step = max(1, len(data.train) // sentences)
    train = data.train.take(np.arange(0, len(data.train), step))
    return SentenceData(data.name, train, data.val, data.test, data.classes, data.notes)


def padding_shares(train: Parts) -> dict[str, float]:
    """Which part of all tokens is padding, for three ways to make batches."""
    options = {"batch_size": BATCH, "shuffle": True}
    ways = {
        "longest": Batches(*train, **options),
        "shuffled": Batches(*train, **options, transform=trimmed),
        "by_length": ByLength(*train, **options),
    }
    return {name: padding_share(batches) for name, batches in ways.items()}
