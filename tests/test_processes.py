"""The tests' own tools: a fork of `warm_python` does what `python` does, and marks are kept."""

import os
import subprocess
import sys

import pytest

FILE = """
import os, sys
print(__name__, __file__, sys.argv, sys.path[0], os.getcwd(), os.environ["COLOUR"])
print(repr(sys.stdin.read()), "torch" in globals())
print("words", file=sys.stderr)
"""
COMMANDS = {
    "file": ["shown.py", "a", "--b"],
    "module": ["-m", "shown", "a"],
    "code": ["-c", FILE.replace("__file__", "2"), "a", "b"],
    "exit code": ["-c", "import sys; sys.exit(3)"],
    "exit with words": ["-c", "import sys; sys.exit('no such file')"],
    "error": ["-c", "1 / 0"],
    "no module": ["-m", "no_such_module"],
    "killed": ["-c", "import os, signal; print(1, flush=True); os.kill(os.getpid(), 9)"],
    "stopped": ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"],
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_fork_does_what_python_does(command, tmp_path, warm_python, calm_environment):
    (tmp_path / "shown.py").write_text(FILE, encoding="utf-8")
    environment = calm_environment | {"COLOUR": "red"}
    there = {"cwd": tmp_path, "env": environment, "stdin": subprocess.DEVNULL}
    usual = subprocess.run([sys.executable, *command], capture_output=True, text=True, **there)
    warm = warm_python.run(*command, cwd=tmp_path, COLOUR="red")
    assert (warm.returncode, warm.stdout) == (usual.returncode, usual.stdout)
    last = [text.strip().rpartition("\n")[2] for text in (warm.stderr, usual.stderr)]
    prefix = f"{sys.executable}: "  # of the message about a module that is not there
    assert last[0] == last[1] or (last[1].startswith(prefix) and last[1][len(prefix) :] in last[0])
    assert "COLOUR" not in os.environ and warm.cpu_seconds > 0


def test_without_a_mark_a_test_cannot_start_python():
    for command in ([sys.executable, "-c", ""], sys.executable):
        with pytest.raises(RuntimeError, match=r"needs @pytest\.mark\.process"):
            subprocess.run(command)
    assert subprocess.run([sys.executable + "-none"], check=False, shell=True).returncode


@pytest.mark.process
def test_with_the_mark_it_can():
    assert subprocess.run([sys.executable, "-c", "exit(3)"]).returncode == 3
