"""Read official files whole and compare their MD5 sums with the published ones."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from utils.datasets.photo_sets import PhotoSource
from utils.errors import UserError

log = logging.getLogger(__name__)


def read_checked(folder: Path, source: PhotoSource) -> tuple[dict[str, bytes], str]:
    """The content of each file of `source`, and what they are in words.

    A file with another MD5 sum is read all the same, because its format is checked anyhow and a
    small one is handy in tests; a warning and the words tell it.
    """
    contents, other = {}, []
    for name, md5 in source.files:
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {folder / name} ({error.strerror or error}).") from None
        if hashlib.md5(contents[name], usedforsecurity=False).hexdigest() != md5:
            other.append(name)
    if not other:
        return contents, "official binary"
    log.warning("%s: not the published file (other MD5 sum): %s", folder, ", ".join(other))
    return contents, f"files in the official format, not the published ones ({', '.join(other)})"
