"""The tour: runs each chapter's chosen scripts with --quick and gathers what they made.

    python -m course tour [--chapters 1 2] [--output_dir outputs/tour]

The runs lie in `<output_dir>/runs`; the report, one page, is `<output_dir>/index.html`: there each
quick number and picture stands beside the published one.
A script that fails is shown with the end of its error output and does not stop the others.
"""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from course.manifest import ROOT, load_chapters
from course.needs import lack_of
from course.report import write_report
from course.stop import Stop

SECONDS = 600.0  # a script that takes longer is stopped


def tour(
    root: Path = ROOT,
    numbers: list[int] | None = None,
    output: Path = Path("outputs/tour"),
    data_dir: str | None = None,
) -> tuple[Path, list[Stop]]:
    """Run the tour; the path of the report and all stops."""
    from tqdm import tqdm

    from utils.file_io_util import writable_folder

    chapters = load_chapters(root, numbers)
    output = writable_folder(output.resolve())
    stops = [Stop(c, script) for c in chapters for script in c.scripts if script.tour]
    with tqdm(stops, desc="tour", unit="script", disable=None) as bar:  # None: terminals only
        for index, stop in enumerate(bar, start=1):
            bar.set_postfix_str(stop.script.path)
            visit(stop, index, root, output / "runs", data_dir)
            bar.write(f"[{index}/{len(stops)}] {stop.outcome:>8}  {stop.command}")
    return write_report(chapters, stops, output / "index.html"), stops


def visit(stop: Stop, index: int, root: Path, runs: Path, data_dir: str | None) -> None:
    """Run one script and fill in its stop."""
    stop.skipped = lack_of(stop.script.needs, data_dir)
    if stop.skipped:
        return
    # An older run.json must not pass for this run's: the folder's name is known, see utils.run.
    folder = runs / stop.chapter.name / f"{Path(stop.script.file).stem}-tour-{index}"
    (folder / "run.json").unlink(missing_ok=True)
    options = ["--quick", "--output_dir", str(runs), "--run_name", f"tour-{index}"]
    options += ["--data_dir", data_dir] if data_dir else []
    start = time.perf_counter()
    stop.error = run(stop.script.argv(*options), root)
    stop.seconds = time.perf_counter() - start
    try:
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stop.error = stop.error or f"It ended without writing {folder / 'run.json'}."
        return
    stop.metrics = facts["metrics"]
    paths = [folder / name for name in facts["files"]]
    stop.files = [path for path in paths if path.is_file()]


def run(command: Sequence[str], root: Path, seconds: float = SECONDS) -> str:
    """Run a script from the repository root; the last lines of its error output if it failed."""
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return f"Stopped after {seconds:.0f} s."
    if done.returncode == 0:
        return ""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return "\n".join([*lines[-12:], f"exit code {done.returncode}"])
