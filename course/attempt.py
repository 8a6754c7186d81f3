"""Runs a learner's code in a thread that can be given up."""

import ctypes
import linecache
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any


class GivenUp(BaseException):
    """Raised in a thread whose time is over, so that it does not slow down the next exercise."""


@dataclass
class Attempt:
    """What became of a call."""

    result: Any = None
    error: BaseException | None = None
    finished: bool = False
    seconds: float = 0.0
    place: str = ""  # where in the learner's file it still was: "\nFILE line N:  CODE"

    @property
    def passed(self) -> bool:
        return self.finished and self.error is None


def attempt(action: Callable[[], Any], learner: Path, seconds: float) -> Attempt:
    """Run `action` for at most `seconds`."""
    outcome, start = Attempt(), perf_counter()

    def target() -> None:
        try:
            outcome.result = action()
        except BaseException as error:  # also SystemExit: a learner's file must not end the check
            outcome.error = error
        outcome.finished = True

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    if not thread.is_alive():
        outcome.seconds = perf_counter() - start
        return outcome
    place = _place(thread, learner)
    _give_up(thread)
    return Attempt(seconds=seconds, place=place)


def _place(thread: threading.Thread, learner: Path) -> str:
    """The line of the learner's file that the thread is at; "" if there is none."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None and Path(frame.f_code.co_filename) != learner:
        frame = frame.f_back
    if frame is None:
        return ""
    line = linecache.getline(str(learner), frame.f_lineno).strip()
    return f"\n{learner.name} line {frame.f_lineno}:  {line}"


def _give_up(thread: threading.Thread) -> None:
    """Stop the thread at its next Python instruction; one inside a C call stays, as a daemon."""
    identity = ctypes.c_ulong(thread.ident)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(GivenUp))
    thread.join(0.5)
