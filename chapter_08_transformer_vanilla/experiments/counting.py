"""The counts of flops.py beside PyTorch's: three networks, and this chapter's over T.

Everything is counted on tensors without numbers (the "meta" device), so any size costs nothing and
every machine finds the same. B batch, S = T places of source and target.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from chapter_08_transformer_vanilla import flops
from chapter_08_transformer_vanilla.flops import BASE, GPT2, OURS, Sizes
from chapter_08_transformer_vanilla.layers import DecoderLayer, EncoderLayer
from chapter_08_transformer_vanilla.transformer import Decoder, Encoder, TranslationTransformer
from utils.model_summary import parameter_count
from utils.results import table

LENGTHS = (16, 64, 256, 1024)  # T
BATCH = 32  # of the training step whose bytes are counted; operations are of one line
NETWORKS = {"ours": OURS, "base": BASE, "gpt2": GPT2}


def network(sizes: Sizes) -> nn.ModuleList:
    """All parts of a network that learn, without a forward pass: tables, stacks, last norms."""
    options = sizes.width, sizes.heads, sizes.ffn
    rows = [sizes.vocabulary] * sizes.tables + [sizes.places]
    norms = [nn.LayerNorm(sizes.width) for _ in range(sizes.last_norms)]
    return nn.ModuleList([
        *(nn.Embedding(n, sizes.width) for n in rows if n),
        Encoder(EncoderLayer(*options), sizes.encoder),
        Decoder(DecoderLayer(*options), sizes.decoder),
        *norms,
    ])  # fmt: skip


def ours(length: int, batch: int) -> tuple[TranslationTransformer, Tensor]:
    """This chapter's network in training mode, and ids (B, T) for both sides."""
    sizes = OURS
    model = TranslationTransformer(
        sizes.vocabulary, sizes.width, sizes.heads, sizes.encoder, sizes.ffn
    )
    return model, torch.ones(batch, length, dtype=torch.long)


def counted_flops(length: int) -> int:
    model, ids = ours(length, 1)
    with FlopCounterMode(display=False) as counter:
        model(ids, ids)
    return counter.get_total_flops()


def counted_bytes(length: int) -> int:
    """Bytes that autograd keeps of one step with dropout and loss, without weights and ids."""
    model, ids = ours(length, BATCH)

    def step() -> Tensor:
        return F.cross_entropy(model(ids, ids).flatten(0, 1), ids.flatten())

    return kept(step, [*model.parameters(), ids])


def kept(step: Callable[[], Tensor], known: list[Tensor]) -> int:
    """Chapter 7's `kept_bytes`, but without addresses, which these tensors lack."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = step()  # alive until they are counted
    for tensor in known:
        storages.pop(tensor.untyped_storage()._cdata, None)
    del loss
    return sum(storages.values())


@cache
def measure(seed: int = 0) -> dict[str, dict[Any, int]]:
    """What PyTorch counts. The seed changes nothing: no number is drawn."""
    with torch.device("meta"):
        return {
            "parameters": {k: parameter_count(network(sizes)) for k, sizes in NETWORKS.items()},
            "flops": {length: counted_flops(length) for length in LENGTHS},
            "kept": {length: counted_bytes(length) for length in LENGTHS},
        }


def collect(counted: dict[str, dict[Any, int]]) -> dict[str, Any]:
    """The formulas' numbers beside the counted ones."""
    networks = {}
    for name, sizes in NETWORKS.items():
        parts = flops.parameters(sizes)
        networks[name] = {**parts, "all": sum(parts.values())}
        networks[name] |= {"counted": counted["parameters"][name]}
        networks[name] |= {f"{k}_percent": v for k, v in percent(parts).items()}
        networks[name]["cache_bytes_a_token"] = flops.cache_bytes(sizes, 1)
        networks[name]["crossover"] = flops.crossover(sizes)
    lengths, memory = {}, {}
    for length in LENGTHS:
        parts = flops.forward_flops(OURS, length, length)
        lengths[f"t_{length}"] = {
            "length": length, "formula": sum(parts.values()), "counted": counted["flops"][length],
            **{f"{k}_percent": v for k, v in percent(parts).items()},
            **{f"rule_{k}": rule_share(sizes, length) for k, sizes in NETWORKS.items()},
        }  # fmt: skip
    for length in LENGTHS:
        parts = flops.activation_bytes(OURS, length, length, BATCH)
        memory[f"t_{length}"] = {
            "length": length, "formula": sum(parts.values()), "counted": counted["kept"][length],
            **{f"{k}_percent": v for k, v in percent(parts).items()},
        }  # fmt: skip
    state = flops.state_bytes(networks["ours"]["all"])
    return {
        "networks": networks, "lengths": lengths, "memory": memory, "batch": BATCH,
        "state": {**state, "all": sum(state.values())},
        "four_times": lengths["t_1024"]["counted"] / lengths["t_256"]["counted"],
        "without_tables": flops.rule_share(OURS, 16, 16, embedding=False),
    }  # fmt: skip


def rule_share(sizes: Sizes, length: int) -> float:
    """At S = T places of a translator, or T of a language model."""
    return flops.rule_share(sizes, length, length if sizes.decoder else 0)


def percent(parts: dict[str, int]) -> dict[str, float]:
    return {name: 100 * number / sum(parts.values()) for name, number in parts.items()}


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "networks": networks_table(metrics["networks"]),
        "lengths": lengths_table(metrics["lengths"]),
        "memory": memory_table(metrics["memory"]),
    }


def networks_table(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns = [
        ("Network", "网络", ""),
        ("Tables", "词表与位置表", ",d"),
        ("Attention", "注意力", ",d"),
        ("Feed-forward", "前馈", ",d"),
        ("Sum", "合计", ",d"),
        ("Counted", "实测", ",d"),
        ("Published", "发表值", ""),
    ]
    names = {
        "ours": ({"en": "this chapter's", "zh": "本章"}, "–"),
        "base": ({"en": "Vaswani base", "zh": "Vaswani base"}, "65 M"),
        "gpt2": ({"en": "GPT-2 small", "zh": "GPT-2 small"}, "124 M"),
    }
    rows = []
    for key, (name, published) in names.items():
        row = found[key]
        parts = [row[part] for part in ("embedding", "attention", "ffn")]
        rows.append([name, *parts, row["all"], row["counted"], published])
    return table(columns, rows)


def lengths_table(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    columns = [
        ("S = T", "S = T", "d"),
        ("MFLOP", "MFLOP", ",.1f"),
        ("Counted", "实测", ",.1f"),
        ("Projections", "投影", ".0f"),
        ("T² products", "T² 乘积", ".0f"),
        ("Feed-forward", "前馈", ".0f"),
        ("Logits", "logits", ".0f"),
        ("6ND (%)", "6ND（%）", ".0f"),
    ]
    parts = [f"{part}_percent" for part in ("projections", "scores", "ffn", "logits")]
    rows = [
        [row["length"], row["formula"] / 1e6, row["counted"] / 1e6, *map(row.get, parts),
         100 * row["rule_ours"]]
        for row in found.values()
    ]  # fmt: skip
    return table(columns, rows)


def memory_table(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    columns = [
        ("S = T", "S = T", "d"),
        ("MB", "MB", ",.1f"),
        ("Counted", "实测", ",.1f"),
        ("T² tables (%)", "T² 表（%）", ".0f"),
    ]
    rows = [
        [row["length"], row["formula"] / 1e6, row["counted"] / 1e6, row["scores_percent"]]
        for row in found.values()
    ]  # fmt: skip
    return table(columns, rows)
