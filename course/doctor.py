"""Is this machine ready for the course? A table, and for each lack the command that mends it.

    python -m course doctor

Exit code 0 if nothing essential is missing. It runs on a bare Python, before anything is installed.
"""

import importlib.util
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from course.manifest import ROOT

INSTALL = "pip install -r requirements.txt"
MINIMUM_GIB = 2.0
REQUIREMENT = re.compile(
    r"([A-Za-z0-9_.-]+)\s*>=\s*([\d.]+)\s*(?:;\s*python_version\s*<\s*\"3\.(\d+)\")?"
)
GRAPHVIZ = {
    "Linux": "sudo apt-get install graphviz",
    "Darwin": "brew install graphviz",
    "Windows": "winget install graphviz",
}


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    item: str
    found: str
    mend: str = ""  # the command that helps; empty if all is well
    essential: bool = False

    @property
    def state(self) -> str:
        return "ok" if not self.mend else "MISSING" if self.essential else "optional"


def examine(root: Path = ROOT, data_dir: str | None = None) -> list[Finding]:
    """Look at everything the course may need."""
    findings = [_python(), *_packages(root / "requirements.txt")]
    if importlib.util.find_spec("torch"):
        findings += [*_torch()]
    findings += [_graphviz(), *_data(data_dir), _disk(root)]
    return findings


def _python() -> Finding:
    mend = "" if sys.version_info >= (3, 10) else "install Python 3.10 or newer from python.org"
    return Finding("Python", f"{platform.python_version()} ({sys.executable})", mend, True)


def _packages(requirements: Path) -> Iterator[Finding]:
    """Each package of requirements.txt against its lower bound."""
    for line in requirements.read_text(encoding="utf-8").splitlines():
        match = REQUIREMENT.match(line)
        if not match or (match[3] and sys.version_info >= (3, int(match[3]))):
            continue
        name, bound = match[1], match[2]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, f"absent (needs >= {bound})", INSTALL, True)
            continue
        old = release(version) < release(bound)
        found = f"{version} (needs >= {bound})"
        yield Finding(name, found, f'pip install "{name}>={bound}"' if old else "", True)


def release(version: str) -> tuple[int, ...]:
    """The release as numbers of equal count: "2.4.0+cu121" -> (2, 4, 0)."""
    numbers = [int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _torch() -> Iterator[Finding]:
    try:
        import torch
        import torchvision  # noqa: F401  a build that does not fit torch fails here
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Finding("torch imports", reason, f"pip uninstall torch torchvision; {INSTALL}", True)
        return
    from utils.device import pick_device

    device = pick_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    yield Finding("Device", f"{device.type} ({name})")
    yield Finding("bf16", bf16_support(device))
    yield Finding("Threads", f"{torch.get_num_threads()} of {os.cpu_count()} processor cores")


def bf16_support(device) -> str:
    """Does a bfloat16 matrix product run, and how fast is it beside float32?"""
    import torch

    try:
        seconds = {t: _product_seconds(device, t) for t in (torch.float32, torch.bfloat16)}
    except RuntimeError as error:
        return f"does not run ({str(error).splitlines()[0]})"
    return f"runs, {compared(seconds[torch.float32], seconds[torch.bfloat16])}"


def compared(fp32: float, bf16: float) -> str:
    """The two times (s) in words: always a number above 1, and the word that belongs to it."""
    advice = "worth using" if fp32 > 1.2 * bf16 else "stay with fp32"
    factor, word = (fp32 / bf16, "faster") if bf16 < fp32 else (bf16 / fp32, "slower")
    times = f"{factor:.1f}" if factor < 10 else f"{factor:.0f}"
    speed = f"{times} times {word} than fp32" if factor >= 1.05 else "as fast as fp32"
    return f"{speed} in a 512x512 product: {advice}"


def _product_seconds(device, dtype) -> float:
    """The best of several timings of a matrix product."""
    import torch

    from utils.device import synchronize

    a = torch.ones(512, 512, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        synchronize(device)
        start = time.perf_counter()
        a @ a
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


def _graphviz() -> Finding:
    dot = shutil.which("dot")
    if dot:
        return Finding("Graphviz dot", dot)
    mend = GRAPHVIZ.get(platform.system(), "see graphviz.org")
    return Finding("Graphviz dot", "absent: graphs are drawn with matplotlib instead", mend)


def _data(data_dir: str | None) -> Iterator[Finding]:
    yield Finding("Data: embedded", "comes with scikit-learn and the course")
    if importlib.util.find_spec("numpy") is None:
        return
    from course.needs import folder_of, lack_of, standard_sets

    for name in standard_sets():
        folder = folder_of(name, data_dir)
        mend = lack_of(name, data_dir).partition(": ")[2]
        yield Finding(f"Data: {name}", str(folder) if folder else "not found", mend)


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    mend = (
        "" if free >= MINIMUM_GIB else f"free at least {MINIMUM_GIB:.0f} GiB, as with: make clean"
    )
    return Finding("Free disk", f"{free:.1f} GiB", mend)
