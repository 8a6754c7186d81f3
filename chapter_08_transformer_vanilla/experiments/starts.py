"""Where finetune_bert.py starts from: MiniLM, a checkpoint of train_bert.py, or nothing.

    start = load_start("minilm", lines)     start.tokenizer, start.pretrained(), start.fresh()

`pretrained` and `fresh` give networks of one architecture, so that what pretraining is worth is the
difference between two numbers. B batch, T places, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from chapter_08_transformer_vanilla.bert import Bert
from chapter_08_transformer_vanilla.bert import start as begin
from chapter_08_transformer_vanilla.experiments.gpt import start_places
from chapter_08_transformer_vanilla.experiments.minilm import load_minilm
from chapter_08_transformer_vanilla.wordpiece import WordPiece
from utils.checkpoint import CheckpointError, load_checkpoint, load_state

MASKED_TASK = "masked words and next sentence"  # of the checkpoints of train_bert.py
SMALL = {"width": 64, "heads": 4, "layers": 2, "ffn": 128, "longest": 128, "pooler": False}
SMALL_VOCABULARY = 2_000


@dataclass(frozen=True)
class Start:
    """name: "minilm", "none" or the checkpoint's file name. weights: None where there are none.

    deviation, places: of random weights. BERT's are 0.02 and random rows. A narrow network learns
    sooner from larger ones and from sinusoids ("waves"), as in train_gpt.py.
    """

    name: str
    tokenizer: WordPiece
    architecture: dict[str, Any]
    weights: dict[str, Any] | None
    deviation: float = 0.02
    places: str = "random"

    def fresh(self) -> Bert:
        """The network with random weights."""
        return begun(Bert(**self.architecture), self.deviation, self.places)

    def pretrained(self) -> Bert:
        """The network with the weights of pretraining; a copy of its own at every call."""
        bert = self.fresh()
        bert.load_state_dict(self.weights)
        return bert


def begun(bert: Bert, deviation: float, places: str) -> Bert:
    """The same network with random weights of this deviation; places: "waves" or "random"."""
    bert.apply(partial(begin, deviation=deviation))
    if places == "waves":
        start_places(bert, deviation)
    return bert


def load_start(name: str, lines: Iterable[str], dropout: float | None = None) -> Start:
    """name: "minilm", "none" (a small network; its vocabulary is learnt from `lines`), or the path
    of a checkpoint of train_bert.py. dropout: where it is not the network's own.

    UserError: the package of MiniLM's weights is missing, or no such checkpoint.
    """
    if name == "none":
        tokenizer = WordPiece.train(lines, SMALL_VOCABULARY)
        own = {"vocabulary": tokenizer.vocab_size, "dropout": 0.0, **SMALL}
        start = Start(name, tokenizer, own, None, deviation=0.1, places="waves")
    elif name == "minilm":
        found = load_minilm()
        bert = found.bert
        start = Start(name, found.tokenizer, architecture_of(bert), bert.state_dict())
    else:
        start = from_checkpoint(Path(name))
    if dropout is None:
        return start
    return replace(start, architecture=start.architecture | {"dropout": dropout})


def architecture_of(bert: Bert) -> dict[str, Any]:
    """The arguments that `Bert` was made with."""
    layer = bert.layers[0]
    return {
        "vocabulary": bert.tokens.num_embeddings,
        "width": bert.tokens.embedding_dim,
        "heads": layer.self_attn.num_heads,
        "layers": len(bert.layers),
        "ffn": layer.linear1.out_features,
        "longest": bert.longest,
        "dropout": bert.drop.p,
        "kinds": bert.segments.num_embeddings,
        "eps": bert.norm.eps,
        "pooler": bert.pooler is not None,
    }


def from_checkpoint(path: Path) -> Start:
    """The encoder of a checkpoint of train_bert.py, without the heads of its two tasks."""
    checkpoint = load_checkpoint(path)
    if checkpoint.get("task") != MASKED_TASK or "vocabulary" not in checkpoint:
        what = checkpoint.get("task", "an unfinished training")
        raise CheckpointError(
            f"{path} is no pretrained BERT (its task: {what}); make one with train_bert.py."
        )
    tokenizer, architecture = WordPiece(checkpoint["vocabulary"]), checkpoint["architecture"]
    prefix = "bert."
    weights = {
        name.removeprefix(prefix): copy.deepcopy(value)
        for name, value in checkpoint["state"].items()
        if name.startswith(prefix)
    }
    load_state(Bert(**architecture), weights, path)  # says what does not fit
    options = checkpoint.get("options", {})  # `fresh` begins as that training did
    how = {name: options[name] for name in ("deviation", "places") if name in options}
    return Start(path.name, tokenizer, architecture, weights, **how)
