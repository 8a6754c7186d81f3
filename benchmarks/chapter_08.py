"""Chapter 8: the two blocks against PyTorch's, forward and backward; writing with a cache; GPT-2,
BERT and ViT against Hugging Face's and torchvision's, with the same weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.harness import Row, compare

BATCH, STEPS, WIDTH, HEADS, FFN = 16, 64, 256, 8, 1024  # B, T = S, D, h, F
ROUNDS = 9
LENGTHS = (16, 64)  # tokens written
VOCABULARY, LAYERS = 1_000, 2  # of the whole networks


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    from chapter_08_transformer_vanilla.experiments.speed import has_transformers

    torch.manual_seed(0)
    seconds = 0.1 if quick else 6.0
    batch = BATCH // 8 if quick else BATCH
    found = [encoder_row(batch, seconds, first) for first in (False, True)]
    found.append(decoder_row(batch, seconds))
    found += [cache_row(length, seconds) for length in LENGTHS[: 1 if quick else 2]]
    found.append(vit_row(batch, seconds))
    if not has_transformers():
        print("without transformers (pip install -r requirements-dev.txt) no rows of GPT2 and Bert")
        return found
    return [*found, gpt2_row(batch, seconds), bert_row(batch, seconds)]


def layer_row(
    kinds: tuple[type[nn.Module], type[nn.Module]],
    inputs: list[Tensor],
    masks: dict[str, Tensor | None],
    norm_first: bool,
    seconds: float,
) -> Row:
    """Both layers with the same weights, in training mode, dropout 0.1, batch first."""
    options = {"dropout": 0.1, "batch_first": True, "norm_first": norm_first}
    ours, theirs = (kind(WIDTH, HEADS, FFN, **options) for kind in kinds)
    ours.load_state_dict(theirs.state_dict())
    d_out = torch.randn_like(inputs[0])

    def pass_of(module: nn.Module) -> Callable[[], None]:
        def step() -> None:
            module.zero_grad()
            for x in inputs:
                x.grad = None
            module(*inputs, **masks).backward(d_out)

        return step

    name, place = kinds[0].__name__, "pre-norm" if norm_first else "post-norm"
    shape = f"(B, T, D, h, F) = ({len(d_out)}, {STEPS}, {WIDTH}, {HEADS}, {FFN})"
    return compare(
        f"{name}, {place}, forward + backward, {shape}",
        pass_of(ours),
        pass_of(theirs),
        min_seconds=seconds,
        rounds=ROUNDS,
        against=f"nn.{kinds[1].__name__}",
        name_zh=f"{name}，{place}，前向 + 反向，{shape}",
    )


def encoder_row(batch: int, seconds: float, norm_first: bool) -> Row:
    """Rows of different lengths: a padding mask."""
    from chapter_08_transformer_vanilla.layers import EncoderLayer

    x = torch.randn(batch, STEPS, WIDTH, requires_grad=True)
    hidden = torch.arange(STEPS) >= torch.randint(STEPS // 2, STEPS + 1, (batch, 1))  # (B, S)
    kinds = (EncoderLayer, nn.TransformerEncoderLayer)
    return layer_row(kinds, [x], {"src_key_padding_mask": hidden}, norm_first, seconds)


def decoder_row(batch: int, seconds: float) -> Row:
    """A causal mask, and a memory of as many places."""
    from chapter_08_transformer_vanilla.layers import DecoderLayer

    inputs = [torch.randn(batch, STEPS, WIDTH, requires_grad=True) for _ in range(2)]
    future = torch.ones(STEPS, STEPS, dtype=torch.bool).triu(1)  # (T, T), True = hidden
    kinds = (DecoderLayer, nn.TransformerDecoderLayer)
    return layer_row(kinds, inputs, {"tgt_mask": future}, True, seconds)


def cache_row(length: int, seconds: float) -> Row:
    """Greedy with the cache, against the same without."""
    from chapter_08_transformer_vanilla.experiments import speed

    model, source = speed.network(0), speed.sources(0, 8)

    def writing(cached: bool) -> Callable[[], Tensor]:
        return lambda: speed.write(model, source, length, cached=cached)

    return compare(
        f"writing {length} tokens for 8 sources, greedy",
        writing(True),
        writing(False),
        min_seconds=seconds,
        rounds=5,
        against="without a cache",
        name_zh=f"为 8 个源句各写 {length} 个词元，贪心",
    )


def network_row(
    name: str,
    networks: tuple[nn.Module, nn.Module],
    against: str,
    passes: tuple[Callable[[], Tensor], Callable[[], Tensor]],
    seconds: float,
    steps: int = STEPS,
) -> Row:
    """Two whole networks with the same weights in evaluation mode, so that none drops anything.

    passes: each gives the result that both agree on, from the same input.
    """
    d_out = torch.randn_like(passes[0]())

    def pass_of(network: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
        def step() -> None:
            network.zero_grad()
            forward().backward(d_out)

        return step

    ours, theirs = (pass_of(*pair) for pair in zip(networks, passes, strict=True))
    options = {"min_seconds": seconds, "rounds": ROUNDS, "against": against}
    shape = f"(B, T, D, h, L) = ({len(d_out)}, {steps}, {WIDTH}, {HEADS}, {LAYERS})"
    zh = f"{name}，前向 + 反向，{shape}"
    return compare(f"{name}, forward + backward, {shape}", ours, theirs, name_zh=zh, **options)


def gpt2_row(batch: int, seconds: float) -> Row:
    from transformers import GPT2Config, GPT2LMHeadModel

    from chapter_08_transformer_vanilla.gpt2 import from_hugging_face

    sizes = {"n_embd": WIDTH, "n_head": HEADS, "n_layer": LAYERS, "n_positions": STEPS}
    ends = {"bos_token_id": None, "eos_token_id": None}
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_inner=FFN, **sizes, **ends))
    ours = from_hugging_face(theirs.eval().config.to_dict(), theirs.state_dict()).eval()
    ids = torch.randint(VOCABULARY, (batch, STEPS))
    passes = (lambda: ours(ids), lambda: theirs(ids, use_cache=False).logits)
    return network_row("GPT2", (ours, theirs), "transformers.GPT2LMHeadModel", passes, seconds)


def bert_row(batch: int, seconds: float) -> Row:
    from transformers import BertConfig, BertModel

    from chapter_08_transformer_vanilla.bert import from_hugging_face

    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_attention_heads=HEADS, intermediate_size=FFN,
        num_hidden_layers=LAYERS, max_position_embeddings=STEPS,
    )  # fmt: skip
    theirs = BertModel(config).eval()
    ours = from_hugging_face(config.to_dict(), theirs.state_dict())
    ids = torch.randint(1, VOCABULARY, (batch, STEPS))
    passes = (lambda: ours(ids), lambda: theirs(ids).last_hidden_state)
    return network_row("Bert", (ours, theirs), "transformers.BertModel", passes, seconds)


def vit_row(batch: int, seconds: float) -> Row:
    """65 tokens: 8 x 8 patches and the class token."""
    from torchvision.models import VisionTransformer

    from chapter_08_transformer_vanilla.vit import TORCHVISION, ViT, renamed

    theirs = VisionTransformer(32, 4, LAYERS, HEADS, WIDTH, FFN, num_classes=10).eval()
    ours = ViT(10, 32, 4, WIDTH, HEADS, LAYERS, FFN).eval()
    ours.load_state_dict(renamed(theirs.state_dict(), TORCHVISION))
    x = torch.randn(batch, 3, 32, 32)
    passes = (lambda: ours(x), lambda: theirs(x))
    return network_row(
        "ViT", (ours, theirs), "torchvision's VisionTransformer", passes, seconds, 65
    )
