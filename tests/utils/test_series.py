"""Time series: split by time, measured on the training part; what a CSV may not have."""

import gzip
import lzma
from datetime import datetime, timedelta

import numpy as np
import pytest

from utils.datasets import lorenz, series
from utils.datasets.lookup import data_root
from utils.datasets.series_csv import parse_date, read_series
from utils.errors import MissingDataError, UserError

ROWS = 80
START = datetime(2020, 1, 1)


def lines_of(step: timedelta = timedelta(hours=1)) -> list[str]:
    """A header and ROWS lines: a date, a number that rises, one that swings."""
    rows = (f"{START + k * step},{k},{np.sin(k):.4f}" for k in range(ROWS))
    return ["date,load,heat", *rows]


@pytest.fixture
def csv_of(tmp_path):
    """csv_of(lines): the path of a file with these lines."""

    def write(lines: list[str], name: str = "mine.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def short() -> series.SeriesData:
    return series.load_lorenz(3, seed=1, rows=(300, 100, 100))


def test_the_parts_follow_each_other_and_leave_nothing_out(short, csv_of):
    for data in (short, series.load_series(csv_of(lines_of()))):
        parts = data.train, data.val, data.test
        rows = np.concatenate([np.arange(len(data.values))[part] for part in parts])
        assert rows.tolist() == list(range(len(data.values)))
        assert min(part.stop - part.start for part in parts) > 0


def test_normalisation_knows_the_training_part_only(csv_of):
    lines = lines_of()
    before = series.load_series(csv_of(lines))
    changed = [*lines[:-20], *(line.replace(",", ",9", 1) for line in lines[-20:])]
    after = series.load_series(csv_of(changed))
    assert (before.values != after.values).any()
    assert before.mean.tolist() == after.mean.tolist()
    assert before.std.tolist() == after.std.tolist()
    inner = before.standardised()[before.train]
    np.testing.assert_allclose([inner.mean(0), inner.std(0)], [[0, 0], [1, 1]], atol=1e-12)


def test_a_constant_column_is_not_divided_by_zero(csv_of):
    lines = ["a,b", *(f"{k},5" for k in range(ROWS))]
    assert np.isfinite(series.load_series(csv_of(lines)).standardised()).all()


def test_the_attractor_is_solved_to_the_step(short):
    """Half the substep gives the same rows for as long as chaos allows it."""
    fine = lorenz.trajectory(40, seed=1, step=lorenz.STEP / 2)[1::2]
    assert np.abs(lorenz.trajectory(20, seed=1)[0] - short.values[0]).max() == 0
    assert short.values.min(0)[2] > 0 and np.abs(short.values[:, 0]).max() < 25
    assert fine.shape == (20, 3)


def test_runge_kutta_has_order_four():
    start = (1.0, 2.0, 20.0)

    def after(steps: int) -> np.ndarray:
        now = start
        for _ in range(steps):
            now = lorenz.runge_kutta(*now, 0.1 / steps)
        return np.array(now)

    exact = after(640)
    errors = [np.abs(after(steps) - exact).max() for steps in (10, 20)]
    assert 12 < errors[0] / errors[1] < 20  # 2^4 = 16


def test_neighbours_part_at_the_lyapunov_rate():
    """ln of the distance grows by about 0.906 a unit of time, over many starts."""
    states = [row.tolist() for row in lorenz.trajectory(1200, seed=3)[::40]]
    growth = []
    for state in states:
        near = [state[0] + 1e-6, *state[1:]]
        for _ in range(1000):  # 10 units of time
            state, near = (lorenz.runge_kutta(*s, 0.01) for s in (state, near))
        growth.append(np.log(np.linalg.norm(np.subtract(state, near)) / 1e-6) / 10)
    assert np.mean(growth) == pytest.approx(lorenz.LYAPUNOV, abs=0.15)


def test_one_coordinate_is_the_first_of_three(short):
    one = series.load_lorenz(1, seed=1, rows=(300, 100, 100))
    assert one.columns == ("x",) and (one.values[:, 0] == short.values[:, 0]).all()
    with pytest.raises(UserError, match="1 coordinate or all 3"):
        series.load_series("lorenz", coordinates=2)


@pytest.mark.needs_data
def test_ett_has_the_split_of_the_paper():
    if not (data_root() / "timeseries").is_dir():
        pytest.skip("needs ett")
    data = series.load_series("ett")
    assert data.values.shape == (14_400, 7) and data.columns[-1] == "OT" and data.period == 24
    assert (data.train.stop, data.val.stop, data.test.stop) == (8640, 11_520, 14_400)


def test_ett_that_is_not_here_names_the_embedded_series(tmp_path):
    with pytest.raises(MissingDataError, match="--dataset lorenz"):
        series.load_series("ett", tmp_path)


@pytest.mark.parametrize(
    ("step", "period"),
    [(timedelta(hours=1), 24), (timedelta(days=1), 7), (timedelta(days=30), 12),
     (timedelta(minutes=7), None)],
    ids=str,
)  # fmt: skip
def test_the_dates_tell_the_period(csv_of, step, period):
    data = series.load_series(csv_of(lines_of(step)))
    assert data.period == period and data.columns == ("load", "heat") and data.notes == ()


def test_a_file_without_dates_packed_or_plain(tmp_path, csv_of):
    text = "\n".join(["a;b", *(f"{k};{k},5" for k in range(ROWS))])  # a decimal comma
    for name, opener in (("a.csv.gz", gzip.open), ("a.csv.xz", lzma.open), ("a.csv", open)):
        with opener(tmp_path / name, "wt", encoding="utf-8") as file:
            file.write(text)
        data = series.load_series(tmp_path / name)
        assert data.period is None and data.values[3].tolist() == [3, 3.5]


def test_missing_rows_are_told(csv_of):
    lines = lines_of()
    data = series.load_series(csv_of([*lines[:10], *lines[12:]]))
    assert data.notes == ("rows seem to be missing before line 11",)


FAULTS = {
    "a gap": (5, "2020-01-01 04:00,,0.1", "line 6, column 'load': the value is missing"),
    "NA": (5, "2020-01-01 04:00,4,n/a", "line 6, column 'heat': the value is missing"),
    "a word": (7, "2020-01-01 06:00,6,warm", "line 8, column 'heat': 'warm' is not a finite"),
    "infinity": (7, "2020-01-01 06:00,6,inf", "line 8, column 'heat': 'inf' is not a finite"),
    "a date back": (9, "2019-01-01,8,0.1", "line 10, column 'date': 2019-01-01 does not come"),
    "the same date": (9, "2020-01-01 07:00,8,0.1", "sort the rows by time"),
    "no date": (9, "soon,8,0.1", "line 10, column 'date': 'soon' is no date"),
    "a cell too many": (9, "2020-01-01 08:00,8,0.1,2", "line 10: 4 cells, but the header has 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_in_one_sentence(csv_of, fault):
    number, line, words = FAULTS[fault]
    lines = lines_of()
    lines[number] = line
    with pytest.raises(UserError) as caught:
        series.load_series(csv_of(lines))
    message = str(caught.value)
    assert words in message and "mine.csv" in message and "\n" not in message


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,b"], "needs a header row"),
        (["a,b", "1,2", "3,4"], "has 2 rows of data"),
        (["date", *(f"2020-01-{k:02}" for k in range(1, 29))], "no column of numbers"),
    ],
)
def test_too_little_is_said(csv_of, lines, words):
    with pytest.raises(UserError, match=words):
        series.load_series(csv_of(lines))


def test_names_and_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="known are lorenz, ett and any FILE"):
        series.load_series("lorentz")
    with pytest.raises(UserError, match="there is no file"):
        series.load_series(tmp_path / "none.csv")
    (tmp_path / "b.csv.gz").write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(UserError, match="cannot read"):
        read_series(tmp_path / "b.csv.gz")


def test_dates_and_what_is_none():
    assert parse_date("1949-01") == datetime(1949, 1, 1)
    assert parse_date("2016-07-01 02:00:00") == datetime(2016, 7, 1, 2)
    assert [parse_date(text) for text in ("20160701", "12", "3.5", "soon", "")] == [None] * 5
