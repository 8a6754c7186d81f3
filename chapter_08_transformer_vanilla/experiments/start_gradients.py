"""What a stack is like before the first step, post-norm and pre-norm: gradients, stream, unrest.

A stack of encoder layers with the starting weights of `nn.Transformer`, inputs of the size that
scaled embeddings have, random targets. Nothing is trained. For each layer, the first one first:

    gradient    length of the gradient of all its weights, taken as one vector
    w2          the same of W_2 in the feed-forward, the matrix of Xiong et al.'s bound
    query_key   the same of the weights that make queries and keys
    path        length of the gradient of what comes out of it, the residual stream
    stream      mean square of that
    alike       mean cosine between two places of a line there: 1 says all places say the same

and one number of the whole stack,

    moved       mean square by which its output moves, if noise of a share e of its own size is
                added to every matrix, divided by e^2 (e is small)

Page 3 derives  path = path behind the last norm / sqrt(stream)  for pre-norm. Xiong et al. 2020
expect of the last layer's weights: as large at any depth in post-norm, ever smaller in pre-norm;
Liu et al. 2020 of `moved`: growing as L in post-norm, as ln L in pre-norm.
B lines, T tokens, D width, L layers, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # chapter 2's loss, in its fast form

from chapter_08_transformer_vanilla.layers import EncoderLayer
from chapter_08_transformer_vanilla.transformer import Encoder
from utils.results import mean_std, table
from utils.seed import generator

NORMS = {"post": False, "pre": True}  # name -> norm_first
WIDTH, HEADS, FFN, WORDS = 128, 4, 512, 256
LINES, TOKENS = 8, 16
SHARE = 0.01  # of its own size, by which each matrix is moved
KEYS = ("gradient", "w2", "query_key", "path", "stream", "alike")


def stack(depth: int, norm_first: bool, seed: int) -> Encoder:
    """L layers and a last norm; every matrix is drawn anew, as `nn.Transformer` does."""
    options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Encoder(EncoderLayer(WIDTH, HEADS, FFN, **options), depth, nn.LayerNorm(WIDTH))
        for weight in model.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
    return model


def measure_one(depth: int, norm_first: bool, seed: int) -> dict[str, Any]:
    """One stack, one batch: {what: a number a layer, or one number}."""
    rng = generator(seed + 1_000_000)
    x = inputs = torch.randn(LINES, TOKENS, WIDTH, generator=rng)  # (B, T, D)
    words = torch.randn(WORDS, WIDTH, generator=rng) * WIDTH**-0.5  # (V, D), rows of length 1
    targets = torch.randint(WORDS, (LINES, TOKENS), generator=rng)  # (B, T)
    model, states = stack(depth, norm_first, seed), []
    for layer in model.layers:
        x = layer(x)
        x.retain_grad()
        states.append(x)
    out = model.norm(x)
    logits = F.linear(out, words)  # (B, T, V)
    F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    made = [layer.self_attn.in_proj_weight.grad[: 2 * WIDTH] for layer in model.layers]
    return {
        "gradient": [length(w.grad for w in layer.parameters()) for layer in model.layers],
        "w2": [length([layer.linear2.weight.grad]) for layer in model.layers],
        "query_key": [length([part]) for part in made],
        "path": [length([state.grad]) for state in states],
        "stream": [float(state.detach().square().mean()) for state in states],
        "alike": [alike(state.detach()) for state in states],
        "moved": moved(model, inputs, out.detach(), rng),
    }


@torch.no_grad()
def moved(model: nn.Module, x: Tensor, before: Tensor, rng: torch.Generator) -> float:
    """Adds noise to all matrices of the model; the square of how far that carries its output."""
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.add_(SHARE * weight.std() * torch.randn(weight.shape, generator=rng))
    return float((model(x) - before).square().mean()) / SHARE**2


def length(gradients: Any) -> float:
    """Of several gradients, taken as one vector."""
    return float(torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())


def alike(states: Tensor) -> float:
    """The mean cosine between two different places of a line: (B, T, D) -> a number."""
    rows = F.normalize(states, dim=-1)
    cosines = rows @ rows.transpose(1, 2)  # (B, T, T), the diagonal is 1
    places = states.shape[1]
    return float((cosines.sum((1, 2)) - places).mean() / (places * (places - 1)))


def measure(depths: Sequence[int], seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """{norm: {depth: {what: [mean, deviation over the seeds], for each layer or once}}}.

    "last" repeats what holds of the last layer: {what: (mean, deviation)}.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, norm_first in NORMS.items():
        found[name] = {}
        for depth in depths:
            runs = [measure_one(depth, norm_first, seed) for seed in seeds]
            row: dict[str, Any] = {
                key: [mean_std(layer) for layer in zip(*(r[key] for r in runs), strict=True)]
                for key in KEYS
            }
            row["last"] = {key: row[key][-1] for key in KEYS}
            row["moved"] = mean_std(run["moved"] for run in runs)
            found[name][str(depth)] = row
    return found


def tables(metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """{"start_gradients": first and last layer of each depth}; metrics: of `measure`."""
    columns = [
        ("Norm", "归一化", "s"),
        ("Layers", "层数", "d"),
        ("Gradient, first layer", "梯度：第一层", ".2f"),
        ("last layer", "最后一层", ".2f"),
        ("its W₂ alone", "仅其 W₂", ".2f"),
        ("its queries and keys alone", "仅其查询与键", ".4f"),
        ("Stream, mean square at its end", "残差流末端的均方", ".1f"),
        ("Cosine of two places there", "该处两个位置的余弦", ".2f"),
        ("Output moved", "输出的移动", ".1f"),
    ]
    rows = [
        [
            {"en": f"{name}-norm", "zh": {"post": "后置归一化", "pre": "前置归一化"}[name]},
            int(depth),
            row["gradient"][0],
            *(row["last"][key] for key in ("gradient", "w2", "query_key", "stream", "alike")),
            row["moved"],
        ]
        for name, depths in metrics.items()
        for depth, row in depths.items()
    ]
    return {"start_gradients": table(columns, rows)}
