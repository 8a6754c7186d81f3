"""Files and functions that a chapter's text names are there: in sentences and in the tables from
formula to code."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.excerpt import names_in
from course.manifest import ROOT, Chapter, load_chapters
from course.reading import FENCE, chapter_files

CHAPTERS = load_chapters()
TEXTS = [(c, file) for c in CHAPTERS for lang in ("en", "zh") for file in chapter_files(c, lang)]
each_text = pytest.mark.parametrize(
    ("chapter", "file"), TEXTS, ids=[file.relative_to(ROOT).as_posix() for _, file in TEXTS]
)
PYTHON_FILE = re.compile(r"`([\w./]+\.py)`")
NAME = re.compile(r"[A-Za-z_][\w.]*")
TARGET = re.compile(r"(?<=\])\([^()]*\)")  # of a link, whose words stay
ASIDE = re.compile(r"[(（][^()（）]*[)）]")  # "(`Dropout` is chapter 2's)", and the () of a call


def find(name: str, chapter: Chapter) -> Path | None:
    """The file a text means: of the chapter or the course, by its path, or by its name alone."""
    folder = chapter.folder
    for base in (folder, folder / "src", folder / "exercises", ROOT):
        if (base / name).is_file():
            return base / name
    if "/" in name:
        return None
    earlier = [c.folder for c in CHAPTERS if c.number <= chapter.number]
    found = [path for folder in earlier for path in folder.rglob(name)]
    return found[0] if len(found) == 1 else None


def rows_to_code(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """(files, names) of each row of the tables that lead from a formula to code."""
    header: list[str] = []
    for line in FENCE.sub("", text).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = [cell.lower() for cell in cells]
        columns = [k for k, title in enumerate(header) if re.match(r"file\b(?!s)|文件", title)]
        if columns and len(cells) == len(header) and cells[0].lower() != header[0]:
            alone = header[columns[0]] in ("file", "文件")  # else "file: function"
            place = " ".join(cells[columns[0] : columns[0] + 1 + alone])
            yield from split(re.findall(r"`([^`]+)`", ASIDE.sub("", TARGET.sub("", place))))


def split(words: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Names belong to the files in front of them: "`a.py`: `f`, `g`; `b.py`: `h`"."""
    files: list[str] = []
    names: list[str] = []
    for word in words:
        if word.endswith(".py"):
            if names:
                yield files, names
                files, names = [], []
            files.append(word)
        elif NAME.fullmatch(word):
            names.append(word)
    if files:
        yield files, names


@functools.cache
def defined(path: Path) -> set[str]:
    """What a file defines: "Adam", "Adam.step", and methods also without their class."""
    found: set[str] = set()

    def add(body: list[ast.stmt], prefix: str) -> None:
        for name, node in names_in(body).items():
            found.update({prefix + name, name})
            add(getattr(node, "body", []), f"{prefix}{name}.")

    add(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


@functools.cache
def imported(path: Path) -> set[str]:
    """What a file has from others; what stands in those is not looked up."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


@each_text
def test_files_named_in_the_text_exist(chapter: Chapter, file: Path):
    named = sorted(set(PYTHON_FILE.findall(file.read_text(encoding="utf-8"))))
    assert [name for name in named if find(name, chapter) is None] == []


@each_text
def test_tables_from_formula_to_code_name_what_is_there(chapter: Chapter, file: Path):
    missing = []
    for files, names in rows_to_code(file.read_text(encoding="utf-8")):
        paths = [path for name in files if (path := find(name, chapter))]
        known = {name for path in paths for name in defined(path) | imported(path)}
        of_others = {name for path in paths for name in imported(path)}
        missing += [
            f"{', '.join(files)}: {name}"
            for name in names
            if name not in known and name.split(".")[0] not in of_others
        ]
    assert missing == []


def test_rows_are_read():
    text = (
        "| equation | file: function | shapes |\n|---|---|---|\n"
        "| $a$ | `a.py`: `f`, `g(x)`; `b.py`: `C.h` with `k=1` | `(B, C)` |\n\n"
        "| symbol | file | function or class |\n|---|---|---|\n"
        "| $a \\| b$ | [`a.py`](../a.py), `b.py` | `f` (`x` is [not ours](c.md)) |\n"
        "| what | Files in the run folder |\n"
    )
    assert list(rows_to_code(text)) == [
        (["a.py"], ["f", "g"]),
        (["b.py"], ["C.h"]),
        (["a.py", "b.py"], ["f"]),
    ]
