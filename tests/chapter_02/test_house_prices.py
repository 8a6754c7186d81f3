"""The tabular pipeline: no leaks, gaps and unknown words handled, learning, clear errors."""

import argparse
import gzip
import json
import os

import numpy as np
import pytest

from chapter_02_nn_basics_mlp import house_prices as hp
from chapter_02_nn_basics_mlp.tabular import TablePreparer, drop_columns, use_log
from course.tables import show
from utils.datasets import data_root
from utils.datasets.tables import RawTable
from utils.errors import UserError

SEED = int(os.environ.get("FUZZ_SEED", "0"))
AMES = data_root() / "house_prices" / "train.csv.gz"


def raw_table(numeric, categorical=None, target=None):
    numeric = np.array(numeric, dtype=float)
    if categorical is None:
        categorical = np.empty((len(numeric), 0), dtype=object)
    categorical = np.array(categorical, dtype=object)
    target = np.arange(1.0, len(numeric) + 1) if target is None else target
    return RawTable(
        "test",
        numeric,
        tuple(f"n{i}" for i in range(numeric.shape[1])),
        categorical,
        tuple(f"c{i}" for i in range(categorical.shape[1])),
        target,
        "y",
    )


def random_table(rows=60):
    rng = np.random.default_rng(SEED)
    numeric = rng.normal(3, 2, (rows, 3))
    numeric[rng.random((rows, 3)) < 0.2] = np.nan
    categorical = rng.choice(np.array(["a", "b", None], dtype=object), (rows, 2))
    return raw_table(numeric, categorical)


def test_training_rows_become_standardised_and_finite():
    raw, rows = random_table(), np.arange(40)
    x = TablePreparer().fit(raw, rows).transform(raw, rows)
    assert np.isfinite(x).all()
    np.testing.assert_allclose(x[:, :3].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x[:, :3].std(axis=0), 1)
    assert x.shape == (40, 3 + 3 + 2 * 3)  # numbers, "was missing", (a, b, missing) twice
    np.testing.assert_array_equal(x[:, 3:6], np.isnan(raw.numeric[rows]))
    np.testing.assert_array_equal(x[:, 6:9].sum(axis=1), 1)


def test_nothing_leaks_from_the_test_rows():
    raw, train, test = random_table(), np.arange(40), np.arange(40, 60)
    before = TablePreparer().fit(raw, train).transform(raw, train)
    raw.numeric[test] = 1e6
    raw.categorical[test] = "new"
    preparer = TablePreparer().fit(raw, train)
    np.testing.assert_array_equal(preparer.transform(raw, train), before)
    x_test = preparer.transform(raw, test)
    assert x_test.shape[1] == before.shape[1]
    assert (x_test[:, 3:] == 0).all(), "no gap, and a category that nobody has seen"


def test_gaps_take_the_training_median():
    raw = raw_table([[1.0], [2.0], [9.0], [np.nan], [np.nan]])
    preparer = TablePreparer().fit(raw, np.arange(4))
    x = preparer.transform(raw, np.arange(5))
    filled = np.array([1, 2, 9, 2.0])
    np.testing.assert_allclose(x[:4, 0], (filled - filled.mean()) / filled.std())
    assert x[4, 0] == x[3, 0]
    np.testing.assert_array_equal(x[:, 1], [0, 0, 0, 1, 1])


@pytest.mark.filterwarnings("error")
def test_empty_constant_and_rare_columns_do_no_harm():
    numeric = np.column_stack([np.full(20, np.nan), np.full(20, 7.0), np.arange(20.0)])
    words = np.array([["often"] * 14 + ["rare"] * 4 + [None] * 2, [f"id{i}" for i in range(20)]])
    raw, rows = raw_table(numeric, words.T), np.arange(20)
    x = TablePreparer().fit(raw, rows).transform(raw, rows)
    assert np.isfinite(x).all()
    assert (x[:, :2] == 0).all()
    assert x.shape == (20, 3 + 1 + 1), "of the categories only 'often' has 5 rows"


def test_a_constant_column_that_changes_later_stays_small():
    numeric = np.column_stack([np.full(20, 14.3), np.arange(20.0)])
    numeric[15:, 0] = 15.3
    raw = raw_table(numeric)
    x = TablePreparer().fit(raw, np.arange(15)).transform(raw, np.arange(20))
    np.testing.assert_allclose(x[:, 0], [0] * 15 + [1] * 5, atol=1e-12)


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_tables_with_one_kind_of_column(kind):
    raw = random_table()
    numeric_only, categorical_only = (
        raw_table(raw.numeric),
        raw_table(np.empty((60, 0)), raw.categorical),
    )
    raw, rows = numeric_only if kind == "numeric" else categorical_only, np.arange(60)
    assert np.isfinite(TablePreparer().fit(raw, rows).transform(raw, rows)).all()


def test_log_target_is_chosen_for_long_tails_only():
    rng = np.random.default_rng(SEED)
    prices, scores = np.exp(rng.normal(size=500)), rng.uniform(1, 2, 500)
    assert use_log(prices, "auto") and not use_log(scores, "auto")
    assert not use_log(prices - 5, "auto") and not use_log(prices, "no") and use_log(scores, "yes")
    with pytest.raises(UserError, match="positive"):
        use_log(prices - 5, "yes")


def test_dropping_columns():
    raw = random_table()
    smaller = drop_columns(raw, ["n1", "c0"])
    assert smaller.numeric_names == ("n0", "n2") and smaller.categorical_names == ("c1",)
    np.testing.assert_array_equal(smaller.numeric, raw.numeric[:, [0, 2]])
    with pytest.raises(UserError, match="'nope'"):
        drop_columns(raw, ["nope"])


def test_scores_by_hand():
    result = hp.scores(np.array([2.0, 4.0]), np.array([1.0, 4.0]), log=True)
    assert result["rmse"] == pytest.approx(np.sqrt(1 / 2))
    assert result["rmsle"] == pytest.approx(np.log(2) / np.sqrt(2))
    assert result["r2"] == pytest.approx(1 - 0.5 / 2.25)


@pytest.mark.parametrize("value", [3.0, 14.3])
def test_r2_of_a_constant_target_is_undefined(value):
    y = np.full(9, value)
    assert np.isnan(hp.scores(y + 1, y, log=False)["r2"])
    assert hp.scores(y + 1, y, log=False)["rmse"] == pytest.approx(1)


def test_a_constant_training_target_is_predicted():
    x, y = np.random.default_rng(SEED).normal(size=(30, 2)), np.full(30, 14.3)
    for name in ("median", "linear", "ridge"):
        predicted = hp.fit_and_predict(name, x, y, x + 5, None, None, seed=0)
        np.testing.assert_allclose(predicted, 14.3)


def test_a_target_that_is_constant_in_a_fold_leaves_a_dash(tmp_path):
    path = tmp_path / "rare.csv"  # four folds of five see the value 14.3 alone
    rows = [f"{i % 7},{99 if i == 3 else 14.3}" for i in range(25)]
    path.write_text("a,price\n" + "\n".join(rows) + "\n", encoding="utf-8")
    options = ["--csv", str(path), "--target", "price", "--seeds", "1", "--epochs", "1"]
    code, folder = run_command(tmp_path, *options, "--log_target", "no")
    models, result = load_models(folder, "house_prices_csv")
    assert code == 0 and models["ridge"]["r2"] == [None, None]
    table = result["tables"]["main"]
    column = [c["en"] for c in table["columns"]].index("R²")
    assert {show(row[column], ".3f", "en") for row in table["rows"]} == {"–"}


def run_command(tmp_path, *options):
    shared = ["--threads", "1", "--output_dir", str(tmp_path / "out"), "--run_name", "t"]
    code = hp.main([*shared, *options])
    return code, tmp_path / "out" / "chapter_02_nn_basics_mlp" / "house_prices-t"


def load_models(folder, name):
    result = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return result["metrics"]["models"], result


def write_csv(path, rows=200, seed=SEED):
    """price = exp(a wave of x + a step for each town): the MLP can see what a line cannot."""
    rng = np.random.default_rng(seed)
    x, noise = rng.uniform(-3, 3, rows), rng.normal(0, 0.05, rows)
    towns = rng.choice(["Köln", "北京", "Oslo", "NA"], rows)
    steps = {"Köln": 0.0, "北京": 1.0, "Oslo": -1.0, "NA": 0.5}
    price = np.exp(10 + 1.5 * np.abs(x) + [steps[town] for town in towns] + noise)
    shown = [("" if i % 17 == 0 else f"{value:.4f}") for i, value in enumerate(x)]
    lines = [f"{a},{t},{p:.2f}" for a, t, p in zip(shown, towns, price, strict=True)]
    path.write_text("size,town,price\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_mlp_beats_the_linear_models_where_the_truth_bends(tmp_path):
    path = write_csv(tmp_path / "houses.csv")
    options = ["--csv", str(path), "--target", "price", "--seeds", "1", "--folds", "3"]
    code, folder = run_command(tmp_path, *options, "--epochs", "40", "--lr", "0.01")
    models, result = load_models(folder, "house_prices_csv")
    assert code == 0 and result["metrics"]["log_target"]
    score = {name: values["rmsle"][0] for name, values in models.items()}
    assert score["mlp"] < 0.6 * score["ridge"] < 0.6 * score["median"]
    assert models["mlp"]["folds_better_than_ridge"] == 3


SMALL = ["--seeds", "1", "--folds", "2", "--epochs", "1", "--hidden_dim", "4"]


@pytest.mark.filterwarnings("error:Glyph")
def test_a_table_as_an_office_writes_it(tmp_path, capsys):
    """Semicolons, decimal commas, gaps in words, dollars and Chinese in names, one odd cell."""
    target, path = "\u4ef7\u683c ($) / m^2 $\\frac", tmp_path / "\u8868 $a_{.csv"
    lines = [f"area;town;{target}"]
    lines += [f"{k},5;{'north' if k % 3 else 'N/A'};{1000 + 7 * k},25" for k in range(40)]
    lines[5], lines[9] = "n/a;north;1.250,5", "unknown;north;1300"
    path.write_text("\n".join(lines), encoding="utf-8")
    code, folder = run_command(tmp_path, "--csv", str(path), "--target", target, *SMALL)
    out = capsys.readouterr().out
    assert code == 0 and "40 rows, 1 numeric and 1 categorical columns" in out
    assert "note: the columns are separated by ';'." in out
    assert "note: column 'area', not finite numbers: 1, such as 'unknown' in data row 9" in out
    assert (folder / "house_prices_csv_folds.png").is_file()


def test_a_figure_that_fails_does_not_cost_the_results(tmp_path, monkeypatch):
    def broken(*args):
        raise ValueError("no figure")

    monkeypatch.setattr(hp, "plot_predictions", broken)
    path = write_csv(tmp_path / "houses.csv", 20)
    with pytest.raises(ValueError, match="no figure"):
        run_command(tmp_path, "--csv", str(path), "--target", "price", *SMALL)
    folder = tmp_path / "out" / "chapter_02_nn_basics_mlp" / "house_prices-t"
    assert load_models(folder, "house_prices_csv")[1]["metrics"]["rows"] == 20


def test_default_data_beats_the_median(quick_run):
    done = quick_run("chapter_02_nn_basics_mlp/house_prices.py")
    assert done.returncode == 0, done.stderr
    folder = done.folder
    models, result = load_models(folder, "house_prices")
    assert result["metrics"]["dataset"] == "diabetes"
    for name in ("linear", "ridge", "mlp"):
        assert models[name]["rmse"][0] < 0.85 * models["median"]["rmse"][0]
    for name in ("predictions", "folds"):
        assert 0 < (folder / f"house_prices_{name}.png").stat().st_size < 200_000
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5 * 4


@pytest.mark.needs_data
@pytest.mark.skipif(not AMES.is_file(), reason="the Ames houses are not under $DL_COURSE_DATA")
def test_ames_houses(quick_run):
    done = quick_run("chapter_02_nn_basics_mlp/house_prices.py", "--dataset ames")
    assert done.returncode == 0, done.stderr
    models, result = load_models(done.folder, "house_prices_ames")
    assert result["metrics"]["rows"] == 1460 and result["metrics"]["log_target"]
    assert models["ridge"]["rmsle"][0] < 0.2 < 0.35 < models["median"]["rmsle"][0]
    assert models["mlp"]["rmsle"][0] < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--csv", "{csv}", "--target", "prices"], "did you mean 'price'"),
        (["--csv", "{csv}", "--target", "zzz"], "its columns are size, town, price"),
        (["--csv", "{csv}"], "--csv needs --target"),
        (["--target", "price"], "--target goes with --csv"),
        (["--csv", "{csv}", "--target", "town"], "is not a number"),
        (["--csv", "{tmp}/nowhere.csv", "--target", "price"], "there is no file"),
        (["--csv", "{csv}", "--target", "price", "--drop", "size", "town"], "no column besides"),
        (["--csv", "{csv}", "--target", "price", "--drop", "rooms"], "'rooms'"),
        (["--csv", "{same}", "--target", "price"], "same in all rows"),
        (["--csv", "{broken}", "--target", "price"], "cannot read"),
        (["--folds", "1"], "--folds 1 does not fit"),
        (["--folds", "400"], "--folds 400 does not fit"),
        (["--dataset", "ames", "--data_dir", "{tmp}"], "--dataset diabetes"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_mistakes_end_with_one_sentence(tmp_path, capsys, options, message):
    paths = {"tmp": tmp_path, "csv": write_csv(tmp_path / "a.csv", 20, seed=0)}
    paths |= {"same": tmp_path / "same.csv", "broken": tmp_path / "broken.csv.gz"}
    paths["same"].write_text("a,price\n1,5\n2,5\n", encoding="utf-8")
    paths["broken"].write_bytes(gzip.compress(b"a,price\n1,2\n")[:-9])
    code, _ = run_command(tmp_path, *[option.format(**paths) for option in options])
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "options", [["--epochs", "-1"], ["--dropout", "1.5"], ["--log_target", "x"]]
)
def test_impossible_values_are_refused(tmp_path, options):
    with pytest.raises(SystemExit) as stopped:
        run_command(tmp_path, *options)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("errors", "epochs"), [([2.0, 1.0, np.nan], 2), ([np.nan, np.inf, 3.0, -np.inf], 3)]
)
def test_an_error_that_is_no_number_does_not_choose_the_epoch(monkeypatch, errors, epochs):
    trained = []

    def train_mlp(x, y, args, run, count, check=None):
        trained.append(count)
        return None, (errors if check else [])

    monkeypatch.setattr(hp, "train_mlp", train_mlp)
    args = argparse.Namespace(epochs=len(errors))
    hp.fit_mlp(np.zeros((10, 2)), np.zeros(10), args, None, np.random.default_rng(0))
    assert trained == [len(errors), epochs]
    errors[:] = [np.nan] * len(errors)
    with pytest.raises(UserError, match="lower --lr"):
        hp.fit_mlp(np.zeros((10, 2)), np.zeros(10), args, None, np.random.default_rng(0))
