"""What a command meets outside: a terminal, a pipe, paths and names as people type them.

`utils.cli`, `course` and `utils.datasets` start their work through `guarded`, and read paths with
`path`. Only the standard library is imported, so that `course doctor` runs on a bare machine.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable

BROKEN_PIPE = 141  # 128 + SIGPIPE: what a shell reports where nobody reads on, as after `| head -1`


def guarded(work: Callable[[], int]) -> int:
    """The exit code of `work()`, whatever the terminal can show and however long anyone reads."""
    # No script opens a window, so a backend that this machine does not know must not end it. The
    # one that a notebook has chosen, a module, is left to the notebook.
    if not os.environ.get("MPLBACKEND", "").startswith("module://"):
        os.environ["MPLBACKEND"] = "agg"
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")  # letters it does not have become \u escapes
    try:
        try:
            return work()
        finally:
            if sys.stdout is not None:  # a shell can close it: `>&-`
                sys.stdout.flush()
    except BrokenPipeError:
        if not [stream for stream in streams if _silenced(stream)]:
            raise  # another pipe than the output's
        return BROKEN_PIPE


def _silenced(stream) -> bool:
    """Whether nobody reads this stream any more; then what is left in it goes nowhere."""
    try:
        place, watch = stream.fileno(), select.poll()
    except (AttributeError, OSError):  # Windows has no poll; a stream of a test no file
        return False
    watch.register(place, select.POLLOUT)
    if not any(state & (select.POLLERR | select.POLLHUP) for _, state in watch.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), place)
    return True


def path(text: str) -> str:
    """The type of an option that names a file or a folder: not empty, "~" is the home folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: a path is needed")
    return os.path.expanduser(text)


def file_name(text: str) -> str:
    """The type of an option that names a new file or folder: one name, not a way to elsewhere."""
    if not text.strip() or text in (".", "..") or set(text) & {"/", "\\"}:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a folder: it may not hold / or \\, be empty, or be .."
        )
    return text
