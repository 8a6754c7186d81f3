"""One stop of the tour: a script, what its quick run made, and what the chapter has published."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course.manifest import Chapter, Script

PICTURES = (".png", ".gif", ".svg")


@dataclass
class Stop:
    """One script of the tour and what came of it."""

    chapter: Chapter
    script: Script
    seconds: float = 0.0
    skipped: str = ""  # why it was not run
    error: str = ""  # the end of its error output
    metrics: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)  # that the run wrote, run.json left out

    @property
    def command(self) -> str:
        return f"{self.script.command} --quick"

    @property
    def outcome(self) -> str:
        return "failed" if self.error else "skipped" if self.skipped else f"{self.seconds:.1f} s"

    @property
    def pictures(self) -> list[Path]:
        return [path for path in self.files if path.suffix in PICTURES]

    @property
    def results(self) -> list[Path]:
        return [path for path in self.files if path.suffix == ".json"]

    def published(self, path: Path) -> Path | None:
        """The chapter's file of which this one is the small form; None if none is published."""
        names = dict(zip(self.script.quick_files, self.script.writes, strict=False))
        found = self.chapter.folder / "results" / names.get(path.name, path.name)
        return found if found.is_file() else None
