"""Wall and CPU time, and the memory that a block really took."""

import time

import numpy as np
import pytest

from utils import timer
from utils.timer import Timer

MIB = 1 << 20


def allocate(mebibytes):
    return np.ones(mebibytes * MIB, np.uint8).sum()  # ones: every page is touched


def test_sleeping_takes_wall_time_but_no_cpu_time():
    with Timer() as t:
        time.sleep(0.1)
    assert 0.09 < t.wall < 5
    assert t.cpu < 0.09


def test_working_takes_cpu_time():
    with Timer() as t:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
    assert t.cpu >= 0.09


def test_times_are_kept_when_the_block_fails():
    t = Timer()
    with pytest.raises(ZeroDivisionError), t:
        time.sleep(0.02)
        _ = 1 / 0
    assert t.wall > 0.01
    assert not Timer._running


@pytest.mark.skipif(not timer._CLEAR.exists(), reason="the high-water mark can be reset on Linux")
def test_peak_memory_also_below_an_earlier_peak():
    allocate(256)
    with Timer() as t:
        allocate(64)
    assert 56 * MIB < t.peak_memory < 128 * MIB


@pytest.mark.skipif(not timer._CLEAR.exists(), reason="the high-water mark can be reset on Linux")
def test_an_inner_timer_leaves_the_outer_one_its_peak():
    with Timer() as outer:
        allocate(128)
        with Timer() as inner:
            pass
        allocate(16)
    assert inner.peak_memory < 32 * MIB
    assert outer.peak_memory > 112 * MIB


@pytest.mark.skipif(not timer._CLEAR.exists(), reason="the high-water mark can be reset on Linux")
def test_without_proc_only_a_rise_above_everything_before_counts(monkeypatch, tmp_path):
    """As on macOS: no /proc, so the mark of the process cannot be reset."""
    timer._reset_peak("cpu")
    monkeypatch.setattr(timer, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(timer, "_CLEAR", tmp_path / "none" / "none")
    with Timer() as first:
        allocate(96)
    with Timer() as second:
        allocate(48)
    assert 88 * MIB < first.peak_memory < 160 * MIB
    assert second.peak_memory < 16 * MIB


def test_one_line():
    with Timer() as t:
        pass
    t.wall, t.cpu, t.peak_memory = 1.2344, 2.5, 3 * MIB
    assert str(t) == "wall 1.234 s, CPU 2.500 s, peak memory +3.0 MiB"


def test_cuda_is_synchronised():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    with Timer("cuda") as t:
        x = torch.ones(64 * MIB // 4, device="cuda")
        (x * 2).sum()
    assert t.peak_memory >= 128 * MIB
