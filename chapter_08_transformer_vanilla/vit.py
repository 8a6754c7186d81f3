"""The Vision Transformer: a picture is a text whose words are square patches.

    words  = patches E + b                      (B, N, C P P) (C P P, D) -> (B, N, D)
    x_0    = [class token; words] + P           P (1 + N, D), learned: row t is place t
    x      = block(x), L times                  pre-norm, GELU, nobody is hidden from anybody
    logits = norm(x)[:, 0] W + c                what the class token has gathered, (B, K)

What you learn: after the patches nothing knows that this is a picture. Which patches are
neighbours, and that a thing stays the same when it moves, a convolution has built in; here it must
be learnt. `DeiT` adds a second token that learns from another network's answers. `rollout` follows
the weights of all layers back to the patches.

B batch, C channels, H, W picture, P side of a patch, N = (H / P) (W / P) patches, T = 1 + N tokens,
D width, h heads, K classes. Papers: Dosovitskiy et al. 2021 (ViT); Touvron et al. 2021 (DeiT);
Abnar and Zuidema 2020 (rollout).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_08_transformer_vanilla.layers import EncoderLayer, looking
from chapter_08_transformer_vanilla.positions import sinusoids


def patchify(pictures: Tensor, side: int) -> Tensor:
    """Squares of side P, row by row: (B, C, H, W) -> (B, N, C P P). ValueError: P does not fit.

    A patch's numbers come channel by channel, each row by row, as in a kernel of a convolution.
    """
    height, width = pictures.shape[-2:]
    if height % side or width % side:
        raise ValueError(f"patches of side {side} do not fill pictures of {height} x {width}")
    x = pictures.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # (B, C, H/P, P, W/P, P)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (B, H/P, W/P, C, P, P)
    return x.flatten(3).flatten(1, 2)  # (B, N, C P P)


def grid_waves(side: int, width: int) -> Tensor:
    """Page 2's sinusoids on a grid, row by row: half of the numbers tell the row, half the column.

    -> (side side, D). ValueError: D is no multiple of four.
    """
    if width % 4:
        raise ValueError(f"two times sines and cosines: the width {width} must be divisible by 4")
    waves = sinusoids(torch.arange(side), width // 2)  # (n, D / 2)
    rows, columns = waves[:, None].expand(-1, side, -1), waves.expand(side, -1, -1)  # (n, n, D / 2)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)  # (N, D)


class ViT(nn.Module):
    """Pictures (B, C, H, W) -> logits (B, K).

    num_classes: K; 0: no head, the result is the class token (B, D). image_size: H = W.
    patch: P, divides it. width: D. heads: h, divides D. ffn: 4 D where it is None.
    eps: of the norms; 1e-6 in torchvision, 1e-12 in Hugging Face. places: what the learned places
    start from, "random" rows or the grid's "waves" (Beyer et al. 2022 keep such ones fixed).
    """

    token_names = ("class_token",)  # in front of the patches, a head each
    head_names = ("head",)

    def __init__(
        self,
        num_classes: int = 10,
        image_size: int = 32,
        patch: int = 4,
        width: int = 128,
        heads: int = 4,
        layers: int = 6,
        ffn: int | None = None,
        channels: int = 3,
        dropout: float = 0.0,
        eps: float = 1e-6,
        places: str = "random",
    ) -> None:
        super().__init__()
        if image_size % patch:
            raise ValueError(f"patches of side {patch} do not fill pictures of side {image_size}")
        self.channels, self.image_size, self.patch = channels, image_size, patch
        self.patches = nn.Linear(channels * patch**2, width)
        for name in self.token_names:
            self.register_parameter(name, nn.Parameter(torch.zeros(width)))
        count = len(self.token_names) + (image_size // patch) ** 2
        self.positions = nn.Parameter(torch.empty(count, width))
        self.drop = nn.Dropout(dropout)
        options = {"batch_first": True, "norm_first": True, "layer_norm_eps": eps}
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads, ffn or 4 * width, dropout, "gelu", **options)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps)
        for name in self.head_names:
            head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
            self.add_module(name, head)
        self.start(places)

    def start(self, places: str) -> None:
        """Glorot's bounds for the matrices, small places or waves, heads that say nothing."""
        nn.init.trunc_normal_(self.positions, std=0.02)
        if places == "waves":
            waves = grid_waves(self.image_size // self.patch, self.positions.shape[1])
            self.positions.data[len(self.token_names) :] = waves
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for name in self.head_names:
            for weight in getattr(self, name).parameters():
                nn.init.zeros_(weight)

    def placed(self, pictures: Tensor) -> Tensor:
        """What the first block reads: (B, C, H, W) -> (B, T, D). ValueError: another size."""
        wanted = (self.channels, self.image_size, self.image_size)
        if pictures.shape[1:] != wanted:
            raise ValueError(
                f"pictures of {tuple(pictures.shape[1:])}; this network has places for {wanted}"
            )
        words = self.patches(patchify(pictures, self.patch))  # (B, N, C P P) -> (B, N, D)
        first = torch.stack(
            [getattr(self, name) for name in self.token_names]
        )  # (1, D), DeiT (2, D)
        x = torch.cat([first.expand(len(words), -1, -1), words], dim=1)  # (B, T, D)
        return self.drop(x + self.positions)

    def features(self, pictures: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        """All tokens behind the last norm, (B, T, D). kept: receives each layer's (B, h, T, T)."""
        x = self.placed(pictures)
        for layer in self.layers:
            x = layer.through(x, looking(layer.self_attn, kept=kept))
        return self.norm(x)

    def forward(self, pictures: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        return self.head(self.features(pictures, kept)[:, 0])  # (B, D) -> (B, K)


class DeiT(ViT):
    """A ViT with a second token, whose head learns to answer as another network, the teacher, does.

    Pictures (B, C, H, W) -> logits (B, K): the mean of both heads. both: the two by themselves,
    as `distillation_loss` wants them. Arguments as for ViT; T = 2 + N.
    """

    token_names = ("class_token", "distillation_token")
    head_names = ("head", "distillation_head")

    def forward(
        self, pictures: Tensor, kept: list[Tensor] | None = None, both: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        x = self.features(pictures, kept)  # (B, T, D)
        logits = self.head(x[:, 0]), self.distillation_head(x[:, 1])  # (B, K) each
        return logits if both else (logits[0] + logits[1]) / 2


def distillation_loss(logits: tuple[Tensor, Tensor], labels: Tensor, teacher: Tensor) -> Tensor:
    """DeiT's hard distillation: one head learns the labels (B,), the other the teacher's answers.

    logits: of `DeiT(both=True)`, (B, K) each. teacher: logits (B, K); only the largest counts.
    """
    said = teacher.argmax(-1)  # (B,)
    return (F.cross_entropy(logits[0], labels) + F.cross_entropy(logits[1], said)) / 2


def rollout(kept: Sequence[Tensor]) -> Tensor:
    """How much of each token's input has come to each token: L times (B, h, T, T) -> (B, T, T).

    A layer passes on A x + x, A the mean over its heads. As shares: (A + I) / 2, rows that sum to
    1. The layers follow one another, so their matrices are multiplied, the first rightmost. This
    leaves out values, feed-forward and norms: it says where numbers could come from, not what
    they did (Abnar and Zuidema 2020).
    """
    steps = kept[0].shape[-1]
    identity = torch.eye(steps, dtype=kept[0].dtype, device=kept[0].device)  # (T, T)
    joined = identity.expand(len(kept[0]), -1, -1)  # (B, T, T)
    for weights in kept:
        joined = (weights.mean(1) + identity) / 2 @ joined  # (B, T, T) @ (B, T, T)
    return joined


# --- weights of other libraries: what their names are called here, in the order of use ---
TORCHVISION = [
    (r"conv_proj", "patches"),
    (r"encoder\.pos_embedding", "positions"),
    (r"encoder\.layers\.encoder_layer_(\d+)", r"layers.\1"),
    (r"ln_([12])", r"norm\1"),
    (r"self_attention", "self_attn"),
    (r"mlp\.(0|linear_1)\.", "linear1."),
    (r"mlp\.(3|linear_2)\.", "linear2."),
    (r"encoder\.ln\.", "norm."),
    (r"heads\.head\.", "head."),
]
HUGGING_FACE = [  # names of version 5, and of the files that came before it
    (r"^(vit|deit)\.", ""),
    (r"embeddings\.cls_token", "class_token"),
    (r"embeddings\.distillation_token", "distillation_token"),
    (r"embeddings\.position_embeddings", "positions"),
    (r"embeddings\.patch_embeddings\.projection", "patches"),
    (r"encoder\.layer\.", "layers."),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"^layernorm\.", "norm."),
    (r"attention\.(o_proj|output\.dense)", "self_attn.out_proj"),
    (r"attention\.(q_proj|attention\.query)\.", "self_attn.0."),
    (r"attention\.(k_proj|attention\.key)\.", "self_attn.1."),
    (r"attention\.(v_proj|attention\.value)\.", "self_attn.2."),
    (r"(mlp\.fc1|intermediate\.dense)", "linear1"),
    (r"(mlp\.fc2|output\.dense)", "linear2"),
    (r"^(cls_)?classifier", "head"),
    (r"^distillation_classifier", "distillation_head"),
]


def renamed(state: dict[str, Tensor], rules: list[tuple[str, str]]) -> dict[str, Tensor]:
    """The state of torchvision's or Hugging Face's network for ours, to be loaded strictly.

    A kernel (D, C, P, P) becomes a matrix (D, C P P); tokens (1, 1, D) and positions (1, T, D)
    lose their axes of one; query, key and value (D, D) become one matrix (3 D, D).
    """
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        for pattern, ours in rules:
            name = re.sub(pattern, ours, name)
        if name == "patches.weight":
            value = value.flatten(1)
        elif name == "positions" or name.endswith("_token"):
            value = value.flatten(0, -2).squeeze(0)  # (T, D), or (D,)
        found[name] = value
    for name in [name for name in found if ".self_attn.0." in name]:
        layer, kind = name.split(".self_attn.0.")  # "layers.3", "weight" or "bias"
        parts = [found.pop(f"{layer}.self_attn.{i}.{kind}") for i in range(3)]
        found[f"{layer}.self_attn.in_proj_{kind}"] = torch.cat(parts)
    return found
