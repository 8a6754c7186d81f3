"""A run: one execution of a script, its folder, and what it leaves there.

    outputs/<chapter>/<script>-<run_name or time>/
        run.json         options, seed, versions, git commit, machine, wall time, memory, metrics
                         (from the start: the words of the command, which --resume reads)
        metrics.jsonl    a line a step or epoch, written by run.log(...)
        *.png *.json     figures and results; with --publish also in the chapter's results/
        *.pth *.npz      weights; with --publish also in the chapter's checkpoints/

Scripts get a `Run` from `utils.cli.run`. What the READMEs show is read from the published JSON.
"""

from __future__ import annotations

import argparse
import os
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.checkpoint import save_checkpoint
from utils.environment import environment, peak_memory_bytes
from utils.file_io_util import (
    append_jsonl,
    atomic_write,
    human_bytes,
    new_folder,
    plain,
    read_json,
    read_jsonl,
    writable_folder,
    write_json,
)
from utils.file_io_util import read_toml as read_toml  # both were defined here: names stay
from utils.results import smoke_report
from utils.results import table as table

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

# Options that say where things lie on one machine; they are not part of what was measured.
LOCAL_OPTIONS = ("data_dir", "output_dir", "run_name", "publish", "log_level", "resume")


class Run:
    """The open run of a script; see the module's docstring."""

    def __init__(self, args: argparse.Namespace, script: Path, folder: Path, argv: list[str]):
        self.args, self.script, self.folder, self.argv = args, script, folder, argv
        self.chapter_folder = chapter_folder(script)
        self.started = time.perf_counter()
        self.files: list[str] = []
        self.finished = False
        self.smoke = False  # of --quick on data that takes longer: too short to learn
        self.replaced: tuple[str, dict[Path, int]] | None = None  # see _begin_again

    @classmethod
    def start(cls, args: argparse.Namespace, script: str, argv: list[str]) -> Run:
        """Make the run folder; UserError if it cannot be written.

        Of several processes started by torchrun, only the first (rank 0) writes.
        """
        path = Path(script).resolve()
        if getattr(args, "resume", None):
            again = cls(args, path, Path(args.resume), argv)
            again._begin_again()
            return again
        name = args.run_name or time.strftime("%Y%m%d-%H%M%S")
        folder = Path(args.output_dir) / chapter_folder(path).name / f"{path.stem}-{name}"
        if is_main_process():
            if args.run_name is None:
                folder = new_folder(folder)  # others may start in the same second
            writable_folder(folder)
            for stale in ("metrics.jsonl", "speed.json", "last.pth", "best.pth"):  # of an older run
                for old in [*folder.rglob(stale)]:
                    old.unlink()
            write_json(folder / "run.json", {"script": path.name, "argv": argv})
        return cls(args, path, folder, argv)

    def _begin_again(self) -> None:
        """The words of a resumed run into run.json, where the next resume looks for them."""
        record = self.folder / "run.json"
        if is_main_process() and read_json(record)["argv"] != self.argv:
            self.replaced = record.read_text(encoding="utf-8"), self._written()
            write_json(record, {"script": self.script.name, "argv": self.argv})

    def withdraw(self) -> None:
        """The run was refused: if it has done nothing yet, run.json is again as it was."""
        if self.replaced is not None and self._written() == self.replaced[1]:
            with atomic_write(self.folder / "run.json") as file:
                file.write(self.replaced[0])

    def _written(self) -> dict[Path, int]:
        """When each file of the folder was written, run.json left out."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in files if path.name != "run.json"}

    @property
    def quick(self) -> bool:
        return self.args.quick

    @property
    def data_dir(self) -> str | None:
        return self.args.data_dir

    @property
    def device(self) -> torch.device:
        """The device chosen with --device."""
        from utils.device import pick_device

        return pick_device(self.args.device)

    @property
    def precision(self) -> str:
        """The number format chosen with --precision: fp32, bf16 or fp16."""
        from utils.device import pick_precision

        return pick_precision(self.device, self.args.precision)

    @property
    def convolution_precision(self) -> str:
        """The same for networks of convolutions: `auto` is bf16 on CPUs that multiply it, too."""
        from utils.device import pick_precision

        return pick_precision(self.device, self.args.precision, convolutions=True)

    def autocast(self) -> AbstractContextManager:
        """The number format chosen with --precision, as a context for the forward pass."""
        from utils.device import autocast

        return autocast(self.device, self.args.precision)

    def log(self, **values: Any) -> None:
        """Add a line to metrics.jsonl."""
        if is_main_process():
            append_jsonl(self.folder / "metrics.jsonl", values)

    def logged(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: of a resumed run, those from before it was stopped."""
        path = self.folder / "metrics.jsonl"
        return read_jsonl(path) if path.is_file() else []

    def once(self, work: Callable[[], dict[str, Any]], **facts: Any) -> dict[str, Any]:
        """The logged line with these facts, or else `work()`, done now and logged with them.

        So a resumed run does nothing again that it had finished. One of the facts is the data set:
        a line of other data, or of a version that did not name them, is not this work.
        """
        for row in self.logged():
            if all(key in row and row[key] == value for key, value in facts.items()):
                return row
        row = facts | work()
        self.log(**row)
        return row

    def save_figure(
        self, figure: Figure, name: str, svg: bool = False, publish: bool = True
    ) -> None:
        """Save a figure as PNG (or as SVG, for line art).

        publish: False where it shows pictures that are not the course's own: then it stays in the
        run's folder.
        """
        from utils.plotting import save_figure

        paths = self._targets("results", f"{name}.{'svg' if svg else 'png'}")
        for path in paths if publish else paths[:1]:
            save_figure(figure, path)

    def save_gif(self, frames: Sequence[Any], name: str, fps: float = 8) -> None:
        """Save figures or (H, W, 3) uint8 arrays as an animated GIF."""
        from utils.plotting import figure_to_array, save_gif

        arrays = [frame if hasattr(frame, "shape") else figure_to_array(frame) for frame in frames]
        for path in self._targets("results", f"{name}.gif"):
            save_gif(arrays, path, fps)

    def save_result(
        self,
        name: str,
        metrics: dict[str, Any],
        tables: dict[str, Any] | None = None,
        seeds: Sequence[int] = (),
    ) -> None:
        """Save what was measured as <name>.json; the READMEs' tables and numbers come from it."""
        result = {"name": name, "metrics": metrics, "tables": tables or {}, "seeds": list(seeds)}
        result |= self._facts()
        for path in self._targets("results", f"{name}.json"):
            write_json(path, result)
        if self.smoke and is_main_process():
            published = self.chapter_folder / "results" / f"{name}.json"
            theirs = read_json(published)["tables"] if published.is_file() else None
            print(smoke_report(plain(result["tables"]), theirs))

    def save_checkpoint(
        self,
        name: str,
        state: dict[str, Any],
        *,
        architecture: dict[str, Any],
        dataset: str,
        metrics: dict[str, float],
        task: str,
        folder: str = "checkpoints",
        **facts: Any,
    ) -> None:
        """Save weights with what is needed to rebuild, judge and repeat them (the model card).

        `folder`: the chapter's folder of published weights. A training that may be stopped and
        resumed gives `seconds`, those of all its parts.
        """
        for path in self._targets(folder, name):
            save_checkpoint(
                path,
                state,
                architecture=architecture,
                dataset=dataset,
                metrics=metrics,
                task=task,
                **facts,
                **self._facts(),
            )

    def finish(self, metrics: dict[str, Any] | None = None, next_command: str = "") -> None:
        """Write run.json; print the final metrics, the files written and what to try next."""
        self.finished = True
        if not is_main_process():
            return
        facts = {"script": self.script.name, "argv": self.argv, "metrics": metrics or {}}
        facts |= {"files": self.files, "next_command": next_command}
        facts |= self._facts() | {"peak_memory_bytes": peak_memory_bytes()}
        write_json(self.folder / "run.json", facts)
        for key, value in (metrics or {}).items():
            print(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
        print(
            f"\n{facts['wall_seconds']:.1f} s, {human_bytes(facts['peak_memory_bytes'])} of memory"
        )
        print(f"written to {self.folder}: {', '.join([*self.files, 'run.json'])}")
        if next_command:
            print(f"try next: {next_command}")

    def _targets(self, published_folder: str, file_name: str) -> list[Path]:
        if not is_main_process():
            return []
        if file_name not in self.files:
            self.files.append(file_name)
        published = [self.chapter_folder / published_folder / file_name]
        return [self.folder / file_name] + (published if self.args.publish else [])

    def _facts(self) -> dict[str, Any]:
        options = {k: v for k, v in vars(self.args).items() if k not in LOCAL_OPTIONS}
        return {
            "command": self._command(),
            "options": options,
            "seed": self.args.seed,
            "wall_seconds": round(time.perf_counter() - self.started, 2),
            "environment": environment(),
        }

    def _command(self) -> str:
        """The command that repeats this run: without the options that name local folders."""
        words, kept = iter(self.argv), []
        for word in words:
            option, _, value = word.removeprefix("--").partition("=")
            if not (word.startswith("--") and option in LOCAL_OPTIONS):
                kept.append(word)
            elif not value and option != "publish":
                next(words, None)  # the option's value is the next word
        return shlex.join(["python", self.script_path, *kept])

    @property
    def script_path(self) -> str:
        """As the reader types it: chapter_02_nn_basics_mlp/mlp.py."""
        return self.script.relative_to(self.chapter_folder.parent).as_posix()


def chapter_folder(script: Path) -> Path:
    """The chapter a script belongs to, which may keep it in `src/`; otherwise its own folder."""
    return next((p for p in script.parents if p.name.startswith("chapter_")), script.parent)


def is_main_process() -> bool:
    """Whether this is the process that writes: rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"
