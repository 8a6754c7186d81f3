"""Runs Python commands in forks of one process that has the libraries loaded.

    python tests/warm_python.py    reads orders, a line of JSON each, and answers each with a line

PyTorch and its company take seconds to import, a fork takes milliseconds. The forked process has a
memory, a command line, a folder and streams of its own and does what `python FILE ...`,
`python -m MODULE ...` or `python -c CODE ...` does, to its exit code. `WarmPython` in conftest.py
gives the orders.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import time
import traceback
import types

import matplotlib.figure
import numpy
import sklearn.datasets
import torch  # no operation of it may run here: threads do not live on in a fork
import torchvision

LIBRARIES = matplotlib.figure, numpy, sklearn.datasets, torch, torchvision
SECONDS = 600  # only to stop a hanging command; no speed is asserted


def serve() -> None:
    """Answers "EXIT_CODE CPU_SECONDS"; the seconds contain the start of this process."""
    start = time.process_time()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            obey(**json.loads(line))
        _, status, usage = os.wait4(child, 0)
        seconds = start + usage.ru_utime + usage.ru_stime
        print(os.waitstatus_to_exitcode(status), seconds, flush=True)
    os._exit(0)  # nothing to tidy up: that would take half a second


def obey(argv: list[str], out: str, err: str, cwd: str, env: dict[str, str]) -> None:
    """In the forked process: the command, its output in the files `out` and `err`, and the end."""
    signal.alarm(SECONDS)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(env)
    os.chdir(cwd)
    try:
        start(argv)
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def start(argv: list[str]) -> None:
    """Run `python *argv`; the first place where modules are looked for is as there."""
    first, *rest = argv
    if first == "-m":
        sys.path[0], sys.argv = os.getcwd(), rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if first == "-c":
        sys.path[0], sys.argv, path, source = "", ["-c", *rest[1:]], "<string>", rest[0]
    else:
        path = main.__file__ = os.path.abspath(first)
        sys.path[0], sys.argv = os.path.dirname(path), argv
        with open(path, "rb") as file:
            source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)


if __name__ == "__main__":
    serve()
