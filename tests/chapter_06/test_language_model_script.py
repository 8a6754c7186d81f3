"""train_language_model.py and generate.py on a small file: resume, other cells, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from chapter_06_rnn_lstm_seq import generate, train_language_model
from chapter_06_rnn_lstm_seq.experiments import language_models as lm
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.file_io_util import read_json

SIZES = "--hidden_size 12 --batch_size 4 --seq_len 16 --sample_every 1 --epochs 2 --threads 1"


@pytest.fixture(scope="module")
def script(text_script):
    return text_script(train_language_model, SIZES)


@pytest.fixture(scope="module")
def trained(script, tmp_path_factory) -> Path:
    return script.run(tmp_path_factory.mktemp("runs"), "whole")


def test_the_result_stands_beside_the_n_grams(trained):
    result = read_json(trained / "language_model_lines.json")
    assert [row[0] for row in result["tables"]["main"]["rows"]][-1] == "LSTM 12"
    assert result["metrics"]["bits_2gram"] < result["metrics"]["bits_1gram"]
    assert load_checkpoint(trained / "lines_lstm.pth")["task"] == lm.TASK


def test_a_stopped_run_goes_on_to_the_same_numbers(script, trained, tmp_path, monkeypatch):
    script.check_resume(trained, "language_model_lines.json", tmp_path, monkeypatch)


@pytest.mark.parametrize("tokens", ["word", "bpe"])
def test_other_tokens_and_cells(tokens, script, tmp_path, capsys):
    words = ["--tokens", tokens, "--vocab_size", "270", "--cell", "gru", "--embed_size", "12"]
    weights = script.run(tmp_path, tokens, *words, "--tied", "--epochs", "1") / "lines_gru.pth"
    model, tokenizer, _ = lm.load_model(weights)
    assert model.output.weight is model.embedding.weight
    assert model.output.out_features == tokenizer.vocab_size
    capsys.readouterr()
    words = ["--weights", str(weights), "--prompt", "line", "--output_dir", str(tmp_path)]
    assert generate.main([*words, "--length", "5"]) == 0
    assert "line" in capsys.readouterr().out


def test_minutes_become_epochs_once(script, tmp_path, monkeypatch):
    monkeypatch.setattr(lm, "SPEED_SECONDS", 0.05)
    monkeypatch.setattr(lm, "tokens_per_second", lambda args, task, seconds: 100.0)
    folder = script.run(tmp_path, "timed", "--minutes", "2")
    found = read_json(folder / "language_model_lines.json")["metrics"]
    characters = len(script.text.read_text(encoding="utf-8"))
    assert found["epochs"] == 2 * 60 * 100 // int(0.9 * characters) == 4


def test_sizes_are_compared_inside_the_training_text(script, tmp_path):
    """The validation part is never read, and each size has its own epochs and folder."""
    sizes = ["--sizes", "lstm/8/0/0.01", "gru/8/0.1/0.01", "lstm/16/0/0.01"]
    folder = script.run(tmp_path, "sizes", *sizes)
    result = read_json(folder / "language_model_sizes_lines.json")
    rows = result["metrics"]["rows"]
    assert [(row["cell"], row["hidden_size"]) for row in rows] == [
        ("lstm", 8), ("gru", 8), ("lstm", 16)
    ]  # fmt: skip
    marks = [row[-1] for row in result["tables"]["main"]["rows"]]
    lstm = min(rows[0]["nats"], rows[2]["nats"])
    assert marks[1] and bool(marks[0]) == (rows[0]["nats"] == lstm) and sum(map(bool, marks)) == 2


def test_bad_input_ends_in_one_sentence(script, trained, tmp_path, capsys):
    text, weights = str(script.text), str(trained / "lines_lstm.pth")
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
        (train_language_model, ["--dataset", text, "--seq_len", "9999"], "too few for"),
        (train_language_model, ["--dataset", str(empty)], "empty"),
        (train_language_model, ["--dataset", "shakespear"], "shakespear"),
        (train_language_model, ["--dataset", text, "--tied"], "embed_size = hidden_size"),
    ]
    for module, words, message in cases:
        assert module.main([*words, *out]) == 2, words
        said = capsys.readouterr().err.strip()
        assert message in said
        assert "\n" not in said


def test_the_card_is_measured_again(script, trained, monkeypatch):
    script.check_card(trained / "lines_lstm.pth", monkeypatch)


def test_a_model_of_another_task_is_refused(tmp_path, trained):
    with pytest.raises(UserError, match="no language model"):
        lm.load_model(trained / "best.pth")
