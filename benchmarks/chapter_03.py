"""Chapter 3: optimiser steps against torch.optim, normalisation layers against torch.nn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.harness import Row, compare, in_turns, row_of

Step = Callable[[], object]
ROUNDS = 15  # of the comparison whose differences are small


def rows(quick: bool) -> list[Row]:
    """Every comparison of the chapter."""
    torch.manual_seed(0)
    seconds = 0.2 if quick else 1.0
    return [*adam_rows(seconds), *optimizer_rows(seconds), *norm_rows(seconds), *fit_rows(seconds)]


def mlp_weights() -> list[Tensor]:
    """784-800-480-10 with gradients: 1,017,290 parameters in 6 tensors."""
    model = nn.Sequential(nn.Linear(784, 800), nn.Linear(800, 480), nn.Linear(480, 10))
    return with_gradients([p.detach() for p in model.parameters()])


def many_small_weights() -> list[Tensor]:
    """The same number of parameters in 400 tensors of 2,543."""
    return with_gradients([torch.randn(2543) for _ in range(400)])


def with_gradients(values: list[Tensor]) -> list[Tensor]:
    """Leaves with these values and random gradients of the size 0.01."""
    leaves = [value.clone().requires_grad_() for value in values]
    for leaf in leaves:
        leaf.grad = 1e-2 * torch.randn_like(leaf)
    return leaves


def step_pair(
    ours: type[torch.optim.Optimizer],
    theirs: type[torch.optim.Optimizer],
    weights: list[Tensor],
    their_options: dict | None = None,
    **options,
) -> tuple[Step, Step]:
    """One step each, on copies of the same weights and gradients, after 3 steps to warm up."""
    pair = []
    for optimizer, more in ((ours, {}), (theirs, their_options or {})):
        copies = [w.detach().clone().requires_grad_() for w in weights]
        for copy, weight in zip(copies, weights, strict=True):
            copy.grad = weight.grad.clone()
        pair.append(optimizer(copies, **options, **more).step)
        for _ in range(3):
            pair[-1]()
    return pair[0], pair[1]


def adam_rows(seconds: float) -> list[Row]:
    """Our Adam and AdamW and torch's, all four in turns. Torch's own two are the control.

    They read and write the same arrays, so a ratio between them that is not 1 is the machine's.
    """
    from chapter_03_optimization_regularization import optimizers as ours

    theirs, mlp = torch.optim, mlp_weights()
    loop = {"foreach": False, "fused": False}
    steps = [
        step
        for ours_class, theirs_class in ((ours.Adam, theirs.Adam), (ours.AdamW, theirs.AdamW))
        for step in step_pair(ours_class, theirs_class, mlp, loop)
    ]
    our_adam, their_adam, our_adamw, their_adamw = zip(
        steps, in_turns(steps, seconds, ROUNDS if seconds >= 1 else 3), strict=True
    )
    where, where_zh = "MLP of 1.02 M", "102 万参数的 MLP"
    cases = [
        ("Adam step", "Adam 一步", our_adam, their_adam, "torch, foreach=False"),
        ("AdamW step", "AdamW 一步", our_adamw, their_adamw, "torch, foreach=False"),
        ("torch's AdamW step", "torch 的 AdamW 一步", their_adamw, their_adam, "torch's Adam"),
    ]
    return [
        row_of(f"{name}, {where}", first, second, against=against, name_zh=f"{name_zh}，{where_zh}")
        for name, name_zh, first, second, against in cases
    ]


def optimizer_rows(seconds: float) -> list[Row]:
    """Steps with given gradients. torch's `foreach=False` loops over the tensors as ours does."""
    from chapter_03_optimization_regularization import optimizers as ours
    from chapter_03_optimization_regularization.optimizers.foreach import AdamForeach

    theirs, mlp, small = torch.optim, mlp_weights(), many_small_weights()
    loop, lists = {"foreach": False, "fused": False}, {"foreach": True}
    plain, muon = "torch, foreach=False", getattr(theirs, "Muon", None)
    matrices = with_gradients([torch.randn(128, 128)])  # bf16 products crawl on many CPUs
    cases = [
        ("SGD, momentum", plain, step_pair(ours.SGD, theirs.SGD, mlp, loop, momentum=0.9)),
        ("AdamForeach", "torch, foreach=True", step_pair(AdamForeach, theirs.Adam, mlp, lists)),
    ]
    small_cases = [
        ("Adam", plain, step_pair(ours.Adam, theirs.Adam, small, loop)),
        ("AdamForeach", "torch, foreach=True", step_pair(AdamForeach, theirs.Adam, small, lists)),
        ("AdamForeach against Adam", "our Adam", step_pair(AdamForeach, ours.Adam, small)),
    ]
    muon_cases = [("Muon", "torch", step_pair(ours.Muon, muon, matrices))] if muon else []
    return [
        compare(
            f"{name} step, {weights}",
            *functions,
            min_seconds=seconds,
            against=against,
            name_zh=f"{name} 一步，{weights_zh}",
        )
        for weights, weights_zh, chosen in (
            ("MLP of 1.02 M", "102 万参数的 MLP", cases),
            ("400 tensors of 2,543", "400 个大小为 2543 的张量", small_cases),
            ("one matrix (128, 128)", "一个 (128, 128) 矩阵", muon_cases),
        )
        for name, against, functions in chosen
    ]


def forward_backward(module: nn.Module, x: Tensor) -> Step:
    """One forward and one backward; gradients of the input and the parameters."""
    x, upstream = x.clone().requires_grad_(), torch.randn_like(x)

    def step() -> None:
        for tensor in (*module.parameters(), x):
            tensor.grad = None
        module(x).backward(upstream)

    return step


def norm_rows(seconds: float) -> list[Row]:
    """Forward and backward in training mode, on activations of a usual size."""
    from chapter_03_optimization_regularization import normalization as ours

    maps, tokens = torch.randn(64, 32, 16, 16), torch.randn(64, 64, 256)
    cases = [
        ("BatchNorm2d", "(64, 32, 16, 16)", maps, lambda library: library.BatchNorm2d(32)),
        ("GroupNorm(4)", "(64, 32, 16, 16)", maps, lambda library: library.GroupNorm(4, 32)),
        ("InstanceNorm2d", "(64, 32, 16, 16)", maps, lambda library: library.InstanceNorm2d(32)),
        ("LayerNorm", "(64, 64, 256)", tokens, lambda library: library.LayerNorm(256)),
        ("RMSNorm", "(64, 64, 256)", tokens, lambda library: library.RMSNorm(256)),
    ]
    return [
        compare(
            f"{name} of {shape}, forward and backward",
            *(forward_backward(make(library), x) for library in (ours, nn)),
            min_seconds=seconds,
            name_zh=f"{name}，{shape}，前向与反向",
        )
        for name, shape, x, make in cases
    ]


EPOCHS = 3  # of 19 steps: what `fit` does once a call is spread over 57 steps


def bare_loop(model: nn.Module, x: Tensor, y: Tensor, measure: bool) -> None:
    """Training as one writes it by hand; `measure`: with the mean loss and accuracy of an epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(EPOCHS):
        loss_sum = correct = 0.0
        for rows in torch.randperm(len(x)).split(64):
            logits = model(x[rows])
            loss = nn.functional.cross_entropy(logits, y[rows])
            if measure:
                loss_sum += loss.item() * len(rows)
                correct += (logits.argmax(dim=1) == y[rows]).sum().item()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def fit_rows(seconds: float) -> list[Row]:
    """The course's loop against hand-written ones on the digits CNN, batch 64, torch's Adam."""
    from chapter_03_optimization_regularization.experiments.tasks import load_task, small_cnn
    from chapter_03_optimization_regularization.training import Batches, classification_loss, fit

    x, y = load_task("digits").train
    model, batches = small_cnn(), Batches(x, y, batch_size=64, shuffle=True)

    def ours() -> None:
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        fit(model, classification_loss(), optimizer, batches, epochs=EPOCHS)

    cases = [("a bare loop", "裸循环", False), ("a loop that measures", "带统计的循环", True)]
    return [
        compare(
            f"fit, 57 steps of the digits CNN, against {name}",
            ours,
            lambda measure=measure: bare_loop(model, x, y, measure),
            min_seconds=seconds,
            rounds=3 if seconds < 1 else 31,  # each call is 57 steps; the ratio is close to 1
            against=name,
            name_zh=f"fit，digits CNN 57 步，对照{name_zh}",
        )
        for name, name_zh, measure in cases
    ]
