"""The embedded tables, and every way in which a CSV file can be wrong."""

import gzip

import numpy as np
import pytest

from utils import datasets
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


@pytest.mark.parametrize("value", ["1_000", "inf", "1e999", "0x10", "nan_"])
def test_what_only_looks_like_a_number_is_a_category(tmp_path, value):
    assert read_csv(write(tmp_path, f"a,y\n{value},2\n3,4\n"), "y").categorical_names == ("a",)


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        (CSV, "price", r"no column 'price'; did you mean 'Price'\?"),
        (CSV, "Prise", r"did you mean 'Price'\?"),
        (CSV, "zzz", "its columns are Id, Area, Street, Alley, Empty, Price"),
        (CSV, "Street", "'Street' in data row 1 is 'Pave', which is not a number"),
        (CSV, "Area", "'Area' in data row 2 is missing"),
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
