"""BERT: the encoder alone. Every place sees both sides; the task is to fill in hidden words.

    x_0 = norm(E[token] + P[place] + S[segment])      E (V, D), P (M, D), S (2, D): all learned
    x   = block(x), L times                           post-norm, no causal mask, GELU
    p(word at t) = softmax(norm(gelu(x_t W)) E^T + b) masked words: the table that reads, writes
    p(next)      = softmax(tanh(x_0 W_p) W_n)         did the second text follow the first?

What you learn: the blocks are layers.py's EncoderLayer; only the embeddings and the heads are new.
Real weights fit: `from_hugging_face` takes every tensor of a Hugging Face BERT, by name.

B batch, T places, D width, h heads, F width of the feed-forward, V tokens, M the longest text.
As in the rest of the chapter **True = hidden**. Paper: Devlin et al. 2019.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_08_transformer_vanilla.layers import EncoderLayer, looking


class Bert(nn.Module):
    """Token ids (B, T) -> states (B, T, D), each of which has seen the whole text.

    vocabulary: V. width: D. heads: h, divides D. ffn: F. longest: M. kinds: of segments. eps: of
    all norms. pooler: with the dense layer of `pooled`.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        heads: int,
        layers: int,
        ffn: int,
        longest: int = 512,
        dropout: float = 0.1,
        kinds: int = 2,
        eps: float = 1e-12,
        pooler: bool = True,
    ) -> None:
        super().__init__()
        self.longest = longest
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(longest, width)
        self.segments = nn.Embedding(kinds, width)
        self.norm = nn.LayerNorm(width, eps)
        self.drop = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, ffn, dropout, F.gelu, eps, batch_first=True)
            for _ in range(layers)
        )
        for layer in self.layers:
            layer.dropout = nn.Identity()  # BERT drops what a sublayer adds, not what is inside it
        self.pooler = nn.Linear(width, width) if pooler else None
        self.apply(start)

    def embedded(self, ids: Tensor, segments: Tensor | None = None) -> Tensor:
        """What a token is, where it stands, and in which text: (B, T) -> (B, T, D)."""
        steps = ids.shape[1]
        if steps > self.longest:
            raise ValueError(f"{steps} tokens; this network has places for {self.longest}")
        segments = torch.zeros_like(ids) if segments is None else segments
        x = self.tokens(ids) + self.places.weight[:steps] + self.segments(segments)
        return self.drop(self.norm(x))  # (B, T, D)

    def forward(
        self,
        ids: Tensor,
        segments: Tensor | None = None,
        hidden: Tensor | None = None,
        kept: list[Tensor] | None = None,
    ) -> Tensor:
        """ids, segments, hidden (B, T), hidden True = padding -> states (B, T, D).

        segments: 0 for the first text and 1 for the second; None is all 0. kept: receives each
        layer's weights (B, h, T, T). ValueError: T above M.
        """
        x = self.embedded(ids, segments)
        for layer in self.layers:
            x = layer.through(x, looking(layer.self_attn, kept=kept, key_padding_mask=hidden))
        return x

    def pooled(self, states: Tensor) -> Tensor:
        """One vector for the text: the state of [CLS], the first token. (B, T, D) -> (B, D)."""
        if self.pooler is None:
            raise ValueError("this BERT was built with pooler=False")
        return torch.tanh(self.pooler(states[:, 0]))


class MaskedLanguageModel(nn.Module):
    """A BERT and the head that says which word stands at a place."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        vocabulary, width = bert.tokens.weight.shape
        self.bert = bert
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, bert.norm.eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.dense.apply(start)

    def words(self, states: Tensor) -> Tensor:
        """Logits of all words, tied to the embedding: (..., D) -> (..., V)."""
        x = self.norm(F.gelu(self.dense(states)))
        return F.linear(x, self.bert.tokens.weight, self.bias)

    def forward(
        self,
        ids: Tensor,
        segments: Tensor | None = None,
        hidden: Tensor | None = None,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """(B, T) -> logits (B, T, V); with chosen (B, T) of N True places -> (N, V), for a sixth
        of the work where a sixth of the places was masked."""
        states = self.bert(ids, segments, hidden)
        return self.words(states if chosen is None else states[chosen])


class PretrainingModel(MaskedLanguageModel):
    """Both tasks of the paper: masked words, and whether the second text followed the first."""

    def __init__(self, bert: Bert) -> None:
        super().__init__(bert)
        self.follows = nn.Linear(bert.tokens.weight.shape[1], 2)  # 0: it followed, 1: it did not
        self.follows.apply(start)

    def forward(
        self,
        ids: Tensor,
        segments: Tensor | None = None,
        hidden: Tensor | None = None,
        chosen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As MaskedLanguageModel's -> (logits of words, logits (B, 2) of the next sentence)."""
        states = self.bert(ids, segments, hidden)
        words = self.words(states if chosen is None else states[chosen])
        return words, self.follows(self.bert.pooled(states))


def start(module: nn.Module, deviation: float = 0.02) -> None:
    """BERT's starting weights: N(0, 0.02) for tables and matrices, 0 for biases."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=deviation)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, EncoderLayer):
        nn.init.normal_(module.self_attn.in_proj_weight, std=deviation)


def mean_pooled(states: Tensor, hidden: Tensor | None = None) -> Tensor:
    """The mean over the places that are no padding: (B, T, D), (B, T) -> (B, D)."""
    if hidden is None:
        return states.mean(1)
    seen = (~hidden).unsqueeze(-1).to(states.dtype)  # (B, T, 1)
    return (states * seen).sum(1) / seen.sum(1).clamp(min=1)


# What Hugging Face calls otherwise; the first that fits counts.
NAMES = (
    ("embeddings.word_embeddings", "tokens"),
    ("embeddings.position_embeddings", "places"),
    ("embeddings.token_type_embeddings", "segments"),
    ("embeddings.LayerNorm", "norm"),
    ("encoder.layer.", "layers."),
    ("attention.output.dense", "self_attn.out_proj"),
    ("attention.output.LayerNorm", "norm1"),
    ("intermediate.dense", "linear1"),
    ("output.dense", "linear2"),
    ("output.LayerNorm", "norm2"),
    ("pooler.dense", "pooler"),
    ("cls.predictions.transform.LayerNorm", "norm"),
    ("cls.predictions.transform.dense", "dense"),
    ("cls.predictions.bias", "bias"),
    ("cls.seq_relationship", "follows"),
)
BUFFERS = ("position_ids", "token_type_ids")  # 0, 1, 2, ... and zeros: no weights
COPIES = {  # tied in training, stored twice by some files
    "cls.predictions.decoder.weight": "bert.tokens.weight",
    "cls.predictions.decoder.bias": "bias",
}
Network = Bert | MaskedLanguageModel


def from_hugging_face(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Network:
    """The network of a `BertModel`, `BertForMaskedLM` or `BertForPreTraining`, in evaluation mode.

    config: its config.json. state: its `state_dict()`. Every tensor is used and none is missing;
    otherwise, or for another architecture, a ValueError says what is wrong.
    """
    ours = renamed(state)
    network = empty(config, ours)
    wanted = network.state_dict()
    for fault, names in (("lacks", wanted.keys() - ours), ("has in excess", ours - wanted.keys())):
        if names:
            raise ValueError(f"these are not the weights of such a BERT: it {fault} {min(names)}")
    for name, tensor in wanted.items():
        if tensor.shape != ours[name].shape:
            shapes = f"{tuple(ours[name].shape)}, not {tuple(tensor.shape)}"
            raise ValueError(f"these are not the weights of such a BERT: {name} is {shapes}")
    network.load_state_dict(ours)
    return network.eval()


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names; query, key and value of a layer in one; ValueError for a copy that differs."""
    ours = {}
    for name, tensor in state.items():
        if not name.endswith(BUFFERS):
            for theirs, our in NAMES:
                name = name.replace(theirs, our)
            ours[name] = tensor
    for copy, original in COPIES.items():
        if copy in ours and not torch.equal(ours.pop(copy), ours.get(original, torch.empty(0))):
            raise ValueError(f"{copy} is not {original}: this output is not tied to the embedding")
    for query in [name for name in ours if ".attention.self.query." in name]:
        layer, kind = query.split("attention.self.query.")  # "layers.0.", "weight" or "bias"
        three = [f"{layer}attention.self.{part}.{kind}" for part in ("query", "key", "value")]
        if all(name in ours for name in three):
            ours[f"{layer}self_attn.in_proj_{kind}"] = torch.cat([ours.pop(n) for n in three])
    return ours


def empty(config: Mapping[str, Any], names: Collection[str]) -> Network:
    """The network of this configuration, with the heads that the names of the weights speak of."""
    fixed = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for what, value in fixed.items():
        if config.get(what, value) != value:
            raise ValueError(f"{what} is {config[what]!r}; this BERT is built for {value!r}")
    sizes = ("vocab_size", "hidden_size", "num_attention_heads", "num_hidden_layers",
             "intermediate_size", "max_position_embeddings")  # fmt: skip
    if lacking := [name for name in sizes if name not in config]:
        raise ValueError(f"the configuration has no {lacking[0]}")
    bert = Bert(
        *(config[name] for name in sizes),
        dropout=config.get("hidden_dropout_prob", 0.1),
        kinds=config.get("type_vocab_size", 2),
        eps=config.get("layer_norm_eps", 1e-12),
        pooler=any(name.endswith("pooler.weight") for name in names),
    )
    if "follows.weight" in names:
        return PretrainingModel(bert)
    return MaskedLanguageModel(bert) if "bias" in names else bert
