"""Chapter 8: the two blocks against PyTorch's, forward and backward; writing with a cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.harness import Row, compare

BATCH, STEPS, WIDTH, HEADS, FFN = 16, 64, 256, 8, 1024  # B, T = S, D, h, F
ROUNDS = 9
LENGTHS = (16, 64)  # tokens written


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    torch.manual_seed(0)
    seconds = 0.1 if quick else 6.0
    batch = BATCH // 8 if quick else BATCH
    found = [encoder_row(batch, seconds, first) for first in (False, True)]
    found.append(decoder_row(batch, seconds))
    return found + [cache_row(length, seconds) for length in LENGTHS[: 1 if quick else 2]]


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
