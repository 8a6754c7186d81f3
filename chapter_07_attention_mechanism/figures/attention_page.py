"""The page of view_attention.py: point at a word, see where it looks. One file, no network.

    page = attention_page(sources, targets, weights)      weights (layers, heads, T, S)

`attention_page.html` beside this file is the page without its data: the words of both lines, one
byte a weight, and the words of the chosen language. Self-attention is the case sources = targets.
`heads_figure` draws the same maps for a text.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils import plotting

TEMPLATE = Path(__file__).with_name("attention_page.html")
MOST_VALUES = 600_000  # one byte each, as base64: the page stays below 1 MB
MOST_SHOWN = 40  # words of a line in the figure
LONGEST = 18  # letters of a word in the figure

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Where each word looks",
        "about": "Point at a written word: the words that were read show how much of it comes from "
        "them, as a number, a bar and a colour. Point at a word that was read: the written words "
        "show how much they take from it. A click keeps a word.",
        "layers": "layers",
        "heads": "heads",
        "layer": "layer",
        "head": "head",
        "mean": "mean of the heads",
        "written": "written",
        "read": "read",
        "looks": "looks at ",
        "seen": "is looked at by ",
        "nowhere": "nothing",
        "entropy": "Entropy: ",
        "nats": " nats",
        "total": "All written words together: ",
        "comma": ", ",
        "squares": "The map: a row is a written word, a column a word that was read; the area of a "
        "square is the weight.",
        "keys": "Keys: Tab reaches heads and both lines; left and right move to the next word, up "
        "and down to the next head, Page Up and Page Down to the next layer.",
    },
    "zh": {
        "title": "每个词看了哪里",
        "about": "指向写出的词：读入的各词会以数字、条形和颜色显示它从那里取了多少。指向读入的词："
        "写出的各词会显示从它那里取了多少。单击可固定一个词。",
        "layers": "层",
        "heads": "头",
        "layer": "层",
        "head": "头",
        "mean": "各头平均",
        "written": "写出",
        "read": "读入",
        "looks": "看向 ",
        "seen": "被这些词看：",
        "nowhere": "无",
        "entropy": "熵：",
        "nats": " 奈特",
        "total": "所有写出的词合计：",
        "comma": "，",
        "squares": "对齐图：一行是一个写出的词，一列是一个读入的词；方块的面积就是权重。",
        "keys": "键盘：Tab 键可到达各个头与两行文字；左右键移到下一个词，上下键换头，"
        "Page Up 与 Page Down 换层。",
    },
}


def attention_page(
    sources: Sequence[str],
    targets: Sequence[str],
    weights: Any,
    lang: str = "en",
    name: str = "",
    layer_names: Sequence[str] | None = None,
) -> str:
    """The page as HTML.

    weights: (layers, heads, T, S) for T words written and S words read, each from 0 to 1.
    name: what the title adds. ValueError: another shape, a weight out of range, too many weights.
    """
    weights = checked(np.asarray(weights, dtype=float), len(targets), len(sources))
    layers, heads = weights.shape[:2]
    words = WORDS[lang] | ({"title": f"{WORDS[lang]['title']}: {name}"} if name else {})
    names = list(layer_names or (f"{words['layer']} {n + 1}" for n in range(layers)))
    if len(names) != layers:
        raise ValueError(f"{len(names)} names for {layers} layers")
    facts = {
        "sources": list(sources), "targets": list(targets), "layers": layers, "heads": heads,
        "layer_names": names, "values": packed(weights), "labels": words,
    }  # fmt: skip
    # In a script element "<" would begin a tag: "</script>" in a text must not end it.
    content = json.dumps(facts).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace("__TITLE__", html.escape(words["title"]))
    return page.replace("__LANG__", "zh-CN" if lang == "zh" else "en").replace("__DATA__", content)


def checked(weights: np.ndarray, written: int, read: int) -> np.ndarray:
    """The weights, if the page can show them."""
    if weights.ndim != 4 or weights.shape[2:] != (written, read) or 0 in weights.shape:
        raise ValueError(
            f"weights must be (layers, heads, {written}, {read}) for {written} words written and "
            f"{read} read, not {weights.shape}"
        )
    if weights.size > MOST_VALUES:
        raise ValueError(f"{weights.size:,} weights; the page shows at most {MOST_VALUES:,}")
    if not (weights.min() > -1e-3 and weights.max() < 1 + 1e-3):  # NaN is refused too
        raise ValueError("the weights must be numbers from 0 to 1")
    return weights.clip(0, 1)


def packed(weights: np.ndarray) -> str:
    """Base64 of one byte a weight: 255 times it, so at most 0.002 off."""
    return base64.b64encode(np.rint(255 * weights).astype(np.uint8).tobytes()).decode()


def heads_figure(
    sources: Sequence[str], targets: Sequence[str], weights: Any, titles: Sequence[str]
) -> Any:
    """One map (T, S) a panel, weights (panels, T, S); rows are the words written, the first 40."""
    sources, targets = sources[:MOST_SHOWN], targets[:MOST_SHOWN]
    weights = np.asarray(weights)[:, : len(targets), : len(sources)]
    panels, written, read = weights.shape
    columns = 2 if panels == 4 else min(panels, 3)
    rows = -(-panels // columns)
    fig, axes = plotting.subplots(
        rows, columns, width=2.2 + columns * max(0.17 * read + 0.25, 1.5),
        height=0.9 + rows * (0.17 * written + 0.7), squeeze=False, sharex=True, sharey=True,
    )  # fmt: skip
    for ax in axes.flat[panels:]:
        ax.axis("off")
    for ax in axes.flat[panels - columns : panels]:  # nothing below them
        ax.tick_params(labelbottom=True)
    for ax, map_, title in zip(axes.flat, weights, titles, strict=False):
        image = ax.imshow(map_, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.set_title(title, fontsize=9)
        ax.set_xticks(range(read), map(label, sources), rotation=90, fontsize=7)
        ax.set_yticks(range(written), map(label, targets), fontsize=7)
        ax.grid(False)
    fig.colorbar(image, ax=axes, label="weight", fraction=0.02, pad=0.01)
    fig.supxlabel("read", fontsize=9)
    fig.supylabel("written", fontsize=9)
    return fig


def label(word: str) -> str:
    """A word beside a map: letter by letter, of a long one the beginning."""
    return plotting.literal(word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…")
