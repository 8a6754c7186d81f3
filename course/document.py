"""A Markdown file of the course that `course sync` fills: where it stands, in which language."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course.manifest import Chapter, Page
from utils.errors import UserError


class BlockError(UserError):
    """A marker that cannot be filled; `sync` adds the file and the line."""


@dataclass(frozen=True)
class Document:
    """A README, or a page `docs/NN_idea.md` of a chapter."""

    root: Path
    file: Path
    chapters: Sequence[Chapter]

    @property
    def language(self) -> str:
        return "zh" if self.file.name.endswith(".zh-CN.md") else "en"

    @property
    def is_page(self) -> bool:
        """Whether it stands in docs/; the README beside docs/ is the front page."""
        return self.file.parent.name == "docs"

    @property
    def folder(self) -> Path:
        """What the document is about: the chapter's folder, also for a page inside docs/."""
        return self.file.parent.parent if self.is_page else self.file.parent

    @property
    def chapter(self) -> Chapter | None:
        return next((c for c in self.chapters if c.folder == self.folder), None)

    def own_chapter(self, kind: str) -> Chapter:
        if self.chapter is None:
            raise BlockError(f"'{kind}' belongs into the README of a chapter, or into its docs/.")
        return self.chapter

    def page(self, chapter: Chapter) -> Page:
        """The entry of this page in chapter.toml."""
        for page in chapter.pages:
            if chapter.folder / page.file_in(self.language) == self.file:
                return page
        known = ", ".join(page.file for page in chapter.pages) or "none"
        raise BlockError(f"{chapter.name}/chapter.toml has no [[pages]] for it; it has: {known}.")

    def choose(self, en: str, zh: str) -> str:
        return zh if self.language == "zh" else en

    def link(self, target: Path) -> str:
        """The path from this document to a file, as a link has it."""
        return relative(target, self.file.parent)


def relative(target: Path, folder: Path) -> str:
    """The path from a folder to a file, as a link has it: with / on every system."""
    return os.path.relpath(target, folder).replace(os.sep, "/")
