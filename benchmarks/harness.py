"""Compares two functions fairly: time and peak memory, ours over theirs.

    def rows(quick):                                     # in benchmarks/chapter_01.py
        seconds = 0.2 if quick else 1.0
        return [compare("matrix product, 256", ours, theirs, min_seconds=seconds)]

Both run in one process on the same number of threads, in short blocks that take turns, with the
order swapped every round: a machine that slows down slows both. The ratio is the median over the
rounds of the ratios within a round, so slow drift cancels; the spread is the interquartile range.
"""

import json
import math
import os
import re
import statistics
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from utils.results import table

SMALLEST_PEAK = 64 * 1024  # bytes; below, Python's own objects hide what the arrays take
MIB = 2**20

COLUMNS = [
    ("Case", "项目", "s"),
    ("Against", "对照", "s"),
    ("Ours (ms, median ± IQR)", "我们的实现（毫秒，中位数 ± 四分位距）", ".3f"),
    ("Theirs (ms, median ± IQR)", "对照实现（毫秒，中位数 ± 四分位距）", ".3f"),
    ("Time ratio (± IQR)", "时间比（± 四分位距）", ".3g"),  # far below 1 against a slow reference
    ("Ours (MiB)", "我们的实现（MiB）", ".2f"),
    ("Theirs (MiB)", "对照实现（MiB）", ".2f"),
    ("Memory ratio", "内存比", ".2f"),
]


@dataclass(frozen=True)
class Row:
    """One comparison. Pairs are (median, IQR) over the rounds; ratios are ours / theirs."""

    name: str
    name_zh: str
    against: str
    ours_ms: tuple[float, float]
    theirs_ms: tuple[float, float]
    ratio: tuple[float, float]
    ours_peak_bytes: int
    theirs_peak_bytes: int
    memory_ratio: float | None  # None: one of the peaks is too small to mean anything

    @property
    def key(self) -> str:
        """The name in the result's metrics: "matrix product, 256" -> "matrix_product_256"."""
        return re.sub(r"\W+", "_", self.name).strip("_").lower()

    def cells(self) -> list[Any]:
        """The row of the table in `COLUMNS` order."""
        memory = [self.ours_peak_bytes / MIB, self.theirs_peak_bytes / MIB, self.memory_ratio]
        name = {"en": self.name, "zh": self.name_zh}
        return [name, self.against, self.ours_ms, self.theirs_ms, self.ratio, *memory]


def compare(
    name: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    min_seconds: float = 1.0,
    rounds: int = 7,
    against: str = "PyTorch",
    name_zh: str = "",
    theirs_scale: float = 1.0,
) -> Row:
    """Measure both functions; each is timed for about `min_seconds` in all, over `rounds` blocks.

    `theirs_scale`: a slow reference may do 1/scale of the work; its time is multiplied by the
    scale, and memory is then not compared.
    """
    ours_ms, theirs_ms = in_turns([ours, theirs], min_seconds, rounds)
    theirs_ms = [theirs_scale * ms for ms in theirs_ms]
    return row_of(
        name, (ours, ours_ms), (theirs, theirs_ms),
        against=against, name_zh=name_zh, same_work=theirs_scale == 1,
    )  # fmt: skip


def in_turns(
    functions: Sequence[Callable[[], Any]], min_seconds: float = 1.0, rounds: int = 7
) -> list[list[float]]:
    """Milliseconds a call of each function, one for each round; the order turns every round.

    More than two in one measurement show how much of a ratio is the machine's doing: give it the
    same work twice.
    """
    timers = [_timer(function) for function in functions]
    numbers = [_calls_per_block(timer, min_seconds / rounds) for timer in timers]
    times: list[list[float]] = [[] for _ in functions]
    places = list(range(len(functions)))
    for index in range(rounds):
        start = index % len(places)
        for place in places[start:] + places[:start]:
            times[place].append(1e3 * timers[place].timeit(numbers[place]).median)
    return times


Measured = tuple[Callable[[], Any], list[float]]


def row_of(
    name: str, ours: Measured, theirs: Measured, *,
    against: str, name_zh: str = "", same_work: bool = True,
) -> Row:  # fmt: skip
    """A row from two functions with the milliseconds that `in_turns` found; takes their memory."""
    (our_function, ours_ms), (their_function, theirs_ms) = ours, theirs
    ours_peak, theirs_peak = peak_bytes(our_function), peak_bytes(their_function)
    comparable = min(ours_peak, theirs_peak) >= SMALLEST_PEAK and same_work
    return Row(
        name=name,
        name_zh=name_zh or name,
        against=against,
        ours_ms=median_iqr(ours_ms),
        theirs_ms=median_iqr(theirs_ms),
        ratio=median_iqr([a / b for a, b in zip(ours_ms, theirs_ms, strict=True)]),
        ours_peak_bytes=ours_peak,
        theirs_peak_bytes=theirs_peak,
        memory_ratio=ours_peak / theirs_peak if comparable else None,
    )


def peak_bytes(function: Callable[[], Any]) -> int:
    """How far one call raises the memory held by NumPy, Python and PyTorch's CPU tensors.

    NumPy and Python report to tracemalloc, PyTorch's allocator to its profiler. The sum of the two
    peaks is exact where one of them dominates, and an upper bound where both are large.
    """
    tracemalloc.start()
    start, _ = tracemalloc.get_traced_memory()
    result = function()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return peak - start + _torch_peak_bytes(function)


def _torch_peak_bytes(function: Callable[[], Any]) -> int:
    """The highest sum of allocations minus frees in the profiler's trace of one call."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else a machine without a GPU gets "ERROR"
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = function()
    del result
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    changes = [event for event in events if event.get("name") == "[memory]"]
    level = peak = 0
    for event in sorted(changes, key=lambda event: event["ts"]):
        level += event["args"]["Bytes"]
        peak = max(peak, level)
    return peak


def median_iqr(values: list[float]) -> tuple[float, float]:
    """Median and distance between the quartiles."""
    if len(values) < 2:
        return values[0], 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, high - low


def as_result(rows: list[Row]) -> dict[str, Any]:
    """`metrics` and `tables` for `Run.save_result`."""
    keys = [row.key for row in rows]
    if len(set(keys)) != len(keys):
        raise ValueError(f"two benchmark rows have the same name: {keys}")
    metrics = {row.key: asdict(row) for row in rows}
    return {"metrics": metrics, "tables": {"main": table(COLUMNS, [row.cells() for row in rows])}}


def _timer(function: Callable[[], Any]) -> Timer:
    """A timer on as many threads as PyTorch has now (its own default would be one)."""
    return Timer("f()", globals={"f": function}, num_threads=torch.get_num_threads())


def _calls_per_block(timer: Timer, seconds: float) -> int:
    """How many calls fill a block; the first measurement only warms up."""
    timer.timeit(1)
    return max(1, math.ceil(seconds / max(timer.timeit(1).median, 1e-9)))
