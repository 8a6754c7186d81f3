"""What several test files share."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock  # torch needs it, so it is always there

from course.manifest import ROOT, Chapter, Script, load_chapters
from utils.file_io_util import read_json

IGNORED = {"__pycache__", ".ipynb_checkpoints"}
SECONDS = 600  # only to stop a hanging script; no speed is asserted

# Starts each module named on the command line as `python -m` does, with --help, and prints
# {module: [exit code, output, error]}. The modules of the course are forgotten in between: only the
# libraries, which take seconds, are imported once.
ASK_FOR_HELP = """
import contextlib, io, json, runpy, sys, traceback
answers = {}
for module in sys.argv[1:]:
    sys.argv = [module, "--help"]
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            code = traceback.print_exc() or 1
    answers[module] = [code, out.getvalue(), err.getvalue()]
    for name in [name for name in sys.modules if name.startswith(("chapter_", "utils"))]:
        del sys.modules[name]
print(json.dumps(answers))
"""

# Imports the libraries once, then forks a child for each line of JSON it reads, {"argv", "out",
# "err"}. The child has a memory, a command line and streams of its own and runs the file as
# `python FILE` does; the answer is its exit code and the CPU seconds it and the imports took.
FORK_SCRIPTS = f"""
import json, os, runpy, signal, sys, time, traceback
import matplotlib.figure, numpy, sklearn.datasets, torch, torchvision
start = time.process_time()

def script(argv, out, err):
    signal.alarm({SECONDS})
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdin = open(os.devnull)
    sys.argv, sys.path[0] = argv, os.path.dirname(os.path.abspath(argv[0]))
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = script(**json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    _, status, usage = os.wait4(child, 0)
    seconds = start + usage.ru_utime + usage.ru_stime
    print(os.waitstatus_to_exitcode(status), seconds, flush=True)
"""


def checksums(folder: Path) -> dict[str, str]:
    files = [f for f in folder.rglob("*") if f.is_file() and not IGNORED & set(f.parts)]
    return {str(file): hashlib.md5(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="session")
def untouched() -> Callable[[Path], dict[str, str]]:
    """untouched(folder): checksum of every file, to compare before and after."""
    return checksums


@pytest.fixture(scope="session")
def calm_environment() -> dict[str, str]:
    """The environment for a subprocess: no window, one thread (the tests run in parallel)."""
    calm = {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return os.environ | calm


@dataclass(frozen=True)
class QuickRun:
    """What one `--quick` run of a command of a manifest did. Tests only read its files."""

    returncode: int
    stdout: str
    stderr: str
    cpu_seconds: float  # of all its threads, start of the process included; 0 on Windows
    folder: Path
    touched: list[str]  # files of the chapter that the run changed, made or removed

    def result(self, name: str) -> dict[str, Any]:
        """What the run wrote to `name`.json: result("run")["metrics"], result("exp_x")."""
        return read_json(self.folder / f"{name}.json")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable], Any]:
    """made_once(name, make): what make(folder) returns, as JSON; made once in a session.

    The worker that asks first makes it in a folder of its own; the others wait and read it.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # shared by the workers

    def get(name: str, make: Callable[[Path], Any]) -> Any:
        folder = base / "made_once" / hashlib.md5(name.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        record = folder / "made.json"
        with FileLock(folder / "lock"):
            if not record.is_file():
                record.write_text(json.dumps(make(folder), default=str), encoding="utf-8")
        return json.loads(record.read_text(encoding="utf-8"))

    return get


class WarmPython:
    """Runs scripts in forks of one process that has PyTorch loaded, which takes seconds to import.

    Where forking is not safe (Windows, macOS) every script gets an ordinary process.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.server: subprocess.Popen | None = None

    def run(self, argv: list[str], folder: Path) -> tuple[subprocess.CompletedProcess, float]:
        """`python *argv` in the repository's root, and the CPU seconds that it took.

        Its streams pass through files in `folder`.
        """
        if sys.platform != "linux":
            before = children_seconds()
            done = run([sys.executable, *argv], self.environment)
            return done, children_seconds() - before
        if self.server is None:
            command, pipe = [sys.executable, "-c", FORK_SCRIPTS], subprocess.PIPE
            self.server = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=pipe, stdout=pipe, text=True
            )
        paths = {"out": str(folder / "stdout"), "err": str(folder / "stderr")}
        self.server.stdin.write(json.dumps({"argv": argv, **paths}) + "\n")
        self.server.stdin.flush()
        code, seconds = self.server.stdout.readline().split()
        streams = [Path(p).read_text(encoding="utf-8", errors="replace") for p in paths.values()]
        return subprocess.CompletedProcess(argv, int(code), *streams), float(seconds)

    def close(self) -> None:
        if self.server is not None:
            self.server.stdin.close()
            self.server.wait()


@pytest.fixture(scope="session")
def warm_python(calm_environment) -> Iterator[WarmPython]:
    """One a worker, started by its first script."""
    python = WarmPython(calm_environment)
    yield python
    python.close()


@pytest.fixture(scope="session")
def quick_run(made_once, warm_python) -> Callable[..., QuickRun]:
    """quick_run("chapter_01_x/y.py", "--mode z"): this command of the manifest, with --quick."""
    commands = {(s.path, s.args): s for chapter in load_chapters() for s in chapter.scripts}

    def get(path: str, args: str = "") -> QuickRun:
        script = commands[path, args]
        facts = made_once(
            script.command, lambda folder: asdict(run_quickly(script, folder, warm_python))
        )
        return QuickRun(**facts | {"folder": Path(facts["folder"])})

    return get


@pytest.fixture(scope="session")
def help_of_scripts(made_once, calm_environment) -> Callable[[Chapter], dict[str, list]]:
    """help_of_scripts(chapter): {"chapter_01_x/y.py": [exit code, output, error]} of --help."""

    def ask(chapter: Chapter) -> dict[str, list]:
        paths = sorted({script.path for script in chapter.scripts})
        modules = [path.removesuffix(".py").replace("/", ".") for path in paths]
        done = run([sys.executable, "-c", ASK_FOR_HELP, *modules], calm_environment)
        assert done.returncode == 0, done.stderr[-3000:]
        answers = json.loads(done.stdout)
        return {path: answers[module] for path, module in zip(paths, modules, strict=True)}

    return lambda chapter: made_once(f"{chapter.name} --help", lambda _: ask(chapter))


def run_quickly(script: Script, output: Path, python: WarmPython) -> QuickRun:
    """Run the command as the manifest has it, in a process of its own."""
    before = checksums(ROOT / script.chapter)
    options = ("--quick", "--output_dir", str(output), "--run_name", "test")
    done, seconds = python.run(script.argv(*options)[1:], output)
    after = checksums(ROOT / script.chapter)
    folder = output / script.chapter / f"{Path(script.file).stem}-test"
    touched = sorted({name for name, _ in before.items() ^ after.items()})
    return QuickRun(done.returncode, done.stdout, done.stderr, seconds, folder, touched)


def children_seconds() -> float:
    """CPU seconds of the processes that this one started and that have ended."""
    return os.times().children_user + os.times().children_system


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
    )
