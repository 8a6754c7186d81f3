"""One small Transformer, and the same with one thing changed: what was the thing for?

The task is small (numbers below 1,000, one to three in a training line, up to five in a tested
one), so that a training takes seconds. Every variant has the same data, the same order of it, the
same number of steps and the same rate.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import fit
from chapter_06_rnn_lstm_seq.experiments.translation import Task, load_task
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_07_attention_mechanism.experiments.translation.task import with_longer_lists
from chapter_08_transformer_vanilla.experiments.measures import exact_by_count
from chapter_08_transformer_vanilla.experiments.tasks import short
from chapter_08_transformer_vanilla.training_recipe import TokenBatches
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils.model_summary import parameter_count
from utils.results import mean_std, table

MOST = 3  # numbers in a training line
DATA = {"below": 1000, "most": MOST, "train": 12_000, "held_out": 300}
BASE_NAME = "pre-norm, 2 layers, warm-up"
BASE: dict[str, Any] = {"width": 64, "heads": 4, "layers": 2, "ffn": 128, "dropout": 0.0}
TRAINING: dict[str, Any] = {"tokens": 2_000, "lr": 5e-3, "warmup": 100, "smoothing": 0.0}

# What each variant changes, by group; the base stands beside all of them.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "parts": {
        "no residual": {"without": "residual"},
        "no feed-forward": {"without": "feed_forward"},
        "no norm": {"without": "norm"},
        "1 head": {"heads": 1},
        "16 heads": {"heads": 16},
        "label smoothing 0.1": {"smoothing": 0.1},
    },
    "positions": {
        "no positions": {"positions": "none"},
        "learned": {"positions": "learned"},
        "ALiBi": {"positions": "alibi"},
        "T5": {"positions": "t5"},
    },
    "norm": {
        f"{kind}-norm, {layers} layers, {'no ' if not warmup else ''}warm-up": {
            "norm_first": kind == "pre", "layers": layers, "warmup": warmup,
        }
        for layers in (2, 6)
        for kind in ("pre", "post")
        for warmup in (100, 0)
        if (layers, kind, warmup) != (2, "pre", 100)
    },
}  # fmt: skip

NAMES_ZH = {
    "no residual": "无残差连接",
    "no feed-forward": "无前馈网络",
    "no norm": "无归一化",
    "1 head": "1 个头",
    "16 heads": "16 个头",
    "label smoothing 0.1": "标签平滑 0.1",
    "no positions": "无位置编码",
    "learned": "可学习",
} | {
    f"{kind}-norm, {layers} layers, {no}warm-up":
        f"{'前' if kind == 'pre' else '后'}置归一化，{layers} 层，{'无' if no else '有'}预热"
    for kind in ("pre", "post") for layers in (2, 6) for no in ("", "no ")
}  # fmt: skip


def small_task(quick: bool = False) -> Task:
    """The number lists; tested lines have up to two numbers more than any training line."""
    options = DATA | ({"most": 2, "train": 4_000, "held_out": 120} if quick else {})
    task = load_task("numbers", "en", "de", "bpe", **options)
    return with_longer_lists(task, options["most"], quick=True)


def build(vocabulary: int, without: str | None = None, **sizes: Any) -> TranslationTransformer:
    """The network; without: "residual", "feed_forward" or "norm" in every block."""
    model = TranslationTransformer(vocabulary, **sizes)
    stacks = model.transformer.encoder, model.transformer.decoder
    for layer in (layer for stack in stacks for layer in stack.layers):
        if without == "residual":
            layer.around = partial(without_residual, layer)
        elif without == "feed_forward":
            layer.through = partial(without_feed_forward, layer)
        elif without == "norm":
            for n in range(1, 3 + len(layer.more_attention)):
                setattr(layer, f"norm{n}", nn.Identity())
    return model


def without_residual(layer: nn.Module, x: Tensor, number: int, sublayer: Any) -> Tensor:
    """`Block.around` without the path: what a sublayer finds replaces x."""
    return getattr(layer, f"dropout{number}")(sublayer(getattr(layer, f"norm{number}")(x)))


def without_feed_forward(layer: nn.Module, x: Tensor, *looks: Any) -> Tensor:
    """`Block.through` with attention alone."""
    for number, look in enumerate(looks, start=1):
        x = layer.around(x, number, look)
    return x


def train_one(task: Task, change: dict[str, Any], seed: int, steps: int) -> dict[str, Any]:
    """One variant, `steps` steps, and what came of it, as plain values."""
    chosen = BASE | TRAINING | change
    recipe = {name: chosen.pop(name) for name in TRAINING}
    torch.manual_seed(seed)
    model = build(task.target.vocab_size, **chosen)
    train = TokenBatches(*task.encoded(task.data.train), recipe["tokens"], shuffle=True, seed=seed)
    epochs = -(-steps // len(train))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe["lr"], betas=(0.9, 0.98))
    history = fit(
        model,
        sequence_loss(smoothing=recipe["smoothing"]),
        optimizer,
        train,
        epochs=epochs,
        val=TokenBatches(*task.encoded(task.data.val), 8_000),
        scheduler=CosineWithWarmup(optimizer, recipe["warmup"], epochs * len(train)),
        clip_norm=1.0,
    )
    longest = max(task.data.counts.train) + 2
    found = exact_by_count(model.eval(), short(task, longest))
    return {
        "exact_percent": found["exact_percent"],
        "val_loss": history.epochs[-1]["val_loss"],
        "losses": history.step_losses,
        "parameters": parameter_count(model),
        "seconds": history.seconds,
    }


def collect(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By variant: (mean, deviation) over the seeds, and the mean curve of the training loss."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == name]
        found[name] = {
            "group": mine[0]["group"],
            "exact_percent": {
                k: mean_std(row["exact_percent"][k] for row in mine)
                for k in mine[0]["exact_percent"]
            },
            **{key: mean_std(row[key] for row in mine) for key in ("val_loss", "seconds")},
            "parameters": mine[0]["parameters"],
            "losses": smoothed([row["losses"] for row in mine]),
        }
    return {"variants": found, "seeds": len({row["seed"] for row in rows})}


def smoothed(curves: list[list[float]], window: int = 10) -> list[float]:
    """The mean curve over the seeds, a value for every `window` steps."""
    mean = torch.tensor(curves).mean(0)  # (steps,)
    return [round(float(part.mean()), 4) for part in mean.split(window)]


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """A table a group of variants, the base first."""
    variants, found = metrics["variants"], {}
    counts = list(variants[BASE_NAME]["exact_percent"])[:MOST]
    columns = [
        ("Variant", "变体", "s"),
        ("Parameters", "参数量", ",d"),
        ("Validation loss (nats a token)", "验证损失（奈特/词元）", ".3f"),
        *((f"{k}: right (%)", f"{k}：正确（%）", ".0f") for k in counts),
    ]
    for group in VARIANTS:
        names = [name for name, row in variants.items() if row["group"] in ("base", group)]
        cells = [
            [
                {"en": name, "zh": NAMES_ZH.get(name, name)},
                variants[name]["parameters"],
                *(one(metrics, value) for value in (
                    variants[name]["val_loss"],
                    *(variants[name]["exact_percent"][k] for k in counts),
                )),
            ]
            for name in names
        ]  # fmt: skip
        if len(cells) > 1:
            found[group] = table(columns, cells)
    return found


def one(metrics: dict[str, Any], value: tuple[float, float]) -> Any:
    return value if metrics["seeds"] > 1 else value[0]
