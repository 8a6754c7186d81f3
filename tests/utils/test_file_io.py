"""Files appear whole or not at all; what JSON cannot hold becomes what it can."""

import subprocess
import sys

import numpy as np
import pytest

from utils.errors import UserError
from utils.file_io_util import (
    append_jsonl,
    atomic_write,
    file_digest,
    human_bytes,
    new_folder,
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


def test_a_last_line_that_a_crash_cut_off_is_as_if_never_begun(tmp_path):
    """Cut after every byte of the last record: the rows before it are read, the next one fits."""
    path, rows = tmp_path / "m.jsonl", [{"step": 0, "loss": 0.5}, {"step": 1, "name": "猫"}]
    for row in rows:
        append_jsonl(path, row)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) + 1):
        path.write_bytes(whole[:end])
        kept = rows if end >= len(whole) - 1 else rows[:1]  # only the newline may be missing
        assert read_jsonl(path) == kept, whole[:end]
        append_jsonl(path, {"step": 2})
        assert read_jsonl(path) == [*kept, {"step": 2}], whole[:end]
        assert path.read_bytes().count(b"\n") == len(kept) + 1


@pytest.mark.parametrize(
    "rest", [b"\0\0\0", b'{"a": 1, "b\n', b"\xff\xfe", b"[1]", b"7", b"[" * 9999]
)
def test_a_last_line_that_is_no_record_makes_room(tmp_path, rest):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"a": 0}\n\n' + rest)
    assert read_jsonl(path) == [{"a": 0}]
    append_jsonl(path, {"a": 1})
    assert read_jsonl(path) == [{"a": 0}, {"a": 1}]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "m.jsonl"
    for middle in ('{"a": ', '{"a": 1}{"a": 2}', "7"):
        path.write_text(f'{{"a": 0}}\n\n{middle}\n{{"a": 3}}\n', encoding="utf-8")
        with pytest.raises(UserError, match=r"m\.jsonl, line 3, is damaged"):
            read_jsonl(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"{", b"\r\n"])
def test_jsonl_without_a_record(tmp_path, content):
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)
    assert read_jsonl(path) == []
    append_jsonl(path, {"a": 1})
    assert read_jsonl(path) == [{"a": 1}]


@pytest.mark.process
def test_processes_that_want_the_same_folder_get_one_each(tmp_path):
    """They wait for each other at the gate, so that their calls of mkdir race."""
    count, code = (
        6,
        """
import sys, time
from pathlib import Path
from utils.file_io_util import new_folder
gate, path = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.001)
print(*[new_folder(path).name for _ in range(20)])
""",
    )
    command = [sys.executable, "-c", code, str(tmp_path / "gate"), str(tmp_path / "runs" / "run")]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    (tmp_path / "gate").touch()
    names = [name for racer in racers for name in racer.communicate()[0].split()]
    assert len(names) == 20 * count
    expected = {"run", *(f"run-{i}" for i in range(2, 20 * count + 1))}
    assert set(names) == expected == {folder.name for folder in (tmp_path / "runs").iterdir()}


def test_new_folder_names_what_stands_in_the_way(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write to the folder"):
        new_folder(tmp_path / "file" / "run")
    with pytest.raises(UserError, match="cannot write to the folder"):
        new_folder(tmp_path / ("x" * 300))


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
