"""What inference.py found out about each picture, as text, as JSON and as the README's tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from chapter_04_cnn_classic.classifier import Classifier
from chapter_04_cnn_classic.read_image import Picture, shown_name
from utils.results import table


@dataclass
class Prediction:
    """One picture's answer; `top` is [(class, probability)], the most probable first."""

    picture: Picture
    pixels: Tensor | None  # (C, S, S) uint8 as the network sees it; kept where it is explained
    top: list[tuple[str, float]]
    truth: str | None

    @property
    def name(self) -> str:
        return shown_name(self.picture.path.name)

    @property
    def right(self) -> bool | None:
        return None if self.truth is None else self.truth == self.top[0][0]

    def line(self) -> str:
        answers = ", ".join(f"{name} ({100 * share:.1f} %)" for name, share in self.top[:3])
        notes = f"  [{'; '.join(self.picture.notes)}]" if self.picture.notes else ""
        return f"{self.name}: {answers}{notes}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": self.name,
            "width": self.picture.size[0],
            "height": self.picture.size[1],
            "notes": self.picture.notes,
            "truth": self.truth,
            "right": self.right,
            "top": [{"class": name, "probability": share} for name, share in self.top],
        }


def truth_of(path: Path, classes: Sequence[str]) -> str | None:
    """The class that a file's name begins with ("cat.png", "cat_2.png"), if any."""

    own = _folded(path.stem)
    exact = [name for name in classes if _folded(name) == own]
    begun = [name for name in classes if f"{_words(own)} ".startswith(f"{_words(name)} ")]
    fitting = exact or [name for name in begun if _words(name)]
    longest = max((len(_words(name)) for name in fitting), default=0)
    fitting = [name for name in fitting if len(_words(name)) == longest]
    return fitting[0] if len(fitting) == 1 else None  # "c" and "c++": "c_1.png" may be either


def _folded(text: str) -> str:
    """Small letters, each as one character: macOS writes the "é" of a file's name as two."""
    return unicodedata.normalize("NFKC", text).casefold()


def _words(text: str) -> str:
    """The words of a name in any script: "T-shirt/top" -> "t shirt top".

    Between them stand ASCII signs, and everywhere punctuation (P), spaces (Z) and control
    characters (C). Not marks (M), which belong to the letter before them: a Hindi vowel is one.
    """
    letters = [
        " " if (c.isascii() and not c.isalnum()) or unicodedata.category(c)[0] in "PZC" else c
        for c in _folded(text)
    ]
    return " ".join("".join(letters).split())


def mean_sureness(predictions: list[Prediction]) -> float | None:
    """Mean probability of the first answer in per cent."""
    if not predictions:
        return None
    return 100 * sum(p.top[0][1] for p in predictions) / len(predictions)


def summary(
    classifier: Classifier, predictions: list[Prediction], skipped: list[str]
) -> dict[str, Any]:
    """What is published: the network, how often it was right where a name tells, every answer."""
    named = [p for p in predictions if p.truth is not None]
    return {
        "model": classifier.name,
        "dataset": classifier.dataset,
        "classes": list(classifier.classes),
        "test_accuracy_percent": classifier.test_accuracy_percent,
        "classified": len(predictions),
        "named": len(named),
        "right": sum(p.right for p in named),
        "sureness_right": mean_sureness([p for p in named if p.right]),
        "sureness_wrong": mean_sureness([p for p in named if not p.right]),
        "pictures": [p.as_dict() for p in predictions],
        "skipped": skipped,
    }


def in_short(found: dict[str, Any]) -> dict[str, Any]:
    """Of a `summary`, what is printed at the end."""
    shown: dict[str, Any] = {"classified": found["classified"]}
    if found["skipped"]:
        shown["left out"] = len(found["skipped"])
    if found["named"]:
        shown["right, of the files named after a class"] = f"{found['right']} of {found['named']}"
    return shown


def result_table(predictions: list[Prediction]) -> dict[str, Any]:
    columns = [
        ("Picture", "图片", ""),
        ("Width x height (px)", "宽 x 高（像素）", ""),
        ("Most probable class", "最可能的类别", ""),
        ("Probability (%)", "概率（%）", ".1f"),
        ("Second", "第二可能", ""),
        ("Probability (%)", "概率（%）", ".1f"),
        ("Right?", "是否正确", ""),
    ]
    words = {
        True: {"en": "yes", "zh": "是"},
        False: {"en": "no", "zh": "否"},
        None: {"en": "not named", "zh": "未标注"},
    }
    rows = []
    for p in predictions:
        (first, share), (second, next_share) = (*p.top, ("-", 0.0))[:2]
        size = f"{p.picture.size[0]} x {p.picture.size[1]}"
        row = [p.name, size, first, 100 * share, second, 100 * next_share, words[p.right]]
        rows.append(row)
    return table(columns, rows)


def fits_table(fits: dict[str, dict[str, float]], count: int) -> dict[str, Any]:
    columns = [
        ("--fit", "--fit", ""),
        (f"Right of {count}", f"{count} 张中正确", "d"),
        ("Mean probability of the true class (%)", "真实类别的平均概率（%）", ".1f"),
    ]
    return table(columns, [[name, fit["right"], fit["truth"]] for name, fit in fits.items()])
