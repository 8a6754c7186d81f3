"""The benchmark harness: what it counts and how its rows become tables. No test asserts a speed."""

import time

import numpy as np
import pytest
import torch

from benchmarks import __main__ as runner
from benchmarks.harness import as_result, compare, in_turns, median_iqr, peak_bytes, row_of
from course.tables import show
from utils.errors import UserError

MIB = 2**20


def quick_row(name="a row", **options):
    return compare(name, lambda: None, lambda: None, min_seconds=0.001, rounds=3, **options)


def test_ratio_of_a_slower_function():
    row = compare(
        "sleep",
        lambda: time.sleep(0.004),
        lambda: time.sleep(0.001),
        min_seconds=0.05,
        rounds=3,
    )
    assert row.ours_ms[0] >= 4 and row.theirs_ms[0] >= 1  # a sleep is never shorter than asked for
    assert row.ratio[0] == pytest.approx(row.ours_ms[0] / row.theirs_ms[0], rel=0.5)


def test_blocks_take_turns_in_swapped_order():
    calls = []
    compare("x", lambda: calls.append("a"), lambda: calls.append("b"), min_seconds=1e-9, rounds=4)
    blocks = [c for k, c in enumerate(calls) if k == 0 or calls[k - 1] != c]
    # warm-up ab, rounds ab ba ab ba, memory ab; equal neighbours count as one block
    assert "".join(blocks) == "abababab"


def test_more_than_two_take_turns_and_none_is_always_first():
    calls = []
    functions = [lambda letter=letter: calls.append(letter) for letter in "abc"]
    times = in_turns(functions, min_seconds=1e-9, rounds=3)
    blocks = [c for k, c in enumerate(calls) if k == 0 or calls[k - 1] != c]
    assert "".join(blocks) == "abc" + "abc" + "bca" + "cab"  # warm-up, then the rounds
    assert [len(values) for values in times] == [3, 3, 3]


def test_a_row_pairs_two_of_several():
    pause = lambda: None  # noqa: E731
    row = row_of("x", (pause, [2.0, 4.0, 6.0]), (pause, [1.0, 2.0, 2.0]), against="y")
    assert row.ratio[0] == 2 and row.ours_ms[0] == 4 and row.theirs_ms[0] == 2


def test_scale_multiplies_the_time_of_the_reference():
    whole = compare("x", time.perf_counter, lambda: time.sleep(0.002), min_seconds=0.01, rounds=3)
    scaled = compare(
        "x",
        time.perf_counter,
        lambda: time.sleep(0.002),
        min_seconds=0.01,
        rounds=3,
        theirs_scale=100,
    )
    assert scaled.theirs_ms[0] > 20 * whole.theirs_ms[0]
    assert scaled.memory_ratio is None


@pytest.mark.parametrize(
    "allocate", [lambda: np.ones(MIB), lambda: torch.ones(MIB, dtype=torch.float64)]
)
def test_peak_counts_arrays_and_tensors(allocate):
    def work():
        first = allocate()  # 8 MiB
        second = first + 1  # 16 MiB held
        del first
        return (second * 2).sum()  # 16 MiB again, not 24

    assert peak_bytes(work) == pytest.approx(16 * MIB, rel=0.02)


def test_memory_ratio():
    row = compare(
        "x",
        lambda: np.ones(2 * MIB),
        lambda: torch.ones(MIB, dtype=torch.float64),
        min_seconds=0.01,
        rounds=2,
    )
    assert row.memory_ratio == pytest.approx(2, rel=0.02)
    assert quick_row().memory_ratio is None  # nothing is allocated


def test_median_and_quartiles():
    assert median_iqr([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 2.0)
    assert median_iqr([7.0]) == (7.0, 0.0)


def test_result_has_a_row_per_case_and_both_languages():
    rows = [quick_row("first, B = 2", name_zh="第一"), quick_row("second")]
    result = as_result(rows)
    assert list(result["metrics"]) == ["first_b_2", "second"]
    table = result["tables"]["main"]
    assert len(table["rows"]) == 2 and len(table["rows"][0]) == len(table["columns"])
    assert table["rows"][0][0] == {"en": "first, B = 2", "zh": "第一"}
    assert " ± " in show(table["rows"][0][2], ".3f", "en")


def test_two_rows_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        as_result([quick_row("x"), quick_row("x")])


def test_chapter_without_benchmarks(tmp_path):
    (tmp_path / "chapter_01.py").write_text("", encoding="utf-8")
    assert runner.chosen(None, tmp_path) == ["chapter_01"]
    with pytest.raises(UserError, match="present: chapter_01"):
        runner.chosen(2, tmp_path)


def test_command_writes_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "chosen", lambda chapter: ["chapter_01"])
    module = type("module", (), {"rows": staticmethod(lambda quick: [quick_row()])})
    monkeypatch.setattr(runner.importlib, "import_module", lambda name: module)
    options = ["--quick", "--output_dir", str(tmp_path), "--run_name", "x"]
    assert runner.main(options) == 0
    assert len(list(tmp_path.rglob("chapter_01.json"))) == 1


def test_unknown_chapter_exits_2(tmp_path, capsys):
    assert runner.main(["--chapter", "99", "--output_dir", str(tmp_path)]) == 2
    assert "chapter 99 has no benchmarks" in capsys.readouterr().err
