"""Chapter 7: multi-head attention and one attention against PyTorch's, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.harness import Row, compare

BATCH, STEPS, WIDTH, HEADS = 16, 128, 256, 8  # B, T, D, h
LENGTHS = (64, 256, 1024)  # T of the single attention, whose batch shrinks: B T stays
ROUNDS = 9


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    torch.manual_seed(0)
    seconds = 0.1 if quick else 6.0
    batch = BATCH // 8 if quick else BATCH
    found = [multi_head_row(batch, seconds, masked) for masked in (False, True)]
    return found + [attention_row(T, seconds) for T in LENGTHS[: 1 if quick else 3]]


def multi_head_row(batch: int, seconds: float, masked: bool) -> Row:
    """Self-attention in training mode without returned weights, the same weights in both."""
    from chapter_07_attention_mechanism import multi_head

    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    ours = multi_head.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(batch, STEPS, WIDTH, requires_grad=True)
    d_out = torch.randn(batch, STEPS, WIDTH)
    hidden = torch.arange(STEPS) >= torch.randint(STEPS // 2, STEPS + 1, (batch, 1))  # (B, S)
    options = {"need_weights": False, "key_padding_mask": hidden if masked else None}

    def pass_of(module: nn.Module) -> Callable[[], None]:
        def step() -> None:
            module.zero_grad()
            x.grad = None
            module(x, x, x, **options)[0].backward(d_out)

        return step

    shape = f"(B, T, D, h) = ({batch}, {STEPS}, {WIDTH}, {HEADS})"
    name, name_zh = "MultiheadAttention", "MultiheadAttention"
    if masked:
        name, name_zh = f"{name} with padding", f"{name_zh}，有填充"
    return compare(
        f"{name}, forward + backward, {shape}",
        pass_of(ours),
        pass_of(theirs),
        min_seconds=seconds,
        rounds=ROUNDS,
        against="nn.MultiheadAttention",
        name_zh=f"{name_zh}，前向 + 反向，{shape}",
    )


def attention_row(length: int, seconds: float) -> Row:
    """One attention; PyTorch's fused kernel never stores the (T, T) weights, ours does."""
    from chapter_07_attention_mechanism import scaled_dot_product

    shape = (BATCH * STEPS // length, HEADS, length, WIDTH // HEADS)  # (B, h, T, d)
    inputs = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    d_out = torch.randn(shape)

    def pass_of(attention: Callable[..., Tensor]) -> Callable[[], None]:
        def step() -> None:
            for x in inputs:
                x.grad = None
            attention(*inputs).backward(d_out)

        return step

    return compare(
        f"scaled_dot_product_attention, forward + backward, (B, h, T, d) = {shape}",
        pass_of(scaled_dot_product.scaled_dot_product_attention),
        pass_of(F.scaled_dot_product_attention),
        min_seconds=seconds / 2,
        rounds=ROUNDS,
        against="F.scaled_dot_product_attention",
        name_zh=f"scaled_dot_product_attention，前向 + 反向，(B, h, T, d) = {shape}",
    )
