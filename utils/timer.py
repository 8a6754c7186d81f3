"""Wall time, CPU time and peak memory of a block.

    with Timer() as t:
        work()
    print(t)                          # wall 1.204 s, CPU 2.310 s, peak memory +35.2 MiB
    t.wall, t.cpu, t.peak_memory      # seconds, seconds, bytes

An accelerator works behind the program's back, so it is synchronised before each clock is read.
`cpu` sums over all threads of the process: more than `wall` means that several cores worked.

`peak_memory` is the highest level inside the block minus the level at its start: of
`torch.cuda.max_memory_allocated` on a CUDA device, else of the resident memory of the process. On
Linux the kernel's high-water mark is reset at the start. Elsewhere it cannot be, and the figure is
a lower bound: how far the block rose above everything before it, 0 if it stayed below. On every
system, memory that an earlier block freed but the allocator kept is used again without a rise.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from utils.file_io_util import human_bytes

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Timer:
    """Context manager; `device` (default: CUDA if it is in use, else the CPU). Timers may nest."""

    _running: ClassVar[list[Timer]] = []

    def __init__(self, device: object = None) -> None:
        self.wall = self.cpu = 0.0
        self.peak_memory = 0
        self._asked = device

    def __enter__(self) -> Timer:
        self._device = _device(self._asked)
        _synchronise(self._device)
        self._note_peaks()  # the reset would rob the timers around this one of their peak so far
        self._highest = self._start = _reset_peak(self._device)
        Timer._running.append(self)
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        _synchronise(_device(self._asked))  # CUDA may have come into use inside the block
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self._note_peaks()
        Timer._running.remove(self)
        self.peak_memory = self._highest - self._start

    @staticmethod
    def _note_peaks() -> None:
        """Each running timer notes the peak since the last reset."""
        for timer in Timer._running:
            timer._highest = max(timer._highest, _peak(timer._device))

    def __str__(self) -> str:
        memory = human_bytes(self.peak_memory)
        return f"wall {self.wall:.3f} s, CPU {self.cpu:.3f} s, peak memory +{memory}"


def _device(asked: object) -> str:
    if asked is not None:
        return str(asked)
    torch = sys.modules.get("torch")  # a program without torch should not pay for its import
    return "cuda" if torch is not None and torch.cuda.is_initialized() else "cpu"


def _synchronise(device: str) -> None:
    if device.startswith(("cuda", "mps")):
        import torch

        torch.mps.synchronize() if device.startswith("mps") else torch.cuda.synchronize(device)


def _reset_peak(device: str) -> int:
    """Lower the high-water mark to the present level, where that is possible, and return it."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # not Linux, or not allowed: the mark stays, see above
            _CLEAR.write_text("5", encoding="utf-8")  # 5 resets VmHWM and nothing else
    return _peak(device)


def _peak(device: str) -> int:
    """The high-water mark in bytes."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return _peak_without_proc()


def _peak_without_proc() -> int:
    try:
        import resource
    except ImportError:  # Windows; psutil comes with accelerate
        import psutil

        return psutil.Process().memory_info().peak_wset
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes, the others in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
