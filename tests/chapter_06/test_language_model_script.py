"""train_language_model.py and generate.py on a small file: resume, other cells, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from chapter_06_rnn_lstm_seq import generate, train_language_model
from chapter_06_rnn_lstm_seq.experiments import language_models as lm
from utils.checkpoint import load_checkpoint
from utils.datasets.text import load_text
from utils.errors import MissingDataError, UserError
from utils.file_io_util import read_json

CHAPTER = "chapter_06_rnn_lstm_seq"
SIZES = "--hidden_size 12 --batch_size 4 --seq_len 16 --sample_every 1 --epochs 2 --threads 1"
LINES = [f"line {n}: {n} and {n + 1} are neighbours, {n * n} is a square.\n" for n in range(60)]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("text") / "lines.txt"
    file.write_text("".join(LINES), encoding="utf-8")
    return file


def train(text: Path, folder: Path, name: str, *more: str) -> int:
    words = ["--dataset", str(text), *SIZES.split(), "--output_dir", str(folder), *more]
    return train_language_model.main([*words, "--run_name", name])


def run_folder(folder: Path, name: str) -> Path:
    return folder / CHAPTER / f"train_language_model-{name}"


@pytest.fixture(scope="module")
def trained(text, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    assert train(text, folder, "whole") == 0
    return run_folder(folder, "whole")


def test_the_result_stands_beside_the_n_grams(trained):
    result = read_json(trained / "language_model_lines.json")
    assert [row[0] for row in result["tables"]["main"]["rows"]][-1] == "LSTM 12"
    assert result["metrics"]["bits_2gram"] < result["metrics"]["bits_1gram"]
    assert load_checkpoint(trained / "lines_lstm.pth")["task"] == lm.TASK


def test_a_stopped_run_goes_on_to_the_same_numbers(trained, text, tmp_path, monkeypatch):
    def stop(args, task, model, row):
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_language_model, "show_sample", stop)
        assert train(text, tmp_path, "stopped") == 130
    folder = run_folder(tmp_path, "stopped")
    assert train_language_model.main(["--resume", str(folder)]) == 0
    key = "bits_per_character"
    results = [
        read_json(f / "language_model_lines.json")["metrics"][key] for f in (folder, trained)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("tokens", ["word", "bpe"])
def test_other_tokens_and_cells(tokens, text, tmp_path, capsys):
    words = ["--tokens", tokens, "--vocab_size", "270", "--cell", "gru", "--embed_size", "12"]
    assert train(text, tmp_path, tokens, *words, "--tied", "--epochs", "1") == 0
    weights = run_folder(tmp_path, tokens) / "lines_gru.pth"
    model, tokenizer, _ = lm.load_model(weights)
    assert model.output.weight is model.embedding.weight
    assert model.output.out_features == tokenizer.vocab_size
    capsys.readouterr()
    words = ["--weights", str(weights), "--prompt", "line", "--output_dir", str(tmp_path)]
    assert generate.main([*words, "--length", "5"]) == 0
    assert "line" in capsys.readouterr().out


def test_minutes_become_epochs_once(text, tmp_path, monkeypatch):
    monkeypatch.setattr(lm, "SPEED_SECONDS", 0.05)
    monkeypatch.setattr(lm, "tokens_per_second", lambda args, task, seconds: 100.0)
    assert train(text, tmp_path, "timed", "--minutes", "2") == 0
    found = read_json(run_folder(tmp_path, "timed") / "language_model_lines.json")["metrics"]
    assert found["epochs"] == 2 * 60 * 100 // int(0.9 * len("".join(LINES))) == 4


def test_sizes_are_compared_inside_the_training_text(text, tmp_path):
    """The validation part is never read, and each size has its own epochs and folder."""
    sizes = ["--sizes", "lstm/8/0/0.01", "gru/8/0.1/0.01", "lstm/16/0/0.01"]
    assert train(text, tmp_path, "sizes", *sizes) == 0
    result = read_json(run_folder(tmp_path, "sizes") / "language_model_sizes_lines.json")
    rows = result["metrics"]["rows"]
    assert [(row["cell"], row["hidden_size"]) for row in rows] == [
        ("lstm", 8), ("gru", 8), ("lstm", 16)
    ]  # fmt: skip
    marks = [row[-1] for row in result["tables"]["main"]["rows"]]
    lstm = min(rows[0]["nats"], rows[2]["nats"])
    assert marks[1] and bool(marks[0]) == (rows[0]["nats"] == lstm) and sum(map(bool, marks)) == 2


def test_bad_input_ends_in_one_sentence(trained, text, tmp_path, capsys):
    weights = str(trained / "lines_lstm.pth")
    out = ["--output_dir", str(tmp_path)]
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    other = next(Path(lm.__file__).parents[2].glob("chapter_03*/checkpoints/*.pth"))
    cases = [
        (generate, ["--weights", weights, "--prompt", "Ω"], "the character 'Ω' was not in"),
        (generate, ["--weights", weights, "--prompt", ""], "--prompt is empty"),
        (generate, ["--weights", str(other)], "is no language model (its task: classification"),
        (generate, ["--weights", str(trained / "last.pth")], "its task: an unfinished training"),
        (generate, ["--weights", "nowhere.pth"], "there is no checkpoint nowhere.pth"),
        (generate, ["--weights", weights, "--top_p", "0"], "top_p is a probability"),
        (train_language_model, ["--dataset", str(text), "--seq_len", "9999"], "too few for"),
        (train_language_model, ["--dataset", str(empty)], "empty"),
        (train_language_model, ["--dataset", "shakespear"], "shakespear"),
        (train_language_model, ["--dataset", str(text), "--tied"], "embed_size = hidden_size"),
    ]
    for script, words, message in cases:
        assert script.main([*words, *out]) == 2, words
        said = capsys.readouterr().err.strip()
        assert message in said
        assert "\n" not in said


def test_the_card_is_measured_again(trained, monkeypatch, text):
    checkpoint = load_checkpoint(trained / "lines_lstm.pth")
    monkeypatch.setattr(lm, "load_text", lambda name, folder: load_text(text))
    found = lm.evaluate_checkpoint(trained / "lines_lstm.pth")
    assert found == pytest.approx(checkpoint["metrics"])

    changed = text.with_name("lines2.txt")
    changed.write_text(text.read_text(encoding="utf-8") + "one more line.\n", encoding="utf-8")
    monkeypatch.setattr(lm, "load_text", lambda name, folder: load_text(changed))
    with pytest.raises(MissingDataError, match="was measured on another text"):
        lm.evaluate_checkpoint(trained / "lines_lstm.pth")


def test_a_model_of_another_task_is_refused(tmp_path, trained):
    with pytest.raises(UserError, match="no language model"):
        lm.load_model(trained / "best.pth")
