"""The drawings of the page on language models: how much context helps, and what sampling cuts off.

Both are drawn from n-gram models of the embedded text, which are counted in a second;
`draw_figures.py` writes them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from chapter_06_rnn_lstm_seq.ngram import KneserNey, fit_orders
from chapter_06_rnn_lstm_seq.sampling import filter_top_k, filter_top_p, with_temperature
from chapter_06_rnn_lstm_seq.tokenizer import CharTokenizer
from utils import plotting
from utils.datasets.text import TextData, load_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

ORDERS = range(1, 9)
CONTEXTS, SHOWN = ("the st", "If the "), 18  # a clear one and an open one; how many bars
TEMPERATURES, TOP_K, TOP_P = (0.5, 1.0, 2.0), 5, 0.9
VISIBLE = {" ": "␣", "\n": "↵"}


@cache
def _inner_text() -> tuple[CharTokenizer, TextData]:
    """The training part of the embedded text, cut again: the last tenth of it is held out."""
    data = load_text("topics").inner()
    return CharTokenizer.train([data.train, data.val]), data


# --- How much context helps ---


def draw_context(seed: int = 0) -> Figure:
    """Bits per character over the order: on held-out text, and on the text that was counted."""
    held_out, own = _bits_by_order(modified=False)
    better, _ = _bits_by_order(modified=True)
    figure, ax = plotting.subplots(width=6.4, height=3.6)
    lines = {"held-out text": held_out, "held-out text, modified form": better,
             "the text that was counted": own}  # fmt: skip
    for i, (label, bits) in enumerate(lines.items()):
        ax.plot(ORDERS, bits, marker=plotting.MARKERS[i], label=label, **plotting.look(i))
    best = int(np.argmin(held_out))
    ax.annotate(
        f"best: order {ORDERS[best]}", (ORDERS[best], held_out[best]), (ORDERS[best], 2.9),
        ha="center", arrowprops={"arrowstyle": "->"},
    )  # fmt: skip
    ax.set(xlabel="order: characters before, plus one", ylabel="bits per character", ylim=(0, 5))
    ax.legend()
    return figure


def _bits_by_order(modified: bool) -> tuple[list[float], list[float]]:
    """Of each order: bits per character on the held-out text, and on as much counted text."""
    tokenizer, data = _inner_text()
    train, val = tokenizer.encode(data.train), tokenizer.encode(data.val)
    models = fit_orders(train, ORDERS, tokenizer.vocab_size, modified)
    texts = val, train[-len(val) :]
    held_out, counted = ([model.bits_per_token(text) for model in models] for text in texts)
    return held_out, counted


# --- What sampling makes of a distribution ---


def draw_sampling(seed: int = 0) -> Figure:
    """The next character after a clear and an open context: temperatures, top-k and top-p."""
    figure, axes = plotting.subplots(2, 3, width=10.2, height=5.2, sharey="row")
    for row, context in zip(axes, CONTEXTS, strict=True):
        names, logits = next_characters(context)
        p = logits.softmax(0).numpy()
        _draw_temperatures(row[0], names, logits)
        _draw_cut(row[1], names, p, filter_top_k(logits, TOP_K))
        _draw_cut(row[2], names, p, filter_top_p(logits, TOP_P))
        row[0].set_ylabel(f"P(next | “{context.replace(' ', VISIBLE[' '])}”)")
    for ax, title in zip(
        axes[0], ("temperature", f"top-k: {TOP_K}", f"top-p: {TOP_P:g}"), strict=True
    ):
        ax.set_title(title)
    for ax in axes[1]:
        ax.set_xlabel("next character, the likeliest first")
    return figure


def next_characters(context: str) -> tuple[list[str], torch.Tensor]:
    """What follows a context, the likeliest first: SHOWN names, and the scores of all, (V,)."""
    tokenizer, data = _inner_text()
    model = KneserNey(5, tokenizer.vocab_size).fit(tokenizer.encode(data.train))
    p = model.distribution(tokenizer.encode(context))
    order = np.argsort(-p, kind="stable")
    names = [tokenizer.decode([i]) for i in order[:SHOWN]]
    return [VISIBLE.get(c, plotting.literal(c)) for c in names], torch.from_numpy(p[order]).log()


def _draw_temperatures(ax: Axes, names: list[str], logits: torch.Tensor) -> None:
    for i, t in enumerate(TEMPERATURES):
        p = with_temperature(logits, t).softmax(0).numpy()[:SHOWN]
        ax.plot(names, p, marker=plotting.MARKERS[i], label=f"T = {t:g}", **plotting.look(i))
    ax.legend()


def _draw_cut(ax: Axes, names: list[str], before: Array, filtered: torch.Tensor) -> None:
    """What was there as outlines; what is kept, made to sum to one, as full bars."""
    kept = filtered.isfinite().numpy()
    ax.bar(names, filtered.softmax(0).numpy()[:SHOWN], color=plotting.COLORS[5], label="after")
    ax.bar(
        names, before[:SHOWN], label="before", color="none", edgecolor="black", linewidth=0.8
    )  # fmt: skip
    words = f"keeps {kept.sum()} of {len(before)},\nwhich had {before[kept].sum():.2f}"
    ax.text(0.97, 0.5, words, transform=ax.transAxes, ha="right", va="center")
    ax.legend(loc="upper right")
