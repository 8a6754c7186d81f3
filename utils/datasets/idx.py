"""Read the idx format of MNIST: a header of big-endian integers, then the bare numbers.

    byte 0, 1   zero
    byte 2      type of a number (8 is an unsigned byte)
    byte 3      number of dimensions D
    4 D bytes   size of each dimension, then the values, last dimension fastest

Every way in which a file can be damaged ends in a UserError that names the file.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from utils.errors import UserError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | Path, content_md5: str | None = None) -> np.ndarray:
    """The array in an idx file, gzip or not; `content_md5` is compared with the unpacked bytes."""
    content = _read_unpacked(Path(path))
    values = _parse(content, path)
    if content_md5 is not None and _md5(content) != content_md5:
        raise UserError(f"{path} is not the published file (its MD5 sum differs).")
    return values


def content_md5(path: str | Path) -> str:
    """MD5 of a file's bytes, unpacked if it is gzip."""
    return _md5(_read_unpacked(Path(path)))


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _read_unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is a damaged gzip file ({error}).") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}).") from None


def _parse(content: bytes, path: str | Path) -> np.ndarray:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES:
        raise UserError(f"{path} is not an idx file (its first bytes are {content[:4].hex(' ')}).")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise UserError(f"{path} is cut off inside its header ({len(content)} bytes).")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    dtype = np.dtype(DTYPES[content[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        what = "cut off" if len(content) < expected else "too long"
        raise UserError(
            f"{path} is {what}: its header promises {expected} bytes, it has {len(content)}."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))  # a copy: writable, in this machine's byte order
