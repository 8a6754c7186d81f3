"""From a model's scores to the next token: greedy, temperature, top-k, top-p.

    ids = sample(logits, temperature=0.8, top_k=40, top_p=0.95)   # (B, V) -> (B,)

A language model gives a distribution; which token is written is another decision. The most probable
one (greedy) repeats itself; a draw from the distribution now and then takes a token from the long
tail, which no one would write. The three knobs cut or weigh the tail. They act in this order:
temperature, top-k, top-p (as the classes of Hugging Face's transformers do).

Papers: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p, "nucleus sampling").
"""

from __future__ import annotations

import torch
from torch import Tensor

from utils.errors import UserError


def greedy(logits: Tensor) -> Tensor:
    """The most probable token, the first of equal ones: (..., V) -> (...)."""
    return logits.argmax(dim=-1)


def with_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Scores whose softmax is p ** (1 / T), normalised: T < 1 sharpens, T > 1 flattens. (..., V).

    The largest score becomes 0 first: divided by a tiny T, the others then go to -inf, not to nan.
    """
    return (logits - logits.amax(dim=-1, keepdim=True)) / temperature


def filter_top_k(logits: Tensor, k: int) -> Tensor:
    """Scores (..., V) with -inf for all below the k-th largest; ties with it stay."""
    k = min(k, logits.shape[-1])
    kth = logits.topk(k, dim=-1).values[..., -1:]  # (..., V) -> (..., 1)
    return logits.masked_fill(logits < kth, -torch.inf)


def filter_top_p(logits: Tensor, p: float) -> Tensor:
    """Scores (..., V) with -inf outside the smallest set of likeliest tokens of probability >= p.

    A token stays if the likelier ones together have less than p, so the first always does. Of
    equally likely tokens at the border those with smaller ids stay.
    """
    if p >= 1:  # cumsum's rounding would cut the end of the tail
        return logits
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)  # (..., V)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    outside = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= p)
    return logits.masked_fill(outside, -torch.inf)


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a token for each row of scores: (..., V) -> (...). Temperature 0 is greedy.

    Raises UserError where an option lies outside its range.
    """
    check_options(temperature, top_k, top_p)
    if temperature == 0:
        return greedy(logits)
    logits = with_temperature(logits, temperature)
    if top_k is not None:
        logits = filter_top_k(logits, top_k)
    if top_p is not None:
        logits = filter_top_p(logits, top_p)
    rows = logits.softmax(dim=-1).reshape(-1, logits.shape[-1])  # (..., V) -> (N, V)
    drawn = torch.multinomial(rows, 1, generator=generator)  # (N, 1)
    return drawn.view(logits.shape[:-1])


def check_options(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """UserError with what would work, for scripts that pass on what a user wrote."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"the temperature must be 0 (greedy) or larger, not {temperature:g}.")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k counts the tokens that are kept: 1 or more, not {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p is a probability: above 0 and at most 1, not {top_p:g}.")
