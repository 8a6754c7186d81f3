"""The page of view_units.py, one file without network or library, and its picture for the text.

`units_page.html` beside this file is the page without its data: the text, one byte a value for the
gates, cell and output of each unit, the ranking and the words in the chosen language.
"""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from utils import plotting

TEMPLATE = Path(__file__).with_name("units_page.html")
MOST_VALUES = 330_000  # characters x units: 6 bytes each, as base64, stay below 3 MB
ORDER = ("h", "c", "i", "f", "o", "g")

WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "title": "What a unit of the network follows",
        "about": "Each character is coloured by what the shown unit has after reading it:",
        "cell": "its cell c, in units of its largest |c|",
        "output": "its output h",
        "signs": "(dotted line: below −0.1). Choose a unit; point at a character for its gates.",
        "unit": "unit",
        "character": "at the character",
        "name_h": "h: output",
        "name_i": "i: input gate",
        "name_f": "f: forget gate",
        "name_o": "o: output gate",
        "name_g": "g: candidate",
        "name_c": "c: cell",
        "step": "c = f · (c before) + i · g and h = o · tanh(c)",
        "ranking": ["follows", "unit", "r", "untrained"],
        "control": "r: correlation of c on the half of the text that did not choose the unit. "
        "untrained: the mean of |r| of the best unit of networks that were never trained.",
        "keys": "Keys: Tab reaches the strip and the text; the arrows move in them.",
    },
    "zh": {
        "title": "网络的一个单元在跟踪什么",
        "about": "每个字符的颜色表示所选单元读入该字符之后的：",
        "cell": "单元状态 c（以其最大的 |c| 为单位）",
        "output": "输出 h",
        "signs": "（点线：小于 −0.1）。在下方选择单元；指向字符可查看它的各个门。",
        "unit": "单元",
        "character": "所在字符",
        "name_h": "h：输出",
        "name_i": "i：输入门",
        "name_f": "f：遗忘门",
        "name_o": "o：输出门",
        "name_g": "g：候选值",
        "name_c": "c：单元状态",
        "step": "c = f ·（之前的 c）+ i · g，h = o · tanh(c)",
        "ranking": ["跟踪的性质", "单元", "r", "未训练"],
        "control": "r：c 在没有用来挑选单元的那一半文本上的相关系数。未训练：从未训练过的网络中"
        "最佳单元 |r| 的平均值。",
        "keys": "键盘：Tab 键可到达单元条与文本，方向键在其中移动。",
    },
}


def units_page(
    text: str, gates: dict[str, np.ndarray], rows: list[dict[str, Any]], lang: str, name: str
) -> str:
    """The page as HTML. gates: each (T, H) for the T characters of `text`; rows: the ranking."""
    units = kept_units(len(text), gates["h"].shape[1], rows)
    values, ranges = quantised({gate: gates[gate][:, units] for gate in ORDER})
    words = WORDS[lang] | {"title": f"{WORDS[lang]['title']}: {name}"}
    ranking = [
        {
            "property": row["zh"] if lang == "zh" else row["property"],
            "name": row["unit"],
            "r": row["r"],
            "untrained": row["untrained"][0],
        }
        for row in rows
    ]
    facts = {
        "text": text, "units": units, "values": values, "cell_ranges": ranges, "order": ORDER,
        "ranking": ranking, "labels": words,
    }  # fmt: skip
    # In a script element "<" would begin a tag: "</script>" in a text must not end it.
    content = json.dumps(facts).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace("__TITLE__", html.escape(words["title"]))
    return page.replace("__LANG__", "zh-CN" if lang == "zh" else "en").replace("__DATA__", content)


def kept_units(length: int, hidden: int, rows: list[dict[str, Any]]) -> list[int]:
    """All units; where the page cannot hold them, those of the ranking and the first others."""
    ranked = [row["unit"] for row in rows]
    wanted = list(dict.fromkeys([*ranked, *range(hidden)]))
    return sorted(wanted[: max(1, MOST_VALUES // length)])


def quantised(gates: dict[str, np.ndarray]) -> tuple[str, list[float]]:
    """Base64 of one byte a value, (6, U, T): 127 + 127 v / range; the cells' ranges by unit.

    The range of all but the cell is 1.
    """
    ranges = np.maximum(np.abs(gates["c"]).max(axis=0), 1e-6)  # (U,)
    scaled = [gates[name] / (ranges if name == "c" else 1.0) for name in ORDER]
    levels = np.rint(127 + 127 * np.stack(scaled)).astype(np.uint8)  # (6, T, U)
    packed = base64.b64encode(np.ascontiguousarray(levels.transpose(0, 2, 1)).tobytes())
    return packed.decode(), [round(float(value), 4) for value in ranges]


def unit_figure(text: str, c: np.ndarray, title: str, columns: int = 78, lines: int = 12) -> Any:
    """The first lines of a text, each character on the colour of a unit's cell c (T,)."""
    from matplotlib.colors import LinearSegmentedColormap

    placed, levels = laid_out(text, columns, lines), c / max(np.abs(c).max(), 1e-6)
    fig, ax = plotting.subplots(width=9.2, height=0.55 + 0.24 * lines)
    cmap = LinearSegmentedColormap.from_list("unit", ["#0072B2", "#FFFFFF", "#E69F00"])
    grid = np.full((lines, columns), np.nan)
    for t, row, column in placed:
        grid[row, column] = levels[t]
        if text[t].strip():
            look = {
                "family": "monospace",
                "fontsize": 8,
                "color": "white" if levels[t] < -0.6 else "black",
            }
            ax.text(column, row, plotting.literal(text[t]), ha="center", va="center", **look)
    image = ax.imshow(grid, cmap=cmap, vmin=-1, vmax=1, aspect="auto")
    fig.colorbar(image, ax=ax, label="cell c / largest |c|", fraction=0.03, pad=0.01)
    ax.set(xticks=[], yticks=[], title=plotting.literal(title))
    ax.grid(False)
    return fig


def laid_out(text: str, columns: int, lines: int) -> list[tuple[int, int, int]]:
    """(place in the text, row, column) of the characters that fit; long lines are broken."""
    row, column, placed = 0, 0, []
    for t, character in enumerate(text):
        if column == columns:
            row, column = row + 1, 0
        if row == lines:
            break
        placed.append((t, row, column))
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
        if row == lines:
            break
    return placed
