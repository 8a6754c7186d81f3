"""What several test files share."""

import functools
import gc
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from filelock import FileLock  # torch needs it, so it is always there

from course.manifest import ROOT, Chapter, Script, load_chapters
from utils.file_io_util import read_json

TESTS = Path(__file__).parent
IGNORED = {"__pycache__", ".ipynb_checkpoints"}
SLOW = ("notebook", "process", "quick")  # marks of what `make test-fast` leaves out
SLOW_FIXTURES = {"quick_run": "quick", "warm_python": "process", "help_of_scripts": "process"}
START = subprocess.Popen.__init__
SECONDS = 600  # only to stop a hanging script; no speed is asserted


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What collecting makes stays until the end: the garbage collector need not look through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # the libraries free what they hold when Python ends, and complain if they cannot


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what a fixture makes slow; several workers begin with the slow tests."""
    for item in items:
        for fixture, mark in SLOW_FIXTURES.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (*is_fast(item), script_of(item)))


def is_fast(item: pytest.Item) -> list[bool]:
    return [item.get_closest_marker(mark) is None for mark in SLOW]


def script_of(item: pytest.Item) -> tuple[str, ...]:
    """The chapter and the command of a test of one script, which stands in its name.

    Such tests stand together: a worker that asked for a quick run that another one is making would
    only wait.
    """
    if "quick_run" not in getattr(item, "fixturenames", ()):
        return ()
    named = re.search(r"\[(?:chapter_0?)?(\d+)[\w/ ]*?(\w+\.py[^\]]*)\]", item.name)
    return named.groups() if named else ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test without a mark that `make test-fast` leaves out cannot start Python."""
    marked = any(item.get_closest_marker(mark) for mark in SLOW)
    subprocess.Popen.__init__ = START if marked else start_no_python
    try:
        return (yield)
    finally:
        subprocess.Popen.__init__ = START


def start_no_python(process: subprocess.Popen, args: Any, *more: Any, **options: Any) -> None:
    words = [args] if isinstance(args, str | Path) else args
    if sys.executable in map(str, words):
        raise RuntimeError("a test that starts Python needs @pytest.mark.process")
    START(process, args, *more, **options)


def checksums(folder: Path) -> dict[str, str]:
    files = [f for f in folder.rglob("*") if f.is_file() and not IGNORED & set(f.parts)]
    return {str(file): checksum(file, *change_of(file)) for file in files}


def change_of(file: Path) -> tuple[int, ...]:
    """What no write to a file leaves as it was."""
    facts = file.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


@functools.cache  # the chapters hold 100 MB and are looked at before and after each of 60 runs
def checksum(file: Path, *change: int) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def untouched() -> Callable[[Path], dict[str, str]]:
    """untouched(folder): checksum of every file, to compare before and after."""
    return checksums


@pytest.fixture(scope="session")
def calm_environment() -> dict[str, str]:
    """The environment of a process: no window, one thread (the tests run in parallel)."""
    calm = {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return os.environ | calm


@dataclass(frozen=True)
class Done:
    """What a Python command did."""

    returncode: int
    stdout: str
    stderr: str
    cpu_seconds: float  # of all its threads, start of the process included; 0 on Windows


@dataclass(frozen=True)
class QuickRun(Done):
    """What one `--quick` run of a command of a manifest did. Tests only read its files."""

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
    """Runs Python commands in forks of one process that has PyTorch loaded, see warm_python.py.

    Where forking is not safe (Windows, macOS) every command gets an ordinary process.
    """

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.streams = {"out": str(folder / "stdout"), "err": str(folder / "stderr")}
        self.server: subprocess.Popen | None = None

    def run(self, *argv: str | Path, cwd: Path = ROOT, **variables: str) -> Done:
        """`python *argv` in the folder `cwd`, with `variables` in its environment."""
        argv = [str(word) for word in argv]
        if sys.platform != "linux":
            before = children_seconds()
            done = run([sys.executable, *argv], self.environment | variables, cwd)
            seconds = children_seconds() - before
            return Done(done.returncode, done.stdout, done.stderr, seconds)
        order = {"argv": argv, "cwd": str(cwd), "env": variables} | self.streams
        server = self.started()
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        code, seconds = server.stdout.readline().split()
        paths = map(Path, self.streams.values())
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
        return Done(int(code), *texts, float(seconds))

    def started(self) -> subprocess.Popen:
        if self.server is None:
            command, pipe = [sys.executable, str(TESTS / "warm_python.py")], subprocess.PIPE
            self.server = subprocess.Popen(
                command, env=self.environment, stdin=pipe, stdout=pipe, text=True
            )
        return self.server

    def close(self) -> None:
        if self.server is not None:
            self.server.stdin.close()
            self.server.wait()


@pytest.fixture(scope="session")
def warm_python(calm_environment, tmp_path_factory) -> Iterator[WarmPython]:
    """One a worker, started by its first command."""
    python = WarmPython(calm_environment, tmp_path_factory.mktemp("warm_python"))
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
def help_of_scripts(made_once, warm_python) -> Callable[[Chapter], dict[str, list]]:
    """help_of_scripts(chapter): {"chapter_01_x/y.py": [exit code, output, error]} of --help."""

    def ask(path: str) -> tuple[int, str, str]:
        module = path.removesuffix(".py").replace("/", ".")
        done = warm_python.run("-m", module, "--help")
        return done.returncode, done.stdout, done.stderr

    def get(chapter: Chapter) -> dict[str, list]:
        paths = sorted({script.path for script in chapter.scripts})
        return made_once(f"{chapter.name} --help", lambda _: {path: ask(path) for path in paths})

    return get


def run_quickly(script: Script, output: Path, python: WarmPython) -> QuickRun:
    """Run the command as the manifest has it, in a process of its own."""
    before = checksums(ROOT / script.chapter)
    options = ("--quick", "--output_dir", str(output), "--run_name", "test")
    done = python.run(*script.argv(*options)[1:])
    after = checksums(ROOT / script.chapter)
    folder = output / script.chapter / f"{Path(script.file).stem}-test"
    touched = sorted({name for name, _ in before.items() ^ after.items()})
    return QuickRun(**asdict(done), folder=folder, touched=touched)


@pytest.fixture(scope="session")
def batch() -> Callable[..., tuple[Any, Any]]:
    """batch(rows=4, seed=1): ids with padding 0, for encoder-decoders; lengths all different.

    source (B, 6), target (B, 7), the targets between <bos> 1 and <eos> 2.
    """
    import torch

    def make(rows: int = 4, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        random = torch.Generator().manual_seed(seed)
        source = torch.randint(3, 11, (rows, 6), generator=random)
        target = torch.randint(3, 11, (rows, 7), generator=random)
        target[:, 0] = 1
        for row in range(rows):
            source[row, 6 - row :] = 0
            target[row, 6 - row] = 2
            target[row, 7 - row :] = 0
        return source, target

    return make


@dataclass(frozen=True)
class TextScript:
    """A script that trains a language model, on a small text with few and small steps."""

    module: ModuleType
    options: str
    text: Path

    def run(self, folder: Path, name: str, *more: str, code: int = 0) -> Path:
        """The folder of the run `name`, which ends with this exit code; `more`: more options."""
        words = ["--dataset", str(self.text), *self.options.split(), *more]
        assert self.module.main([*words, "--output_dir", str(folder), "--run_name", name]) == code
        chapter, script = self.module.__name__.split(".")
        return folder / chapter / f"{script}-{name}"

    def check_resume(
        self, whole: Path, result: str, folder: Path, patch: pytest.MonkeyPatch
    ) -> None:
        """Stopped after an epoch and resumed, a run comes to the number of the run `whole`."""

        def stop(args, task, model, row):
            if row["epoch"] == 1:
                raise KeyboardInterrupt

        with patch.context() as patched:
            patched.setattr(self.module, "show_sample", stop)
            stopped = self.run(folder, "stopped", code=130)
        assert self.module.main(["--resume", str(stopped)]) == 0
        found, expected = [read_json(f / result)["metrics"] for f in (stopped, whole)]
        assert found["bits_per_character"] == expected["bits_per_character"]

    def check_card(self, weights: Path, patch: pytest.MonkeyPatch) -> None:
        """The metrics in a checkpoint are measured again; on another text that is refused."""
        from chapter_06_rnn_lstm_seq.experiments import language_models as lm
        from utils.checkpoint import load_checkpoint
        from utils.datasets.text import load_text
        from utils.errors import MissingDataError

        evaluate = self.module.evaluate_checkpoint
        patch.setattr(lm, "load_text", lambda name, folder: load_text(self.text))
        assert evaluate(weights) == pytest.approx(load_checkpoint(weights)["metrics"])
        changed = self.text.with_name("lines2.txt")
        content = self.text.read_text(encoding="utf-8")
        changed.write_text(f"{content}one more line.\n", encoding="utf-8")
        patch.setattr(lm, "load_text", lambda name, folder: load_text(changed))
        with pytest.raises(MissingDataError, match="was measured on another text"):
            evaluate(weights)


@pytest.fixture(scope="session")
def text_script(tmp_path_factory) -> Callable[[ModuleType, str], TextScript]:
    """text_script(train_gpt, "--width 8 --epochs 2"): this script on 60 lines of text."""
    text = tmp_path_factory.mktemp("text") / "lines.txt"
    lines = [f"line {n}: {n} and {n + 1} are neighbours, {n * n} is a square.\n" for n in range(60)]
    text.write_text("".join(lines), encoding="utf-8")
    return lambda module, options: TextScript(module, options, text)


@pytest.fixture
def browser() -> Iterator[Any]:
    """Headless Chromium, for the pages that chapters write; without it the test skips."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip(
            "there is no Chromium with its driver: apt-get install chromium chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield found
    found.quit()


def children_seconds() -> float:
    """CPU seconds of the processes that this one started and that have ended."""
    return os.times().children_user + os.times().children_system


def run(
    command: list[str], environment: dict[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
    )
