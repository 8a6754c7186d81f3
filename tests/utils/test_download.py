"""Against a local server: resume, mirrors, checksums; archives that try to escape."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from utils.datasets import download as module
from utils.datasets.archive import safe_extract
from utils.datasets.download import download, fetch
from utils.datasets.idx import content_md5
from utils.datasets.registry import RemoteFile, Source
from utils.errors import UserError

CONTENT = bytes(range(256)) * 4000  # about 1 MB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """/good honours Range, /norange does not, /broken hangs up half-way, /wrong lies, else 404."""

    def do_GET(self):
        kind = self.path.split("/")[1]
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.server.requests.append((kind, start))
        if kind not in ("good", "norange", "broken", "wrong"):
            return self.send_error(404)
        if kind == "norange":
            start = 0
        if start >= len(CONTENT):
            return self.send_error(416)
        body = (CONTENT if kind != "wrong" else CONTENT[::-1])[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind == "broken" else body)

    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def part_of(target):
    return target.with_name(target.name + ".part")


def test_fetch(server, tmp_path):
    target = fetch([f"{server.url}/good/f"], tmp_path / "new" / "f", MD5)
    assert target.read_bytes() == CONTENT and not part_of(target).exists()


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    target = tmp_path / "f"
    with pytest.raises(UserError, match="the connection broke after"):
        fetch([f"{server.url}/broken/f"], target, MD5)
    have = part_of(target).stat().st_size
    assert 0 < have < len(CONTENT) and not target.exists()
    server.requests.clear()
    fetch([f"{server.url}/good/f"], target, MD5)  # also from another mirror
    assert server.requests == [("good", have)]
    assert target.read_bytes() == CONTENT


def test_the_next_mirror_takes_over(server, tmp_path):
    mirrors = [f"{server.url}/{kind}/f" for kind in ("gone", "broken", "good")]
    fetch(mirrors, tmp_path / "f", MD5)
    assert server.requests == [("gone", 0), ("broken", 0), ("good", len(CONTENT) // 2)]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_server_without_range_starts_again(server, tmp_path):
    part_of(tmp_path / "f").write_bytes(CONTENT[:1000])
    fetch([f"{server.url}/norange/f"], tmp_path / "f", MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_complete_part_needs_only_the_checksum(server, tmp_path):
    part_of(tmp_path / "f").write_bytes(CONTENT)
    fetch([f"{server.url}/good/f"], tmp_path / "f", MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_spoilt_part_is_thrown_away(server, tmp_path):
    part_of(tmp_path / "f").write_bytes(b"not the beginning of the file")
    fetch([f"{server.url}/good/f"], tmp_path / "f", MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert [start for _, start in server.requests] == [29, 0]


def test_wrong_checksum_is_refused_and_removed(server, tmp_path):
    with pytest.raises(UserError, match="wrong checksum, refused"):
        fetch([f"{server.url}/wrong/f"], tmp_path / "f", MD5)
    assert list(tmp_path.iterdir()) == []


def test_offline_says_what_to_put_where(server, tmp_path):
    server.shutdown()
    server.server_close()
    target = tmp_path / "f"
    with pytest.raises(UserError, match="without a network") as caught:
        fetch([f"{server.url}/good/f"], target, MD5)
    assert str(target) in str(caught.value) and MD5 in str(caught.value)
    assert list(tmp_path.iterdir()) == []  # no empty part is left


def test_unwritable_data_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to the data folder"):
        fetch([], tmp_path / "file" / "f", MD5)


def test_download_fetches_only_what_is_missing_or_damaged(server, tmp_path):
    files = tuple(RemoteFile(name, MD5, MD5) for name in ("a.gz", "b.gz", "c.gz"))
    source = Source("toy", "", "Toy/raw", (), files, (f"{server.url}/good/",), "")
    folder = tmp_path / "Toy" / "raw"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(CONTENT)  # unpacked and good
    (folder / "b.gz").write_bytes(b"damaged")
    assert download(source, tmp_path) == folder
    assert len(server.requests) == 2
    assert all(content_md5(folder / name) == MD5 for name in ("a", "b.gz", "c.gz"))


def test_blocks_are_small_enough_to_resume(monkeypatch, server, tmp_path):
    """What arrived before a break stays: here the break comes inside the third block."""
    monkeypatch.setattr(module, "BLOCK", 200_000)
    with pytest.raises(UserError):
        fetch([f"{server.url}/broken/f"], tmp_path / "f", MD5)
    # Half of the file, then half of the rest.
    assert part_of(tmp_path / "f").stat().st_size == len(CONTENT) * 3 // 4


def tar_with(path, name, kind=tarfile.REGTYPE, link="", data=b"x"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
    with tarfile.open(path, "w:gz") as archive:
        good = tarfile.TarInfo("good.txt")
        archive.addfile(good, io.BytesIO())
        archive.addfile(info, io.BytesIO(data))
    return path


def zip_with(path, name, mode=0o100644, data="x"):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "")
        archive.writestr(info, data)
    return path


@pytest.mark.parametrize("make", [tar_with, zip_with])
def test_a_good_archive_is_unpacked(make, tmp_path):
    files = safe_extract(make(tmp_path / "a", "deep/er/file.txt"), tmp_path / "out")
    assert [f.relative_to(tmp_path / "out").as_posix() for f in files] == [
        "good.txt",
        "deep/er/file.txt",
    ]
    assert files[1].read_bytes() == b"x"


ESCAPES = ["../evil", "a/../../evil", "/tmp/dl-course-evil", "..\\evil", "C:\\evil"]


@pytest.mark.parametrize("make", [tar_with, zip_with])
@pytest.mark.parametrize("name", ESCAPES)
def test_traversal_is_refused_before_anything_is_written(make, name, tmp_path):
    with pytest.raises(UserError, match="outside its folder"):
        safe_extract(make(tmp_path / "a", name), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    with pytest.raises(UserError, match="a link or a device"):
        safe_extract(tar_with(tmp_path / "a", "x", kind, link="good.txt"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_zip_is_refused(tmp_path):
    with pytest.raises(UserError, match="a link or a device"):
        safe_extract(zip_with(tmp_path / "a", "x", 0o120777, "/etc"), tmp_path / "out")


def test_a_link_that_was_in_the_folder_before_is_not_followed_out(tmp_path):
    (tmp_path / "out").mkdir()
    try:
        (tmp_path / "out" / "door").symlink_to(tmp_path)
    except OSError:
        pytest.skip("this system does not allow links")
    with pytest.raises(UserError, match="outside its folder"):
        safe_extract(tar_with(tmp_path / "a", "door/evil"), tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_damaged_archives(content, tmp_path):
    path = tar_with(tmp_path / "a", "x", data=bytes(9999))
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    with pytest.raises(UserError, match="cannot unpack"):
        safe_extract(path, tmp_path / "out")
