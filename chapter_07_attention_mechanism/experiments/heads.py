"""What single heads of a translator do, and what is lost without them (exp_heads.py).

A head is removed at the one place where it leaves the attention: its d columns of the input of
`out_proj`. They become zeros (the network never met that), or what the head says on average (the
control: the numbers stay usual, only what depends on the line is gone).

Papers: Michel et al. 2019 (Are sixteen heads really better than one?), Voita et al. 2019.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_07_attention_mechanism.alignment import argmax_path, entropy
from chapter_07_attention_mechanism.experiments.number_lines import (
    Lines,
    right_lines,
    right_percent,
)
from chapter_07_attention_mechanism.multi_head import MultiheadAttention
from utils.modes import evaluating
from utils.results import mean_std, table

Subset = frozenset[int]  # heads that are removed


# --- removing heads ---


def attention_of(model: nn.Module) -> MultiheadAttention:
    """The one multi-head attention of a translator. ValueError: it has none, or several."""
    found = [module for module in model.modules() if isinstance(module, MultiheadAttention)]
    if len(found) != 1:
        raise ValueError(f"the network has {len(found)} multi-head attentions, not one")
    return found[0]


@contextmanager
def removed(
    attention: MultiheadAttention, heads: Collection[int], instead: Tensor | None = None
) -> Iterator[None]:
    """Inside the block these heads say nothing (zeros), or always the same: `instead` (D,)."""
    gone = torch.zeros(attention.num_heads, attention.head_dim, dtype=torch.bool)
    gone[sorted(heads)] = True
    gone = gone.flatten()  # (D,)
    constant = torch.zeros(len(gone)) if instead is None else instead

    def replace(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return torch.where(gone, constant.to(inputs[0]), inputs[0])  # (B, T, D)

    hook = attention.out_proj.register_forward_pre_hook(replace)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def mean_outputs(model: nn.Module, lines: Lines) -> Tensor:
    """What all heads say on average over the written words of the lines, side by side: (D,)."""
    seen: list[Tensor] = []
    hook = attention_of(model).out_proj.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    kept = []
    try:
        with evaluating(model):
            for source, target in lines.batches():
                seen.clear()
                model(source, target[:, :-1])
                said = torch.cat(seen, dim=1)  # (B, T, D), from one call or one a step
                kept.append(said[target[:, 1:] != 0])  # (words, D)
    finally:
        hook.remove()
    return torch.cat(kept).mean(0)


# --- what a head looks at ---


def number_of(ids: Tensor, comma: int) -> Tensor:
    """Which number of the line each token belongs to, from 0: (B, T); a comma ends its number."""
    commas = ids == comma
    return commas.cumsum(1) - commas.long()


@torch.no_grad()
def looks(model: nn.Module, lines: Lines) -> dict[str, np.ndarray]:
    """Of each head, over all written words, (h,): entropy in nats; in per cent the weight on
    commas, on words of the number that is being written and of others; and how often the word
    looked at most stands before that of the last step, in the same number: a crossing.
    """
    sums: dict[str, Tensor] = {}
    words = 0.0
    with evaluating(model):
        for source, target in lines.batches():
            real = target[:, 1:] != 0  # (B, T)
            weights = model.attend(source, target[:, :-1]) * real[:, None, :, None]  # (B, h, T, S)
            for name, values in _looks(weights, source, target[:, 1:], lines.commas).items():
                total = (values * real[:, None]).sum((0, 2))  # of (B, h, T)
                sums[name] = sums.get(name, 0) + total
            words += float(real.sum())
    percent = {name: 1.0 if name == "entropy" else 100.0 for name in sums}
    return {name: (percent[name] * total / words).numpy() for name, total in sums.items()}


def _looks(weights: Tensor, source: Tensor, written: Tensor, commas: tuple[int, int]) -> dict:
    """The measures of `looks` at every step, each (B, h, T)."""
    comma = source == commas[0]  # (B, S)
    same = number_of(written, commas[1])[:, :, None] == number_of(source, commas[0])[:, None]
    own = (same & ~comma[:, None]).unsqueeze(1)  # (B, 1, T, S)
    path = argmax_path(weights)  # (B, h, T)
    own_path = own.expand_as(weights).gather(-1, path.unsqueeze(-1)).squeeze(-1)  # (B, h, T)
    back = (path[..., 1:] < path[..., :-1]) & own_path[..., 1:] & own_path[..., :-1]
    on_comma = (weights * comma[:, None, None]).sum(-1)
    on_own = (weights * own).sum(-1)
    return {
        "entropy": entropy(weights),
        "comma_percent": on_comma,
        "own_percent": on_own,
        "other_percent": weights.sum(-1) - on_comma - on_own,
        "back_percent": nn.functional.pad(back, (1, 0)).float(),
    }


# --- one network, all subsets of its heads ---


def measure(
    model: nn.Module, val: Lines, test: Lines, progress: Callable = lambda subsets: subsets
) -> dict[str, Any]:
    """All of a network: its right lines without every subset of heads, and what each head does.

    Heads stand in the order of their importance: how many lines of the validation part are right
    with all others, but not with them (zeros).
    """
    attention = attention_of(model)
    heads, means = attention.num_heads, mean_outputs(model, val)
    cost = []
    full = right_lines(model, val).mean()
    for head in range(heads):
        with removed(attention, [head]):
            cost.append(float(full - right_lines(model, val).mean()))
    order = sorted(range(heads), key=lambda head: -cost[head])
    by_length: dict[str, dict[Subset, list[float]]] = {"zero": {}, "mean": {}}
    for subset in progress(subsets_of(heads)):
        for kind, instead in (("zero", None), ("mean", means)):
            with removed(attention, subset, instead):
                rows = right_percent(right_lines(model, test), test)
            by_length[kind][frozenset(subset)] = rows
    seen = {name: values[order].tolist() for name, values in looks(model, test).items()}
    return {
        "order": order,
        "by_length": by_length,
        "looks": seen,
        "lengths": sorted(set(test.counts)),
    }


def subsets_of(heads: int) -> list[tuple[int, ...]]:
    """All subsets of the heads, the smallest first."""
    sizes = range(heads + 1)
    return [found for size in sizes for found in itertools.combinations(range(heads), size)]


def pruning(found: dict[str, Any], kind: str) -> dict[str, list[float]]:
    """Lines right (%) with 0 ... h heads removed, lengths alike: the least important first, in
    random order (the mean over all orders, so over all subsets), the most important first.
    """
    share = {subset: float(np.mean(rows)) for subset, rows in found["by_length"][kind].items()}
    order, sizes = found["order"], range(len(found["order"]) + 1)
    return {
        "least": [share[frozenset(order[len(order) - size :])] for size in sizes],
        "random": [
            float(np.mean([value for subset, value in share.items() if len(subset) == size]))
            for size in sizes
        ],
        "most": [share[frozenset(order[:size])] for size in sizes],
    }


# --- over the networks ---

LOOKS = ("entropy", "comma_percent", "own_percent", "other_percent", "back_percent")


def collect(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """(mean, deviation) over the networks; `heads` is a list in the order of importance."""
    heads = range(len(found[0]["order"]))

    def over(value: Callable[[dict[str, Any]], Any]) -> Any:
        """The same of (lists of) numbers."""
        values = np.array([value(row) for row in found])  # (networks, ...)
        if values.ndim == 1:
            return mean_std(values)
        return [mean_std(column) for column in values.T]

    def without(kind: str, head: int | None) -> Any:
        gone = (lambda row: frozenset()) if head is None else lambda row: {row["order"][head]}
        return over(lambda row: row["by_length"][kind][frozenset(gone(row))])

    rows = [
        {name: over(lambda row, n=name, h=head: row["looks"][n][h]) for name in LOOKS}
        | {f"without_{kind}_by_length": without(kind, head) for kind in ("zero", "mean")}
        | {
            f"without_{kind}": over(
                lambda row, k=kind, h=head: np.mean(
                    row["by_length"][k][frozenset({row["order"][h]})]
                )
            )
            for kind in ("zero", "mean")
        }
        | {"head": found[0]["order"][head] + 1}
        for head in heads
    ]
    return {
        "networks": len(found),
        "lengths": found[0]["lengths"],
        "all_heads_by_length": without("zero", None),
        "all_heads": over(lambda row: np.mean(row["by_length"]["zero"][frozenset()])),
        "heads": rows,
        "pruning": {
            kind: {
                name: over(lambda row, k=kind, n=name: pruning(row, k)[n])
                for name in ("least", "random", "most")
            }
            for kind in ("zero", "mean")
        },
    }


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    """main: a row a head; pruning: a row a number of removed heads."""
    several = metrics["networks"] > 1

    def cell(pair: tuple[float, float]) -> Any:
        return pair if several else pair[0]

    columns = [
        ("Head, by importance", "头（按重要性）", "s"),
        ("Lines right without it (%)", "去掉它后整行正确（%）", ".1f"),
        ("replaced by its mean (%)", "换成其均值（%）", ".1f"),
        ("Entropy (nats)", "熵（奈特）", ".2f"),
        ("Weight on the number being written (%)", "落在正在写的数字上的权重（%）", ".0f"),
        ("on commas (%)", "落在逗号上（%）", ".0f"),
    ]
    keys = ("without_zero", "without_mean", "entropy", "own_percent", "comma_percent")
    rows = [
        [str(n), *(cell(row[key]) for key in keys)] for n, row in enumerate(metrics["heads"], 1)
    ]
    titles = [
        ("Heads removed", "去掉的头数", "d"),
        ("The least important first (%)", "先去掉最不重要的（%）", ".1f"),
        ("In random order (%)", "随机顺序（%）", ".1f"),
        ("The most important first (%)", "先去掉最重要的（%）", ".1f"),
        ("Random, replaced by the mean (%)", "随机，换成均值（%）", ".1f"),
    ]
    zero, mean = metrics["pruning"]["zero"], metrics["pruning"]["mean"]
    lines = [
        [size, *(cell(zero[name][size]) for name in ("least", "random", "most")),
         cell(mean["random"][size])]
        for size in range(len(metrics["heads"]) + 1)
    ]  # fmt: skip
    return {"main": table(columns, rows), "pruning": table(titles, lines)}
