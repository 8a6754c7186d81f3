"""Fetch files so that what lies under the final name is complete and verified.

The bytes go to `NAME.part`; a broken transfer is continued from there (HTTP `Range`), also by a
later call or from another mirror; the MD5 sum is compared; only then does the file get its name.
`safe_extract` unpacks an archive that may have been made to harm.
"""

from __future__ import annotations

import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from utils.datasets.archive import safe_extract
from utils.datasets.idx import content_md5
from utils.datasets.lookup import data_root, file_in, find_folder, folders, how_to_place
from utils.datasets.photo_sets import PhotoSource
from utils.datasets.registry import Source
from utils.datasets.text_files import (
    TextSource,
    find_text,
    how_to_put,
    md5,
    packed_or_plain,
    unpacked,
)
from utils.errors import UserError
from utils.file_io_util import file_digest

log = logging.getLogger(__name__)
ROUNDS = 2  # each mirror is tried this often, in turn
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 1 << 18
RANGE_NOT_SATISFIABLE = 416


def download(source: Source | PhotoSource | TextSource, data_dir: str | Path | None = None) -> Path:
    """Fetch what is missing or damaged of `source`; returns its folder (torchvision's layout)."""
    if isinstance(source, TextSource):
        return download_texts(source, data_dir)
    if isinstance(source, PhotoSource):
        return download_photos(source, data_root(data_dir))
    folder = find_folder(source, data_dir) or data_root(data_dir) / source.folder
    for file in source.files:
        if not _is_good(file_in(folder, file.name), file.content_md5):
            fetch([mirror + file.name for mirror in source.mirrors], folder / file.name, file.md5)
    return folder


def download_photos(source: PhotoSource, root: Path) -> Path:
    """The folder of the official files; the archive is fetched and unpacked unless all are good.

    An archive that was put there by hand is taken, and stays; one that was fetched is deleted once
    its files are verified. UserError: no official address, no network, no room.
    """
    if source.archive is None:
        raise UserError(f"cannot fetch {source.name}: {how_to_place(source, root)}.")
    for folder in folders(source, root):
        if not _damaged(source, folder):
            return folder
    url, md5 = source.archive
    archive, folder = root / url.rpartition("/")[2], root / source.folder
    by_hand = archive.is_file() and file_digest(archive, "md5") == md5
    if not by_hand:
        fetch([url], archive, md5)
    log.info("unpacking %s", archive)
    safe_extract(archive, root, only=[f"{source.folder}/{name}" for name, _ in source.files])
    if damaged := _damaged(source, folder):
        raise UserError(f"{archive} does not hold the published {', '.join(damaged)}.")
    if not by_hand:
        archive.unlink()
    return folder


def download_texts(source: TextSource, data_dir: str | Path | None = None) -> Path:
    """The folder (or archive) of the text files; each one that is not good is fetched anew.

    UserError: no official address, no network, no room.
    """
    place = find_text(source, data_dir)
    folder = place or data_root(data_dir) / source.folder
    wanted = [
        file
        for file in source.files
        if not _is_good(packed_or_plain(folder, file.name), file.content_md5, text_md5)
    ]
    if not source.fetchable and (place is None or wanted):
        raise UserError(f"cannot fetch {source.name}: {how_to_put(source, data_dir)}.")
    for file in wanted:
        target = folder / file.published
        fetch([file.url], target, file.gzip_md5 or file.content_md5)
        _drop_others(folder, file.name, target)
    return folder


def text_md5(path: Path) -> str:
    """MD5 of a file's bytes, unpacked if it is gzip or xz."""
    return md5(unpacked(path))


def _drop_others(folder: Path, name: str, good: Path) -> None:
    """Remove damaged copies of `name` that would be read before the good one."""
    while (path := packed_or_plain(folder, name)) not in (good, None):
        path.unlink()


def _damaged(source: PhotoSource, folder: Path) -> list[str]:
    """The official files that are missing in `folder` or not the published ones."""
    return [
        name
        for name, md5 in source.files
        if not (folder / name).is_file() or file_digest(folder / name, "md5") != md5
    ]


def _is_good(path: Path | None, wanted: str, digest: Callable[[Path], str] = content_md5) -> bool:
    try:
        return path is not None and digest(path) == wanted
    except UserError:  # damaged
        return False


def fetch(urls: Sequence[str], target: Path, md5: str) -> Path:
    """Bring one file to `target` from the first of `urls` that delivers the bytes with this MD5.

    UserError lists what each mirror answered and where to put the file by hand.
    """
    part = target.with_name(target.name + ".part")
    _make_writable(part)
    failures: dict[str, str] = {}
    for url in [*urls] * ROUNDS:
        try:
            _transfer(url, part)
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            failures[url] = str(getattr(error, "reason", None) or error or type(error).__name__)
            log.info("%s: %s", url, failures[url])
            continue
        if file_digest(part, "md5") == md5:
            part.replace(target)
            return target
        part.unlink()
        failures[url] = "wrong checksum, refused"
    if part.exists() and part.stat().st_size == 0:
        part.unlink()
    tried = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
    raise UserError(
        f"could not fetch {target.name} ({tried}); without a network, bring the file from "
        f"another machine, put it at {target} (MD5 {md5}) and run the command again."
    )


def _make_writable(part: Path) -> None:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise UserError(
            f"cannot write to the data folder {part.parent} ({error.strerror or error}); "
            f"choose another with --data_dir."
        ) from None


def _transfer(url: str, part: Path) -> None:
    """Append to `part` what it lacks; OSError if the server or the connection fails."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "dl-course", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == RANGE_NOT_SATISFIABLE:
            return  # nothing is left to send: the checksum decides whether the part is the file
        raise
    with response:
        # A server without Range answers 200 and sends everything: then start again.
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        _write(response, part, have if response.status == 206 and resumed else 0)


def _write(response: http.client.HTTPResponse, part: Path, start: int) -> None:
    from tqdm import tqdm

    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    name = part.name.removesuffix(".part")
    bar = tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True, disable=None)
    with part.open("ab" if start else "wb") as file, bar:
        while block := response.read(BLOCK):
            file.write(block)
            bar.update(len(block))
    size = part.stat().st_size
    if total is not None and size < total:  # read() returns quietly when the connection drops
        raise ConnectionError(f"the connection broke after {size} of {total} bytes")
