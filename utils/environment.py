"""What a number depends on besides the code: versions, processor, commit, memory."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

REPO_ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, Any]:
    """What a number depends on besides the code: versions, processor, commit."""
    packages = ("torch", "torchvision", "numpy", "scikit-learn")
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return {
        "versions": versions,
        "system": platform.system(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "commit": git_commit(),
    }


def processor_name() -> str:
    """The processor as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def git_commit() -> str:
    """Short commit of the checkout, with "+" if files differ from it; "unknown" without git."""
    try:
        command = ["git", "-C", str(REPO_ROOT), "describe", "--always", "--dirty=+", "--abbrev=10"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def peak_memory_bytes() -> int:
    """The largest resident memory this process has had; 0 where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024  # macOS counts bytes, Linux KiB
