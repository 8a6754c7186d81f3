"""Chapter 6: recurrent networks in both forms against PyTorch's, and a scan against its loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.harness import Row, compare, in_turns, row_of

BATCH, STEPS, WIDTH = 32, 128, 256  # B, T, H; the inputs are as wide as the state
ROUNDS = 9
SCAN_BATCH, SCAN_LENGTHS, SCAN_WIDTH = 8, (64, 512, 2048), 64
FORMS = {"fused": "融合形式", "loop": "循环形式"}


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    torch.manual_seed(0)
    seconds = 0.1 if quick else 8.0
    steps = STEPS // 8 if quick else STEPS
    found = [row for name in ("LSTM", "GRU", "RNN") for row in network_rows(name, steps, seconds)]
    return found + [scan_row(length, seconds / 3) for length in SCAN_LENGTHS[: 1 if quick else 3]]


def training_step(network: nn.Module, steps: int) -> Callable[[], None]:
    """Forward and backward on (B, T, H) random numbers, the gradient of the inputs included."""
    x = torch.randn(BATCH, steps, WIDTH, requires_grad=True)
    d_out = torch.randn(BATCH, steps, WIDTH)

    def step() -> None:
        network.zero_grad()
        x.grad = None
        network(x)[0].backward(d_out)

    return step


def network_rows(name: str, steps: int, seconds: float) -> list[Row]:
    """The fused form and the loop against PyTorch's network with the same weights, in turns."""
    from chapter_06_rnn_lstm_seq import recurrent

    theirs = getattr(nn, name)(WIDTH, WIDTH, batch_first=True)
    networks = {
        form: getattr(recurrent, name)(WIDTH, WIDTH, batch_first=True, form=form) for form in FORMS
    }
    for network in networks.values():
        network.load_state_dict(theirs.state_dict())
    functions = [training_step(network, steps) for network in (theirs, *networks.values())]
    their_ms, *our_ms = in_turns(functions, seconds, ROUNDS)
    shape = f"(B, T, H) = ({BATCH}, {steps}, {WIDTH})"
    return [
        row_of(
            f"{name}, {form}, forward + backward, {shape}",
            (function, ms),
            (functions[0], their_ms),
            against=f"nn.{name}",
            name_zh=f"{name}，{FORMS[form]}，前向 + 反向，{shape}",
        )
        for form, function, ms in zip(FORMS, functions[1:], our_ms, strict=True)
    ]


def scan_row(length: int, seconds: float) -> Row:
    """A linear recurrence by the parallel scan against the loop, forward and backward."""
    from chapter_06_rnn_lstm_seq import scan

    shape = (SCAN_BATCH, length, SCAN_WIDTH)
    a = torch.rand(shape, requires_grad=True)
    b = torch.randn(shape, requires_grad=True)
    d_out = torch.randn(shape)

    def pass_of(function: Callable[..., torch.Tensor]) -> Callable[[], None]:
        def step() -> None:
            a.grad = b.grad = None
            function(a, b).backward(d_out)

        return step

    return compare(
        f"linear scan, forward + backward, (B, T, D) = {shape}",
        pass_of(scan.linear_scan),
        pass_of(scan.scan_loop),
        min_seconds=seconds,
        rounds=ROUNDS,
        against="loop",
        name_zh=f"线性扫描，前向 + 反向，(B, T, D) = {shape}",
    )
