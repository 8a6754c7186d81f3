"""Reading and writing files so that a crash never leaves half a file behind.

from utils.file_io_util import write_json, read_json
write_json("outputs/a.json", {"accuracy": 0.97})
read_json("outputs/a.json")["accuracy"]
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

from utils.errors import UserError

# What systems leave beside a user's files; names that start with a dot are hidden anyway.
SYSTEM_NAMES = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"}


@contextmanager
def atomic_write(path: str | Path, binary: bool = False) -> Iterator[IO]:
    """Open a temporary file beside `path`; it takes the name `path` only if the block succeeds.

    A reader therefore sees the old file or the new one, never a part of the new one, whatever
    happens in between (exception, Ctrl-C, power cut). Line ends are "\\n" on every system.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    # Bytes in a file's name that are no text become escapes, which JSON reads back as they were.
    text = {} if binary else {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
    try:
        with os.fdopen(handle, "wb" if binary else "w", **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def plain(value: Any, non_finite: bool = False) -> Any:
    """`value` as JSON can hold it: NumPy scalars and arrays, tuples and paths become plain ones.

    A non-finite float becomes None, because JSON has no NaN and no infinity; it stays if
    `non_finite` says that the file can hold it.
    """
    if isinstance(value, dict):
        return {str(key): plain(item, non_finite) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, non_finite) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalar or array, torch tensor
        return plain(value.tolist(), non_finite)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, float):
        return value if non_finite or math.isfinite(value) else None
    return value


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    with atomic_write(path) as file:
        json.dump(plain(value), file, indent=1, ensure_ascii=False)
        file.write("\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file. UserError names the file if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}.") from None
    except (ValueError, RecursionError) as error:  # bytes, syntax, a number or nesting too long
        raise UserError(f"{path} is not valid JSON: {error}.") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file. UserError names the file, and the line and column of a syntax error."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # the same parser, before it joined the standard library
        import tomli as tomllib
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # a TOMLDecodeError or UnicodeDecodeError
        raise UserError(f"{path.parent.name}/{path.name}: not valid TOML: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None


def append_jsonl(path: str | Path, record: dict[str, Any]) -> None:
    """Add one line to a JSON-lines file; in place of a last line that a crash cut off."""
    line = json.dumps(plain(record), ensure_ascii=False) + "\n"
    with Path(path).open("a+b") as file:
        _mend_end(file)
        file.write(line.encode(errors="backslashreplace"))


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file as a list of records; UserError names a damaged line.

    The last line may have been cut off by a crash: it is left out, as if it were still to come.
    """
    lines = Path(path).read_bytes().split(b"\n")
    records = [_record(line) for line in lines]
    last = max((i for i, line in enumerate(lines) if line.strip()), default=0)
    for number, (line, record) in enumerate(zip(lines[:last], records, strict=False), start=1):
        if line.strip() and record is None:
            raise UserError(f"{path}, line {number}, is damaged; mend or remove that line.")
    return [record for record in records if record is not None]


def _record(line: bytes) -> dict[str, Any] | None:
    """The record in a line, None if there is no whole one: no part of an object is an object."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _mend_end(file: IO[bytes]) -> None:
    """Let the next line begin behind the last whole one: end it, or drop what a crash left of it.

    Only the last line is read, however long the file is.
    """
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.rfind(b"\n", 0, size - 1) + 1
        line = content[start:]
    if line.strip() and _record(line) is None:
        file.truncate(start)
    elif not line.endswith(b"\n"):
        file.write(b"\n")


def file_digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Hexadecimal checksum of a file, read in blocks."""
    digest = hashlib.new(algorithm)
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name belongs to the system and not to the user's data."""
    return name.startswith(".") or name in SYSTEM_NAMES


def human_bytes(count: float) -> str:
    """1536 -> '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def new_folder(path: str | Path) -> Path:
    """Make the folder `path`, or path-2, path-3, ..., which nobody else has made; else UserError.

    Making it is the test: between a look and a later mkdir another process could make it too.
    """
    path = Path(path)
    writable_folder(path.parent)
    for attempt in count(1):
        folder = path if attempt == 1 else path.with_name(f"{path.name}-{attempt}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(folder, error) from None
        return folder
    raise AssertionError("unreachable")


def writable_folder(path: str | Path) -> Path:
    """Make the folder `path` and prove that a file can be written in it; else UserError."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        f"cannot write to the folder {path} ({reason}); choose another with --output_dir."
    )
