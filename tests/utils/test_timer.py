"""Wall and CPU time, and the memory that a block really took."""

import subprocess
import sys
import textwrap
import time

import pytest

from utils import timer
from utils.timer import Timer

MIB = 1 << 20


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


# Memory is measured in a process of its own. A test worker has grown large by now, and a system
# that takes back its idle pages during a measurement would be measured, too.
PREPARE = """
import resource
from pathlib import Path
import numpy as np
from utils import timer
from utils.timer import Timer

def allocate(mebibytes):
    return np.ones(mebibytes << 20, np.uint8).sum()  # ones: every page is touched
"""
on_linux = pytest.mark.skipif(
    not timer._CLEAR.exists(), reason="the high-water mark can be reset on Linux"
)


def measured(code, environment):
    """The MiB of the timers that `code` leaves in `found`, measured in a fresh process."""
    code = PREPARE + textwrap.dedent(code) + "print(*[t.peak_memory / 2**20 for t in found])"
    # Started by a small shell: Linux counts what the starting process held as the new one's peak.
    command = ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


@pytest.mark.process
@on_linux
def test_peak_memory_also_below_an_earlier_peak(calm_environment):
    code = """
    allocate(256)
    with Timer() as t:
        allocate(64)
    found = [t]
    """
    (peak,) = measured(code, calm_environment)
    assert 56 < peak < 128


@pytest.mark.process
@on_linux
def test_an_inner_timer_leaves_the_outer_one_its_peak(calm_environment):
    code = """
    with Timer() as outer:
        allocate(128)
        with Timer() as inner:
            pass
        allocate(16)
    found = [outer, inner]
    """
    outer, inner = measured(code, calm_environment)
    assert inner < 32 and outer > 112


@pytest.mark.process
@on_linux
def test_without_proc_only_a_rise_above_everything_before_counts(calm_environment):
    """As on macOS: no /proc, so the mark of the process cannot be reset."""
    code = """
    timer._STATUS = timer._CLEAR = Path("/no/such/file")
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20
    with Timer() as first:
        allocate(highest - now + 96)
    with Timer() as second:
        allocate(48)
    found = [first, second]
    """
    first, second = measured(code, calm_environment)
    assert 88 < first < 160 and second < 16


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
