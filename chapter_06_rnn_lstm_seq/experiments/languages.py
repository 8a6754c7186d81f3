"""Which language is this number word after its first k characters? Four answers.

    most frequent     one class of nine, whatever is read
    trigrams          Bayes' rule with a character-trigram model of each language
    LSTM              the chapter's PrefixLSTM, trained with the loss at every character
    best attainable   counts over all numbers, also those of the test: no classifier that reads k
                      characters can be right more often

A word ends with END, which is read as a character: "sei" is Italian only if nothing follows
("seis" is Spanish). Words that have ended before k count with all that they have.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.schedulers import OneCycleLR
from chapter_03_optimization_regularization.training import LossFunction, fit
from chapter_06_rnn_lstm_seq.classifier import BiLSTM, PrefixLSTM, prefix_loss, text_loss
from chapter_06_rnn_lstm_seq.experiments.batching import ByLength, padded, trimmed
from chapter_06_rnn_lstm_seq.tokenizer import PAD, CharTokenizer
from utils.datasets.languages import LANGUAGES, all_words, load_languages
from utils.datasets.sentences import Labelled, SentenceData

END = "\n"
LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 40)  # k; no word has 40 characters
SMOOTHINGS = (1.0, 0.3, 0.1, 0.03, 0.01)
PREFIX = {"embedding_dim": 32, "hidden_size": 64, "dropout": 0.2}
WHOLE = {"embedding_dim": 32, "hidden_size": 32, "pooling": "last", "dropout": 0.3}
Parts = tuple[Tensor, Tensor, Tensor]  # tokens (N, T), lengths (N,), labels (N,)
BATCH, RATE, CLIP = 96, 0.02, 1.0
CLASSES = len(LANGUAGES)
# Passes over the data, as a multiple of --epochs, by network and numbers to train on.
EFFORT = {("prefix", 30): 5.0, ("prefix", 300): 1.0, ("packed", 300): 0.5, ("unpacked", 300): 0.5}
# The networks for `train_one`, each with its loss. The BiLSTMs read whole words.
NETWORKS: dict[str, tuple[Callable[[int], nn.Module], LossFunction]] = {
    "prefix": (lambda characters: PrefixLSTM(characters, CLASSES, **PREFIX), prefix_loss),
    "packed": (lambda characters: BiLSTM(characters, CLASSES, **WHOLE), text_loss),
    "unpacked": (lambda characters: BiLSTM(characters, CLASSES, **WHOLE, pack=False), text_loss),
}


def make_tokenizer() -> CharTokenizer:
    """The letters of all nine languages' number words, known beforehand; 0 is padding."""
    return CharTokenizer.train([*all_words().texts, END], specials=(PAD,))


def load_data(
    train_numbers: int, tokenizer: CharTokenizer
) -> tuple[SentenceData, dict[str, Parts]]:
    """The words, and as tensors under "train", "val", "test"."""
    data = load_languages(train_numbers)
    parts = {"train": data.train, "val": data.val, "test": data.test}
    return data, {name: encoded(part, tokenizer) for name, part in parts.items()}


def encoded(part: Labelled, tokenizer: CharTokenizer) -> Parts:
    rows = [tokenizer.encode(text + END) for text in part.texts]
    return *padded(rows), torch.from_numpy(part.labels)


class TrigramBayes:
    """P(language | prefix) by Bayes' rule; P(prefix | language) is a product over its characters.

    log P(c_1 .. c_k | l) = sum_t log P(c_t | c_(t-2), c_(t-1), l), with counts raised by
    `smoothing`. The languages are equally frequent, so that the prior is left out.
    """

    def __init__(self, parts: Parts, vocab_size: int, classes: int, smoothing: float) -> None:
        before, now, labels = *self._trigrams(parts[0], vocab_size), parts[2].numpy()
        counts = np.zeros((classes, vocab_size**2, vocab_size))
        real = parts[0].numpy() > 0  # (N, T)
        rows = np.broadcast_to(labels[:, None], real.shape)
        np.add.at(counts, (rows[real], before[real], now[real]), 1)
        counts += smoothing
        self.log_shares = np.log(counts / counts.sum(2, keepdims=True))  # (C, V V, V)
        self.vocab_size = vocab_size

    @staticmethod
    def _trigrams(tokens: Tensor, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Number of the two characters before each place, and the one there: (N, T) each."""
        now = tokens.numpy()
        wide = np.pad(now, ((0, 0), (2, 0)))  # two paddings stand for the beginning
        return wide[:, :-2] * vocab_size + wide[:, 1:-1], now

    def predictions(self, tokens: Tensor) -> np.ndarray:
        """(N, T) -> (N, T), the class after each character."""
        before, now = self._trigrams(tokens, self.vocab_size)
        return self.log_shares[:, before, now].cumsum(2).argmax(0)  # (C, N, T) -> (N, T)


def choose_trigrams(train: Parts, val: Parts, vocab_size: int, classes: int) -> TrigramBayes:
    """The smoothing that is best on validation, over all k."""
    models = [TrigramBayes(train, vocab_size, classes, s) for s in SMOOTHINGS]
    return max(models, key=lambda m: over_lengths(m.predictions(val[0]), val).mean())


def best_attainable(part: Labelled, parts: Parts) -> np.ndarray:
    """(N, T): the language to which most of all words with this beginning belong."""
    counts: defaultdict[str, Counter] = defaultdict(Counter)
    everything = all_words()
    for text, label in zip(everything.texts, everything.labels.tolist(), strict=True):
        for k in range(1, len(text) + 2):
            counts[(text + END)[:k]][label] += 1
    found = np.zeros(parts[0].shape, dtype=np.int64)
    for row, text in enumerate(part.texts):
        for k in range(1, len(text) + 2):
            found[row, k - 1] = counts[(text + END)[:k]].most_common(1)[0][0]
    return found


def over_lengths(predictions: np.ndarray, parts: Parts, ks: Sequence[int] = LENGTHS) -> np.ndarray:
    """Share of right answers after k characters, (len(ks),); predictions (N, T)."""
    lengths, labels = parts[1].numpy(), parts[2].numpy()
    rows = np.arange(len(labels))
    return np.array([(predictions[rows, np.minimum(lengths, k) - 1] == labels).mean() for k in ks])


@torch.no_grad()
def probabilities(model: PrefixLSTM, tokens: Tensor) -> Tensor:
    """(N, T) -> (N, T, C), after each character."""
    return model.eval()(tokens).softmax(-1)


def network_curve(model: PrefixLSTM, parts: Parts) -> np.ndarray:
    """Share of right answers after k characters, (len(LENGTHS),)."""
    return over_lengths(probabilities(model, parts[0]).argmax(-1).numpy(), parts)


def train_one(kind: str, parts: dict[str, Parts], tokenizer: CharTokenizer, seed: int, **more):
    """One network of NETWORKS with AdamW and a one-cycle schedule. -> (model, history).

    Nothing is chosen on the way, so no epoch is validated; RATE was chosen on the val part.
    """
    torch.manual_seed(seed)
    model, loss = NETWORKS[kind][0](tokenizer.vocab_size), NETWORKS[kind][1]
    train = ByLength(*parts["train"], batch_size=BATCH, shuffle=True, seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    steps = more["epochs"] * len(train)
    history = fit(
        model,
        loss,
        optimizer,
        train,
        scheduler=OneCycleLR(optimizer, max_lr=RATE, total_steps=steps),
        clip_norm=CLIP,
        **more,
    )
    return model.cpu(), history


# --- What padding does to a BiLSTM that is not packed ---


@torch.no_grad()
def accuracy_without_padding(model: nn.Module, parts: Parts) -> float:
    """Words of the same length together: no batch has any padding."""
    tokens, lengths, labels = parts
    right = 0
    for length in lengths.unique():
        rows = lengths == length
        logits = model.eval()(tokens[rows, :length], lengths[rows])  # (B, C)
        right += int((logits.argmax(1) == labels[rows]).sum())
    return right / len(labels)


@torch.no_grad()
def accuracy_in_batches(model: nn.Module, parts: Parts, more: int = 0) -> float:
    """Words as they come, 100 a batch, and `more` columns of padding behind the longest."""
    right = 0
    for batch in zip(*(part.split(100) for part in parts), strict=True):
        tokens, lengths, labels = trimmed(batch)
        wider = nn.functional.pad(tokens, (0, more))  # (B, T + more)
        right += int((model.eval()(wider, lengths).argmax(1) == labels).sum())
    return right / len(parts[2])


def padding_row(model: BiLSTM, parts: Parts, pack: bool) -> dict[str, float]:
    """Accuracy on whole words with no padding, with that of batches, with 20 columns more."""
    model.pack = pack
    return {
        "alone": accuracy_without_padding(model, parts),
        "batches": accuracy_in_batches(model, parts),
        "more": accuracy_in_batches(model, parts, more=20),
    }
