"""GPT-2: the decoder alone. Blocks without memory, a causal mask, and the next token as the task.

    x_0 = E[token] + P[place]         E (V, D), P (M, D): both learned
    x   = block(x), L times           pre-norm, causal, GELU
    logits = norm(x) E^T              tied: the table that reads is the table that writes

What you learn: nothing new is needed. A GPT block is layers.py's EncoderLayer with a causal mask:
without a memory to ask, a decoder layer has lost its second sublayer. B batch, T places, D width,
h heads, V tokens, M the longest text. Papers: Radford et al. 2018, 2019.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from chapter_07_attention_mechanism.masks import causal_mask
from chapter_08_transformer_vanilla.layers import EncoderLayer, looking

gelu_tanh = partial(F.gelu, approximate="tanh")  # the form that GPT-2 was trained with


class GPT2(nn.Module):
    """Token ids (B, T) -> logits (B, T, V) of the next token at each place.

    vocabulary: V. width: D. heads: h, divides D. ffn: 4 D where it is None. longest: M.
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
        self.norm = nn.LayerNorm(width)
        self.apply(partial(self.start, deviation=0.02, layers=layers))

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
        steps = ids.shape[1]
        if steps > self.longest:
            raise ValueError(f"{steps} tokens; this network has places for {self.longest}")
        x = self.drop(self.tokens(ids) + self.places.weight[:steps])  # (B, T, D)
        future = ~causal_mask(steps, device=ids.device)  # (T, T), True = hidden
        for layer in self.layers:
            x = layer.through(x, looking(layer.self_attn, kept=kept, attn_mask=future))
        return F.linear(self.norm(x), self.tokens.weight)  # (B, T, V)
