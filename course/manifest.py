"""The facts of each chapter, read from its `chapter.toml`.

Everything that the runner, the README tables and the command tests know about a chapter comes from
here. A mistake in a manifest is reported with the file and the key, as a `ManifestError`:

    chapters = load_chapters()              # every chapter_NN_* folder that has a chapter.toml
    chapters[0].scripts[0].command          # "python chapter_01_tensor_autograd/autograd.py"
"""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import UserError
from utils.file_io_util import read_toml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = re.compile(r"chapter_(\d\d)_[a-z0-9_]+")
PAGE_FILE = re.compile(r"docs/\d\d_[a-z0-9_]+\.md")
Entry = TypeVar("Entry")


class ManifestError(UserError):
    """A TOML file of the course that cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Script:
    """One documented command of a chapter."""

    file: str
    shows: str
    shows_zh: str
    data: str
    data_zh: str
    minutes: float  # measured on 2 CPU cores with the default options
    args: str = ""
    tour: bool = False
    writes: tuple[str, ...] = ()  # file names in the run folder
    quick_writes: tuple[str, ...] = ()  # those of --quick in the same order, where they differ
    needs: str = "embedded"  # or what course/needs.py knows, as "mnist"
    chapter: str = ""  # the chapter's folder, filled in on loading

    @property
    def path(self) -> str:
        return f"{self.chapter}/{self.file}"

    @property
    def command(self) -> str:
        return f"python {self.path} {self.args}".strip()

    @property
    def quick_files(self) -> tuple[str, ...]:
        """What --quick writes; the k-th is the small form of the k-th of `writes`."""
        return self.quick_writes or self.writes

    def argv(self, *extra: str) -> list[str]:
        """The command as a list for `subprocess`, run from the repository root."""
        return [sys.executable, self.path, *shlex.split(self.args), *extra]


@dataclass(frozen=True)
class Checkpoint:
    """One shipped file of trained weights and how to measure it again."""

    file: str
    evaluate: str  # "package.module:function", called as function(path, data_dir)
    command: str
    tolerance: float = 0.001
    needs: str = "embedded"


@dataclass(frozen=True)
class Picture:
    """A published picture for the gallery of the top-level README."""

    image: str
    caption: str
    caption_zh: str


@dataclass(frozen=True)
class Page:
    """One page of a chapter: `docs/NN_idea.md` and its Chinese twin `docs/NN_idea.zh-CN.md`."""

    file: str
    title: str
    title_zh: str
    minutes: float  # to read it and do what it asks
    needs: str  # what a reader must know, in plain words: links would depend on where they stand
    needs_zh: str
    first: bool = False  # on the first-reading path
    first_minutes: float = 0  # what the path takes of `minutes`; 0: all, nothing is left out
    leave_out: str = ""  # what it leaves out, to follow "without"
    leave_out_zh: str = ""

    def file_in(self, language: str) -> str:
        """The file of the page in "en" or "zh", relative to the chapter."""
        return self.file.removesuffix(".md") + ".zh-CN.md" if language == "zh" else self.file


@dataclass(frozen=True)
class Chapter:
    """A chapter folder with everything its manifest says."""

    number: int
    title: str
    title_zh: str
    summary: str
    summary_zh: str
    hours: float
    checkpoint_folder: str = "checkpoints"
    scripts: tuple[Script, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    gallery: tuple[Picture, ...] = ()
    pages: tuple[Page, ...] = ()  # none: the README is the whole text
    folder: Path = Path()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def minutes(self) -> float:
        return sum(script.minutes for script in self.scripts)

    @property
    def has_exercises(self) -> bool:
        """A chapter in the making gets them last."""
        return (self.folder / "exercises").is_dir()


def load_chapters(root: Path = ROOT, numbers: list[int] | None = None) -> list[Chapter]:
    """The chapters present under `root`, in order; `numbers` keeps only those."""
    folders = [path.parent for path in sorted(root.glob("chapter_*/chapter.toml"))]
    chapters = [load_chapter(folder) for folder in folders if FOLDER.fullmatch(folder.name)]
    for number in numbers or []:
        if number not in [chapter.number for chapter in chapters]:
            present = ", ".join(str(chapter.number) for chapter in chapters) or "none"
            raise UserError(f"There is no chapter {number} here; the chapters present: {present}.")
    return [chapter for chapter in chapters if not numbers or chapter.number in numbers]


def load_chapter(folder: Path) -> Chapter:
    """Read and check one manifest."""
    path = folder / "chapter.toml"
    where = f"{folder.name}/{path.name}"
    facts = _read(path)
    inner: dict[str, Any] = {"folder": folder}
    kinds = {"scripts": Script, "checkpoints": Checkpoint, "gallery": Picture, "pages": Page}
    for key, kind in kinds.items():
        inner[key] = tuple(_entries(kind, facts.pop(key, []), where, key, folder))
    _check_pages(inner["pages"], where, folder)
    chapter = _build(Chapter, facts, where, inner)
    if int(FOLDER.fullmatch(folder.name)[1]) != chapter.number:
        raise ManifestError(f"{where}: key 'number' is {chapter.number}, but the folder differs.")
    return chapter


def read_entries(path: Path, key: str, kind: type[Entry]) -> list[Entry]:
    """The `[[key]]` tables of a TOML file as dataclasses (terms.toml, notation.toml)."""
    where = f"{path.parent.name}/{path.name}"
    facts = _read(path)
    entries = list(_entries(kind, facts.pop(key, []), where, key, path.parent))
    if facts:
        raise ManifestError(f"{where}: unknown key '{next(iter(facts))}'; expected [[{key}]].")
    return entries


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except UserError as error:
        raise ManifestError(str(error)) from None


def _check_pages(pages: Sequence[Page], where: str, folder: Path) -> None:
    """Files that are there, each once and in the order of their numbers; time; no links."""
    for index, page in enumerate(pages, start=1):
        place = f"{where}, [[pages]] number {index}"
        if not PAGE_FILE.fullmatch(page.file):
            raise ManifestError(
                f"{place}: key 'file' must be like docs/01_idea.md (the English page; the Chinese "
                f"one is found beside it), not {page.file!r}."
            )
        if not (folder / page.file).is_file():
            raise ManifestError(f"{place}: key 'file': {page.file} does not exist.")
        if index > 1 and page.file <= pages[index - 2].file:
            before = pages[index - 2].file
            raise ManifestError(f"{place}: {page.file} stands after {before}: order them by name.")
        if not page.minutes:
            raise ManifestError(f"{place}: key 'minutes' must be above 0.")
        shorter = (page.first_minutes > 0, bool(page.leave_out), bool(page.leave_out_zh))
        if any(shorter) and not (page.first and all(shorter)):
            raise ManifestError(
                f"{place}: a first reading that leaves something out has all of first = true, "
                "first_minutes, leave_out and leave_out_zh."
            )
        if page.first_minutes >= page.minutes:
            raise ManifestError(f"{place}: key 'first_minutes' must be below 'minutes'.")
        keys = ["title", "title_zh", "needs", "needs_zh"]
        for key in keys + ["leave_out", "leave_out_zh"] * any(shorter):
            text = getattr(page, key)
            if not text.strip() or "](" in text:
                raise ManifestError(f"{place}: key '{key}' must be plain words, not {text!r}.")


def _entries(kind: type[Entry], tables: Any, where: str, key: str, folder: Path) -> list[Entry]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ManifestError(f"{where}: '{key}' must be written as [[{key}]] tables.")
    built = []
    for index, table in enumerate(tables, start=1):
        place = f"{where}, [[{key}]] number {index}"
        built.append(_build(kind, table, place, {"chapter": folder.name} if kind is Script else {}))
        if kind is Script and not (folder / built[-1].file).is_file():
            raise ManifestError(f"{place}: key 'file': {built[-1].file} does not exist.")
    return built


def _build(kind: type[Entry], facts: dict[str, Any], where: str, extra: dict[str, Any]) -> Entry:
    """A dataclass from a TOML table, after checking that keys and types are as declared."""
    declared = {field.name: field for field in fields(kind) if field.name not in extra}
    for key in facts:
        if key not in declared:
            raise ManifestError(f"{where}: unknown key '{key}'; known: {', '.join(declared)}.")
    for name, field in declared.items():
        if name in facts:
            facts[name] = _typed(facts[name], field.type, f"{where}: key '{name}'")
        elif field.default is MISSING:
            raise ManifestError(f"{where}: key '{name}' is missing.")
    return kind(**facts, **extra)


def _typed(value: Any, kind: Any, where: str) -> Any:
    """`value` as the declared type, or a `ManifestError`."""
    if kind == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ManifestError(f"{where} must be a list of strings, not {value!r}.")
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
        raise ManifestError(f"{where} must be {names[kind]}, not {value!r}.")
    if kind in (int, float) and value < 0:
        raise ManifestError(f"{where} must not be negative, but is {value!r}.")
    return value
