"""Terminals that show little, readers that leave, paths and names as people type them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils import cli, terminal
from utils.file_io_util import append_jsonl, read_json, read_jsonl, write_json

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform == "win32", reason="pipes and bytes of Unix")

# A script that prints and stores a Chinese word and its first argument, and draws a figure.
SCRIPT = """
import argparse, sys
from utils import cli, plotting

def experiment(args, run):
    if args.lines:
        for number in range(args.lines):
            print(f"line {number} " + 80 * "x")
    print("\\u732b", args.word)
    figure, ax = plotting.subplots(width=2, height=2)
    run.save_result("demo", {"word": args.word, "cat": "\\u732b"})
    run.save_figure(figure, "demo")
    run.finish({"\\u732b": 1.0})

parser = cli.make_parser("Demo.", ["python demo.py"])
parser.add_argument("--word", default="a")
parser.add_argument("--lines", type=int, default=0)
sys.exit(cli.run(parser, experiment, script=__file__, uses_torch=False))
"""


@pytest.fixture
def start(tmp_path):
    """start("--word", "x", MPLBACKEND="y") runs the script; its folder is the fixture's last."""
    folder = tmp_path / "chapter_99_demo"
    folder.mkdir()
    (folder / "demo.py").write_text(SCRIPT, encoding="utf-8")
    argv = [sys.executable, str(folder / "demo.py"), "--output_dir", str(tmp_path / "o")]

    def run(*words, **environment):
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONIOENCODING"}
        variables |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
        return subprocess.run(
            [*argv, "--run_name", "t", *words], env=variables, capture_output=True, cwd=tmp_path
        )

    run.folder = tmp_path / "o" / "chapter_99_demo" / "demo-t"
    return run


@pytest.mark.process
@linux
def test_a_terminal_without_chinese_and_an_unknown_backend_do_no_harm(start):
    """Bytes that are no text in any encoding come through, too, and are read back as they were."""
    odd = b"caf\xe9.csv"
    done = start("--word", odd, PYTHONIOENCODING="ascii", MPLBACKEND="nonsense")
    assert done.returncode == 0, done.stderr.decode()
    assert b"\\u732b caf\\udce9.csv" in done.stdout and b"\\u732b: 1" in done.stdout
    assert (start.folder / "demo.png").is_file()
    metrics = read_json(start.folder / "demo.json")["metrics"]
    assert metrics == {"word": os.fsdecode(odd), "cat": "\u732b"}
    assert os.fsdecode(odd) in read_json(start.folder / "run.json")["argv"]


@pytest.mark.process
@linux
def test_a_reader_that_leaves_ends_the_script_quietly(start, tmp_path):
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" chapter_99_demo/demo.py --output_dir o --lines 5000 '
         "| head -1; exit ${PIPESTATUS[0]}"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True,
    )  # fmt: skip
    assert done.stdout.startswith(b"line 0 ") and done.stdout.count(b"\n") == 1
    assert done.returncode == terminal.BROKEN_PIPE == 141
    assert done.stderr == b""


def test_the_backend_of_a_notebook_stays(monkeypatch):
    for before, after in (("module://x", "module://x"), ("nonsense", "agg"), ("", "agg")):
        monkeypatch.setenv("MPLBACKEND", before)
        assert terminal.guarded(lambda: 3) == 3 and os.environ["MPLBACKEND"] == after


def test_a_closed_output_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert terminal.guarded(lambda: 3) == 3


def test_a_pipe_of_the_work_itself_is_no_reader_that_left():
    def work():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        terminal.guarded(work)


def test_text_that_is_no_unicode_is_stored_and_read_back(tmp_path):
    value = {"file": "a\udcff.png"}
    write_json(tmp_path / "a.json", value)
    append_jsonl(tmp_path / "a.jsonl", value)
    assert read_json(tmp_path / "a.json") == value
    assert read_jsonl(tmp_path / "a.jsonl") == [value]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--output_dir", ""], "argument --output_dir: it is empty: a path is needed"),
        (["--data_dir", " "], "argument --data_dir: it is empty"),
        (["--run_name", "../../x"], "'../../x' is no name of a folder"),
        (["--run_name", "a\\b"], "is no name of a folder"),
        (["--run_name", ".."], "'..' is no name of a folder"),
        (["--run_name", ""], "'' is no name of a folder"),
        (["--seed", "18446744073709551616"], "is not a whole number of 0 or more, below 2^32"),
        (["--seed", "4294967296"], "is not a whole number of 0 or more, below 2^32"),
        (["--threads", "99999999999"], "is not a whole number from 0 to 1024"),
    ],
)
def test_options_that_cannot_be_meant(argv, words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.make_parser("Demo.", ["python demo.py"]).parse_args(argv)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and words in message and message.count("\n") == 1


def test_a_home_folder_is_written_out(monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    args = cli.make_parser("Demo.", ["x"]).parse_args(["--output_dir", "~/x", "--data_dir", "~"])
    assert (args.output_dir, args.data_dir) == (os.path.join(tmp_path, "x"), str(tmp_path))
    assert cli.make_parser("Demo.", ["x"]).parse_args(["--seed", "4294967295"]).seed == 2**32 - 1


def test_every_option_that_takes_a_path_reads_it_with_the_same_type():
    """A new script must not read "" as the current folder, or make a folder named "~"."""
    import importlib

    from course.manifest import load_chapters

    modules = {s.path[:-3].replace("/", ".") for c in load_chapters() for s in c.scripts}
    paths = 0
    for module in sorted(modules):
        for action in importlib.import_module(module).build_parser()._actions:
            named = (action.dest + " " + str(action.metavar or "")).lower()
            words = ("path", "dir", "folder", "file", "csv", "resume", "weights")
            if action.nargs != 0 and any(word in named.replace("_", " ").split() for word in words):
                assert action.type is cli.path, f"{module} --{action.dest}"
                paths += 1
    assert paths > 2 * len(modules)


def test_the_hint_after_ctrl_c_can_be_pasted(tmp_path, capsys):
    (tmp_path / "chapter_99_demo").mkdir()

    def body(args, run):
        run.log(step=1)
        raise KeyboardInterrupt

    parser = cli.make_parser("Demo.", ["python demo.py"])
    cli.add_resume_option(parser)
    script = str(tmp_path / "chapter_99_demo" / "demo.py")
    argv = ["--output_dir", str(tmp_path / "my runs"), "--run_name", "a b"]
    assert cli.run(parser, body, script=script, argv=argv) == 130
    folder = tmp_path / "my runs" / "chapter_99_demo" / "demo-a b"
    assert f"--resume '{folder}'" in capsys.readouterr().err


@pytest.mark.process
@linux
def test_course_keeps_to_the_same_rules():
    done = subprocess.run(
        [sys.executable, "-m", "course", "list"], cwd=ROOT, capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "nonsense"},
    )  # fmt: skip
    assert done.returncode == 0 and b"\\u" in done.stdout and not done.stderr
