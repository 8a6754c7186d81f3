"""The embedded tables, and every way in which a CSV file can be wrong."""

import gzip

import numpy as np
import pytest

from utils import datasets
from utils.datasets.columns import read_column
from utils.datasets.tables import load_table, read_csv
from utils.errors import UserError

CSV = """Id,Area,Street,Alley,Empty,Price
1,10.5,Pave,NA,,100
2,?,Gravel,"a, b",NA,200

3,-1e3,,NA,nan,300.5
"""


def write(folder, text, name="t.csv", encoding="utf-8"):
    path = folder / name
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("diabetes", (442, 10), 1), ("breast_cancer", (569, 30), 2), ("wine", (178, 13), 3)],
)
def test_load_table(name, shape, classes):
    table = load_table(name)
    assert table.features.shape == shape and table.features.dtype == np.float64
    assert len(table.target) == shape[0] and len(table.feature_names) == shape[1]
    assert len(table.target_names) == classes
    if name == "diabetes":
        assert table.target.dtype == np.float64
        assert table.features[:, 0].min() == 19  # age in years: not scaled
    else:
        np.testing.assert_array_equal(np.unique(table.target), np.arange(classes))


def test_unknown_table():
    with pytest.raises(UserError, match="known are diabetes"):
        load_table("boston")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_read_csv(tmp_path, name, encoding):
    table = read_csv(write(tmp_path, CSV, name, encoding), "Price")
    assert table.numeric_names == ("Id", "Area")
    np.testing.assert_array_equal(table.numeric, [[1, 10.5], [2, np.nan], [3, -1000]])
    assert table.categorical_names == ("Street", "Alley", "Empty")
    assert table.categorical.tolist() == [
        ["Pave", None, None],
        ["Gravel", "a, b", None],
        [None, None, None],
    ]
    np.testing.assert_array_equal(table.target, [100, 200, 300.5])
    assert len(table) == 3 and table.target_name == "Price"


def test_a_table_without_categories_keeps_its_two_dimensions(tmp_path):
    table = read_csv(write(tmp_path, "a,y\n1,2\n3,4\n"), "y")
    assert table.categorical.shape == (2, 0) and table.numeric.shape == (2, 1)


@pytest.mark.parametrize("value", ["1_000", "0x10", "nan_", "12%", "1,25", "1,2500", "12,50,0"])
def test_what_only_looks_like_a_number_is_a_category(tmp_path, value):
    assert read_csv(write(tmp_path, f'a,y\n"{value}",2.5\n3,4\n'), "y").categorical_names == ("a",)


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        (CSV, "price", r"no column 'price'; did you mean 'Price'\?"),
        (CSV, "Prise", r"did you mean 'Price'\?"),
        (CSV, "zzz", "its columns are Id, Area, Street, Alley, Empty, Price"),
        (CSV, "Street", "'Street' in data row 1 is 'Pave', which is not a number"),
        (CSV, "Area", "'Area' in data row 2 is missing"),
        ("area price\n1 2\n", "price", r"has one column, 'area price': is it separated by other"),
        ("", "y", "needs a header row and at least one row"),
        ("a,y\n", "y", "needs a header row and at least one row"),
        ("a,y\n1,2\n\n3\n", "y", "line 4: 1 values, but the header has 2 columns"),
        ("a,a,y\n1,2,3\n", "y", "two columns named 'a'"),
    ],
)
def test_wrong_content_is_one_sentence(tmp_path, text, target, says):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=says) as caught:
        read_csv(path, target)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_wrong_files(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        read_csv(tmp_path / "none.csv", "y")
    with pytest.raises(UserError, match="cannot read"):
        read_csv(tmp_path, "y")
    with pytest.raises(UserError, match="not UTF-8"):
        read_csv(write(tmp_path, "a,y\né,1\n", encoding="utf-16"), "y")
    damaged = tmp_path / "d.csv.gz"
    damaged.write_bytes(gzip.compress(CSV.encode())[:-9])
    with pytest.raises(UserError, match="cannot read"):
        read_csv(damaged, "Price")
    damaged.write_bytes(b"plain text")
    with pytest.raises(UserError, match="cannot read"):
        read_csv(damaged, "Price")


GAPS = [
    "N/A",
    "null",
    "None",
    "n/a",
    "#N/A",
    "NAN",
    "<NA>",
    "-",
    "inf",
    "-inf",
    "1e999",
    "NULL",
    ".",
]


def one_column(folder, cells, separator=","):
    """The table of this one column `a` and a target."""
    lines = [f"a{separator}y", *(f'"{cell}"{separator}{k}' for k, cell in enumerate(cells, 1))]
    return read_csv(write(folder, "\n".join(lines)), "y")


@pytest.mark.parametrize("word", GAPS)
def test_a_word_for_a_gap_leaves_a_column_numeric(tmp_path, word):
    table = one_column(tmp_path, ["1.5", word, "3"])
    assert table.numeric_names == ("a",)
    np.testing.assert_array_equal(table.numeric[:, 0], [1.5, np.nan, 3])
    assert bool(table.notes) == (word in ("inf", "-inf", "1e999"))


def test_none_is_an_answer_among_words():
    """Ames: the veneer "None" is one kind of veneer, "NA" a gap."""
    column = read_column("a", ["None", "Brick", "NA", "n/a"], "thousands")
    assert column.values == ["None", "Brick", None, None] and not column.numeric


@pytest.mark.parametrize(
    ("cells", "separator", "numbers"),
    [
        (["1,250", "999", "1,250,000"], ",", [1250, 999, 1250000]),
        (["1,250", "0.5", "-2,000.25"], ",", [1250, 0.5, -2000.25]),
        (["3,5", "1,250", "7"], ";", [3.5, 1.25, 7]),
        (["1.250,5", "1.250", "-0,125"], ";", [1250.5, 1250, -0.125]),
        (["1,250", "0.5", "7"], ";", [1250, 0.5, 7]),
        (["1 250", "1\u00a0250,5", "7,25"], ";", [1250, 1250.5, 7.25]),
        (["\u22125", "+2", "1e3"], "|", [-5, 2, 1000]),
    ],
)
def test_separators_of_thousands_and_decimals(tmp_path, cells, separator, numbers):
    table = one_column(tmp_path, cells, separator)
    np.testing.assert_array_equal(table.numeric[:, 0], numbers)
    commas = any("," in cell for cell in cells)
    assert any("the comma" in note for note in table.notes) == commas


def test_a_comma_that_may_be_both_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'1,250' may mean 1250 or 1\.250, and no other number"):
        one_column(tmp_path, ["1,250", "2,300"], ";")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path, separator):
    text = CSV.replace("a, b", "a; b") if separator == "," else CSV.replace(",", separator)
    table = read_csv(write(tmp_path, text.replace('"a| b"', '"a, b"')), "Price")
    assert table.numeric_names == ("Id", "Area") and len(table) == 3
    named = f"the columns are separated by {separator!r}"
    assert table.notes == (() if separator == "," else (named,))


def test_a_semicolon_comes_before_a_decimal_comma(tmp_path):
    table = read_csv(write(tmp_path, "area, m2;price\n10,5;2,25\n11,5;3\n"), "price")
    assert table.numeric_names == ("area, m2",)
    np.testing.assert_array_equal(table.numeric[:, 0], [10.5, 11.5])
    np.testing.assert_array_equal(table.target, [2.25, 3])
    assert table.notes[1] == "the comma is a decimal comma: 3,5 is 3.5, and 1.250 is 1250"


def test_one_odd_cell_does_not_turn_numbers_into_words(tmp_path):
    table = one_column(tmp_path, [*map(str, range(9)), "about 9"])
    assert table.numeric_names == ("a",) and np.isnan(table.numeric[9, 0])
    (note,) = table.notes
    assert note == (
        "column 'a', not finite numbers: 1, such as 'about 9' in data row 10; taken as missing"
    )


def test_a_column_of_numbers_and_words_is_named(tmp_path):
    table = one_column(tmp_path, ["1", "2", "x", "3", "y"])
    assert table.categorical[:, 0].tolist() == ["1", "2", "x", "3", "y"]
    (note,) = table.notes
    assert note == (
        "column 'a' holds numbers and 2 words, such as 'x' in data row 3; taken as categories"
    )
    assert one_column(tmp_path, ["x", "y", "z", "1"]).notes == ()


@pytest.mark.parametrize("cell", ["inf", "1e999"])
def test_an_infinite_target_is_refused(tmp_path, cell):
    with pytest.raises(UserError, match=f"row 2 is '{cell}', which is not a finite number"):
        read_csv(write(tmp_path, f"a,y\n1,2\n2,{cell}\n"), "y")


@pytest.mark.needs_data
def test_the_house_prices_file():
    path = datasets.data_root() / "house_prices" / "train.csv.gz"
    if not path.is_file():
        pytest.skip("house_prices is not on this machine")
    table = read_csv(path, "SalePrice")
    assert len(table) == 1460
    assert len(table.numeric_names) + len(table.categorical_names) == 80
    assert "LotFrontage" in table.numeric_names and "PoolQC" in table.categorical_names
    assert np.isnan(table.numeric[:, table.numeric_names.index("LotFrontage")]).sum() == 259
