"""Files appear whole or not at all; what JSON cannot hold becomes what it can."""

import numpy as np
import pytest

from utils.errors import UserError
from utils.file_io_util import (
    append_jsonl,
    atomic_write,
    file_digest,
    human_bytes,
    plain,
    read_json,
    read_jsonl,
    writable_folder,
    write_json,
)


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trip_with_numpy_values(tmp_path):
    value = {"a": np.float32(1.5), "b": np.arange(3), "c": (1, float("nan")), "中": tmp_path}
    write_json(tmp_path / "deep" / "a.json", value)
    expected = {"a": 1.5, "b": [0, 1, 2], "c": [1, None], "中": tmp_path.as_posix()}
    assert read_json(tmp_path / "deep" / "a.json") == expected == plain(value)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"", b"9" * 5000, b"[" * 200_000])
def test_damaged_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="there is no file"):
        read_json(tmp_path / "b.json")


def test_jsonl_appends(tmp_path):
    for step in range(3):
        append_jsonl(tmp_path / "m.jsonl", {"step": step})
    assert [line["step"] for line in read_jsonl(tmp_path / "m.jsonl")] == [0, 1, 2]


def test_digest_and_sizes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a", "md5") == "900150983cd24fb0d6963f7d28e17f72"
    assert [human_bytes(n) for n in (10, 1536, 5 * 2**20, 2**41)] == [
        "10 B",
        "1.5 KiB",
        "5.0 MiB",
        "2048.0 GiB",
    ]


def test_unwritable_folder_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="choose another with --output_dir"):
        writable_folder(tmp_path / "file" / "sub")
    assert writable_folder(tmp_path / "new" / "sub").is_dir()
