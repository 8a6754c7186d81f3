"""Unpack a tar or zip archive that a stranger made.

An archive can name files outside the folder (`../../.bashrc`, `/etc/passwd`), plant a link and then
write through it, or hold devices. All members are checked before the first byte is written; only
plain files and folders pass, and neither owner nor permission bits are taken over.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from utils.errors import UserError

# A member: its name, "file" | "folder" | "other", and how to open it.
Member = tuple[str, str, Callable[[], "IO[bytes] | None"]]
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    RuntimeError,  # an encrypted or unknown zip
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,
)


def safe_extract(
    archive: str | Path, folder: str | Path, only: Collection[str] | None = None
) -> list[Path]:
    """Unpack into `folder` and return the files; UserError if a member is unsafe or damaged.

    `only` names the members that are wanted; the others are checked but not written.
    """
    archive, folder = Path(archive), Path(folder).resolve()
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return _extract(list(_zip_members(opened)), folder, archive, only)
        with tarfile.open(archive) as opened:
            return _extract(list(_tar_members(opened)), folder, archive, only)
    except DAMAGED as error:
        raise UserError(f"cannot unpack {archive} ({error}).") from None


def _extract(
    members: list[Member], folder: Path, archive: Path, only: Collection[str] | None
) -> list[Path]:
    targets = [_safe_target(name, kind, folder, archive) for name, kind, _ in members]
    written = []
    for (name, kind, open_member), target in zip(members, targets, strict=True):
        if only is not None and name not in only:
            continue
        if kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_member() as content, target.open("wb") as file:
            shutil.copyfileobj(content, file)
        written.append(target)
    return written


def _safe_target(name: str, kind: str, folder: Path, archive: Path) -> Path:
    if kind == "other":
        raise UserError(f"{archive} holds a link or a device ({name}): nothing was unpacked.")
    # resolve() also follows links that were in the folder before.
    target = (folder / name.replace("\\", "/")).resolve()
    if ":" in name or not target.is_relative_to(folder):
        raise UserError(f"{archive} wants to write outside its folder ({name}): nothing unpacked.")
    return target


def _tar_members(opened: tarfile.TarFile) -> Iterator[Member]:
    for info in opened.getmembers():
        kind = "file" if info.isfile() else "folder" if info.isdir() else "other"
        yield info.name, kind, lambda info=info: opened.extractfile(info)


def _zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        mode = info.external_attr >> 16  # Unix mode, 0 if made elsewhere
        plain = stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
        kind = "other" if not plain else "folder" if info.is_dir() else "file"
        yield info.filename, kind, lambda info=info: opened.open(info)
