"""Find the files of a data set on this machine; if they are not there, say exactly what is missing.

Looked for under `--data_dir`, else `$DL_COURSE_DATA`, else the repository's `data/`: in the layout
of torchvision (`MNIST/raw/`), in the same one folder down (`mnist/MNIST/raw/`), or flat (`mnist/`);
each file gzip or not.
"""

from __future__ import annotations

import os
from pathlib import Path

from utils.datasets.registry import Source
from utils.errors import UserError

ENVIRONMENT = "DL_COURSE_DATA"
DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "data"


def data_root(data_dir: str | Path | None = None) -> Path:
    """The folder that holds the data sets: `data_dir`, else $DL_COURSE_DATA, else `data/`."""
    return Path(data_dir or os.environ.get(ENVIRONMENT) or DEFAULT_ROOT).expanduser()


def folders(source: Source, data_dir: str | Path | None = None) -> list[Path]:
    """The folders in which the files are looked for, in this order."""
    root = data_root(data_dir)
    return [root / source.folder, root / source.name / source.folder, root / source.name]


def file_in(folder: Path, name: str) -> Path | None:
    """`name` (ending in .gz) in `folder`, packed or unpacked. Packed first: it has its own CRC."""
    for path in (folder / name, folder / name.removesuffix(".gz")):
        if path.is_file():
            return path
    return None


def find_folder(source: Source, data_dir: str | Path | None = None) -> Path | None:
    """The first folder that holds all files of `source`; None if there is none."""
    for folder in folders(source, data_dir):
        if all(file_in(folder, file.name) for file in source.files):
            return folder
    return None


def find_files(source: Source, data_dir: str | Path | None = None) -> dict[str, Path]:
    """The path of each file of `source`, by published name. UserError says how to get them."""
    folder = find_folder(source, data_dir)
    if folder is None:
        raise UserError(missing_message(source, data_dir))
    return {file.name: file_in(folder, file.name) for file in source.files}


def download_command(source: Source, data_dir: str | Path | None = None) -> str:
    """The command that fetches `source` into the folder where it was looked for."""
    where = f" --data_dir {data_dir}" if data_dir else ""
    return f"python -m utils.datasets download {source.name}{where}"


def missing_message(source: Source, data_dir: str | Path | None = None) -> str:
    """One sentence: what was looked for, where, how to fetch it, what to use instead."""
    looked_in = ", ".join(str(folder) for folder in folders(source, data_dir))
    wanted = ", ".join(f"{file.name.removesuffix('.gz')}[.gz]" for file in source.files)
    origin = "--data_dir" if data_dir else "the default folder"
    if not data_dir and os.environ.get(ENVIRONMENT):
        origin = f"${ENVIRONMENT}"
    return (
        f"the data set {source.name} is not here: looked for {wanted} in {looked_in} "
        f"(from {origin}); fetch it with `{download_command(source, data_dir)}`, "
        f"or use the embedded set with `--dataset {source.embedded_alternative}`."
    )
