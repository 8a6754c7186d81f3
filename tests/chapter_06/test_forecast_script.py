"""train_forecast.py on a user's file: it runs, goes on, and says in one sentence what is wrong."""

import math
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch

from chapter_06_rnn_lstm_seq import train_forecast
from chapter_06_rnn_lstm_seq.experiments.forecast.settings import settings_for
from chapter_06_rnn_lstm_seq.experiments.forecast.training import batches_for
from utils.checkpoint import save_checkpoint
from utils.datasets.series import load_lorenz, load_series
from utils.errors import UserError
from utils.file_io_util import read_json

SMALL = ["--epochs", "1", "--hidden_size", "4", "--threads", "1"]


@pytest.fixture(scope="module")
def waves(tmp_path_factory) -> Path:
    """Twelve days of a number that returns every day."""
    start = datetime(2024, 1, 1)
    rows = (
        f"{start + timedelta(hours=k)},{math.sin(k * math.pi / 12) + 0.01 * (k % 5)}"
        for k in range(300)
    )
    path = tmp_path_factory.mktemp("csv") / "waves $x.csv"  # "$" begins no formula in a figure
    path.write_text("\n".join(["time,load", *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(waves, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["--dataset", str(waves), "--seeds", "1", "--run_name", "a", *SMALL]
    assert train_forecast.main([*words, "--output_dir", str(folder)]) == 0
    return folder / "chapter_06_rnn_lstm_seq" / "train_forecast-a"


def models_of(folder: Path) -> dict:
    return read_json(folder / "forecast_file.json")["metrics"]["models"]


def test_a_file_is_forecast_beside_every_baseline(finished):
    models = models_of(finished)
    assert set(models) == {"persistence", "seasonal", "ar", "gru", "mlp_16", "mlp_24"}
    assert models["seasonal"]["one_step"][0] < models["persistence"]["one_step"][0]
    assert models["ar"]["one_step"][0] < 0.1


def test_a_resumed_run_adds_seeds_and_trains_nothing_again(finished):
    before, stamp = models_of(finished), (finished / "last.pth").stat().st_mtime_ns
    assert train_forecast.main(["--resume", str(finished), "--seeds", "2"]) == 0
    after = models_of(finished)
    assert after["gru"]["seeds"] == 2 and after["ar"] == before["ar"]
    assert (finished / "gru_43" / "last.pth").is_file()
    assert (finished / "last.pth").stat().st_mtime_ns >= stamp
    assert train_forecast.main(["--resume", str(finished), "--lr", "0.5"]) == 2


def test_a_shipped_file_is_measured_again(finished, waves, monkeypatch):
    """The checkpoint names its series; a user's file is found by its path."""
    load = train_forecast.load_series
    monkeypatch.setattr(train_forecast, "load_series", lambda name, *a, **k: load(waves))
    path = finished / "forecaster_file.pth"
    found = train_forecast.evaluate_checkpoint(path)
    saved = train_forecast.load_model(path)[1]["metrics"]
    assert found == pytest.approx(saved, rel=1e-5) and "one_step" in found


def test_a_checkpoint_of_another_task_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    state = torch.nn.Linear(1, 1).state_dict()
    save_checkpoint(path, state, architecture={"inputs": 1}, dataset="x", metrics={}, task="sums")
    with pytest.raises(UserError, match="holds no forecaster, but: sums"):
        train_forecast.load_model(path)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (["a", *"12345"], [], "has 5 rows of data; a forecast"),
        (["a", *map(str, range(70))], ["--horizon", "9"], "--horizon 9 is too long"),
        (["a,b", *(f"{k},{'' if k == 7 else k}" for k in range(70))], [], "line 9, column 'b'"),
        (["a,b", *(f"{k},{'hot' if k == 7 else k}" for k in range(70))], [], "'hot' is not a"),
    ],
)
def test_what_is_wrong_ends_in_one_sentence(tmp_path, capsys, rows, options, words):
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    argv = ["--dataset", str(path), "--output_dir", str(tmp_path), *options]
    assert train_forecast.main(argv) == 2
    message = capsys.readouterr().err
    assert words in message and len(message.splitlines()) == 1


def test_an_unknown_series_names_the_known_ones(tmp_path, capsys):
    assert train_forecast.main(["--dataset", "lorentz", "--output_dir", str(tmp_path)]) == 2
    assert "known are lorenz, ett" in capsys.readouterr().err


def test_no_validation_target_is_a_training_row(waves):
    for data in (load_series(waves), load_lorenz(1, rows=(300, 100, 300))):
        settings = settings_for(data, 5)
        values = torch.arange(len(data.values))[:, None].float()
        train, val = batches_for(values, data, settings, 0)
        assert train.tensors[0].max() < data.train.stop
        targets = val.tensors[0][:, settings.skip + 1 :]
        assert data.val.start <= targets.min() and targets.max() < data.val.stop


@pytest.mark.parametrize("rows", [60, 61, 75, 100, 500, 5000])
def test_every_length_of_file_has_sizes_that_fit(tmp_path, rows):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a", *map(str, range(rows))]), encoding="utf-8")
    data = load_series(path)
    settings = settings_for(data)
    train, val, test = (part.stop - part.start for part in (data.train, data.val, data.test))
    assert 1 <= settings.horizon <= min(val, test)
    assert settings.context <= train and settings.length < train
    assert max(settings.windows) <= settings.length and max(settings.orders) <= settings.context
    assert settings.skip < settings.length
