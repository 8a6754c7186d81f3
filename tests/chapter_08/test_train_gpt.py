"""train_gpt.py on a small file: windows, resume, prompts, bad input; the table through chapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chapter_06_rnn_lstm_seq.experiments import language_models as lm
from chapter_08_transformer_vanilla import train_gpt
from chapter_08_transformer_vanilla.experiments import gpt
from chapter_08_transformer_vanilla.gpt2 import GPT2
from utils.checkpoint import load_checkpoint
from utils.datasets.text import load_text
from utils.errors import UserError
from utils.file_io_util import read_json

CHAPTER = "chapter_08_transformer_vanilla"
SIZES = (
    "--width 8 --heads 2 --layers 1 --batch_size 8 --context 12 --sample_every 1 --epochs 2 "
    "--threads 1 --warmup 5"
)


@pytest.fixture(scope="module")
def script(text_script):
    return text_script(train_gpt, SIZES)


@pytest.fixture(scope="module")
def trained(script, tmp_path_factory) -> Path:
    return script.run(tmp_path_factory.mktemp("runs"), "whole")


def test_an_epoch_reads_the_text_once_and_cuts_it_anew():
    ids = torch.arange(1000)
    batches = gpt.training_windows(ids, 10, 7, seed=0)
    first, again, second = (list(batches.epoch(number)) for number in (0, 0, 1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0][0], second[0][0])
    for inputs, targets in first:
        assert inputs.shape == targets.shape == (7, 10)
        assert torch.equal(inputs + 1, targets)
        assert torch.equal(inputs, inputs[:, :1] + torch.arange(10))
    starts = torch.cat([inputs[:, 0] for inputs, _ in first])
    assert len((starts // 10).unique()) > 0.5 * len(starts)  # spread over the whole text
    assert len((starts % 10).unique()) == 10


def test_the_curve_measures_second_halves():
    (batch,) = gpt.validation_windows(torch.arange(45), 10)
    inputs, targets = batch
    assert inputs[:, 0].tolist() == [0, 10, 20, 30]
    assert (targets[:, :5] == gpt.UNMEASURED).all()
    assert torch.equal(targets[:, 5:], inputs[:, 5:] + 1)
    (short,) = gpt.validation_windows(torch.arange(6), 10)
    assert short[0].shape == (1, 5)


def test_places_start_as_waves_of_the_size_of_drawn_ones():
    model = GPT2(7, 32, 2, 1, 64)
    gpt.start_places(model, 0.05)
    found = model.places.weight
    assert found.detach().square().mean().sqrt().item() == pytest.approx(0.05, rel=0.01)
    products = found @ found.T  # equal distances, equal products: page 2
    torch.testing.assert_close(products.diagonal(3), products[0, 3].expand(61))
    assert found.requires_grad


def test_matrices_decay_and_vectors_do_not():
    model = GPT2(7, 8, 2, 1, 4)
    decayed, kept = gpt.parameter_groups(model, 0.1)
    assert {p.dim() for p in decayed["params"]} == {2} and decayed["weight_decay"] == 0.1
    assert {p.dim() for p in kept["params"]} == {1} and kept["weight_decay"] == 0
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))


def test_minutes_are_measured_by_one_process_alone(monkeypatch, tmp_path):
    args = train_gpt.build_parser().parse_args(["--minutes", "1"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="under torchrun give --epochs"):
        lm.plan(args, tmp_path, None)


def test_windows_of_a_few_places_move_by_one_at_least():
    assert gpt.steps_of(4) == {"window": 4, "half": 2, "eighth": 1}


def test_another_size_has_names_of_its_own():
    parse = train_gpt.build_parser().parse_args
    assert train_gpt.size_name(parse([])) == train_gpt.size_name(parse(["--quick"])) == ""
    assert train_gpt.size_name(parse(["--layers", "4", "--width", "160"])) == "_4x160_128"


def test_the_result_stands_beside_the_n_grams(trained):
    result = read_json(trained / "gpt_lines_1x8_12.json")
    rows = result["tables"]["main"]["rows"]
    assert rows[-1][0]["en"] == "GPT, 1 layers of 8, window 12"
    assert [row[1] for row in result["tables"]["moves"]["rows"]] == [1, 7, 12]
    assert load_checkpoint(trained / "lines_gpt_1x8_12.pth")["task"] == gpt.TASK


def test_a_stopped_run_goes_on_to_the_same_numbers(script, trained, tmp_path, monkeypatch):
    script.check_resume(trained, "gpt_lines_1x8_12.json", tmp_path, monkeypatch)


def test_minutes_become_epochs_and_a_row(script, tmp_path, monkeypatch):
    monkeypatch.setattr(gpt, "tokens_per_second", lambda args, task, seconds: 100.0)
    monkeypatch.setattr(train_gpt, "DATASETS", {"language_models": script.text.name})
    words = ["--minutes", "1", "--tokens", "bpe", "--vocab_size", "270", "--seeds", "2"]
    folder = script.run(tmp_path, "timed", *words)
    found = read_json(folder / "gpt_lines_1x8_12.json")["metrics"]
    row = read_json(folder / "thread_language_models_gpt_1x8_12.json")["metrics"]
    assert row["context"] == "sliding" and row["cache_bytes_per_token"] == 2 * 1 * 8 * 4
    assert row["bits_per_character"][0] == pytest.approx(found["bits_per_character_mean"])
    assert row["nats"][0] < found["nats_mean"]  # a character has less than a token


def test_speed_is_measured_on_this_network(script):
    words = [*SIZES.split(), "--dataset", str(script.text)]
    args = train_gpt.build_parser().parse_args(words)
    assert gpt.tokens_per_second(args, lm.load_data(args), 0.05) > 0


def test_a_prompt_is_continued(trained, tmp_path, capsys):
    words = ["--prompt", "line 7", "--checkpoint", str(trained / "lines_gpt_1x8_12.pth")]
    words += ["--length", "30", "--output_dir", str(tmp_path), "--temperature", "0"]
    assert train_gpt.main(words) == 0
    assert capsys.readouterr().out.startswith("line 7")
    (folder,) = (tmp_path / CHAPTER).iterdir()
    assert len(read_json(folder / "gpt_prompt.json")["metrics"]["text"]) == len("line 7") + 30


def test_chapter_sixs_row_is_of_the_same_text():
    data = load_text("topics")
    result = read_json(Path(lm.__file__).parents[1] / "results" / "language_model_topics.json")
    notes = data.notes | {"sha256": result["metrics"]["text"]["sha256"]}
    tasks = [lm.Task(lm.replace(data, notes=n), None, None, None) for n in (notes, {"sha256": "0"})]
    row = gpt.earlier_row(tasks[0])
    assert row[2][0] == result["metrics"]["bits_per_character_mean"]
    assert gpt.earlier_row(tasks[1]) is None


def test_bad_input_ends_in_one_sentence(script, trained, tmp_path, capsys):
    text, weights = str(script.text), str(trained / "lines_gpt_1x8_12.pth")
    out = ["--output_dir", str(tmp_path)]
    other = next(Path(lm.__file__).parents[1].glob("checkpoints/topics_lstm.pth"))
    cases = [
        (["--checkpoint", weights, "--prompt", "Ω"], "the character 'Ω' was not in"),
        (["--checkpoint", weights, "--prompt", ""], "--prompt is empty"),
        (
            ["--prompt", "a", "--checkpoint", str(other)],
            "is no GPT that writes (its task: language",
        ),
        (["--prompt", "a", "--checkpoint", str(trained / "last.pth")], "an unfinished training"),
        (["--prompt", "a", "--checkpoint", "nowhere.pth"], "there is no checkpoint nowhere.pth"),
        (["--dataset", text, "--context", "9999"], "too few for"),
        (["--dataset", text, "--width", "30", "--heads", "4"], "must divide --width 30"),
        (["--dataset", "shakespear"], "shakespear"),
    ]
    for words, message in cases:
        assert train_gpt.main([*words, *out]) == 2, words
        said = capsys.readouterr().err.strip()
        assert message in said
        assert "\n" not in said


def test_the_card_is_measured_again(script, trained, monkeypatch):
    script.check_card(trained / "lines_gpt_1x8_12.pth", monkeypatch)


def test_an_unfinished_training_is_no_model(trained):
    with pytest.raises(UserError, match="is no GPT that writes"):
        gpt.load_model(trained / "best.pth")
