"""GPT-2: the decoder alone. Blocks without memory, a causal mask, and the next token as the task.

    x_0 = E[token] + P[place]         E (V, D), P (M, D): both learned
    x   = block(x), L times           pre-norm, causal, GELU
    logits = norm(x) E^T              tied: the table that reads is the table that writes

What you learn: nothing new is needed. A GPT block is layers.py's EncoderLayer with a causal mask:
without a memory to ask, a decoder layer has lost its second sublayer. Hugging Face's weights fit
after one turn: its `Conv1D` multiplies from the other side.

P has M rows and no more: what happens to longer texts is text_window.py's. B batch, T places,
D width, h heads, d = D / h, V tokens, M the longest text. Papers: Radford et al. 2018, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_07_attention_mechanism.multi_head import MultiheadAttention, merge_heads, split_heads
from chapter_08_transformer_vanilla.layers import EncoderLayer, Look, looking

gelu_tanh = partial(F.gelu, approximate="tanh")  # the form that GPT-2 was trained with


class GPT2(nn.Module):
    """Token ids (B, T) -> logits (B, T, V) of the next token at each place.

    vocabulary: V. width: D. heads: h, divides D. ffn: 4 D where it is None. longest: M.
    dropout: of the sum x_0 and of what a sublayer adds, nowhere else. deviation: of the starting
    weights.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 4,
        longest: int = 128,
        ffn: int | None = None,
        dropout: float = 0.0,
        deviation: float = 0.02,
    ) -> None:
        super().__init__()
        self.longest = longest
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(longest, width)
        self.drop = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(
                width, heads, ffn or 4 * width, dropout, gelu_tanh, batch_first=True,
                norm_first=True,
            )
            for _ in range(layers)
        )  # fmt: skip
        for layer in self.layers:
            layer.self_attn.dropout = layer.dropout.p = 0.0
        self.norm = nn.LayerNorm(width)
        self.apply(partial(self.start, deviation=deviation, layers=layers))

    @staticmethod
    def start(module: nn.Module, deviation: float, layers: int) -> None:
        """GPT-2's starting weights: N(0, 0.02), smaller where a block adds to the stream."""
        if isinstance(module, EncoderLayer):
            attention = module.self_attn
            nn.init.normal_(attention.in_proj_weight, std=deviation)
            nn.init.normal_(module.linear1.weight, std=deviation)
            for last in (attention.out_proj, module.linear2):  # 2 L of them are added up
                nn.init.normal_(last.weight, std=deviation / (2 * layers) ** 0.5)
            for bias in (attention.in_proj_bias, attention.out_proj.bias, module.linear1.bias,
                         module.linear2.bias):  # fmt: skip
                nn.init.zeros_(bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=deviation)

    def forward(self, ids: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        """kept: receives each layer's weights (B, h, T, T). ValueError: T above M."""
        x = self.placed(ids)  # (B, T, D)
        for layer in self.layers:
            x = layer.through(x, looking_back(layer.self_attn, kept))
        return self.logits(x)

    def placed(self, ids: Tensor, first: int = 0) -> Tensor:
        """Tokens (B, T), the first of them at place `first` -> x_0 (B, T, D)."""
        end = first + ids.shape[1]
        if end > self.longest:
            raise ValueError(f"{end} tokens; this network has places for {self.longest}")
        return self.drop(self.tokens(ids) + self.places.weight[first:end])

    def logits(self, x: Tensor) -> Tensor:
        """The stream behind the last block (B, T, D) -> (B, T, V)."""
        return F.linear(self.norm(x), self.tokens.weight)


def looking_back(attention: MultiheadAttention, kept: list[Tensor] | None = None) -> Look:
    """Causal self-attention (B, T, D) -> (B, T, D).

    Where nobody wants the weights, it is PyTorch's fused form of chapter 7's attention, which never
    writes (B, h, T, T) to memory: on a CPU a step of training takes three quarters of the time.
    """
    if kept is not None:
        return looking(attention, kept=kept, is_causal=True)

    def look(x: Tensor) -> Tensor:
        q, k, v = (split_heads(part, attention.num_heads) for part in attention.projected(x, x, x))
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, h, T, d)
        return attention.out_proj(merge_heads(found))

    return look


# --- Hugging Face's weights ---

EXPECTED = {  # what the network above is built for: GPT2Config's values
    "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False, "tie_word_embeddings": True,
    "add_cross_attention": False,
}  # fmt: skip
OUTSIDE = {"wte.weight": "tokens.weight", "wpe.weight": "places.weight",
           "ln_f.weight": "norm.weight", "ln_f.bias": "norm.bias"}  # fmt: skip
# In a layer: Hugging Face's module, ours, and whether it is a Conv1D, whose weight is (in, out).
INSIDE = (
    ("ln_1", "norm1", False), ("attn.c_attn", "self_attn.in_proj", True),
    ("attn.c_proj", "self_attn.out_proj", True), ("ln_2", "norm2", False),
    ("mlp.c_fc", "linear1", True), ("mlp.c_proj", "linear2", True),
)  # fmt: skip


def from_hugging_face(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> GPT2:
    """A `GPT2LMHeadModel`, given as `config.to_dict()` and `state_dict()`, as our network.

    ValueError: another architecture, a weight too many, missing, or of another shape.
    """
    for name, value in EXPECTED.items():
        if config.get(name, value) != value:
            raise ValueError(f"{name} is {config[name]!r}; this network has {value!r}")
    sizes = {"vocabulary": "vocab_size", "width": "n_embd", "heads": "n_head",
             "layers": "n_layer", "longest": "n_positions"}  # fmt: skip
    if lacking := [name for name in sizes.values() if name not in config]:
        raise ValueError(f"the configuration has no {lacking[0]}")
    found = renamed(state, config["n_layer"])
    model = GPT2(**{ours: config[name] for ours, name in sizes.items()}, ffn=config.get("n_inner"))
    model = model.to(found["tokens.weight"].dtype)
    try:
        model.load_state_dict(found)
    except RuntimeError as error:  # a shape: the names are already checked
        raise ValueError(str(error)) from None
    return model


def renamed(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Hugging Face's names and layouts -> ours. ValueError: a name too many or missing."""
    buffers = tuple(f"h.{i}.attn.{name}" for i in range(layers) for name in ("bias", "masked_bias"))
    left = {name.removeprefix("transformer."): weight for name, weight in state.items()}
    left = {name: weight for name, weight in left.items() if name not in buffers}  # masks
    head = left.pop("lm_head.weight", left.get("wte.weight"))
    names = {theirs: (ours, False) for theirs, ours in OUTSIDE.items()}
    for i in range(layers):
        for theirs, ours, turned in INSIDE:
            for kind in ("weight", "bias"):
                mark = "_" if ours.endswith("in_proj") else "."
                place = f"layers.{i}.{ours}{mark}{kind}"
                names[f"h.{i}.{theirs}.{kind}"] = (place, turned and kind == "weight")
    if wrong := sorted(left.keys() ^ names.keys()):
        kind = "missing" if wrong[0] in names else "not of this network"
        raise ValueError(f"{len(wrong)} weights do not fit; {wrong[0]!r} is {kind}")
    if not torch.equal(head, left["wte.weight"]):
        raise ValueError("lm_head.weight is not wte.weight: this network ties them")
    found = {ours: (left[theirs], turned) for theirs, (ours, turned) in names.items()}
    return {name: weight.T if turned else weight for name, (weight, turned) in found.items()}
