"""A progress bar on a terminal, plain lines elsewhere.

for step in progress(range(1000), "training"):
    ...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

SECONDS_BETWEEN_LINES = 10.0


class PlainProgress:
    """What `tqdm` does, as a line every ten seconds: a log file stays readable."""

    def __init__(self, iterable: Iterable, desc: str, total: int | None) -> None:
        self.iterable, self.desc = iterable, desc
        self.total = total if total is not None else getattr(iterable, "__len__", lambda: None)()
        self.note = ""

    def __iter__(self) -> Iterator[Any]:
        start = last = time.monotonic()
        for done, item in enumerate(self.iterable, start=1):
            yield item
            now = time.monotonic()
            if now - last >= SECONDS_BETWEEN_LINES:
                last = now
                self._line(done, now - start)

    def set_postfix(self, **values: Any) -> None:
        """Values shown with the next line."""
        self.note = ", ".join(f"{key}={value}" for key, value in values.items())

    def _line(self, done: int, seconds: float) -> None:
        of, eta = "", ""
        if self.total:
            of, eta = f"/{self.total}", f", {seconds / done * (self.total - done):.0f} s left"
        print(f"{self.desc}: {done}{of}, {seconds:.0f} s{eta} {self.note}".rstrip(), flush=True)


def progress(iterable: Iterable, desc: str, total: int | None = None) -> Any:
    """Iterate with a bar (terminal) or plain lines; the result has `set_postfix(loss=...)`."""
    if not sys.stderr.isatty():
        return PlainProgress(iterable, desc, total)
    from tqdm import tqdm

    return tqdm(iterable, desc=desc, total=total, leave=False)
