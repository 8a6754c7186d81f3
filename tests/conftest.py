"""What several test files share."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

IGNORED = {"__pycache__", ".ipynb_checkpoints"}


@pytest.fixture
def untouched() -> Callable[[Path], dict[str, str]]:
    """untouched(folder): checksum of every file, to compare before and after."""

    def checksums(folder: Path) -> dict[str, str]:
        files = [f for f in folder.rglob("*") if f.is_file() and not IGNORED & set(f.parts)]
        return {str(file): hashlib.md5(file.read_bytes()).hexdigest() for file in files}

    return checksums


@pytest.fixture
def calm_environment() -> dict[str, str]:
    """The environment for a subprocess: no window, one thread (the tests run in parallel)."""
    calm = {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return os.environ | calm
