"""What single units of a language model follow: gates read out, correlations, an untrained control.

A unit's cell c_t, its memory, is compared with simple properties of the text up to character t:
inside quotation marks, inside brackets, how far into the line, ... (Its output h_t = o_t tanh(c_t)
follows them less: the output gate hides what is not needed now.) Of many units some follow anything
by chance: so the unit is chosen on the first half of the text, its correlation is told for the
second, and the same is done with networks of the same shape that were never trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from chapter_06_rnn_lstm_seq.cells import Weights
from chapter_06_rnn_lstm_seq.language_model import LanguageModel
from utils.results import mean_std, table

GATES = ("h", "c", "i", "f", "o", "g")
OPENING, CLOSING = "([{", ")]}"
LONG_LINE = 80  # characters; further right counts as this


# --- what the network does at each character ---


@torch.no_grad()
def read_units(model: LanguageModel, ids: Tensor) -> dict[str, np.ndarray]:
    """h, c and the gates i, f, o, g of the last layer at each of the tokens (T,); each (T, H)."""
    if model.embedding is None:
        x = F.one_hot(ids, model.rnn.input_size).float()  # (T, V)
    else:
        x = model.embedding(ids)  # (T, E)
    found = {}
    for layer in range(model.rnn.num_layers):
        found = read_layer(x, model.rnn.weights(f"l{layer}"))
        x = found["h"]  # (T, H)
    return {name: found[name].numpy() for name in GATES}


def read_layer(x: Tensor, w: Weights) -> dict[str, Tensor]:
    """The steps of one LSTM layer over x (T, I), with everything that happens in them kept."""
    inputs = x @ w["weight_ih"].T + w["bias_ih"] + w["bias_hh"]  # (T, 4H)
    size = inputs.shape[1] // 4
    h, c = torch.zeros(size), torch.zeros(size)
    steps = []
    for row in inputs:
        i, f, g, o = (row + w["weight_hh"] @ h).chunk(4)  # each (H,)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        steps.append(torch.stack([h, c, i, f, o, g]))
    return dict(zip(GATES, torch.stack(steps, dim=1), strict=True))  # of (6, T, H)


# --- properties of the text, told after each character ---


def in_quotes(text: str) -> np.ndarray:
    """1 between “ and ”, or between two straight ones; an empty line ends every quotation."""
    inside, found = False, []
    for place, character in enumerate(text):
        if character == '"':
            inside = not inside
        elif character in "“”":
            inside = character == "“"
        elif text[place - 1 : place + 1] == "\n\n":
            inside = False
        found.append(inside)
    return np.array(found, dtype=float)


def in_brackets(text: str) -> np.ndarray:
    """1 inside at least one bracket of any kind; an empty line closes them."""
    depth, found = 0, []
    for place, character in enumerate(text):
        if text[place - 1 : place + 1] == "\n\n":
            depth = 0
        depth = max(0, depth + (character in OPENING) - (character in CLOSING))
        found.append(depth > 0)
    return np.array(found, dtype=float)


def line_position(text: str) -> np.ndarray:
    """Characters since the line began, at most 80."""
    place, found = 0, []
    for character in text:
        place = 0 if character == "\n" else place + 1
        found.append(min(place, LONG_LINE))
    return np.array(found, dtype=float)


def line_start(text: str) -> np.ndarray:
    """1 where nothing but spaces stands since the line began."""
    blank, found = True, []
    for character in text:
        blank = character == "\n" or (blank and character == " ")
        found.append(blank)
    return np.array(found, dtype=float)


def upper_case(text: str) -> np.ndarray:
    return np.array([character.isupper() for character in text], dtype=float)


PROPERTIES: dict[str, tuple[str, Callable[[str], np.ndarray]]] = {
    "inside quotation marks": ("引号之内", in_quotes),
    "inside brackets": ("括号之内", in_brackets),
    "position in the line": ("行内位置", line_position),
    "after a new line": ("换行之后", line_start),
    "upper case": ("大写字母", upper_case),
}


# --- which unit follows which property ---


def correlations(c: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pearson's r of each unit (T, H) with a property (T,); (H,), 0 for what does not change."""
    c, values = c - c.mean(axis=0), values - values.mean()
    norms = np.sqrt((c**2).sum(axis=0) * (values**2).sum())  # (H,)
    return np.divide(values @ c, norms, out=np.zeros(c.shape[1]), where=norms > 1e-12)


def best_unit(c: np.ndarray, values: np.ndarray) -> tuple[int, float]:
    """The unit whose |r| is largest in the first half, and its r in the second."""
    half = len(values) // 2
    unit = int(np.abs(correlations(c[:half], values[:half])).argmax())
    return unit, float(correlations(c[half:], values[half:])[unit])


def measure(c: np.ndarray, untrained: list[np.ndarray], text: str) -> list[dict[str, Any]]:
    """One dict a property that occurs in both halves, the best-followed one first.

    c: (T, H) of the trained network; untrained: the same of networks that were never trained.
    """
    rows = []
    for name, (chinese, function) in PROPERTIES.items():
        values = function(text)
        halves = np.array_split(values, 2)
        if any(np.ptp(half) == 0 for half in halves):
            continue
        unit, r = best_unit(c, values)
        control = [abs(best_unit(other, values)[1]) for other in untrained]
        facts = {"property": name, "zh": chinese, "unit": unit, "r": r}
        rows.append(facts | {"untrained": mean_std(control)})
    return sorted(rows, key=lambda row: -abs(row["r"]))


def untrained_like(architecture: dict[str, Any], seed: int) -> LanguageModel:
    """A network of the same shape with the first weights of `seed`."""
    torch.manual_seed(seed)
    return LanguageModel(**architecture).eval()


def collect(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """{property: unit, r, untrained_mean, untrained_std}."""
    return {
        row["property"].replace(" ", "_"): {
            "unit": row["unit"],
            "r": row["r"],
            "untrained_mean": row["untrained"][0],
            "untrained_std": row["untrained"][1],
        }
        for row in rows
    }


def tables(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = [
        ("Property of the text", "文本的性质", "s"),
        ("Unit", "单元", ".0f"),
        ("Correlation r", "相关系数 r", ".2f"),
        ("Best unit of an untrained network, size of r", "未训练网络的最佳单元，r 的绝对值", ".2f"),
    ]
    cells = [
        [{"en": row["property"], "zh": row["zh"]}, row["unit"], row["r"], row["untrained"]]
        for row in rows
    ]
    return {"main": table(columns, cells)}
