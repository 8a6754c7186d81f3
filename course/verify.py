"""Measures every shipped checkpoint again and compares with the metrics stored inside it.

    python -m course verify [N] [--data_dir DIR]

The manifest names the function that evaluates: function(path, data_dir) -> {metric: number}. Every
number it returns must stand in the file's own metrics, within `tolerance` (of the value, where that
is above 1, else absolute). A checkpoint whose data set is not here is skipped and listed.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course.manifest import ROOT, Chapter, Checkpoint, ManifestError, load_chapters
from course.needs import lack_of
from utils.errors import MissingDataError, UserError


@dataclass(frozen=True)
class Verdict:
    """What was found for one checkpoint."""

    file: str
    state: str  # "ok", "mismatch", "broken" or "skipped"
    message: str


def verify(
    root: Path = ROOT, numbers: list[int] | None = None, data_dir: str | None = None
) -> list[Verdict]:
    """Verify the checkpoints of all (or the chosen) chapters."""
    chapters = load_chapters(root, numbers)
    return [_verify(c, item, data_dir) for c in chapters for item in c.checkpoints]


def _verify(chapter: Chapter, checkpoint: Checkpoint, data_dir: str | None) -> Verdict:
    from utils.checkpoint import load_checkpoint

    name = f"{chapter.name}/{checkpoint.file}"
    path = chapter.folder / checkpoint.file
    try:
        card = load_checkpoint(path)["metrics"]
        lack = lack_of(checkpoint.needs, data_dir)
        if lack:
            return Verdict(name, "skipped", lack)
        measured = find_function(checkpoint.evaluate, chapter)(path, data_dir)
    except ManifestError:
        raise  # the course is wrong, not the file
    except MissingDataError as error:  # such as a text that differs by version of Python
        return Verdict(name, "skipped", str(error))
    except UserError as error:
        return Verdict(name, "broken", str(error))
    except Exception as error:  # whatever one file does, the others are still verified
        return Verdict(name, "broken", f"{type(error).__name__}: {error}")
    wrong = compare(measured, card, checkpoint.tolerance)
    if wrong:
        return Verdict(name, "mismatch", f"{wrong}; made by: {checkpoint.command}")
    return Verdict(name, "ok", ", ".join(f"{key} {value:.4g}" for key, value in measured.items()))


def find_function(reference: str, chapter: Chapter) -> Callable:
    """The object behind "package.module:function"."""
    module, _, function = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        where = f"{chapter.name}/chapter.toml: key 'evaluate'"
        raise ManifestError(f"{where}: {reference!r} cannot be imported ({error}).") from None


def compare(measured: dict[str, float], card: dict[str, float], tolerance: float) -> str:
    """Empty if all measured numbers agree with the card, else which do not."""
    if not measured:
        return "the evaluation returned no number"
    wrong = []
    for name, value in measured.items():
        expected = card.get(name)
        if not isinstance(expected, int | float):
            wrong.append(f"{name} is not in the card (it has: {', '.join(card)})")
        elif not math.isfinite(value) or abs(value - expected) > tolerance * max(1, abs(expected)):
            wrong.append(f"{name} is {value:.6g}, but the card says {expected:.6g}")
    return "; ".join(wrong)
