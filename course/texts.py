"""The tasks and hints of exercises, in English or Chinese.

The English text is the docstring of the stub in `exercises.py`; the Chinese one stands in
`exercises.zh-CN.md` beside it, a `## name` section for each exercise.
"""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from course.check import chosen, definitions
from course.manifest import ROOT, load_chapters
from utils.errors import UserError


def texts(number: int, names: Sequence[str], language: str, root: Path = ROOT) -> str:
    """The texts of chapter `number`'s exercises, or of some of them, one below the other."""
    folder = load_chapters(root, [number])[0].folder / "exercises"
    read = chinese_texts if language == "zh" else english_texts
    known = read(folder)
    return "\n\n".join(f"## {name}\n\n{known[name]}" for name in chosen(names, list(known)))


def english_texts(folder: Path) -> dict[str, str]:
    """Name -> docstring of each stub that has one with a difficulty."""
    stubs = definitions(folder / "exercises.py")
    found = {name: ast.get_docstring(node) or "" for name, node in stubs.items()}
    return {name: text for name, text in found.items() if "Difficulty:" in text}


def chinese_texts(folder: Path) -> dict[str, str]:
    """Name -> section of `exercises.zh-CN.md`."""
    path = folder / "exercises.zh-CN.md"
    if not path.is_file():
        raise UserError(f"{path} does not exist; leave --lang out to read the English text.")
    parts = re.split(r"^## (\w+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
