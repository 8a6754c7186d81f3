"""How fast a translator writes: with a cache and without, and beside Hugging Face's `generate`.

Time does not depend on what the weights say, so they are random. No line may end (<eos> is
forbidden to both), so that everyone writes the same number of tokens. `marian_twin` puts the
weights of one of our networks into Hugging Face's MarianMTModel: the same tokens come out, which
is checked before anything is timed.

tokens/s: those of the translations, B T by the seconds; a beam's other lines do not count.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from chapter_08_transformer_vanilla.decoding import beam_search, greedy
from chapter_08_transformer_vanilla.kv_cache import CachedSteps, FullSteps
from chapter_08_transformer_vanilla.positions import sinusoids
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils.results import table
from utils.seed import generator

# The sizes of the Multi30k network. Post-norm as Marian; MarianMTModel has no norm behind the last
# block.
SIZES = {"vocabulary": 4_000, "width": 128, "heads": 4, "layers": 4, "ffn": 512}
PAD, BOS, NEVER = 0, 1, -1  # no token has the number -1: nothing ends
SOURCE = 20  # S, words
PARTS = {"self_attn": "self_attn", "multihead_attn": "encoder_attn"}
NORMS = {
    "encoder": {"norm1": "self_attn_layer_norm", "norm2": "final_layer_norm"},
    "decoder": {
        "norm1": "self_attn_layer_norm",
        "norm2": "encoder_attn_layer_norm",
        "norm3": "final_layer_norm",
    },
}


def network(seed: int, sizes: dict[str, int] = SIZES) -> TranslationTransformer:
    """A random post-norm translator in evaluation mode, without a norm behind the last block."""
    torch.manual_seed(seed)
    model = TranslationTransformer(**sizes, norm_first=False, pad=PAD)
    for side in (model.transformer.encoder, model.transformer.decoder):
        side.norm = nn.Identity()
    return model.eval()


def sources(seed: int, batch: int, vocabulary: int = SIZES["vocabulary"]) -> Tensor:
    """Random words (B, S); the rows have SOURCE / 2 to SOURCE, the rest is padding."""
    draw = generator(seed)
    words = torch.randint(3, vocabulary, (batch, SOURCE), generator=draw)
    lengths = torch.randint(SOURCE // 2, SOURCE + 1, (batch, 1), generator=draw)
    lengths[0] = SOURCE
    return words.masked_fill(torch.arange(SOURCE) >= lengths, PAD)


# --- The same network in Hugging Face's classes ---


def has_transformers() -> bool:
    return importlib.util.find_spec("transformers") is not None


def marian_twin(model: TranslationTransformer, longest: int = 512) -> nn.Module:
    """A MarianMTModel with the weights of `model`, made by `network`."""
    from transformers import MarianConfig, MarianMTModel, logging

    logging.set_verbosity_error()
    encoder, decoder = model.transformer.encoder, model.transformer.decoder
    layer = encoder.layers[0]
    sizes = {}
    for side in ("encoder", "decoder"):
        sizes[f"{side}_layers"] = encoder.num_layers
        sizes[f"{side}_attention_heads"] = layer.self_attn.num_heads
        sizes[f"{side}_ffn_dim"] = layer.linear1.out_features
    config = MarianConfig(
        vocab_size=len(model.embedding.weight), d_model=model.transformer.d_model, **sizes,
        activation_function="relu", scale_embedding=True, max_position_embeddings=longest,
        pad_token_id=PAD, bos_token_id=BOS, decoder_start_token_id=BOS, eos_token_id=None,
        forced_eos_token_id=None,
    )  # fmt: skip
    twin = MarianMTModel(config).eval()
    state = {name: model.embedding.weight for name in twin.state_dict() if "embed_tokens" in name}
    state |= dict.fromkeys(("model.shared.weight", "lm_head.weight"), model.embedding.weight)
    state["final_logits_bias"] = torch.zeros(1, len(model.embedding.weight))
    state["final_logits_bias"][:, PAD] = -torch.inf  # it writes no padding; nor do we
    table = sinusoids(torch.arange(longest), model.transformer.d_model)  # (longest, D)
    for side, stack in (("encoder", encoder), ("decoder", decoder)):
        state[f"model.{side}.embed_positions.weight"] = table
        for index, block in enumerate(stack.layers):
            names = _named(block, NORMS[side])
            state |= {f"model.{side}.layers.{index}.{k}": v for k, v in names.items()}
    twin.load_state_dict(state, strict=True)
    return twin


def _named(block: nn.Module, norms: dict[str, str]) -> dict[str, Tensor]:
    """The weights of one block under Marian's names."""
    names = norms | {"linear1": "fc1", "linear2": "fc2"}
    found = {}
    for ours, theirs in names.items():
        for name, value in getattr(block, ours).named_parameters():
            found[f"{theirs}.{name}"] = value
    for ours, theirs in PARTS.items():
        attention = getattr(block, ours, None)
        if attention is None:
            continue
        for kind in ("weight", "bias"):
            rows = getattr(attention, f"in_proj_{kind}").chunk(3)
            found |= {f"{theirs}.{p}_proj.{kind}": x for p, x in zip("qkv", rows, strict=True)}
            found[f"{theirs}.out_proj.{kind}"] = getattr(attention.out_proj, kind)
    return found


# --- What is timed ---


def write(
    model: TranslationTransformer, source: Tensor, length: int, beams: int = 1, cached: bool = True
) -> Tensor:
    """Exactly `length` tokens for each source (B, S): ids (B, length)."""
    steps = (CachedSteps if cached else FullSteps)(model, source)
    if beams == 1:
        return greedy(steps, len(source), BOS, NEVER, length, PAD)
    return beam_search(steps, len(source), BOS, NEVER, length, beams, pad=PAD)[0][:, 0]


@torch.no_grad()
def generated(twin: nn.Module, source: Tensor, length: int, beams: int = 1) -> Tensor:
    """The same by Hugging Face's `generate`, which returns <bos> too."""
    ids = twin.generate(
        source, attention_mask=(source != PAD).long(), max_new_tokens=length, num_beams=beams,
        do_sample=False, use_cache=True,
    )  # fmt: skip
    return ids[:, 1:]


def in_turns(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round; the order turns, and a call before warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for name in names:
        works[name]()
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            start = time.perf_counter()
            works[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compared(
    slow: Callable[[], Any], fast: Callable[[], Any], tokens: int, rounds: int
) -> dict[str, float]:
    """Tokens/s of both, and how many times as fast: medians; spread: half the range of ratios."""
    seconds = in_turns({"slow": slow, "fast": fast}, rounds)
    ratios = [a / b for a, b in zip(seconds["slow"], seconds["fast"], strict=True)]
    return {
        "slow": tokens / median(seconds["slow"]),
        "fast": tokens / median(seconds["fast"]),
        "ratio": median(ratios),
        "spread": (max(ratios) - min(ratios)) / 2,
    }


def measure_cache(seed: int, batch: int, lengths: Sequence[int], rounds: int) -> dict[str, Any]:
    """{"16": ...}: greedy without and with a cache, over the tokens written."""
    model, source, found = network(seed), sources(seed, batch), {}
    for length in lengths:
        ways = [partial(write, model, source, length, cached=cached) for cached in (False, True)]
        found[str(length)] = compared(*ways, batch * length, rounds)
    return found


def measure_generate(
    seed: int, cases: Sequence[tuple[int, int]], length: int, rounds: int
) -> dict[str, Any]:
    """{"1x5": ...}: one source and 5 beams, Hugging Face's `generate` and ours.

    "same": the share of sources for which both wrote the same tokens. (A tie within rounding may
    fall either way.)
    """
    model = network(seed)
    twin, found = marian_twin(model), {}
    for batch, beams in cases:
        source = sources(seed, batch)
        theirs = partial(generated, twin, source, length, beams)
        ours = partial(write, model, source, length, beams)
        same = (theirs() == ours()).all(1).float().mean()
        row = compared(theirs, ours, batch * length, rounds)
        found[f"{batch}x{beams}"] = {"batch": batch, "beams": beams, "same": float(same), **row}
    return found


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("Tokens written", "写出的词元数", "s"),
        ("Without a cache (tokens/s)", "无缓存（词元/秒）", ".0f"),
        ("With (tokens/s)", "有缓存（词元/秒）", ".0f"),
        ("Times as fast", "加速倍数", ".1f"),
        ("Fewer tokens through the network, by count", "经过网络的词元数之比（计数）", ".1f"),
    ]
    rows = [
        [length, row["slow"], row["fast"], (row["ratio"], row["spread"]), (int(length) + 1) / 2]
        for length, row in metrics["cache"].items()
    ]
    found = {"main": table(columns, rows)}
    if metrics["generate"]:
        columns = [
            ("Sources", "源句数", "d"),
            ("Beams", "束宽", "d"),
            ("Hugging Face (tokens/s)", "Hugging Face（词元/秒）", ".0f"),
            ("Ours (tokens/s)", "我们的实现（词元/秒）", ".0f"),
            ("Times as fast", "加速倍数", ".2f"),
        ]
        rows = [
            [row["batch"], row["beams"], row["slow"], row["fast"], (row["ratio"], row["spread"])]
            for row in metrics["generate"].values()
        ]
        found["generate"] = table(columns, rows)
    return found
